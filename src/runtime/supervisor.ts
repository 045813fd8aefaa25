/** Runs the components of a daemon in flow order; the first failure stops all, and every component is awaited. */
import type { Logger } from './logging.ts';

export interface Component {
  readonly name: string;
  /** Runs until the signal aborts. Returning earlier than that, or throwing, stops the daemon. */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Resolves when `signal` aborts and all components have ended; rejects with the first error (others as its `errors`).
 * Components are told to stop backwards: the last one of the list first.
 */
export async function runComponents(
  components: readonly Component[],
  signal: AbortSignal,
  logger: Logger,
): Promise<void> {
  const failures: Error[] = [];
  const stop = new AbortController();
  const scopes = components.map(() => new AbortController());
  const onAbort = (): void => stop.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) {
    onAbort();
  }

  const running = components.map(async (component, index) => {
    const scope = scopes[index]?.signal ?? stop.signal;
    try {
      logger.debug({ area: component.name }, 'component starts');
      await component.run(scope);
      if (!scope.aborted) {
        throw new Error(`component ${component.name} ended by itself`);
      }
    } catch (error) {
      if (!scope.aborted) {
        failures.push(error instanceof Error ? error : new Error(String(error)));
        stop.abort(error);
      }
    }
    logger.debug({ area: component.name }, 'component ended');
  });

  await untilAborted(stop.signal);
  for (let index = components.length - 1; index >= 0; index -= 1) {
    scopes[index]?.abort(stop.signal.reason);
    await running[index];
  }
  signal.removeEventListener('abort', onAbort);
  const [first, ...others] = failures;
  if (first) {
    throw others.length === 0 ? first : new AggregateError([first, ...others], first.message, { cause: first });
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
