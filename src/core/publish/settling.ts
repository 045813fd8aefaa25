/** Waiting for quiet, but not for ever: when something that keeps changing is acted upon. */
import type { Clock } from '../../runtime/clock.ts';

export interface Pace {
  /** Acted upon when it has not changed for this long … */
  readonly quietMs: number;
  /** … or when it has waited this long. */
  readonly atMostMs: number;
  /** Never sooner than this after the last time. */
  readonly apartMs: number;
}

/**
 * When a configuration that the agents have already is also stored as a Docker Config. Each object stays in the managers' raft log and
 * memory, so a busy Swarm must not make one per change; what is stored is what a task starts from while core is away.
 */
export const STORE_PACE: Pace = { quietMs: 5_000, atMostMs: 30_000, apartMs: 30_000 };

/** Networks and secrets that come one after another (a stack is being deployed) are joined in one roll. */
export const GATHER_PACE: Pace = { quietMs: 500, atMostMs: 2_000, apartMs: 0 };

export interface Settling {
  /** What waits, by its content; `undefined`: nothing does. */
  note(key: string | undefined): void;
  /** It was acted upon. */
  done(): void;
  /** In ms; 0: due, or nothing waits. */
  dueInMs(): number;
}

interface Waiting {
  readonly key: string;
  readonly sinceMs: number;
  readonly changedAtMs: number;
}

export function createSettling(clock: Clock, { quietMs, atMostMs, apartMs }: Pace): Settling {
  let waiting: Waiting | undefined;
  let doneAtMs = Number.NEGATIVE_INFINITY;
  return {
    note(key) {
      if (key === undefined) {
        waiting = undefined;
      } else if (waiting?.key !== key) {
        waiting = { key, changedAtMs: clock.monotonic(), sinceMs: waiting?.sinceMs ?? clock.monotonic() };
      }
    },
    done() {
      doneAtMs = clock.monotonic();
      waiting = undefined;
    },
    dueInMs() {
      if (waiting === undefined) {
        return 0;
      }
      const settled = Math.min(waiting.changedAtMs + quietMs, waiting.sinceMs + atMostMs);
      return Math.max(0, Math.max(settled, doneAtMs + apartMs) - clock.monotonic());
    },
  };
}
