/**
 * Whether all workers are lost, as far as placement goes: proxies that may only run on workers would wait for them while managers idle.
 * Slow on purpose, because each change of its mind rolls both services: lost after a minute in which no worker was there, back after
 * five minutes in which one was. What operators do (join, leave, promote, drain) counts at once, and is none of this file's business.
 */
import type { Node } from '../../model/snapshot.ts';
import type { Clock } from '../../runtime/clock.ts';

export const LOST_AFTER_MS = 60_000;
export const BACK_AFTER_MS = 5 * 60_000;

export interface WorkerWatch {
  /**
   * `standIn`: what would be on workers is placed as if there were none. A core that restarts goes on from there: it cannot tell a worker
   * that came back from one that was added meanwhile, and takes either for one that is to stay for five minutes first.
   * Returns when to look again, in ms; `undefined`: when a node changes.
   */
  look(nodes: readonly Node[], standIn: boolean): { readonly areLost: boolean; readonly dueInMs: number | undefined };
}

export function createWorkerWatch(clock: Clock): WorkerWatch {
  let areLost: boolean | undefined;
  /** Since when the nodes say otherwise. */
  let since: number | undefined;

  return {
    look(nodes, standIn) {
      const workers = workersIn(nodes);
      const isOneThere = isAWorkerThere(nodes);
      areLost = workers.length > 0 && (areLost ?? standIn);
      since = workers.length > 0 && areLost === isOneThere ? (since ?? clock.monotonic()) : undefined;
      const leftMs =
        since === undefined ? undefined : since + (areLost ? BACK_AFTER_MS : LOST_AFTER_MS) - clock.monotonic();
      if (leftMs === undefined || leftMs > 0) {
        return { areLost, dueInMs: leftMs };
      }
      areLost = !areLost;
      since = undefined;
      return { areLost, dueInMs: undefined };
    },
  };
}

/** Drained ones are no workers. */
export function isAWorkerThere(nodes: readonly Node[]): boolean {
  return workersIn(nodes).some(({ state }) => state !== 'down');
}

function workersIn(nodes: readonly Node[]): readonly Node[] {
  return nodes.filter(({ role, availability }) => role === 'worker' && availability !== 'drain');
}
