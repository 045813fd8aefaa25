/** Time as a dependency: everything that waits takes a Clock and a signal, so tests decide when time passes. */

export interface Clock {
  /** Milliseconds since the epoch, for people and to compare with what others wrote down. It is set, forward and back. */
  now(): number;
  /** Milliseconds since some moment in the past; only ever goes on. For how long something takes, and when something is due. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** setTimeout takes no more and fires at once beyond it (about 24.8 days): https://nodejs.org/api/timers.html */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => Math.floor(performance.now()),
  async sleep(ms, signal) {
    for (let left = ms; ; left -= LONGEST_TIMER_MS) {
      await oneTimer(Math.min(left, LONGEST_TIMER_MS), signal);
      if (left <= LONGEST_TIMER_MS) {
        return;
      }
    }
  },
};

function oneTimer(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(abortReason(signal));
      return;
    }
    const timer = setTimeout(finish, ms);
    signal.addEventListener('abort', cancel, { once: true });

    function finish(): void {
      signal.removeEventListener('abort', cancel);
      resolve();
    }
    function cancel(): void {
      clearTimeout(timer);
      reject(abortReason(signal));
    }
  });
}

/** The reason of an aborted signal as an Error. */
export function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted', { cause: signal.reason });
}
