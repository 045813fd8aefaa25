/** Time as a dependency: everything that waits takes a Clock and a signal, so tests decide when time passes. */

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted();
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
    }),
};

/** The reason of an aborted signal as an Error. */
export function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted', { cause: signal.reason });
}
