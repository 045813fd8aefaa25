/** What NGINX starts with: core's answer if it comes in time, else the mounted file. */
import type { ReadableCell } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isOperational } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logging.ts';
import type { Order } from './core-link.ts';
import type { Delivered, Fetcher } from './fetch.ts';

/** How long a task that could serve the mounted file waits for core (design: delivering a configuration). */
export const FIRST_ANSWER_MS = 3_000;

export interface FirstFileParts {
  readonly orders: ReadableCell<Order>;
  readonly fetcher: Fetcher;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** `undefined`: core has nothing for this proxy, or did not answer in time. Throws the signal's reason when it aborts. */
export async function askCoreFirst(parts: FirstFileParts, signal: AbortSignal): Promise<Delivered | undefined> {
  const over = new AbortController();
  const scope = AbortSignal.any([signal, over.signal]);
  const tooLate = parts.clock.sleep(FIRST_ANSWER_MS, scope).then(
    () => over.abort(new Error('core did not answer in time')),
    () => undefined, // answered, or stopped
  );
  try {
    return await firstAnswer(parts, scope);
  } catch (error) {
    signal.throwIfAborted();
    if (!scope.aborted && !isOperational(error)) {
      throw error;
    }
    parts.logger.warn({ err: error }, 'starting with the mounted file');
    return undefined;
  } finally {
    over.abort();
    await tooLate;
  }
}

async function firstAnswer({ orders, fetcher }: FirstFileParts, signal: AbortSignal): Promise<Delivered | undefined> {
  for await (const order of orders.watch(signal)) {
    return order.kind === 'none' ? undefined : await fetcher.fetch(order, signal);
  }
  return undefined;
}
