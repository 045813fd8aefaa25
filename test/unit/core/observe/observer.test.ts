import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EngineApi, EngineEvent, ListTasksOptions } from '../../../../src/core/engine/engine-api.ts';
import { createFeedChoice } from '../../../../src/core/observe/feed-choice.ts';
import { createObserver, type Observer } from '../../../../src/core/observe/observer.ts';
import { createPollFeed } from '../../../../src/core/observe/poll-feed.ts';
import type { Service, Snapshot, Task } from '../../../../src/model/snapshot.ts';
import { createTrigger, type Trigger } from '../../../../src/runtime/cell.ts';
import { OperationalError } from '../../../../src/runtime/errors.ts';
import { createLogger } from '../../../../src/runtime/logging.ts';
import { runComponents } from '../../../../src/runtime/supervisor.ts';
import { createManualClock, type ManualClock, settle } from '../../../fakes/manual-clock.ts';
import { network, node, service, task } from '../../../support/snapshots.ts';

/** A Swarm that a test edits by hand; calls can be made to fail. */
interface Stub {
  services: readonly Service[];
  tasks: readonly Task[];
  readonly calls: string[];
  readonly broken: Set<string>;
  emit(event: EngineEvent): void;
  breakEvents(): void;
}

function createStub(): Stub &
  Pick<EngineApi, 'listServices' | 'listTasks' | 'listNodes' | 'listNetworks' | 'listSecrets' | 'events'> {
  const calls: string[] = [];
  const broken = new Set<string>();
  const queue: EngineEvent[] = [];
  const news = createTrigger();
  const connection = { cut: false };
  const isCut = (): boolean => connection.cut;
  const answer = async <Value>(name: string, value: () => Value): Promise<Value> => {
    calls.push(name);
    if (broken.has(name)) {
      throw new OperationalError('ENGINE.UNREACHABLE', `${name} fails`);
    }
    return value();
  };
  const stub = {
    services: [service()] as readonly Service[],
    tasks: [task()] as readonly Task[],
    calls,
    broken,
    emit(event: EngineEvent) {
      queue.push(event);
      news.fire();
    },
    breakEvents() {
      connection.cut = true;
      news.fire();
    },
    listServices: () => answer('services', () => stub.services),
    listTasks: (_signal: AbortSignal, { serviceIds }: ListTasksOptions = {}) =>
      answer(serviceIds === undefined ? 'tasks' : `tasks of ${serviceIds.join()}`, () =>
        stub.tasks.filter(({ serviceId }) => serviceIds?.includes(serviceId) ?? true),
      ),
    listNodes: () => answer('nodes', () => [node()]),
    listNetworks: () => answer('networks', () => [network()]),
    listSecrets: () => answer('secrets', () => []),
    async *events(signal: AbortSignal): AsyncIterable<EngineEvent> {
      connection.cut = false;
      yield { kind: 'connected' };
      for (;;) {
        const next = queue.shift();
        if (next !== undefined) {
          yield next;
        } else if (isCut()) {
          throw new OperationalError('ENGINE.UNREACHABLE', 'events end');
        } else {
          await news.wait(signal);
        }
      }
    },
  };
  return stub;
}

const POLL_MS = 3_000;
let clock: ManualClock;
let stub: ReturnType<typeof createStub>;
let observer: Observer;
let stop: AbortController;
let running: Promise<void>;

beforeEach(() => {
  clock = createManualClock(Date.parse('2026-06-01T00:00:00Z'));
  stub = createStub();
  stop = new AbortController();
});

afterEach(async () => {
  stop.abort();
  await running;
});

function start(pollMs = POLL_MS): void {
  // Only these methods are called by the observer; a missing one would throw loudly.
  const engine = stub as unknown as EngineApi;
  const logger = createLogger({ level: 'silent', component: 'test' });
  const poll = createPollFeed(engine, clock, { pollMs, convergingMs: 250 });
  const watch = { run: () => Promise.reject(new Error('nobody asked for it')) };
  const feed = createFeedChoice('poll', { poll, watch }, { clock, logger });
  observer = createObserver(engine, feed, { clock, logger }, { resyncMs: 60_000 });
  running = runComponents(observer.components, stop.signal, logger);
}

/** From now on a list of services is answered when the trigger fires, with what there is then. */
function holdServices(): Trigger {
  const late = createTrigger();
  stub.listServices = async () => {
    await late.wait(stop.signal);
    return stub.services;
  };
  return late;
}

function seen(): Snapshot {
  const snapshot = observer.snapshots.get();
  if (snapshot === undefined) {
    throw new Error('nothing published');
  }
  return snapshot;
}

describe('the observer', () => {
  it('publishes a complete Snapshot', async () => {
    start();
    await settle();
    expect(seen()).toMatchObject({ services: [{ id: 'svc1' }], tasks: [{ id: 'task1' }], nodes: [{}], networks: [{}] });
  });

  it.each(['services', 'tasks', 'nodes', 'networks', 'secrets'])(
    'publishes nothing while %s cannot be listed, and catches up by itself',
    async (part) => {
      stub.broken.add(part);
      start();
      await clock.advance(5_000);
      expect(observer.snapshots.get()).toBeUndefined();
      stub.broken.clear();
      await clock.advance(15_000);
      expect(seen().services).toHaveLength(1);
    },
  );

  it('goes on with the parts that can be listed while another one fails for long', async () => {
    start();
    await settle();
    stub.broken.add('networks');
    stub.services = [service(), service({ id: 'svc2', name: 'second' })];
    stub.emit({ kind: 'network', action: 'create', id: 'n', attributes: {} });
    await settle();
    expect(seen().services).toHaveLength(2);
    expect(seen().networks).toHaveLength(1);
  });

  it.each(['config', 'secret'] as const)('does not list tasks for a %s event', async (kind) => {
    start();
    await settle();
    stub.calls.length = 0;
    stub.emit({ kind, action: 'create', id: 'x', attributes: {} });
    await settle();
    expect(stub.calls.filter((call) => call.startsWith('tasks'))).toEqual([]);
  });

  it('keeps the last picture when a list fails', async () => {
    start();
    await settle();
    stub.broken.add('tasks');
    await clock.advance(30_000);
    expect(seen().tasks).toHaveLength(1);
  });

  it('lists services and tasks again on a service event, without waiting for the poll', async () => {
    start();
    await settle();
    stub.services = [service({ version: 2 }), service({ id: 'svc2', name: 'two' })];
    stub.tasks = [task(), task({ id: 'task2', serviceId: 'svc2' })];
    stub.emit({ kind: 'service', action: 'create', id: 'svc2', attributes: {} });
    await settle();
    expect(seen().services).toHaveLength(2);
    expect(seen().tasks).toHaveLength(2);
  });

  it('finds a task change within one poll, though no event tells of it', async () => {
    start();
    await settle();
    stub.tasks = [task({ version: 2, desiredState: 'shutdown' })];
    await clock.advance(POLL_MS);
    expect(seen().tasks).toMatchObject([{ desiredState: 'shutdown' }]);
  });

  it('lists all tasks in time when the time of day is set back, while a service is on the move', async () => {
    stub.services = [service({ mode: { kind: 'replicated', replicas: 2 } }), service({ id: 'svc2', name: 'two' })];
    stub.tasks = [task(), task({ id: 'task2', serviceId: 'svc2' })];
    start();
    await clock.advance(1_000);
    clock.set(-3_600_000);
    stub.tasks = [task(), task({ id: 'task2', serviceId: 'svc2', version: 2, desiredState: 'shutdown' })];
    await clock.advance(POLL_MS);
    expect(seen().tasks).toMatchObject([{}, { desiredState: 'shutdown' }]);
  });

  it('looks every 250 ms at a service whose replicas are unmet, and only at that one', async () => {
    stub.services = [service({ mode: { kind: 'replicated', replicas: 2 } }), service({ id: 'svc2', name: 'calm' })];
    stub.tasks = [task(), task({ id: 'task2', serviceId: 'svc2' })];
    start();
    await settle();
    stub.calls.length = 0;
    await clock.advance(1_000);
    expect(stub.calls.filter((call) => call === 'tasks of svc1').length).toBeGreaterThanOrEqual(3);
    expect(stub.calls).not.toContain('tasks');
    expect(seen().tasks).toHaveLength(2);
  });

  it('looks every 250 ms at a service that was listed after its tasks: the event wakes both, and either may be first', async () => {
    stub.services = [service(), service({ id: 'svc2', name: 'calm' })];
    stub.tasks = [task(), task({ id: 'task2', serviceId: 'svc2' })];
    start();
    await settle();
    const late = holdServices();
    // Scaled up; its second task is not made yet when the tasks are listed.
    stub.services = [
      service({ version: 2, mode: { kind: 'replicated', replicas: 2 } }),
      service({ id: 'svc2', name: 'calm' }),
    ];
    stub.emit({ kind: 'service', action: 'update', id: 'svc1', attributes: {} });
    await settle();
    stub.calls.length = 0;
    late.fire();
    await settle();
    expect(stub.calls).toEqual(['tasks of svc1']);
    stub.tasks = [...stub.tasks, task({ id: 'task3' })];
    await clock.advance(250);
    expect(seen().tasks).toHaveLength(3);
    expect(stub.calls).not.toContain('tasks');
  });

  it('lists no tasks for a list of services that brought nothing on the move', async () => {
    start();
    await settle();
    const late = holdServices();
    stub.services = [service({ version: 2 })];
    stub.emit({ kind: 'service', action: 'update', id: 'svc1', attributes: {} });
    await settle();
    stub.calls.length = 0;
    late.fire();
    await settle();
    expect(seen().services).toMatchObject([{ version: 2 }]);
    expect(stub.calls).toEqual([]);
  });

  it('looks at once at a service that proxies cannot reach, and only at that one, however long the poll takes', async () => {
    stub.services = [service(), service({ id: 'svc2', name: 'calm' })];
    stub.tasks = [task(), task({ id: 'task2', serviceId: 'svc2' })];
    start(60_000);
    await settle();
    stub.calls.length = 0;
    stub.tasks = [task({ version: 2, state: 'failed' }), task({ id: 'task2', serviceId: 'svc2', version: 2 })];
    observer.lookAt([service().name]);
    await settle();
    expect(seen().tasks.find(({ id }) => id === 'task1')).toMatchObject({ state: 'failed' });
    expect(stub.calls).toEqual(['tasks of svc1']);
  });

  it('looks a few times more, because a proxy knows sooner than Swarm', async () => {
    start(60_000);
    await settle();
    observer.lookAt([service().name]);
    await clock.advance(400);
    stub.tasks = [task({ version: 2, state: 'failed' })];
    await clock.advance(400);
    expect(seen().tasks).toMatchObject([{ state: 'failed' }]);
  });

  it('looks at nothing for a name that no service has', async () => {
    start(60_000);
    await settle();
    stub.calls.length = 0;
    observer.lookAt(['nobody', '']);
    await clock.advance(5_000);
    expect(stub.calls).toEqual([]);
  });

  it('does not look more than now and then at an application that is down for hours', async () => {
    start(60_000);
    await settle();
    stub.calls.length = 0;
    for (let second = 0; second < 3_600; second += 1) {
      observer.lookAt([service().name]);
      await clock.advance(1_000);
    }
    const looks = stub.calls.filter((call) => call === 'tasks of svc1').length;
    expect(looks).toBeGreaterThan(200);
    expect(looks).toBeLessThan(300);
  });

  it('never lists all tasks for what proxies say, and lists once a second at most when they complain of ever others', async () => {
    stub.services = Array.from({ length: 300 }, (_, at) => service({ id: `svc${at}`, name: `name${at}` }));
    stub.tasks = stub.services.map(({ id }, at) => task({ id: `task${at}`, serviceId: id }));
    start(60_000);
    await settle();
    stub.calls.length = 0;
    for (let round = 0; round < 300; round += 1) {
      observer.lookAt([`name${round}`]);
      await clock.advance(100);
    }
    expect(stub.calls).not.toContain('tasks');
    expect(stub.calls.length).toBeGreaterThan(20);
    expect(stub.calls.length).toBeLessThanOrEqual(20 + 31);
  });

  it('publishes nothing new when nothing changed', async () => {
    start();
    await settle();
    const first = seen();
    await clock.advance(200_000);
    expect(seen()).toBe(first);
  });

  it('reconnects to the events and lists everything then, because anything may have been missed', async () => {
    start();
    await settle();
    stub.services = [service({ version: 7 })];
    stub.calls.length = 0;
    stub.breakEvents();
    await clock.advance(2_000);
    expect(stub.calls).toEqual(expect.arrayContaining(['services', 'nodes', 'networks', 'secrets']));
    expect(seen().services).toMatchObject([{ version: 7 }]);
  });

  it('finds by the resync what no event told', async () => {
    start();
    await settle();
    stub.services = [service({ version: 9 })];
    await clock.advance(60_000);
    expect(seen().services).toMatchObject([{ version: 9 }]);
  });

  it('stops at once and leaves nobody waiting', async () => {
    start();
    await settle();
    stop.abort();
    await running;
    expect(clock.sleepers()).toBe(0);
  });
});
