/** Runs the components of a daemon in flow order; the first failure stops all, and every component is awaited. */
import { toError } from './errors.ts';
import type { Logger } from './logging.ts';

export interface Component {
  readonly name: string;
  /** Runs until the signal aborts. Returning earlier than that, or throwing, stops the daemon. */
  run(signal: AbortSignal): Promise<void>;
}

/**
 * Resolves when `signal` aborts and all components have ended; rejects with the first error, after logging the others.
 * Components are told to stop backwards, the last one of the list first, each when the one behind it has ended.
 * Nothing is started when `signal` has aborted before.
 */
export async function runComponents(
  components: readonly Component[],
  signal: AbortSignal,
  logger: Logger,
): Promise<void> {
  if (signal.aborted) {
    return;
  }
  const failures: Error[] = [];
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const fail = (error: Error): void => {
    failures.push(error);
    stop.abort(error);
  };
  const running = components.map((component) => startComponent(component, { stopping: stop.signal, fail, logger }));

  await untilAborted(stop.signal);
  for (const component of running.toReversed()) {
    await component.end(stop.signal.reason);
  }
  signal.removeEventListener('abort', onAbort);
  const [first, ...others] = failures;
  for (const err of others) {
    logger.error({ err }, 'another component failed while the daemon stopped');
  }
  if (first) {
    throw first;
  }
}

interface Surroundings {
  readonly stopping: AbortSignal;
  readonly fail: (error: Error) => void;
  readonly logger: Logger;
}

interface RunningComponent {
  /** Tells it to stop and waits until it has. Never rejects. */
  end(reason: unknown): Promise<void>;
}

function startComponent(component: Component, { stopping, fail, logger }: Surroundings): RunningComponent {
  const scope = new AbortController();
  const area = component.name;
  const ended = run();
  return {
    async end(reason) {
      scope.abort(reason);
      await ended;
    },
  };

  async function run(): Promise<void> {
    try {
      logger.debug({ area }, 'component starts');
      await component.run(scope.signal);
      // Once the daemon stops, one may end before its turn because what it works for is gone.
      if (!stopping.aborted) {
        fail(new Error(`component ${component.name} ended by itself`));
      }
    } catch (error) {
      if (!scope.signal.aborted) {
        fail(toError(error));
      } else if (!isAbort(error, scope.signal)) {
        logger.warn({ area, err: toError(error) }, 'component did not stop cleanly');
      }
    }
    logger.debug({ area }, 'component ended');
  }
}

/** Told to stop, a component may throw the reason itself, or what a cancelled call throws. */
function isAbort(error: unknown, signal: AbortSignal): boolean {
  const { name, cause } = toError(error);
  return error === signal.reason || name === 'AbortError' || (cause !== undefined && cause === signal.reason);
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
