/** Steps of the observer that run for ever. */
import { createBackoff, DEFAULT_BACKOFF } from '../../runtime/backoff.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isOperational, toError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logging.ts';
import type { Component } from '../../runtime/supervisor.ts';

export interface ObserveTools {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The engine is on this machine and mostly away for seconds: what changed meanwhile is to be seen soon after its return. */
const MAX_WAIT_MS = 2_000;

/** A step that is started again with backoff when it breaks; one log line per change of state, and one per bug. */
export function retried(
  name: string,
  { clock, logger }: ObserveTools,
  step: (signal: AbortSignal) => Promise<void>,
): Component {
  return {
    name: `observe.${name}`,
    async run(signal) {
      const backoff = createBackoff(clock, { ...DEFAULT_BACKOFF, maxMs: MAX_WAIT_MS });
      while (!signal.aborted) {
        backoff.begin();
        try {
          await step(signal);
          logger.debug({ area: name }, 'observation ended, starting again');
        } catch (error) {
          if (isAborted(signal)) {
            return;
          }
          const level = isOperational(error) ? (backoff.streak() === 0 ? 'warn' : 'debug') : 'error';
          logger[level]({ err: toError(error), area: name }, 'observation broken');
        }
        await backoff.wait(signal).catch(() => undefined); // aborted: the loop's condition sees it
      }
    },
  };
}

/** Asked anew: the compiler takes a loop's own condition for granted across an await. */
export function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
