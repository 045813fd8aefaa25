import type { Trigger } from '../runtime/cell.ts';
import { abortReason, type Clock } from '../runtime/clock.ts';

/** Nobody hears it: what waits is over. Made once, because `abort` without a reason makes an exception with its stack each time. */
const OVER = new Error('something else came first');

/**
 * Waits for one of the triggers, at most `ms`; returns those that fired, also beside the time. Rejects with the signal's reason. Nobody
 * else waits for them meanwhile. Every change makes several such waits: one promise and one listener each, and no signal made of others.
 */
export async function waitForAny(
  ms: number,
  triggers: readonly Trigger[],
  clock: Pick<Clock, 'sleep'>,
  signal: AbortSignal,
): Promise<ReadonlySet<Trigger>> {
  signal.throwIfAborted();
  const fired = taken(triggers);
  if (fired.size > 0) {
    return fired;
  }
  await wokenOrLate(ms, triggers, clock, signal);
  return taken(triggers);
}

async function wokenOrLate(
  ms: number,
  triggers: readonly Trigger[],
  clock: Pick<Clock, 'sleep'>,
  signal: AbortSignal,
): Promise<void> {
  const timer = new AbortController();
  const stops: (() => void)[] = [() => timer.abort(OVER)];
  try {
    await new Promise<void>((resolve, reject) => {
      const cancel = (): void => reject(abortReason(signal));
      signal.addEventListener('abort', cancel, { once: true });
      stops.push(
        () => signal.removeEventListener('abort', cancel),
        ...triggers.map((trigger) => trigger.onFire(resolve)),
      );
      if (Number.isFinite(ms)) {
        clock.sleep(ms, timer.signal).then(resolve, () => undefined); // rejects with OVER, when nobody waits any more
      }
    });
  } finally {
    for (const stop of stops) {
      stop();
    }
  }
}

function taken(triggers: readonly Trigger[]): ReadonlySet<Trigger> {
  return new Set(triggers.filter((trigger) => trigger.take()));
}

/** Waits for the trigger, at most `ms`. True when it fired, if only beside the time; false when the time passed. Rejects with the signal's reason. */
export async function waitAtMost(ms: number, trigger: Trigger, clock: Clock, signal: AbortSignal): Promise<boolean> {
  return (await waitForAny(ms, [trigger], clock, signal)).has(trigger);
}
