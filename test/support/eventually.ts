/** Waits for a condition, never for a duration. */

export interface EventuallyOptions {
  /** Default 10 s. */
  readonly timeoutMs?: number;
  /** Default 25 ms. */
  readonly everyMs?: number;
  readonly signal?: AbortSignal;
}

/** Repeats `check` until it neither throws nor returns `false`; then returns its value. Fails with the last reason. */
export async function eventually<Value>(
  check: () => Promise<Value> | Value,
  options: EventuallyOptions = {},
): Promise<Value> {
  const { timeoutMs = 10_000, everyMs = 25, signal } = options;
  const deadline = Date.now() + timeoutMs;
  let last: unknown = new Error('never checked');
  for (;;) {
    signal?.throwIfAborted();
    try {
      const value = await check();
      if (value !== false) {
        return value;
      }
      last = new Error('the condition does not hold');
    } catch (error) {
      last = error;
    }
    if (Date.now() >= deadline) {
      throw new Error(`not within ${timeoutMs} ms: ${last instanceof Error ? last.message : String(last)}`, {
        cause: last,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
