/**
 * When to look closer at a service because proxies say that they cannot reach it. What they say is believed in nothing: a look lists the
 * service's tasks as any poll does, and the answer is Swarm's.
 *
 *   quiet --word--> looking: 4 looks in 1.75 s --nothing new--> resting: words are passed over --next word--> looking
 *                      \--its tasks changed--> resting for a moment
 *
 * The rest grows from 1 s to a minute while looks find nothing new. All services together get one list call a second, after the first 20.
 */
import type { Task } from '../../model/snapshot.ts';
import { createTrigger, type Trigger } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';

export interface Looks {
  /** Somebody could not reach these services. */
  note(serviceIds: Iterable<string>): void;
  /** Whose tasks are to be listed now; when there are any, this is the look, and `looked` has to follow once they were listed. */
  due(): readonly string[];
  looked(serviceIds: readonly string[]): void;
  /** Until `due` has something by itself, in ms; `Infinity`: not before the trigger fires. */
  nextInMs(): number;
  readonly trigger: Trigger;
}

export interface LooksParts {
  readonly clock: Pick<Clock, 'monotonic'>;
  /** A service whose tasks did not change has the same array. */
  readonly tasksOf: (serviceId: string) => readonly Task[];
  /** Hears how each series of looks at a service ended. */
  readonly onLooked?: ((outcome: 'changed' | 'unchanged') => void) | undefined;
}

/** Between the looks of one series: what a proxy sees at once, Swarm knows some hundred ms later. */
const GAPS_MS = [250, 500, 1_000] as const;
const FIRST_REST_MS = 1_000;
const LONGEST_REST_MS = 60_000;
/** Looked at in one series; a filter travels in the URL. */
const MAX_AT_A_TIME = 200;
/** List calls that may be made at once, and how long one more takes. */
const BURST = 20;
const REFILL_MS = 1_000;

interface Entry {
  /** What was known of its tasks when the series began. */
  readonly known: readonly Task[];
  /** How many looks of the series are done; `undefined`: it rests. */
  done: number | undefined;
  /** When it goes on, or when the rest is over. */
  atMs: number;
  /** The last rest. */
  restMs: number;
}

export function createLooks({ clock, tasksOf, onLooked }: LooksParts): Looks {
  const entries = new Map<string, Entry>();
  const trigger = createTrigger();
  const budget = createBudget(clock);

  const isLooking = (entry: Entry): boolean => entry.done !== undefined;

  const isOver = ({ atMs }: Entry): boolean => clock.monotonic() >= atMs;

  /** A service that nobody speaks of for as long again begins anew. */
  function forgetRested(): void {
    const now = clock.monotonic();
    for (const [id, entry] of entries) {
      if (!isLooking(entry) && now - entry.atMs > LONGEST_REST_MS) {
        entries.delete(id);
      }
    }
  }

  function rest(entry: Entry, restMs: number): void {
    entry.done = undefined;
    entry.restMs = restMs;
    entry.atMs = clock.monotonic() + restMs;
  }

  function onward(id: string, entry: Entry): void {
    if (tasksOf(id) !== entry.known) {
      onLooked?.('changed');
      rest(entry, FIRST_REST_MS);
      return;
    }
    const gapMs = GAPS_MS[entry.done ?? 0];
    if (gapMs === undefined) {
      onLooked?.('unchanged');
      rest(entry, Math.min(LONGEST_REST_MS, Math.max(FIRST_REST_MS, entry.restMs * 2)));
      return;
    }
    entry.done = (entry.done ?? 0) + 1;
    entry.atMs = clock.monotonic() + gapMs;
  }

  return {
    trigger,
    note(serviceIds) {
      forgetRested();
      let looking = [...entries.values()].filter(isLooking).length;
      for (const id of serviceIds) {
        const entry = entries.get(id);
        const mayBegin = entry === undefined || (!isLooking(entry) && isOver(entry));
        if (mayBegin && looking < MAX_AT_A_TIME) {
          looking += 1;
          entries.set(id, { known: tasksOf(id), done: 0, atMs: clock.monotonic(), restMs: entry?.restMs ?? 0 });
          trigger.fire();
        }
      }
    },
    due() {
      const ids = [...entries].flatMap(([id, entry]) => (isLooking(entry) && isOver(entry) ? [id] : []));
      return ids.length > 0 && budget.take() ? ids : [];
    },
    looked(serviceIds) {
      for (const id of serviceIds) {
        const entry = entries.get(id);
        if (entry !== undefined && isLooking(entry)) {
          onward(id, entry);
        }
      }
    },
    nextInMs() {
      const now = clock.monotonic();
      const waits = [...entries.values()].flatMap((entry) =>
        isLooking(entry) ? [isOver(entry) ? 0 : entry.atMs - now] : [],
      );
      return waits.length === 0 ? Number.POSITIVE_INFINITY : Math.max(Math.min(...waits), budget.waitMs());
    },
  };
}

interface Budget {
  /** False: there is none left. */
  take(): boolean;
  waitMs(): number;
}

function createBudget(clock: Pick<Clock, 'monotonic'>): Budget {
  let left = BURST;
  let countedAtMs = clock.monotonic();

  function refill(): void {
    const passedMs = clock.monotonic() - countedAtMs;
    if (left >= BURST) {
      countedAtMs = clock.monotonic();
      return;
    }
    const more = Math.floor(passedMs / REFILL_MS);
    left = Math.min(BURST, left + more);
    countedAtMs += more * REFILL_MS;
  }

  return {
    take() {
      refill();
      if (left === 0) {
        return false;
      }
      left -= 1;
      return true;
    },
    waitMs() {
      refill();
      return left > 0 ? 0 : Math.max(0, countedAtMs + REFILL_MS - clock.monotonic());
    },
  };
}
