import type { Trigger } from '../runtime/cell.ts';
import type { Clock } from '../runtime/clock.ts';

/** Waits for the trigger, at most `ms`. True when it fired, false when the time passed. Rejects with the signal's reason. */
export async function waitAtMost(ms: number, trigger: Trigger, clock: Clock, signal: AbortSignal): Promise<boolean> {
  const scope = new AbortController();
  const either = AbortSignal.any([signal, scope.signal]);
  const woken = trigger.wait(either).then(() => true);
  const passed = clock.sleep(ms, either).then(() => false);
  try {
    return await Promise.race([woken, passed]);
  } finally {
    scope.abort();
    await Promise.allSettled([woken, passed]);
  }
}
