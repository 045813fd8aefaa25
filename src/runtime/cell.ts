/**
 * A latest-value cell: one writer, many readers. A reader that is slow gets the newest value, never a queue,
 * so memory is bounded by one value however fast the writer is.
 */
import { abortReason } from './clock.ts';

export interface ReadableCell<Value> {
  /** The newest value, or `undefined` before the first `set`. */
  get(): Value | undefined;
  /** Yields the present value at once (if there is one), then each newer one that is still the newest when the reader comes back. Ends by throwing the signal's reason. */
  watch(signal: AbortSignal): AsyncIterable<Value>;
}

export interface Cell<Value> extends ReadableCell<Value> {
  set(value: Value): void;
}

export function createCell<Value>(initial?: Value): Cell<Value> {
  let state: { readonly version: number; readonly value: Value | undefined } =
    initial === undefined ? { version: 0, value: undefined } : { version: 1, value: initial };
  const waiters = new Set<() => void>();

  return {
    get: () => state.value,
    set(value) {
      state = { version: state.version + 1, value };
      for (const wake of [...waiters]) {
        wake();
      }
    },
    async *watch(signal) {
      let seen = 0;
      for (;;) {
        signal.throwIfAborted();
        if (state.version > seen && state.value !== undefined) {
          seen = state.version;
          yield state.value;
        } else {
          await nextChange(waiters, signal);
        }
      }
    },
  };
}

function nextChange(waiters: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    // A waiter that was woken and found nothing waits again; the abort that came between would never be heard.
    if (signal.aborted) {
      reject(abortReason(signal));
      return;
    }
    signal.addEventListener('abort', cancel, { once: true });
    waiters.add(wake);

    function wake(): void {
      waiters.delete(wake);
      signal.removeEventListener('abort', cancel);
      resolve();
    }
    function cancel(): void {
      waiters.delete(wake);
      reject(abortReason(signal));
    }
  });
}

/** A trigger that carries nothing: "look again". Signals that come while nobody waits are folded into one. */
export interface Trigger {
  fire(): void;
  /** Resolves at once when fired since the last wait. */
  wait(signal: AbortSignal): Promise<void>;
  /** What a wait would do that found it fired: true, and it counts as waited for. */
  take(): boolean;
  /** Calls `wake` each time it is fired, until the returned function is called. */
  onFire(wake: () => void): () => void;
}

export function createTrigger(): Trigger {
  let fired = false;
  const waiters = new Set<() => void>();
  return {
    fire() {
      fired = true;
      for (const wake of [...waiters]) {
        wake();
      }
    },
    async wait(signal) {
      signal.throwIfAborted();
      while (!fired) {
        await nextChange(waiters, signal);
      }
      fired = false;
    },
    take() {
      const was = fired;
      fired = false;
      return was;
    },
    onFire(wake) {
      waiters.add(wake);
      return () => void waiters.delete(wake);
    },
  };
}

/** Fires at once if the cell has a value, and each time it gets one. Ends by throwing the signal's reason. */
export async function fireOnEach(cell: ReadableCell<unknown>, trigger: Trigger, signal: AbortSignal): Promise<void> {
  const values = cell.watch(signal)[Symbol.asyncIterator]();
  for (;;) {
    await values.next();
    trigger.fire();
  }
}
