/** Waiting times between attempts: exponential, the upper half of each jittered; back to the start only after a healthy spell. */
import type { Clock } from './clock.ts';

export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  /** An attempt that lived at least this long resets the delay. */
  readonly healthyAfterMs: number;
  /** 0 <= random() < 1. */
  readonly random: () => number;
}

export const DEFAULT_BACKOFF: BackoffOptions = {
  firstMs: 100,
  maxMs: 10_000,
  healthyAfterMs: 10_000,
  random: Math.random,
};

export interface Backoff {
  /** Call when an attempt begins. */
  begin(): void;
  /** Failed attempts in a row before the present one; 0 again after a healthy spell. Lets a loop log its first failure loudly and the rest quietly. */
  streak(): number;
  /** Waits before the next attempt; returns how long it waited, in ms. */
  wait(signal: AbortSignal): Promise<number>;
}

export function createBackoff(clock: Clock, options: BackoffOptions = DEFAULT_BACKOFF): Backoff {
  let failures = 0;
  /** `undefined` between attempts: the wait itself is no healthy spell, however long. */
  let begunAt: number | undefined;

  function streak(): number {
    if (begunAt !== undefined && clock.monotonic() - begunAt >= options.healthyAfterMs) {
      failures = 0;
    }
    return failures;
  }

  return {
    begin() {
      begunAt = clock.monotonic();
    },
    streak,
    async wait(signal) {
      const ceiling = Math.min(options.maxMs, options.firstMs * 2 ** Math.min(streak(), 30));
      begunAt = undefined;
      failures += 1;
      const delay = ceiling / 2 + (ceiling / 2) * options.random();
      await clock.sleep(delay, signal);
      return delay;
    },
  };
}
