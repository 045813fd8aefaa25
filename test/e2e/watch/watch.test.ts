/**
 * The watch on a real Swarm of three managers: what it tells equals the lists, endpoints leave before their SIGTERM, and it comes back
 * after everything that can happen to a manager. Needs uid 0: nobody else opens the control socket.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDockerodeEngine } from '../../../src/core/engine/dockerode-engine.ts';
import type { EngineApi } from '../../../src/core/engine/engine-api.ts';
import { createFeedChoice } from '../../../src/core/observe/feed-choice.ts';
import { createObserver, type Observer } from '../../../src/core/observe/observer.ts';
import { createPollFeed } from '../../../src/core/observe/poll-feed.ts';
import type { FeedChoice } from '../../../src/core/observe/task-feed.ts';
import { createWatchFeed } from '../../../src/core/observe/watch-feed.ts';
import type { Snapshot, Task } from '../../../src/model/snapshot.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { createLogger } from '../../../src/runtime/logging.ts';
import { runComponents } from '../../../src/runtime/supervisor.ts';
import { watchSwarm } from '../../../src/swarmkit/watch-client.ts';
import { type Swarm, startSwarm } from '../../support/bed.ts';
import { eventually } from '../../support/eventually.ts';
import { buildTinyImage, TINY_COMMAND } from '../../support/tiny-image.ts';

const IMAGE = 'tiny:1';
const PATIENCE = { timeoutMs: 60_000 };
const isRoot = process.platform === 'linux' && process.getuid?.() === 0;

describe.skipIf(!isRoot)('the watch on a real Swarm', () => {
  let swarm: Swarm;
  let engine: EngineApi;
  let feed: FeedChoice;
  let observer: Observer;
  let running: Promise<void>;
  const stop = new AbortController();
  const { signal } = stop;
  /** When each task was first seen with another desired state than running, in ms. */
  const orderedDown = new Map<string, number>();

  beforeAll(async () => {
    const tiny = await buildTinyImage();
    swarm = await startSwarm({
      name: `watch-${process.pid}`,
      nodes: 3,
      managers: 3,
      fastHeartbeat: true,
      hostLink: false,
    });
    await swarm.importImage(tiny.archive, IMAGE);
    await tiny.remove();
    engine = createDockerodeEngine({ dockerUrl: `unix://${swarm.managerSocket}` });
    const tools = { clock: systemClock, logger: createLogger({ level: 'silent', component: 'test' }) };
    const poll = createPollFeed(engine, systemClock, { pollMs: 3_000, convergingMs: 250 });
    const watch = createWatchFeed(engine, watchSwarm, tools, {
      socketPath: controlSocketOf(swarm.name, 1),
      driftMs: 60_000,
    });
    feed = createFeedChoice('auto', { poll, watch }, tools);
    observer = createObserver(engine, feed, tools, { resyncMs: 60_000 });
    running = runComponents([...observer.components, { name: 'notes', run: takeNotes }], signal, tools.logger);
    await eventually(() => feed.status.get()?.kind === 'watch', PATIENCE);
  });

  afterAll(async () => {
    stop.abort();
    await running;
    await swarm.down();
  });

  async function takeNotes(until: AbortSignal): Promise<void> {
    for await (const { tasks } of observer.snapshots.watch(until)) {
      for (const { id, desiredState } of tasks) {
        if (desiredState !== 'running' && !orderedDown.has(id)) {
          orderedDown.set(id, Date.now());
        }
      }
    }
  }

  function seen(): Snapshot {
    const snapshot = observer.snapshots.get();
    if (snapshot === undefined) {
      throw new Error('nothing published');
    }
    return snapshot;
  }

  const docker = (...argv: readonly string[]) => swarm.exec(1, ['docker', ...argv]);
  const create = (name: string, ...options: readonly string[]) =>
    docker('service', 'create', '-d', '--no-resolve-image', '--name', name, ...options, IMAGE, ...TINY_COMMAND);
  const usableOf = (name: string): readonly Task[] => {
    const { services, tasks } = seen();
    const id = services.find((service) => service.name === name)?.id;
    return tasks.filter((task) => task.serviceId === id && task.state === 'running' && task.desiredState === 'running');
  };

  /** Everything but the time of observation; tasks may be written between two lists, so the caller repeats it. */
  async function expectEqualToLists(): Promise<void> {
    const { services, tasks, nodes, networks } = seen();
    expect(byId(tasks)).toEqual(byId(await engine.listTasks(signal)));
    expect(byId(services)).toEqual(byId(await engine.listServices(signal)));
    expect(byId(nodes)).toEqual(byId(await engine.listNodes(signal)));
    expect(byId(networks)).toEqual(byId(await engine.listNetworks(signal)));
  }

  it('tells the same as the lists, for every kind of service', async () => {
    await docker('network', 'create', '-d', 'overlay', '--label', 'a=b', 'app');
    await create('vip', '--network', 'app', '--replicas', '3', '--label', 'x=y', '--container-label', 'c=d');
    await create(
      'dnsrr',
      '--network',
      'app',
      '--endpoint-mode',
      'dnsrr',
      '--publish',
      'mode=host,target=80,published=8080',
    );
    await create('everywhere', '--mode', 'global');
    await create('job', '--mode', 'replicated-job', '--replicas', '1');
    await docker('service', 'update', '-d', '--no-resolve-image', '--label-add', 'x=z', 'vip');
    await docker('node', 'update', '--label-add', 'lb=true', 'n2');
    await eventually(() => {
      expect(usableOf('vip')).toHaveLength(3);
      expect(usableOf('everywhere')).toHaveLength(3);
      expect(usableOf('dnsrr')[0]?.hostPorts).not.toEqual([]);
    }, PATIENCE);
    await eventually(expectEqualToLists, PATIENCE);
    expect(seen().services.find(({ name }) => name === 'vip')?.labels).toEqual({ x: 'z' });
    expect(feed.status.get()).toMatchObject({ kind: 'watch', reason: expect.not.stringContaining('drift') as unknown });
  });

  it('takes an endpoint away before its container gets SIGTERM', async () => {
    const since = String(Math.floor(Date.now() / 1_000) - 1);
    const before = new Set(usableOf('vip').map(({ id }) => id));
    await docker('service', 'scale', '-d', 'vip=1');
    await eventually(() => expect(usableOf('vip')).toHaveLength(1), PATIENCE);
    const left = new Set(usableOf('vip').map(({ id }) => id));
    const leaving = [...before].filter((id) => !left.has(id));
    expect(leaving).toHaveLength(2);
    const notices = await eventually(async () => {
      const stops = new Map((await Promise.all([1, 2, 3].map((node) => sigtermsOf(node, since)))).flat());
      return leaving.map((id) => {
        const [ordered, stopped] = [orderedDown.get(id), stops.get(id)];
        if (ordered === undefined || stopped === undefined) {
          throw new Error(`no SIGTERM of ${id} yet`);
        }
        return Math.round(stopped - ordered);
      });
    }, PATIENCE);
    process.stderr.write(`the watch: notice before SIGTERM at scale-down, ms: ${notices.join(', ')}\n`);
    expect(notices.filter((notice) => notice <= 0)).toEqual([]);
  });

  /** When the containers of tasks on a node got SIGTERM, in ms, by task id. */
  async function sigtermsOf(node: number, since: string): Promise<readonly (readonly [string, number])[]> {
    const until = String(Math.floor(Date.now() / 1_000) + 1);
    const filters = ['--filter', 'event=kill', '--since', since, '--until', until, '--format', '{{json .}}'];
    const { stdout } = await swarm.exec(node, ['docker', 'events', ...filters]);
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { timeNano: number; Actor: { Attributes: Record<string, string> } })
      .filter(({ Actor }) => Actor.Attributes['signal'] === '15')
      .map(({ timeNano, Actor }) => [Actor.Attributes['com.docker.swarm.task.id'] ?? '', timeNano / 1e6] as const);
  }

  it('loses a task that is killed, and takes the one that replaces it', async () => {
    const [victim] = usableOf('vip');
    const node = seen().nodes.find(({ id }) => id === victim?.nodeId)?.hostname ?? '';
    const filter = `label=com.docker.swarm.task.id=${victim?.id}`;
    const index = Number(node.slice(1));
    const { stdout } = await swarm.exec(index, ['docker', 'ps', '-q', '--filter', filter]);
    await swarm.exec(index, ['docker', 'kill', '-s', 'KILL', stdout.trim()]);
    await eventually(() => {
      expect(usableOf('vip')).toHaveLength(1);
      expect(usableOf('vip')[0]?.id).not.toBe(victim?.id);
    }, PATIENCE);
  });

  it('falls to the poll when the engine dies under it, and comes back with the engine', async () => {
    await swarm.crashNode(1);
    await eventually(() => feed.status.get()?.kind === 'poll', PATIENCE);
    // The others may have to elect a leader first.
    await eventually(() => swarm.exec(2, ['docker', 'node', 'update', '--label-add', 'while=away', 'n3']), PATIENCE);
    await swarm.startNode(1);
    await eventually(() => feed.status.get()?.kind === 'watch', PATIENCE);
    await eventually(() =>
      expect(seen().nodes.find(({ hostname }) => hostname === 'n3')?.labels).toEqual({ while: 'away' }),
    );
    await eventually(expectEqualToLists, PATIENCE);
  });

  it('hears on through a change of the leader', async () => {
    const leader = await eventually(async () => {
      const { stdout } = await docker('node', 'ls', '--format', '{{.Hostname}} {{.ManagerStatus}}');
      const found = /^(n\d) Leader$/m.exec(stdout)?.[1];
      if (found === undefined) {
        throw new Error('no leader');
      }
      return Number(found.slice(1));
    }, PATIENCE);
    expect(leader).not.toBe(1); // its engine died a moment ago
    await swarm.crashNode(leader);
    await eventually(
      () => docker('service', 'update', '-d', '--no-resolve-image', '--label-add', 'new=leader', 'vip'),
      PATIENCE,
    );
    await eventually(() => expect(seen().services.find(({ name }) => name === 'vip')?.labels['new']).toBe('leader'));
    expect(feed.status.get()).toMatchObject({ kind: 'watch' });
    await swarm.startNode(leader);
    await eventually(expectEqualToLists, PATIENCE);
  });

  it('sees a lost node go down and its tasks replaced', async () => {
    await swarm.killNode(3);
    await eventually(
      () => expect(seen().nodes.find(({ hostname }) => hostname === 'n3')?.state).toBe('down'),
      PATIENCE,
    );
    await eventually(() => expect(usableOf('vip').length).toBeGreaterThan(0), PATIENCE);
    await swarm.startNode(3);
    await eventually(
      () => expect(seen().nodes.find(({ hostname }) => hostname === 'n3')?.state).toBe('ready'),
      PATIENCE,
    );
  });

  it('says so when its manager is demoted, and comes back with the promotion', async () => {
    await eventually(() => swarm.exec(2, ['docker', 'node', 'demote', 'n1']), PATIENCE);
    await eventually(() => feed.status.get()?.kind === 'poll', PATIENCE);
    expect(feed.status.get()?.reason).toMatch(/manager|canceled|ended|answer/i);
    await swarm.exec(2, ['docker', 'node', 'promote', 'n1']);
    await eventually(() => feed.status.get()?.kind === 'watch', PATIENCE);
    await eventually(expectEqualToLists, PATIENCE);
  });
});

function byId<Part extends { readonly id: string }>(parts: readonly Part[]): readonly Part[] {
  return [...parts].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Through the root of the node's first process: the socket lies on a tmpfs of the node's own. */
function controlSocketOf(name: string, index: number): string {
  const run = '/run/interlock-bed';
  const folder = readdirSync(run).find((entry) => nameOf(path.join(run, entry)) === name);
  const [recorded = ''] = readFileSync(path.join(run, folder ?? '', `n${index}.pid`), 'utf8').split(' ');
  const child = execFileSync('pgrep', ['-P', recorded], { encoding: 'utf8' }).trim();
  return `/proc/${child}/root/run/docker/swarm/control.sock`;
}

function nameOf(folder: string): string | undefined {
  try {
    return readFileSync(path.join(folder, 'name'), 'utf8').trim();
  } catch {
    return undefined; // another bed, on its way up or down
  }
}
