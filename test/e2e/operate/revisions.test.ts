/** The commands that change what is served or who is let in, on a real Swarm, as docs/howto/rollback.md and docs/security.md say them. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RevisionsReport, RotateReport } from '../../../src/wire/revisions.ts';
import { type Swarm, startSwarm } from '../../support/bed.ts';
import { eventually } from '../../support/eventually.ts';
import { imageArchive } from '../../support/images.ts';
import { type Answer, defaultConfig, deployInterlock, type Interlock, STACK } from '../../support/interlock.ts';

const PATIENCE = { timeoutMs: 120_000, everyMs: 250 };
let swarm: Swarm;
let interlock: Interlock;
const cleanUps: (() => Promise<void>)[] = [];
/** Every command that was run, less the core's id. */
const ran = new Set<string>();

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
  ran.add(words);
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
    expect((await ask('revisions')).stdout).toMatch(/^\s*2 .*served\s+~shop\n\s*1 .*\+shop$/m);
    expect(await ask('diff previous live')).toMatchObject({
      exitCode: 1,
      stdout: expect.stringMatching(/- shop\.local\/ {2}shop.*\n\+ typo\.local\/ {2}shop/) as string,
    });

    expect(await ask('rollback previous')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('pinned to revision 1') as string,
    });
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
    expect((await ask('diff served live')).stdout).toMatch(/^\+ www\.shop\.local\/ {2}shop/m);
    expect((await ask('diff served live --files')).stdout).toMatch(/^\+.*www\.shop\.local/m);

    expect((await ask('unpin')).stdout).toContain('let go of revision 1');
    await interlock.untilAll('www.shop.local', serves, PATIENCE);
    expect((await ask('diff served live')).exitCode).toBe(0);
  });
});

describe('interlock token rotate', () => {
  it('ends with new tokens alone, and everybody let in', async () => {
    expect(await ask('token rotate --wait')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('done, the old token is gone') as string,
    });
    const secrets = await interlock.cli('secret', 'ls', '--format', '{{.Name}}');
    const tokens = secrets.split('\n').filter((name) => name.startsWith('com.docker.interlock.token.'));
    expect(tokens.sort()).toEqual(['extension', 'proxy'].map((role) => `com.docker.interlock.token.default.${role}.2`));
    await relabel('shop.local,after.local');
    await interlock.untilAll('after.local', serves, PATIENCE);

    expect((await ask('token rotate --extension default --role proxy')).exitCode).toBe(0);
    const joined = await ask('token rotate --extension default --role proxy --json');
    expect((JSON.parse(joined.stdout) as RotateReport).tokens).toMatchObject([{ role: 'proxy', joined: true }]);
  });
});

it('has run every command of the pages', async () => {
  const pages = await Promise.all(
    ['howto/rollback.md', 'security.md'].map((page) =>
      readFile(new URL(`../../../docs/${page}`, import.meta.url), 'utf8'),
    ),
  );
  const commands = pages.flatMap((page) =>
    [...page.matchAll(/^docker exec \$core interlock (.+)$/gm)].map(([, words]) => words),
  );
  expect(commands.length).toBeGreaterThan(5);
  expect(commands.filter((words) => words === undefined || !ran.has(words))).toEqual([]);
});
