/**
 * Where task changes come from. Docker's `/events` never tells of tasks (moby/moby#37403), so a feed either polls `/tasks` or
 * watches the manager's control socket. Both hand batches to the observer; the observer owns the picture.
 */
import type { Task } from '../../model/snapshot.ts';
import type { Trigger } from '../../runtime/cell.ts';

export interface TaskFeed {
  readonly kind: 'poll' | 'watch';
  /** Runs until the signal aborts; throws an OperationalError when the feed is lost. */
  run(context: TaskFeedContext, signal: AbortSignal): Promise<void>;
}

export interface TaskFeedContext {
  readonly accept: (batch: TaskBatch) => void;
  /** Fired when something says that tasks may have changed. */
  readonly lookNow: Trigger;
  /** Ids of the services whose tasks are on the move right now. */
  readonly converging: () => readonly string[];
}

export type TaskBatch =
  | { readonly kind: 'all'; readonly tasks: readonly Task[] }
  /** The complete task lists of some services. */
  | { readonly kind: 'services'; readonly serviceIds: readonly string[]; readonly tasks: readonly Task[] }
  | { readonly kind: 'changes'; readonly upserts: readonly Task[]; readonly removals: readonly string[] };

/** The task list after a batch. An upsert that is older than what is known (by version index) is ignored. */
export function applyBatch(tasks: ReadonlyMap<string, Task>, batch: TaskBatch): ReadonlyMap<string, Task> {
  switch (batch.kind) {
    case 'all':
      return new Map(batch.tasks.map((task) => [task.id, task]));
    case 'services': {
      const replaced = new Set(batch.serviceIds);
      const kept = [...tasks].filter(([, task]) => !replaced.has(task.serviceId));
      return new Map([...kept, ...batch.tasks.map((task) => [task.id, task] as const)]);
    }
    case 'changes': {
      const next = new Map(tasks);
      for (const task of batch.upserts) {
        const known = next.get(task.id);
        if (known === undefined || known.version <= task.version) {
          next.set(task.id, task);
        }
      }
      for (const id of batch.removals) {
        next.delete(id);
      }
      return next;
    }
  }
}
