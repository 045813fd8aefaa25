/**
 * The session with core, for the life of the agent. Comes in: how things stand. Goes out: core's newest order.
 *
 *   asking --first directive--> following --stream lost--> waiting --backoff--> asking
 *
 * Core away changes nothing here: NGINX serves on.
 */
import { type BackoffOptions, createBackoff, DEFAULT_BACKOFF } from '../../runtime/backoff.ts';
import { type Cell, createTrigger, fireOnEach, type ReadableCell } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isOperational, OperationalError, toError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logging.ts';
import type { WireClient } from '../../wire/client.ts';
import type { AgentDirective, AgentWord } from '../../wire/contract.ts';
import type { Sightings } from './sightings.ts';
import { NOTHING_YET, reportsBetween, type Standing } from './standing.ts';

/** A directive as it came: the same artifact told twice is two orders. */
export type Order = AgentDirective & { readonly receivedAtMs: number };

export interface CoreLinkParts {
  readonly client: Pick<WireClient, 'agentSession'>;
  readonly task: { readonly taskId: string; readonly nodeId: string; readonly proxyVersion: string };
  readonly standing: ReadableCell<Standing>;
  readonly orders: Cell<Order>;
  readonly sightings: Pick<Sightings, 'due' | 'take'>;
  readonly onUnreachedReport?: () => void;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly backoff?: BackoffOptions;
}

/** Core restarts within seconds, so the longest pause is short. */
const LINK_BACKOFF: BackoffOptions = { ...DEFAULT_BACKOFF, firstMs: 100, maxMs: 2_000 };

/** Runs until the signal aborts and throws its reason; nothing else ends it: whatever happens here, NGINX serves on. */
export async function followCore(parts: CoreLinkParts, signal: AbortSignal): Promise<never> {
  const { clock, orders, backoff = LINK_BACKOFF } = parts;
  const pause = createBackoff(clock, backoff);
  const log = createLinkLog(parts.logger);
  for (;;) {
    pause.begin();
    try {
      // Until it says otherwise in this very session, core may be one that knows of no such word.
      const core = { takesUnreached: false };
      for await (const directive of oneSession(parts, core, signal)) {
        core.takesUnreached = directive.takesUnreached === true;
        log.set('following');
        orders.set({ ...directive, receivedAtMs: clock.monotonic() });
      }
      signal.throwIfAborted();
      log.set('waiting', new OperationalError('WIRE.UNREACHABLE', 'core ended the session'));
    } catch (error) {
      signal.throwIfAborted();
      log.set('waiting', toError(error));
      // Core has answered, and it is a no: whoever waits for its first word need wait no longer.
      if (isOperational(error, 'WIRE.REFUSED') && orders.get() === undefined) {
        orders.set({ kind: 'none', receivedAtMs: clock.monotonic() });
      }
    }
    await pause.wait(signal);
  }
}

interface CoreAbilities {
  readonly takesUnreached: boolean;
}

function oneSession(parts: CoreLinkParts, core: CoreAbilities, signal: AbortSignal): AsyncIterable<AgentDirective> {
  const { client, task, standing } = parts;
  const hello = { ...task, artifactDigest: standing.get()?.serving?.digest };
  return client.agentSession(hello, (over) => wordsOf(parts, core, AbortSignal.any([signal, over])), signal);
}

/** All that is new to core, in a new session all there is; and what NGINX could not reach, to a core that asks for it. */
async function* wordsOf(
  { standing, sightings, onUnreachedReport }: CoreLinkParts,
  core: CoreAbilities,
  signal: AbortSignal,
): AsyncIterable<AgentWord> {
  let heard = NOTHING_YET;
  const news = createTrigger();
  const sights = { areDue: false };
  const noteDue = async (scope: AbortSignal): Promise<never> => {
    for (;;) {
      await sightings.due.wait(scope);
      sights.areDue = true;
      news.fire();
    }
  };
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const passing = Promise.allSettled([fireOnEach(standing, news, either), noteDue(either)]);
  try {
    for (;;) {
      await news.wait(signal);
      const now = standing.get() ?? NOTHING_YET;
      yield* reportsBetween(heard, now);
      heard = now;
      const unreached = sights.areDue && core.takesUnreached ? sightings.take() : [];
      sights.areDue = false;
      if (unreached.length > 0) {
        yield { unreached };
        onUnreachedReport?.();
      }
    }
  } finally {
    over.abort();
    await passing;
  }
}

/** One line per change of state, not per attempt. */
function createLinkLog(logger: Logger): { set(state: 'following' | 'waiting', err?: Error): void } {
  let state: 'asking' | 'following' | 'waiting' = 'asking';
  return {
    set(next, err) {
      if (next === state) {
        logger.debug({ err }, 'still so');
        return;
      }
      state = next;
      if (next === 'following') {
        logger.info('following core');
      } else {
        logger.warn({ err }, 'core is away; NGINX serves what it has');
      }
    },
  };
}
