/**
 * The extension's work: follow the model, judge the newest, tell core. Comes in: core's models. Goes out: artifacts and refusals.
 *
 *   follow --cell of the newest--> judge --verdict--> tell --answered--> wait for a newer model
 *                                                      |   \--core away--> pause, or a newer model comes first
 *                            (only a part was checked) \--cell of the unconfirmed--> confirm --verdict--> tell
 *
 * Whatever fails here, the proxies keep what they have.
 */
import { type Backoff, type BackoffOptions, createBackoff, DEFAULT_BACKOFF } from '../runtime/backoff.ts';
import { type Cell, createCell, createTrigger, type Trigger } from '../runtime/cell.ts';
import type { Clock } from '../runtime/clock.ts';
import { isOperational } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logging.ts';
import { runComponents } from '../runtime/supervisor.ts';
import type { WireClient } from '../wire/client.ts';
import { type FollowedModel, followModel } from '../wire/follow.ts';
import type { Check } from './check.ts';
import type { Render } from './draft.ts';
import { createJudge, type Judge, type Verdict } from './judge.ts';
import { createTeller, type Teller, type Told } from './tell.ts';

export interface SessionParts {
  readonly client: Pick<WireClient, 'watchModel' | 'submitArtifact' | 'refuseRevision'>;
  readonly render: Render;
  readonly check: Check;
  /** For the `x-server-info` header. */
  readonly serverInfo: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Between attempts to reach core. */
  readonly backoff?: BackoffOptions;
  /** See `CONFIRM_AFTER_MS`. */
  readonly confirmAfterMs?: number;
}

/** Resolves when the signal aborts; rejects for a bug. */
export async function runSession(parts: SessionParts, signal: AbortSignal): Promise<void> {
  const inbox: Inbox = { newest: createCell<FollowedModel>(), arrived: createTrigger() };
  const timed = timedRender(parts);
  const desk: Desk = {
    ...parts,
    inbox,
    judge: createJudge({ ...parts, render: timed.render }),
    renderMs: timed.spentMs,
    teller: createTeller(parts.client),
    unconfirmed: createCell<Unconfirmed>(),
  };
  const components = [
    { name: 'follow', run: (scope: AbortSignal) => fillInbox(inbox, parts, scope) },
    { name: 'work', run: (scope: AbortSignal) => work(desk, scope) },
    { name: 'confirm', run: (scope: AbortSignal) => confirmAll(desk, scope) },
  ];
  await runComponents(components, signal, parts.logger);
}

/** What arrives while work is under way is folded into the newest. */
interface Inbox {
  readonly newest: Cell<FollowedModel>;
  readonly arrived: Trigger;
}

async function fillInbox({ newest, arrived }: Inbox, parts: SessionParts, signal: AbortSignal): Promise<void> {
  const { client, clock, logger, backoff } = parts;
  const options = { signal, clock, logger, ...(backoff === undefined ? {} : { backoff }) };
  for await (const followed of followModel(client, options)) {
    newest.set(followed);
    arrived.fire();
  }
}

async function work(desk: Desk, signal: AbortSignal): Promise<void> {
  const { inbox } = desk;
  let settled: FollowedModel | undefined;
  for (;;) {
    const followed = inbox.newest.get();
    if (followed === undefined || isSettled(settled, followed)) {
      await inbox.arrived.wait(signal);
    } else {
      await settle(followed, desk, signal);
      settled = followed;
    }
  }
}

/** After a reconnect core may have forgotten what it was told, so a new connection is told again: without blobs, that is cheap. */
function isSettled(settled: FollowedModel | undefined, followed: FollowedModel): boolean {
  return (
    settled !== undefined &&
    settled.connection === followed.connection &&
    settled.revision.digest === followed.revision.digest &&
    settled.revision.epoch === followed.revision.epoch
  );
}

function timedRender({ render, clock }: SessionParts): { readonly render: Render; readonly spentMs: () => number } {
  let spentMs = 0;
  return {
    render(model, options, context) {
      const begunAt = clock.monotonic();
      const outcome = render(model, options, context);
      spentMs += clock.monotonic() - begunAt;
      return outcome;
    },
    spentMs: () => spentMs,
  };
}

interface Desk extends SessionParts {
  readonly inbox: Inbox;
  readonly judge: Judge;
  readonly teller: Teller;
  /** How long rendering has taken so far. */
  readonly renderMs: () => number;
  /** The newest that went out after a check of its changed part only. */
  readonly unconfirmed: Cell<Unconfirmed>;
}

interface Unconfirmed {
  readonly followed: FollowedModel;
  readonly deliveredAtMs: number;
  /** Somebody waits for the whole check. */
  readonly isAwaited: boolean;
}

async function settle(followed: FollowedModel, desk: Desk, signal: AbortSignal): Promise<void> {
  const begunAt = desk.clock.monotonic();
  const renderedBefore = desk.renderMs();
  const verdict = await desk.judge.judge(followed, signal);
  const judgedMs = desk.clock.monotonic() - begunAt;
  const log = desk.logger.child(factsOf(followed, verdict));
  log.debug({ durationMs: judgedMs, renderMs: desk.renderMs() - renderedBefore }, 'judged');
  const told = await deliver(followed, verdict, { ...desk, logger: log }, signal);
  if (verdict.kind === 'usable' && verdict.pending) {
    desk.unconfirmed.set({ followed, deliveredAtMs: desk.clock.monotonic(), isAwaited: told === 'awaited' });
  }
}

/**
 * How long the whole check leaves the processor to the proxies, which read the same file at the same time as it would. What is stored for
 * tasks that start is stored seconds later anyway.
 */
const CONFIRM_AFTER_MS = 2_000;

/**
 * The whole file, one at a time and never given up for a newer one: a stream of changes would leave it for ever unchecked. Core sorts
 * out an answer about a revision that is not its newest any more.
 */
async function confirmAll(desk: Desk, signal: AbortSignal): Promise<void> {
  let last: FollowedModel | undefined;
  for await (const first of desk.unconfirmed.watch(signal)) {
    await giveWay(first, desk, signal);
    const { followed } = desk.unconfirmed.get() ?? first;
    if (followed === last) {
      continue;
    }
    last = followed;
    const begunAt = desk.clock.monotonic();
    const verdict = await desk.judge.confirm(followed, signal);
    const log = desk.logger.child(factsOf(followed, verdict));
    log.debug({ durationMs: desk.clock.monotonic() - begunAt }, 'confirmed');
    await deliver(followed, verdict, { ...desk, logger: log }, signal);
  }
}

async function giveWay({ deliveredAtMs, isAwaited }: Unconfirmed, desk: Desk, signal: AbortSignal): Promise<void> {
  const { clock, confirmAfterMs = CONFIRM_AFTER_MS } = desk;
  const waitMs = deliveredAtMs + confirmAfterMs - clock.monotonic();
  if (!isAwaited && waitMs > 0) {
    await clock.sleep(waitMs, signal);
  }
}

/** Repeats while core is away; gives up (`undefined`) when a newer model has arrived, or when core says no. */
async function deliver(
  followed: FollowedModel,
  verdict: Verdict,
  desk: Desk,
  signal: AbortSignal,
): Promise<Told | undefined> {
  const pause = createBackoff(desk.clock, desk.backoff ?? DEFAULT_BACKOFF);
  for (let attempt = 1; ; attempt += 1) {
    pause.begin();
    try {
      const told = await desk.teller.tell(followed.revision, verdict, signal);
      logTold(told, verdict, desk.logger);
      return told;
    } catch (error) {
      signal.throwIfAborted();
      if (!isOperational(error)) {
        throw error;
      }
      if (error.code !== 'WIRE.UNREACHABLE') {
        desk.logger.error({ err: error }, 'core does not take this revision; waiting for the next');
        return undefined;
      }
      desk.logger[attempt === 1 ? 'warn' : 'debug']({ err: error, attempt }, 'core did not answer; trying again');
    }
    await pauseUnlessNewer(pause, desk.inbox.arrived, signal);
    if (desk.inbox.newest.get() !== followed) {
      return undefined;
    }
  }
}

async function pauseUnlessNewer(pause: Backoff, arrived: Trigger, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const scope = AbortSignal.any([signal, over.signal]);
  const waits = [pause.wait(scope), arrived.wait(scope)];
  try {
    await Promise.race(waits);
  } finally {
    over.abort();
    await Promise.allSettled(waits);
  }
}

function factsOf({ revision, model }: FollowedModel, verdict: Verdict): Record<string, unknown> {
  return {
    serviceCluster: model.header.serviceCluster,
    revision: revision.digest,
    sequence: revision.sequence,
    ...(verdict.kind === 'usable' ? { artifact: verdict.artifact.digest } : {}),
  };
}

function logTold(told: Told, verdict: Verdict, logger: Logger): void {
  if (verdict.kind === 'refused') {
    logger.error({ reason: verdict.reason }, 'revision refused; the last good configuration keeps serving');
  } else if (told === 'accepted' || told === 'awaited') {
    logger.info('artifact accepted');
  } else {
    logger.debug('artifact superseded');
  }
}
