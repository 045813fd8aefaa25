import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFeedChoice } from '../../../../src/core/observe/feed-choice.ts';
import { createObserver, type Observer } from '../../../../src/core/observe/observer.ts';
import { createPollFeed } from '../../../../src/core/observe/poll-feed.ts';
import type { FeedChoice } from '../../../../src/core/observe/task-feed.ts';
import { createWatchFeed } from '../../../../src/core/observe/watch-feed.ts';
import type { Snapshot } from '../../../../src/model/snapshot.ts';
import { createLogger } from '../../../../src/runtime/logging.ts';
import { runComponents } from '../../../../src/runtime/supervisor.ts';
import { createManualClock, type ManualClock, settle } from '../../../fakes/manual-clock.ts';
import { createWatchedSwarm, type WatchedSwarm } from '../../../fakes/watched-swarm.ts';

let clock: ManualClock;
let swarm: WatchedSwarm;
let feed: FeedChoice;
let observer: Observer;
let stop: AbortController;
let running: Promise<void>;

beforeEach(() => {
  clock = createManualClock(Date.parse('2026-06-01T00:00:00Z'));
  swarm = createWatchedSwarm();
  stop = new AbortController();
});

afterEach(async () => {
  stop.abort();
  await running;
});

async function start(wanted: 'auto' | 'watch' | 'poll' = 'auto'): Promise<void> {
  const tools = { clock, logger: createLogger({ level: 'silent', component: 'test' }) };
  const poll = createPollFeed(swarm.engine, clock, { pollMs: 3_000, convergingMs: 250 });
  const watch = createWatchFeed(swarm.engine, swarm.watch, tools, { socketPath: '/none', driftMs: 60_000 });
  feed = createFeedChoice(wanted, { poll, watch }, tools);
  observer = createObserver(swarm.engine, feed, tools, { resyncMs: 60_000 });
  running = runComponents(observer.components, stop.signal, tools.logger);
  await settled();
}

async function settled(): Promise<void> {
  await settle();
  await settle();
}

function seen(): Snapshot {
  const snapshot = observer.snapshots.get();
  if (snapshot === undefined) {
    throw new Error('nothing published');
  }
  return snapshot;
}

function byId<Part extends { readonly id: string }>(parts: Iterable<Part>): readonly Part[] {
  return [...parts].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function expectEqualToSwarm(): void {
  const { services, tasks, nodes, networks, tasksByService } = seen();
  expect(byId(services)).toEqual(byId(swarm.parts.service.values()));
  expect(byId(tasks)).toEqual(byId(swarm.parts.task.values()));
  expect(byId(nodes)).toEqual(byId(swarm.parts.node.values()));
  expect(byId(networks)).toEqual(byId(swarm.parts.network.values()));
  expect(byId([...(tasksByService?.values() ?? [])].flat())).toEqual(byId(swarm.parts.task.values()));
}

describe('the watch', () => {
  it('tells of every change without a list call', async () => {
    await start();
    expect(feed.status.get()).toMatchObject({ kind: 'watch' });
    swarm.calls.length = 0;
    swarm.putTask({ desiredState: 'shutdown' });
    swarm.putService({ labels: { a: 'b' } });
    swarm.putTask({ id: 'task2' });
    swarm.putNode({ id: 'node2', state: 'down' });
    swarm.remove('task', 'task1');
    await settled();
    expectEqualToSwarm();
    expect(swarm.calls).toEqual([]);
  });

  it('keeps what did not change: the same services, nodes and tasks of other services', async () => {
    swarm.putService({ id: 'svc2', name: 'two' });
    swarm.putTask({ id: 'task2', serviceId: 'svc2' });
    await start();
    const before = seen();
    swarm.putTask({ desiredState: 'shutdown' });
    await settled();
    const after = seen();
    expect(after).not.toBe(before);
    expect(after.services).toBe(before.services);
    expect(after.nodes).toBe(before.nodes);
    expect(after.tasksByService?.get('svc2')).toBe(before.tasksByService?.get('svc2'));
    expect(after.tasksByService?.get('svc1')).not.toBe(before.tasksByService?.get('svc1'));
    expect(before.tasks.find(({ id }) => id === 'task1')?.desiredState).toBe('running');
  });

  it('keeps objects over a drift check that finds nothing, and publishes nothing', async () => {
    await start();
    const before = seen();
    await clock.advance(180_000);
    expect(seen()).toBe(before);
    expect(feed.status.get()?.reason).not.toContain('drift');
  });

  it('takes 50,000 changes as few Snapshots, and ends with the last', async () => {
    await start();
    const published = { count: 0 };
    const counting = (async () => {
      for await (const { versionIndex } of observer.snapshots.watch(stop.signal)) {
        published.count += Math.sign(versionIndex);
      }
    })().catch(() => undefined);
    for (let round = 0; round < 50_000; round += 1) {
      swarm.putTask({ id: `task${round % 10}`, state: round % 3 === 0 ? 'running' : 'failed' });
    }
    await settled();
    expectEqualToSwarm();
    expect(published.count).toBeLessThan(10);
    stop.abort();
    await counting;
  });

  it.each(['ended', 'broken', 'refused'] as const)('comes back after a stream that is cut: %s', async (why) => {
    await start();
    swarm.putTask({ desiredState: 'ready' });
    await settled();
    swarm.cut(why);
    swarm.putTask({ desiredState: 'shutdown' });
    swarm.remove('service', 'svc1');
    await clock.advance(1_000);
    expect(feed.status.get()).toMatchObject({ kind: 'watch' });
    expectEqualToSwarm();
    expect(swarm.opened.at(-1) === undefined).toBe(why === 'broken');
  });

  it('lists everything when the log was compacted', async () => {
    await start();
    swarm.putTask({ desiredState: 'ready' });
    await settled();
    swarm.cut('ended');
    swarm.remove('task', 'task1');
    swarm.compact();
    await clock.advance(5_000);
    expect(swarm.opened.slice(1)).toEqual([expect.any(Number), undefined]);
    expect(feed.status.get()).toMatchObject({ kind: 'watch' });
    expectEqualToSwarm();
  });

  it.each(['root 1', 'root 2'])(
    'believes another history at once, though its versions are lower (%s)',
    async (root) => {
      await start();
      swarm.putTask({ desiredState: 'ready' });
      await settled();
      swarm.cut('ended');
      swarm.replace(root);
      swarm.parts.service.set('svc1', { ...seen().services[0], version: 1, name: 'restored' } as never);
      await clock.advance(5_000);
      expectEqualToSwarm();
      expect(feed.status.get()).toMatchObject({ kind: 'watch' });
    },
  );

  it('finds what the stream left out, counts it, and starts a new stream', async () => {
    await start();
    swarm.lose(1);
    swarm.putTask({ desiredState: 'shutdown' });
    swarm.putTask({ id: 'task2' });
    await settled();
    expect(seen().tasks.find(({ id }) => id === 'task1')?.desiredState).toBe('running');
    await clock.advance(61_000);
    expectEqualToSwarm();
    expect(feed.status.get()).toMatchObject({ kind: 'watch', reason: expect.stringContaining('1 changes') as unknown });
    expect(swarm.opened).toHaveLength(2);
  });

  it('takes a stream that stands still for broken, and not one that is only late', async () => {
    await start();
    swarm.hold();
    swarm.putTask({ desiredState: 'shutdown' });
    await clock.advance(60_000);
    expectEqualToSwarm();
    expect(swarm.opened).toHaveLength(1);
    swarm.release();
    swarm.hold();
    swarm.putTask({ id: 'task2' });
    swarm.remove('task', 'task1');
    await clock.advance(60_000);
    expect(swarm.opened).toHaveLength(1);
    await clock.advance(61_000);
    expect(swarm.opened).toHaveLength(2);
    expectEqualToSwarm();
  });

  it('does not keep what a look finds from the picture, and takes a stream that does not tell it within 10 s for broken', async () => {
    await start();
    swarm.hold();
    swarm.putTask({ state: 'failed' });
    swarm.calls.length = 0;
    observer.lookAt(['demo']);
    await settled();
    expect(swarm.calls).toEqual(['tasks of svc1']);
    expect(seen().tasks).toMatchObject([{ state: 'failed' }]);
    await clock.advance(9_000);
    expect(swarm.opened).toHaveLength(1);
    await clock.advance(2_000);
    expect(swarm.opened).toHaveLength(2);
    expect(feed.status.get()?.reason).toContain('1 changes were found by the drift check only');
  });

  it('keeps a stream that tells a moment later what a look found, and one that a look finds nothing beside', async () => {
    await start();
    swarm.hold();
    swarm.putTask({ state: 'failed' });
    observer.lookAt(['demo']);
    await settled();
    swarm.remove('task', 'task1');
    await clock.advance(2_000);
    observer.lookAt(['demo']);
    await settled();
    swarm.release();
    await clock.advance(55_000);
    observer.lookAt(['demo']);
    await clock.advance(60_000);
    expect(swarm.opened).toHaveLength(1);
    expect(feed.status.get()?.reason).not.toContain('drift');
    expectEqualToSwarm();
  });

  it('stays while lists fail, as managers without a leader do', async () => {
    await start();
    swarm.setBroken(true);
    await clock.advance(130_000);
    expect(feed.status.get()).toMatchObject({ kind: 'watch' });
    swarm.putTask({ desiredState: 'shutdown' });
    await settled();
    expectEqualToSwarm();
  });
});

describe('the choice of a feed', () => {
  it.each(['not-mounted', 'no-socket', 'refused', 'untrusted'] as const)(
    'polls at once while the socket is %s, says why, and comes back by itself',
    async (why) => {
      swarm.setFailure(why);
      await start();
      expect(feed.status.get()).toEqual({ kind: 'poll', reason: `fails: ${why}` });
      expectEqualToSwarm();
      swarm.putTask({ desiredState: 'shutdown' });
      await clock.advance(3_000);
      expectEqualToSwarm();
      swarm.setFailure(undefined);
      await clock.advance(3_000);
      expect(feed.status.get()).toMatchObject({ kind: 'watch' });
      swarm.calls.length = 0;
      await clock.advance(30_000);
      expect(swarm.calls.filter((call) => call.startsWith('tasks'))).toEqual([]);
    },
  );

  it('polls from the moment a broken stream does not come back, and lists what events did not tell', async () => {
    await start();
    swarm.setFailure('no-socket');
    swarm.putService({ labels: { gone: 'unheard' } });
    swarm.cut('ended');
    swarm.putService({ labels: { now: 'this' } });
    await clock.advance(500);
    expect(feed.status.get()).toEqual({ kind: 'poll', reason: 'fails: no-socket' });
    expectEqualToSwarm();
  });

  it('never opens the socket when told to poll', async () => {
    await start('poll');
    await clock.advance(10_000);
    expect(swarm.opened).toEqual([]);
    expect(feed.status.get()).toEqual({ kind: 'poll', reason: 'TaskFeed = "poll" in config.toml' });
  });

  it('leaves nobody waiting when it stops', async () => {
    await start();
    swarm.cut('ended');
    await settle();
    stop.abort();
    await running;
    expect(clock.sleepers()).toBe(0);
    expect(swarm.open()).toBe(0);
  });
});
