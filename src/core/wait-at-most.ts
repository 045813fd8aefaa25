import type { Trigger } from '../runtime/cell.ts';
import type { Clock } from '../runtime/clock.ts';

/** Nobody hears it: what waits is over. Made once, because `abort` without a reason makes an exception with its stack each time. */
const OVER = new Error('something else came first');

/** Waits for one of the triggers, at most `ms`; returns those that fired. Rejects with the signal's reason. */
export async function waitForAny(
  ms: number,
  triggers: readonly Trigger[],
  clock: Clock,
  signal: AbortSignal,
): Promise<ReadonlySet<Trigger>> {
  const scope = new AbortController();
  const either = AbortSignal.any([signal, scope.signal]);
  const fired = new Set<Trigger>();
  const woken = triggers.map(async (trigger) => {
    await trigger.wait(either);
    fired.add(trigger);
  });
  const passed = Number.isFinite(ms) ? [clock.sleep(ms, either)] : [];
  try {
    await Promise.race([...woken, ...passed]);
  } finally {
    scope.abort(OVER);
    // One that has fired beside the first is not lost: it counts here.
    await Promise.allSettled([...woken, ...passed]);
  }
  return fired;
}

/** Waits for the trigger, at most `ms`. True when it fired, if only beside the time; false when the time passed. Rejects with the signal's reason. */
export async function waitAtMost(ms: number, trigger: Trigger, clock: Clock, signal: AbortSignal): Promise<boolean> {
  return (await waitForAny(ms, [trigger], clock, signal)).has(trigger);
}
