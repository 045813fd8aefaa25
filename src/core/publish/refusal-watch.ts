/**
 * When a service that the Engine refused for good is tried again although nothing of its own has changed: another service may have held
 * the port that it wants. Slower the longer the Engine says no.
 */
import type { Clock } from '../../runtime/clock.ts';

/** Before the first try. */
export const RETRY_FIRST_MS = 2_000;
export const RETRY_AT_MOST_MS = 60_000;

export interface RefusalWatch {
  /** The services that the Engine refused in a reconciliation, by step. Returns when to try again, in ms; `undefined`: none was. */
  note(steps: readonly string[]): number | undefined;
  /** Whether the last reconciliation had one. */
  readonly isRefused: boolean;
}

/** Doubles by the time that has passed, not by tries: what makes core look again meanwhile does not slow it down. */
export function createRefusalWatch(clock: Clock): RefusalWatch {
  let refused: { readonly steps: string; readonly sinceMs: number } | undefined;
  return {
    note(steps) {
      if (steps.length === 0) {
        refused = undefined;
        return undefined;
      }
      const same = [...steps].sort().join('\n');
      refused = refused?.steps === same ? refused : { steps: same, sinceMs: clock.monotonic() };
      return Math.min(RETRY_AT_MOST_MS, Math.max(RETRY_FIRST_MS, clock.monotonic() - refused.sinceMs));
    },
    get isRefused() {
      return refused !== undefined;
    },
  };
}
