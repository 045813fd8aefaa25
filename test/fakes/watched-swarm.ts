/**
 * A Swarm with a log, seen from both sides: lists as the Docker API gives them, and the manager's watch. A test writes to it, and breaks
 * streams, holds events back, repeats them or changes their order.
 */
import type { EngineApi, Known, ListTasksOptions } from '../../src/core/engine/engine-api.ts';
import type { Network, Node, Service, Task } from '../../src/model/snapshot.ts';
import { abortReason } from '../../src/runtime/clock.ts';
import { OperationalError } from '../../src/runtime/errors.ts';
import type { Change } from '../../src/swarmkit/changes.ts';
import {
  type WatchFailure,
  type WatchListener,
  type WatchSwarm,
  watchFailure,
} from '../../src/swarmkit/watch-client.ts';
import { network, node, service, task } from '../support/snapshots.ts';

type Kind = Change['kind'];
interface Parts {
  readonly service: Map<string, Service>;
  readonly task: Map<string, Task>;
  readonly node: Map<string, Node>;
  readonly network: Map<string, Network>;
}

interface Entry {
  readonly index: number;
  readonly change: Change;
}

export interface WatchedSwarm {
  readonly engine: EngineApi;
  readonly watch: WatchSwarm;
  readonly parts: Parts;
  /** Names of list calls so far. */
  readonly calls: string[];
  /** `resumeFrom` of each stream that was opened. */
  readonly opened: (number | undefined)[];
  /** How many streams are open. */
  open(): number;
  putTask(parts: Partial<Task>): void;
  putService(parts: Partial<Service>): void;
  putNode(parts: Partial<Node>): void;
  remove(kind: Kind, id: string): void;
  /** Events that are held back are delivered by `release`, in the order that it is given. */
  hold(): void;
  release(order?: (entries: readonly Entry[]) => readonly Entry[]): void;
  /** Events that happen from now on never reach the open streams. */
  lose(count: number): void;
  /** Every open stream ends so. */
  cut(why: WatchFailure): void;
  /** New streams fail so, before they are ready; `undefined`: they open. */
  setFailure(why: WatchFailure | undefined): void;
  /** The log is compacted: nothing can be replayed. */
  compact(): void;
  /** List calls fail while true. */
  setBroken(broken: boolean): void;
  /** Another Swarm: other objects, versions from the start. */
  replace(trustRoot: string): void;
}

/** As the adapter does while the answer arrives. */
function unlessKnown<Part extends { readonly id: string; readonly version: number }>(
  parts: readonly Part[],
  known: Known<Part> = () => undefined,
): readonly Part[] {
  return parts.map((part) => known(part.id, part.version) ?? part);
}

export function createWatchedSwarm(): WatchedSwarm {
  const parts: Parts = { service: new Map(), task: new Map(), node: new Map(), network: new Map() };
  const streams = new Set<{ listener: WatchListener; fail: (error: Error) => void }>();
  const calls: string[] = [];
  const opened: (number | undefined)[] = [];
  const state = {
    index: 10,
    log: [] as Entry[],
    compactedTo: 0,
    held: undefined as Entry[] | undefined,
    losing: 0,
    failure: undefined as WatchFailure | undefined,
    broken: false,
    trustRoot: 'root 1',
  };

  function deliver(entries: readonly Entry[]): void {
    for (const { listener } of streams) {
      for (const { change } of entries) {
        listener.onChanges([change]);
      }
    }
  }

  function write(change: Change): void {
    state.index += 1;
    const entry = { index: state.index, change };
    state.log.push(entry);
    if (state.losing > 0) {
      state.losing -= 1;
    } else if (state.held === undefined) {
      deliver([entry]);
    } else {
      state.held.push(entry);
    }
  }

  function put<Part extends { readonly id: string }>(kind: Kind, table: Map<string, Part>, part: Part): void {
    table.set(part.id, part);
    write({ kind, action: 'upsert', id: part.id, version: state.index, part } as unknown as Change);
  }

  async function list<Part>(name: string, table: ReadonlyMap<string, Part>): Promise<readonly Part[]> {
    calls.push(name);
    if (state.broken) {
      throw new OperationalError('ENGINE.FAILED', `${name} cannot be listed`);
    }
    // As over a socket: the answer is of a moment ago, and every time another object.
    const answer = structuredClone([...table.values()]);
    await new Promise((resolve) => setImmediate(resolve));
    return answer;
  }

  const watch: WatchSwarm = async ({ trustRoot, resumeFrom }, listener, signal) => {
    const from = resumeFrom(await trustRoot(signal));
    signal.throwIfAborted();
    opened.push(from);
    if (state.failure !== undefined) {
      throw watchFailure(state.failure, `fails: ${state.failure}`);
    }
    if (from !== undefined && from > state.index) {
      throw watchFailure('other-history', 'versions are out of order');
    }
    if (from !== undefined && from < state.compactedTo) {
      throw watchFailure('cannot-resume', 'requested index is unavailable due to compaction');
    }
    return new Promise((_, reject) => {
      const stream = {
        listener,
        fail(error: Error) {
          streams.delete(stream);
          reject(error);
        },
      };
      signal.addEventListener('abort', () => stream.fail(abortReason(signal)), { once: true });
      listener.onReady();
      if (from !== undefined) {
        for (const { change } of state.log.filter(({ index }) => index > from)) {
          listener.onChanges([change]);
        }
      }
      streams.add(stream);
    });
  };

  const engine = {
    info: async () => ({ trustRoot: state.trustRoot, isManager: true }),
    listServices: async (_: AbortSignal, options?: { readonly known?: Known<Service> }) =>
      unlessKnown(await list('services', parts.service), options?.known),
    listTasks: async (_: AbortSignal, { serviceIds, known }: ListTasksOptions = {}) =>
      unlessKnown(
        await list(
          serviceIds === undefined ? 'tasks' : `tasks of ${serviceIds.join()}`,
          new Map([...parts.task].filter(([, { serviceId }]) => serviceIds?.includes(serviceId) ?? true)),
        ),
        known,
      ),
    listNodes: () => list('nodes', parts.node),
    listNetworks: () => list('networks', parts.network),
    listSecrets: () => list('secrets', new Map<string, never>()),
    async *events(signal: AbortSignal) {
      yield { kind: 'connected' };
      await new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(abortReason(signal)), { once: true }),
      );
    },
  };

  const swarm: WatchedSwarm = {
    engine: engine as unknown as EngineApi, // these methods are all that the observer calls; a missing one would throw loudly
    watch,
    parts,
    calls,
    opened,
    open: () => streams.size,
    putTask: (more) => put('task', parts.task, task({ ...more, version: state.index })),
    putService: (more) => put('service', parts.service, service({ ...more, version: state.index })),
    putNode: (more) => put('node', parts.node, node({ ...more, version: state.index })),
    remove(kind, id) {
      const known = parts[kind].get(id);
      if (known !== undefined) {
        parts[kind].delete(id);
        write({ kind, action: 'remove', id, version: 'version' in known ? known.version : 1 });
      }
    },
    hold() {
      state.held ??= [];
    },
    release(order = (entries) => entries) {
      const held = state.held ?? [];
      state.held = undefined;
      deliver(order(held));
    },
    lose(count) {
      state.losing += count;
    },
    cut(why) {
      state.held = undefined;
      for (const stream of [...streams]) {
        stream.fail(watchFailure(why, `cut: ${why}`));
      }
    },
    setFailure(why) {
      state.failure = why;
    },
    compact() {
      state.compactedTo = state.index + 1;
    },
    setBroken(broken) {
      state.broken = broken;
    },
    replace(trustRoot) {
      parts.service.clear();
      parts.task.clear();
      parts.node.clear();
      parts.network.clear();
      Object.assign(state, { index: 3, log: [], compactedTo: 0, trustRoot });
      parts.node.set('node9', node({ id: 'node9', version: 1 }));
    },
  };
  parts.network.set('net1', network());
  swarm.putNode({});
  swarm.putService({});
  swarm.putTask({});
  return swarm;
}
