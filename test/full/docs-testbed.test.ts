/** docs/testbed.md, block by block, with state of its own: a build engine and a cluster beside those of the other tests. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CHECKOUT } from '../support/docs-pages.ts';
import { docsRunner } from '../support/docs-runner.ts';

const PAGE = 'docs/testbed.md';
const docs = docsRunner('test/full/docs-testbed.test.ts');
let state: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  // A socket's path is short.
  state = await mkdtemp('/tmp/il-bed-');
  const cache = process.env['INTERLOCK_CACHE'] ?? join(CHECKOUT, '.interlock/cache');
  env = { ...process.env, INTERLOCK_STATE: state, INTERLOCK_CACHE: cache };
});

afterAll(async () => {
  await bed('swarm.sh', 'down', '--all');
  await bed('builder.sh', 'down', '--purge');
  await rm(state, { recursive: true, force: true });
  await rm(`${CHECKOUT}images.tar`, { force: true });
});

async function bed(script: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('bash', [`${CHECKOUT}docker/bed/${script}`, ...args], { env });
  return stdout;
}

it('brings a cluster up, runs things in it, takes the power from a node, and leaves nothing', async () => {
  const up = 'docker/bed/swarm.sh up --name demo --nodes 3 --fast-heartbeat';
  const printed = await docs.run(PAGE, up, { cwd: CHECKOUT, env });

  expect(printed.match(/\bReady\b/g)).toHaveLength(3);
  expect(printed).toContain('REPLICAS');
  expect(await bed('swarm.sh', 'status')).toBe('');
  expect(existsSync(join(state, 'swarm'))).toBe(false);
});

it('builds an image without a registry, and loads it', async () => {
  await bed('swarm.sh', 'up', '--name', 'demo');
  await docs.run(PAGE, 'socket=$(docker/bed/builder.sh up)', { cwd: CHECKOUT, env, timeoutMs: 280_000 });

  expect(
    await bed('swarm.sh', 'exec', 'demo', '1', 'docker', 'image', 'ls', '--format', '{{.Repository}}:{{.Tag}}'),
  ).toBe('demo:1\n');
});

it('has run every block of the page', () => {
  expect(docs.left()).toEqual([]);
});
