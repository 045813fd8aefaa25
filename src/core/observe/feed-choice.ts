/**
 * Which feed is in use. The watch is tried for ever, with backoff; the poll runs while it is not there.
 *
 *             +--------------------------------------------------+
 *             v                                                  |
 *   trying --> live        watch: one stream, no list calls      | it answers again
 *     |         | breaks                                         |
 *     |         v                                                |
 *     |       trying (the poll holds back for a moment)          |
 *     v         v                                                |
 *     lost (poll runs; the reason is what the last try ended by) +
 */
import { createBackoff, DEFAULT_BACKOFF } from '../../runtime/backoff.ts';
import { type Cell, createCell, type ReadableCell } from '../../runtime/cell.ts';
import { isOperational, toError } from '../../runtime/errors.ts';
import type { Component } from '../../runtime/supervisor.ts';
import { LISTED } from './picture.ts';
import { isAborted, type ObserveTools, retried } from './retried.ts';
import type { FeedChoice, FeedStatus, TaskFeed, TaskFeedContext } from './task-feed.ts';
import type { WatchFeed } from './watch-feed.ts';

/** A manager that restarts is away for seconds, and a try without a socket costs nothing: no longer than this between two tries. */
const MAX_WAIT_MS = 1_000;
/** How long the first stream, or the next one after a break, may take before the poll begins. */
const HOLD_MS = 1_000;

type State =
  | { readonly kind: 'trying' }
  | { readonly kind: 'live'; readonly reason: string }
  | { readonly kind: 'lost'; readonly reason: string };

/** `auto` and `watch` differ in what others say about a watch that is not there; both fall back. */
export function createFeedChoice(
  wanted: 'auto' | 'watch' | 'poll',
  feeds: { readonly poll: TaskFeed; readonly watch: WatchFeed },
  tools: ObserveTools,
): FeedChoice {
  const state = createCell<State>(
    wanted === 'poll' ? { kind: 'lost', reason: 'TaskFeed = "poll" in config.toml' } : { kind: 'trying' },
  );
  const status = createCell<FeedStatus>();
  const isLive = (): boolean => state.get()?.kind === 'live';
  const say = createSay(status, tools);

  return {
    status,
    watching: isLive,
    components(context) {
      const poll = retried('poll', tools, (signal) => pollWhileLost(feeds.poll, context, state, say, tools, signal));
      return wanted === 'poll' ? [poll] : [watchForEver(feeds.watch, context, state, say, tools), poll];
    },
  };
}

/** One line per change. */
function createSay(status: Cell<FeedStatus>, { logger }: ObserveTools): (next: FeedStatus) => void {
  return (next) => {
    const last = status.get();
    if (last?.kind === next.kind && last.reason === next.reason) {
      return;
    }
    status.set(next);
    const level = last?.kind === 'watch' && next.kind === 'poll' ? 'warn' : 'info';
    logger[level]({ area: 'feed', taskFeed: next.kind, reason: next.reason }, 'task feed chosen');
  };
}

function watchForEver(
  feed: WatchFeed,
  context: TaskFeedContext,
  state: Cell<State>,
  say: (status: FeedStatus) => void,
  { clock, logger }: ObserveTools,
): Component {
  const onLive = (reason: string): void => {
    state.set({ kind: 'live', reason });
    say({ kind: 'watch', reason });
  };
  return {
    name: 'observe.watch',
    async run(signal) {
      const backoff = createBackoff(clock, { ...DEFAULT_BACKOFF, maxMs: MAX_WAIT_MS });
      while (!isAborted(signal)) {
        backoff.begin();
        try {
          await feed.run(context, { onLive }, signal);
        } catch (error) {
          if (isAborted(signal)) {
            return;
          }
          const err = toError(error);
          logger[isOperational(error) ? 'debug' : 'error']({ area: 'feed', err }, 'watch ended');
          // The first try after a break mostly succeeds; what it ends by is the reason then.
          state.set(state.get()?.kind === 'live' ? { kind: 'trying' } : { kind: 'lost', reason: err.message });
        }
        await backoff.wait(signal).catch(() => undefined); // aborted: the loop's condition sees it
      }
    },
  };
}

async function pollWhileLost(
  feed: TaskFeed,
  context: TaskFeedContext,
  state: ReadableCell<State>,
  say: (status: FeedStatus) => void,
  { clock }: ObserveTools,
  signal: AbortSignal,
): Promise<void> {
  for (let first = true; ; first = false) {
    await until(state, ({ kind }) => kind !== 'live', signal);
    const scope = new AbortController();
    const either = AbortSignal.any([signal, scope.signal]);
    const live = until(state, ({ kind }) => kind === 'live', either);
    const held = Promise.race([until(state, ({ kind }) => kind === 'lost', either), clock.sleep(HOLD_MS, either)]);
    const polling = held.then(() => poll(either, first ? 'first' : 'again'));
    try {
      await Promise.race([live, polling]);
    } finally {
      scope.abort();
      await Promise.allSettled([live, polling]);
    }
  }

  async function poll(either: AbortSignal, time: 'first' | 'again'): Promise<void> {
    if (time === 'again') {
      // Events that came while the watch spoke for them were passed over.
      context.refresh(LISTED);
    }
    await Promise.all([feed.run(context, either), sayWhy(state, say, either)]);
  }
}

/** The reason may change while the poll runs: first the stream broke, then the engine is no manager any more. */
async function sayWhy(
  state: ReadableCell<State>,
  say: (status: FeedStatus) => void,
  signal: AbortSignal,
): Promise<void> {
  for await (const now of state.watch(signal)) {
    if (now.kind !== 'live') {
      say({ kind: 'poll', reason: now.kind === 'lost' ? now.reason : 'the watch has not answered yet' });
    }
  }
}

async function until(state: ReadableCell<State>, holds: (state: State) => boolean, signal: AbortSignal): Promise<void> {
  for await (const now of state.watch(signal)) {
    if (holds(now)) {
      return;
    }
  }
}
