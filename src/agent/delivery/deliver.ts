/**
 * Carries out core's orders, one after the other, always the newest: what comes while one is under way is folded into the next look.
 *
 *   order --> fetch --> fit to this proxy --> stage --> reload --applied--> standing: serving it
 *               |                                          '--refused----> the file before back in place, standing: refused
 *               '--core away: again, unless a newer order comes
 *
 * Stopped anywhere (the agent drains, NGINX has ended), NGINX serves what it had.
 */

import { joined, type Piece } from '../../model/artifact.ts';
import { createBackoff } from '../../runtime/backoff.ts';
import type { Cell, ReadableCell } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isOperational, toError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logging.ts';
import type { Fit, Fitted } from '../localise/fit.ts';
import { findDaemonDirective } from '../nginx/mounted-file.ts';
import type { ReloadOutcome } from '../nginx/reload.ts';
import type { Order } from './core-link.ts';
import type { Delivered, Fetcher } from './fetch.ts';
import type { Stage } from './stage.ts';
import type { Standing } from './standing.ts';

export interface DeliverParts {
  readonly orders: ReadableCell<Order>;
  readonly standing: Cell<Standing>;
  readonly fetcher: Fetcher;
  readonly localise: Fit;
  readonly stage: Stage;
  readonly reload: (signal: AbortSignal) => Promise<ReloadOutcome>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Runs until the signal aborts, and throws its reason. NGINX must be serving. */
export async function deliverOrders(parts: DeliverParts, signal: AbortSignal): Promise<void> {
  for await (const order of parts.orders.watch(signal)) {
    if (order.kind === 'serve') {
      await carryOut(order, parts, signal);
    }
  }
}

type ServeOrder = Extract<Order, { readonly kind: 'serve' }>;

async function carryOut(order: ServeOrder, parts: DeliverParts, signal: AbortSignal): Promise<void> {
  const { standing } = parts;
  const now = standing.get();
  const { digest } = order.manifest;
  if (now?.serving?.digest === digest) {
    // Told again what is served: a refusal in between is of no more interest.
    parts.fetcher.learn(order.manifest);
    standing.set({ ...now, serving: { ...now.serving, durationMs: 0 }, refused: undefined });
    return;
  }
  const logger = parts.logger.child({ artifact: digest.slice(0, 12), revision: order.revision.digest.slice(0, 12) });
  logger.debug({ stage: 'received' }, 'directive');
  const delivered = await fetchPatiently(order, { ...parts, logger }, signal);
  if (delivered === undefined) {
    return;
  }
  const outcome = await serveInstead(delivered.pieces, { ...parts, logger }, signal);
  const durationMs = parts.clock.monotonic() - order.receivedAtMs;
  const last = standing.get();
  if (outcome.kind === 'applied') {
    logger.info({ durationMs, stage: 'applied' }, 'applied');
    const serving = { digest, durationMs, findings: outcome.findings };
    standing.set({ serving, refused: undefined, draining: last?.draining ?? false });
  } else {
    logger.error({ durationMs, reason: outcome.reason }, 'refused; NGINX serves what it had');
    const refused = { digest, durationMs, reason: outcome.reason };
    standing.set({ serving: last?.serving, refused, draining: last?.draining ?? false });
  }
}

/** `undefined`: a newer order has come, or core has gone on to another artifact and will say so. */
async function fetchPatiently(
  order: ServeOrder,
  { fetcher, orders, clock, logger }: DeliverParts,
  signal: AbortSignal,
): Promise<Delivered | undefined> {
  const pause = createBackoff(clock);
  while (orders.get() === order) {
    pause.begin();
    try {
      return await fetcher.fetch(order, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!isOperational(error)) {
        throw error;
      }
      logger[pause.streak() === 0 ? 'warn' : 'debug']({ err: error }, 'the file did not come');
      if (!isOperational(error, 'WIRE.UNREACHABLE')) {
        return undefined;
      }
    }
    await pause.wait(signal);
  }
  return undefined;
}

type Served =
  | { readonly kind: 'applied'; readonly findings: Fitted['findings'] }
  | { readonly kind: 'refused'; readonly reason: string };

async function serveInstead(file: readonly Piece[], parts: DeliverParts, signal: AbortSignal): Promise<Served> {
  const { localise, stage, clock, logger } = parts;
  const begunAt = clock.monotonic();
  const fitted = localise(file);
  const fittedAt = clock.monotonic();
  if (findDaemonDirective(fitted.head) === 'on') {
    return { kind: 'refused', reason: 'the file says "daemon on;", and NGINX must stay in the foreground' };
  }
  const bytes = joined(fitted.pieces);
  try {
    await stage.put(bytes);
  } catch (error) {
    signal.throwIfAborted();
    return { kind: 'refused', reason: `the file cannot be written: ${toError(error).message}` };
  }
  const durations = { fitMs: fittedAt - begunAt, writeMs: clock.monotonic() - fittedAt };
  logger.debug({ stage: 'staged', sizeBytes: bytes.byteLength, ...durations }, 'staged');
  const outcome = await parts.reload(signal);
  if (outcome.kind === 'refused') {
    await stage.takeBack();
    return outcome;
  }
  await stage.keep();
  return { kind: 'applied', findings: fitted.findings };
}
