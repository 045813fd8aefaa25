/**
 * A model stream that never ends: patches applied, broken streams opened again. Comes in: the message stream. Goes out: complete models.
 *
 *   asking --first message--> following --stream lost--> waiting --backoff--> asking
 *                                  \--anything unexpected: forget what we hold--/
 */
import type { ClusterModel, PoolId } from '../model/cluster.ts';
import { applyPatch, type ModelPatch } from '../model/patch.ts';
import { digestModel } from '../model/revision.ts';
import { type BackoffOptions, createBackoff, DEFAULT_BACKOFF } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import { assertNever, isOperational, OperationalError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logging.ts';
import type { WireClient } from './client.ts';
import type { ModelMessage, RevisionRef } from './contract.ts';

export interface FollowedModel {
  readonly revision: RevisionRef;
  readonly model: ClusterModel;
  /** Counts the streams opened so far, from 1: another number means that core may have forgotten us. */
  readonly connection: number;
}

export interface FollowOptions {
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly backoff?: BackoffOptions;
}

/** Core restarts within seconds, so the longest pause is short. */
const FOLLOW_BACKOFF: BackoffOptions = { ...DEFAULT_BACKOFF, firstMs: 100, maxMs: 2_000 };

/** Yields complete models in the order of their arrival, forever; ends by throwing the signal's reason. Read it quickly: fold in your own cell. */
export async function* followModel(
  client: Pick<WireClient, 'watchModel'>,
  { signal, clock, logger, backoff = FOLLOW_BACKOFF }: FollowOptions,
): AsyncIterable<FollowedModel> {
  const pause = createBackoff(clock, backoff);
  const link = createLinkLog(logger);
  let held: Held | undefined;
  for (let connection = 1; ; connection += 1) {
    pause.begin();
    try {
      for await (const message of client.watchModel(held?.revision, signal)) {
        held = nextHeld(held, message);
        link.set('following');
        yield { revision: held.revision, model: held.model, connection };
      }
      link.set('waiting', new OperationalError('WIRE.UNREACHABLE', 'core ended the stream'));
    } catch (error) {
      signal.throwIfAborted();
      if (!isOperational(error)) {
        throw error;
      }
      held = isOperational(error, 'WIRE.MALFORMED') ? undefined : held;
      link.set('waiting', error);
    }
    await pause.wait(signal);
  }
}

interface Held {
  readonly revision: RevisionRef;
  readonly model: ClusterModel;
  /**
   * Our digest of the model is core's. False when core is newer and knows fields that we do not: then its patches cannot be
   * checked by digest.
   */
  readonly exact: boolean;
}

function nextHeld(held: Held | undefined, { revision, content }: ModelMessage): Held {
  switch (content.kind) {
    case 'full':
      return whole(
        { revision, model: content.model, exact: digestModel(content.model) === revision.digest },
        undefined,
      );
    case 'patch': {
      if (held === undefined || held.revision.digest !== content.baseDigest) {
        throw unexpected('the patch builds on a revision that we do not hold');
      }
      const model = applyPatch(held.model, content.patch);
      if (held.exact && digestModel(model) !== revision.digest) {
        throw unexpected('the patch leads to another digest than it says');
      }
      return whole({ revision, model, exact: held.exact }, content.patch);
    }
    default:
      return assertNever(content);
  }
}

/**
 * Every pool that is named is there; patches arrive entry by entry, so only the whole can be asked. One that names no pool and takes none
 * away leaves a whole model whole.
 */
function whole(held: Held, patch: ModelPatch | undefined): Held {
  const isAsBefore =
    patch !== undefined &&
    patch.header === undefined &&
    patch.upsertHosts.length === 0 &&
    patch.removePools.length === 0;
  const missing = isAsBefore ? undefined : missingPool(held.model);
  if (missing !== undefined) {
    throw unexpected(`the model has no pool ${missing}`);
  }
  return held;
}

function missingPool({ header, hosts, pools }: ClusterModel): PoolId | undefined {
  const known = new Set(pools.map(({ id }) => id));
  const named = hosts.flatMap(({ routes, tls }) => [
    ...routes.map(({ pool }) => pool),
    ...(tls.kind === 'passthrough' ? [tls.pool] : []),
  ]);
  const all = header.defaultPool === undefined ? named : [...named, header.defaultPool];
  return all.find((id) => !known.has(id));
}

function unexpected(message: string): OperationalError {
  return new OperationalError('WIRE.MALFORMED', message);
}

type Link = 'asking' | 'following' | 'waiting';

/** One line per change of state, not per attempt. */
function createLinkLog(logger: Logger): { set(link: Link, err?: OperationalError): void } {
  let state: Link = 'asking';
  return {
    set(link, err) {
      if (link === state) {
        if (link === 'waiting') {
          logger.debug({ err }, 'core is still away');
        }
        return;
      }
      state = link;
      if (link === 'following') {
        logger.info('following core');
      } else {
        logger.warn({ err }, 'core is away; the proxies keep what they have');
      }
    },
  };
}
