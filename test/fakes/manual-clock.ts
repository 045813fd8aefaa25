/** A Clock that moves when a test says so. */
import { abortReason, type Clock } from '../../src/runtime/clock.ts';

export interface ManualClock extends Clock {
  /** Moves time forward, waking sleepers in order of their deadlines; lets promises settle in between. */
  advance(ms: number): Promise<void>;
  /** Sets the time of day, as an operator or NTP does: nobody sleeps longer or shorter for it. */
  set(byMs: number): void;
  /** How many sleep right now. */
  sleepers(): number;
}

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export function createManualClock(startMs = 1_000_000): ManualClock {
  let now = startMs;
  let setByMs = 0;
  const sleepers = new Set<Sleeper>();
  return {
    now: () => now + setByMs,
    // Far from the time of day, as in life.
    monotonic: () => now - startMs + 77_000,
    set(byMs) {
      setByMs += byMs;
    },
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        signal.throwIfAborted();
        // In whole milliseconds, as the system's clock reads and Node's timers fire: a rest smaller than what `now` can show would never pass.
        const sleeper: Sleeper = { at: now + Math.ceil(ms), wake: finish };
        sleepers.add(sleeper);
        signal.addEventListener('abort', cancel, { once: true });

        function finish(): void {
          sleepers.delete(sleeper);
          signal.removeEventListener('abort', cancel);
          resolve();
        }
        function cancel(): void {
          sleepers.delete(sleeper);
          reject(abortReason(signal));
        }
      }),
    sleepers: () => sleepers.size,
    async advance(ms) {
      const end = now + ms;
      await settle();
      for (;;) {
        const next = [...sleepers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
        if (next === undefined) {
          break;
        }
        now = Math.max(now, next.at);
        next.wake();
        await settle();
      }
      now = end;
      await settle();
    },
  };
}

/** Lets everything that is ready run: promise chains and immediates. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 5; round += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
