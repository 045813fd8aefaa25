/** The bed itself: what it promises to every other end-to-end test, and that it leaves nothing behind. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { BedError, baseArchive, openSwarm, runBed, type Swarm, startSwarm, stopSwarm } from '../../support/bed.ts';

const IMAGE = 'bed-test:1';
const started = new Set<string>();
let minbase: string;

async function start(
  name: string,
  nodes: number,
  options: { fastHeartbeat?: boolean; hostLink?: boolean } = {},
): Promise<Swarm> {
  started.add(name);
  return await startSwarm({ name, nodes, ...options });
}

beforeAll(async () => {
  minbase = await baseArchive('minbase');
  await runBed('debian.sh', ['engine', 'forky']);
});

afterEach(async () => {
  for (const name of started) await stopSwarm(name);
  started.clear();
});

describe('a cluster', () => {
  it('runs tasks on every node, loses one to a power cut, takes it back, and leaves nothing', async () => {
    const swarm = await start('bed-life', 2, { fastHeartbeat: true });
    const marks = marksOf(swarm);
    // What every test without another engine speaks of: 28.5 or a later 28.
    expect(await docker(swarm, 'version', '--format', '{{.Server.Version}}')).toMatch(/^28\.([5-9]|\d\d)\b/);
    await swarm.importImage(minbase, IMAGE);
    await docker(
      swarm,
      'service',
      'create',
      '-d',
      '--no-resolve-image',
      '--name',
      'sleeper',
      '--mode',
      'global',
      IMAGE,
      'sleep',
      'infinity',
    );
    await eventually(async () => expect(await runningOn(swarm)).toEqual(['n1', 'n2']));
    expect(Object.values(traces(marks)).map((found) => found.length > 0)).toEqual([true, true, true, true]);

    await swarm.killNode(2);
    expect(await swarm.nodeStates()).toEqual(['running', 'off']);
    await eventually(async () => expect(await statusOf(swarm, 'n2')).toBe('Down'));

    await swarm.startNode(2);
    await eventually(async () => expect(await statusOf(swarm, 'n2')).toBe('Ready'));
    await eventually(async () => expect(await runningOn(swarm)).toEqual(['n1', 'n2']));

    await swarm.down();
    expect(traces(marks)).toEqual({ mounts: [], netns: [], processes: [], cgroups: [] });
    expect(linksOf(marks)).toEqual([]);
  });

  it('keeps containers when only dockerd dies', async () => {
    const swarm = await start('bed-crash', 1);
    await swarm.importImage(minbase, IMAGE);
    await swarm.exec(1, [
      'docker',
      'run',
      '-d',
      '--init',
      '--name',
      'kept',
      '--network',
      'none',
      IMAGE,
      'sleep',
      '4242',
    ]);
    await swarm.crashNode(1);
    expect(await swarm.nodeStates()).toEqual(['crashed']);
    expect((await swarm.exec(1, ['bash', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "'])).stdout).toContain(
      'sleep 4242',
    );
    await swarm.startNode(1);
    expect(await swarm.nodeStates()).toEqual(['running']);
  });

  it('cuts and mends a link', async () => {
    const swarm = await start('bed-link', 2);
    const reach = () => swarm.exec(1, ['timeout', '1', 'bash', '-c', `</dev/tcp/${addressOf(swarm, 2)}/7946`]);
    await reach();
    await swarm.link(2, 'down');
    await expect(reach()).rejects.toThrow(BedError);
    await swarm.link(2, 'up');
    await eventually(reach);
  });

  it('is out of the reach of this machine without a host link', async () => {
    const swarm = await start('bed-apart', 1, { hostLink: false });
    expect(swarm.hostAddress).toBeUndefined();
    expect(linksOf(marksOf(swarm))).toEqual([]);
    expect((await swarm.netExec(1, ['ip', '-o', '-4', 'addr', 'show', 'eth0'])).stdout).toContain(addressOf(swarm, 1));
  });
});

it('runs two clusters side by side, and ends one without the other', async () => {
  const [left, right] = await Promise.all([start('bed-left', 1), start('bed-right', 1)]);
  expect(left.nodes[0]?.address).not.toBe(right.nodes[0]?.address);
  await left.down();
  expect(traces(marksOf(left))).toEqual({ mounts: [], netns: [], processes: [], cgroups: [] });
  expect(await statusOf(right, 'n1')).toBe('Ready');
});

describe('down', () => {
  it.runIf(process.getuid?.() === 0)('ends what an interrupted up has left', async () => {
    const name = 'bed-half';
    started.add(name);
    const script = fileURLToPath(new URL('../../../docker/bed/swarm.sh', import.meta.url));
    // A group of its own, so that the whole script can be killed; the nodes are in sessions of theirs.
    const up = spawn('bash', [script, 'up', '--name', name, '--nodes', '2'], { detached: true, stdio: 'ignore' });
    const swarm = await eventually(async () => {
      const found = await openSwarm(name);
      expect((await found.nodeStates())[0]).toBe('running');
      return found;
    });
    if (up.pid === undefined) throw new Error('the script did not start');
    process.kill(-up.pid, 'SIGKILL');
    const marks = marksOf(swarm);
    expect(traces(marks).processes).not.toEqual([]);

    await stopSwarm(name);
    expect(traces(marks)).toEqual({ mounts: [], netns: [], processes: [], cgroups: [] });
    expect(linksOf(marks)).toEqual([]);
  });

  it('says what is wrong with a name, and has nothing to do for an unknown one', async () => {
    await expect(stopSwarm('No Name')).rejects.toThrow(/is no name for a cluster/);
    await stopSwarm('bed-never-was');
  });
});

interface Marks {
  /** Starts the name of every namespace, link and control group. */
  readonly id: string;
  readonly folder: string;
}

function marksOf(swarm: Swarm): Marks {
  const id = /(il[0-9a-f]{7})-n1$/.exec(swarm.nodes[0]?.netns ?? '')?.[1];
  if (id === undefined) throw new Error(`no id in ${swarm.nodes[0]?.netns}`);
  return { id, folder: swarm.managerSocket.replace(/\/n1\/docker\.sock$/, '') };
}

/** Only what belongs to this cluster: other checkouts may use the machine at the same time. */
function traces({ id, folder }: Marks) {
  const ours = (text: string) => text.includes(id) || text.includes(`${folder}/`);
  const processes = readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    // Container processes carry the id in their control group, the engine on its command line.
    .filter((pid) => ours(readProc(`/proc/${pid}/cmdline`)) || readProc(`/proc/${pid}/cgroup`).includes(id));
  const mounts = new Set(
    readdirSync('/proc').flatMap((pid) => (/^\d+$/.test(pid) ? readProc(`/proc/${pid}/mounts`).split('\n') : [])),
  );
  return {
    mounts: [...mounts].filter(ours),
    netns: listed('/run/netns').filter(ours),
    processes,
    cgroups: ['/sys/fs/cgroup', ...listed('/sys/fs/cgroup').map((each) => `/sys/fs/cgroup/${each}`)]
      .flatMap(listed)
      .filter(ours),
  };
}

function linksOf({ id }: Marks): string[] {
  return listed('/sys/class/net').filter((link) => link.startsWith(id));
}

function listed(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // Not a folder, or not there: /sys/fs/cgroup mixes files in, and /run/netns comes with the first namespace.
  }
}

function readProc(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // The process ended meanwhile.
  }
}

function addressOf(swarm: Swarm, index: number): string {
  const address = swarm.nodes[index - 1]?.address;
  if (address === undefined) throw new Error(`no node ${index}`);
  return address;
}

async function docker(swarm: Swarm, ...argv: string[]): Promise<string> {
  return (await swarm.exec(1, ['docker', ...argv])).stdout.trim();
}

async function runningOn(swarm: Swarm): Promise<string[]> {
  const tasks = await docker(
    swarm,
    'service',
    'ps',
    '--filter',
    'desired-state=running',
    '--format',
    '{{.Node}} {{.CurrentState}}',
    'sleeper',
  );
  return tasks
    .split('\n')
    .filter((task) => task.includes(' Running '))
    .map((task) => task.replace(/ .*/, ''))
    .sort();
}

async function statusOf(swarm: Swarm, node: string): Promise<string> {
  const nodes = await docker(swarm, 'node', 'ls', '--format', '{{.Hostname}} {{.Status}}');
  return (
    nodes
      .split('\n')
      .find((line) => line.startsWith(`${node} `))
      ?.replace(/^\S+ /, '') ?? 'unknown'
  );
}

/** Repeats `check` until it passes; after 30 s its own error is the failure. */
async function eventually<T>(check: () => Promise<T>): Promise<T> {
  const until = Date.now() + 30_000;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > until) throw error;
      await sleep(100);
    }
  }
}
