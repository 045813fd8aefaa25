/** The commands that change what is served or who is let in, on a real Swarm, as docs/howto/rollback.md and docs/security.md say them. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RevisionsReport, RotateReport } from '../../../src/wire/revisions.ts';
import { type Swarm, startSwarm } from '../../support/bed.ts';
import { CHECKOUT } from '../../support/docs-pages.ts';
import { docsRunner } from '../../support/docs-runner.ts';
import { eventually } from '../../support/eventually.ts';
import { imageArchive } from '../../support/images.ts';
import { type Answer, defaultConfig, deployInterlock, type Interlock, STACK } from '../../support/interlock.ts';

const PATIENCE = { timeoutMs: 120_000, everyMs: 250 };
let swarm: Swarm;
let interlock: Interlock;
const cleanUps: (() => Promise<void>)[] = [];
const docs = docsRunner('test/e2e/operate/revisions.test.ts');

beforeAll(async () => {
  const archive = await imageArchive();
  swarm = await startSwarm({ name: 'revisions', nodes: 1 });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  interlock = await deployInterlock(swarm, defaultConfig());
  cleanUps.unshift(() => interlock.down());
  await interlock.createNetwork('app');
  await interlock.createApp({ name: 'shop', networks: ['app'], lb: { hosts: 'shop.local', port: '8080' } });
  await interlock.untilAll('shop.local', serves, PATIENCE);
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

const serves = ({ status }: Answer) => status === 200;
const isUnknown = ({ status }: Answer) => status === 404 || status === 503;

interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
}

/** `docker exec $core interlock …`, in the core that runs now. */
async function ask(words: string): Promise<Outcome> {
  const id = await eventually(async () => {
    const [first = ''] = (await interlock.cli('ps', '-qf', `name=${STACK}_core`)).trim().split('\n');
    return first === '' ? Promise.reject(new Error('no container of core runs')) : first;
  }, PATIENCE);
  const docker = ['-H', `unix://${swarm.managerSocket}`, 'exec', id, 'interlock', ...words.split(' ')];
  try {
    const { stdout } = await promisify(execFile)('docker', docker, { timeout: 150_000 });
    return { exitCode: 0, stdout };
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as { code?: unknown; stdout?: string; stderr?: string };
    if (typeof code !== 'number') {
      throw error;
    }
    return { exitCode: code, stdout: stdout + stderr };
  }
}

/** A block of a page, on the manager. */
function runBlock(page: string, block: string): Promise<string> {
  const env = { ...process.env, DOCKER_HOST: `unix://${swarm.managerSocket}` };
  return docs.run(page, block, { cwd: CHECKOUT, env, timeoutMs: 150_000 });
}

/** Core may be starting: then there is no answer yet. */
async function history() {
  const { stdout } = await ask('revisions --json');
  return (JSON.parse(stdout) as RevisionsReport).clusters[0];
}

const untilNewest = (number: number) =>
  eventually(async () => (await history())?.revisions[0]?.number === number, PATIENCE);

async function relabel(hosts: string): Promise<void> {
  await interlock.updateService('shop', (spec) => {
    spec.Labels['com.docker.lb.hosts'] = hosts;
  });
}

describe('a label that took a site down', () => {
  it('is taken back by a rollback that keeps endpoints live, over a restart of core, until unpin', async () => {
    await untilNewest(1);
    await relabel('typo.local');
    await interlock.untilAll('typo.local', serves, PATIENCE);
    await interlock.untilAll('shop.local', isUnknown, PATIENCE);
    await untilNewest(2);
    const printed = await runBlock('docs/howto/rollback.md', 'core=$(docker ps -qf name=interlock_core)');
    expect(printed).toMatch(/^\s*2 .*served\s+~shop\n\s*1 .*\+shop$/m);
    expect(printed).toMatch(/- shop\.local\/ {2}shop.*\n\+ typo\.local\/ {2}shop/);
    expect(printed).toContain('pinned to revision 1');
    await interlock.untilAll('shop.local', serves, PATIENCE);
    await interlock.untilAll('typo.local', isUnknown, PATIENCE);
    expect((await ask('rollback previous')).exitCode).toBe(1);

    await interlock.killTask('shop');
    await interlock.untilAll('shop.local', serves, PATIENCE);

    await interlock.cli('service', 'update', '--force', '--detach=false', `${STACK}_core`);
    await eventually(async () => (await history())?.pin?.revision === 1, PATIENCE);
    await relabel('shop.local,www.shop.local');
    await untilNewest(3);
    await interlock.untilAll('shop.local', serves, PATIENCE);
    await interlock.untilAll('www.shop.local', isUnknown, PATIENCE);
    expect((await ask('diff served live --files')).stdout).toMatch(/^\+.*www\.shop\.local/m);

    const letGo = await runBlock('docs/howto/rollback.md', 'docker exec $core interlock diff served live');
    expect(letGo).toMatch(/^\+ www\.shop\.local\/ {2}shop/m);
    expect(letGo).toContain('let go of revision 1');
    await interlock.untilAll('www.shop.local', serves, PATIENCE);
    expect((await ask('diff served live')).exitCode).toBe(0);
  });
});

describe('interlock token rotate', () => {
  it('ends with new tokens alone, and everybody let in; a rotation that is under way is joined', async () => {
    const printed = await runBlock('docs/security.md', 'core=$(docker ps -qf name=interlock_core)');
    expect(printed).toContain('done, the old token is gone');
    const joined = await ask('token rotate --extension default --role proxy --json');
    expect((JSON.parse(joined.stdout) as RotateReport).tokens).toMatchObject([{ role: 'proxy', joined: true }]);

    // The second generation of both came and the first went with --wait; the third is the proxy's alone.
    await eventually(async () => {
      const secrets = await interlock.cli('secret', 'ls', '--format', '{{.Name}}');
      const tokens = secrets.split('\n').filter((name) => name.startsWith('com.docker.interlock.token.'));
      expect(tokens.sort()).toEqual(
        ['extension.2', 'proxy.3'].map((end) => `com.docker.interlock.token.default.${end}`),
      );
    }, PATIENCE);
    await relabel('shop.local,after.local');
    await interlock.untilAll('after.local', serves, PATIENCE);
  });
});

it('has run every block of the pages that is its to run', () => {
  expect(docs.left()).toEqual([]);
});
