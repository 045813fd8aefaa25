/**
 * Tasks by service, as values: a frozen view never changes, and making the next one costs the work of the services that changed.
 * Shared in shards, because copying a map of 10,000 services for each change would be the dearest step of a task event.
 */
import type { Task, TasksByService } from '../../model/snapshot.ts';

const SHARDS = 512;

type Shard = ReadonlyMap<string, readonly Task[]>;

export interface TaskGroups {
  get(serviceId: string): readonly Task[];
  /** Puts a task in its service's group, in place of an older one. */
  put(task: Task): void;
  remove(task: Task): void;
  /** What is there now; the service that did not change since the last view has the same array. */
  freeze(): TasksByService;
}

export function createTaskGroups(): TaskGroups {
  const shardsOf = new WeakMap<TasksByService, readonly Shard[]>();
  const shards: Shard[] = Array.from({ length: SHARDS }, () => new Map());
  /** Shards copied since the last view: ours to write. */
  const own = new Map<number, Map<string, readonly Task[]>>();

  const get = (serviceId: string): readonly Task[] => shards[shardOf(serviceId)]?.get(serviceId) ?? [];

  function set(serviceId: string, tasks: readonly Task[]): void {
    const at = shardOf(serviceId);
    const shard = own.get(at) ?? new Map(shards[at]);
    own.set(at, shard);
    shards[at] = shard;
    if (tasks.length === 0) {
      shard.delete(serviceId);
    } else {
      shard.set(serviceId, tasks);
    }
  }

  return {
    get,
    put(task) {
      const tasks = get(task.serviceId);
      const at = tasks.findIndex(({ id }) => id === task.id);
      set(task.serviceId, at === -1 ? [...tasks, task] : tasks.with(at, task));
    },
    remove({ id, serviceId }) {
      set(
        serviceId,
        get(serviceId).filter((task) => task.id !== id),
      );
    },
    freeze() {
      own.clear();
      return view([...shards], shardsOf);
    },
  };
}

/** `shardsOf`: those of all views, this one included. */
function view(shards: readonly Shard[], shardsOf: WeakMap<TasksByService, readonly Shard[]>): TasksByService {
  const frozen: TasksByService = {
    get: (serviceId) => shards[shardOf(serviceId)]?.get(serviceId),
    *values() {
      for (const shard of shards) {
        yield* shard.values();
      }
    },
    changedSince(earlier) {
      if (earlier === frozen) {
        return NONE;
      }
      const before = shardsOf.get(earlier);
      return before && changedServices(before, shards);
    },
  };
  shardsOf.set(frozen, shards);
  return frozen;
}

const NONE: ReadonlySet<string> = new Set();

function changedServices(before: readonly Shard[], after: readonly Shard[]): ReadonlySet<string> {
  const changed = new Set<string>();
  // By number: an iterator would make an object for each of the shards, of which one or two are others.
  for (let at = 0; at < after.length; at += 1) {
    const then = before[at];
    const now = after[at];
    if (now === then || then === undefined || now === undefined) {
      continue;
    }
    for (const serviceId of [...now.keys(), ...then.keys()]) {
      if (now.get(serviceId) !== then.get(serviceId)) {
        changed.add(serviceId);
      }
    }
  }
  return changed;
}

/** Ids are random; a cheap hash spreads them well enough. */
function shardOf(id: string): number {
  let hash = 0;
  for (let at = 0; at < id.length; at += 1) {
    hash = (hash * 31 + id.charCodeAt(at)) | 0;
  }
  return (hash >>> 0) % SHARDS;
}
