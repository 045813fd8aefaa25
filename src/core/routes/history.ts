/**
 * The history of one cluster's routes: what the labels of its services asked for, each time after they came to rest. Endpoints are no
 * part of it. One Docker Config per revision; a core that starts reads them back.
 *
 *   labels change --5 s of quiet, at most 30 s--> differs from the newest revision? --> store it, remove the oldest beyond twenty
 */
import { digestRoutes, type RouteSet, serviceChanges } from '../../model/routes.ts';
import { createBackoff } from '../../runtime/backoff.ts';
import { createTrigger, fireOnEach, type Trigger } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isOperational, toError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logging.ts';
import { createOneAtATime } from '../../runtime/one-at-a-time.ts';
import type { Component } from '../../runtime/supervisor.ts';
import type { ExtensionBoard } from '../board.ts';
import type { EngineApi } from '../engine/engine-api.ts';
import { isHomeThere, type OwnPlace } from '../home.ts';
import { createSettling, type Pace, type Settling } from '../publish/settling.ts';
import { waitAtMost } from '../wait-at-most.ts';
import {
  type ConfigEngine,
  listStored,
  type Owner,
  packRoutes,
  removeStored,
  type Stored,
  storeOrJoin,
  summaryOf,
  unpackRoutes,
} from './stored.ts';

export interface RoutesTools {
  readonly engine: ConfigEngine & Pick<EngineApi, 'inspectService'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A stored revision with its routes, still packed: unpacked, those of 10,000 services take 4 MB. */
export interface HistoryEntry extends Stored {
  readonly packed: Uint8Array;
}

export interface History {
  /** Oldest first, as Swarm has them now; as they were last read while the engine is away. @throws OperationalError before they were ever read. */
  entries(signal: AbortSignal): Promise<readonly HistoryEntry[]>;
  readonly component: Component;
}

/** A deploy of several services is one revision, and a Swarm that never rests makes two a minute. */
const REVISION_PACE: Pace = { quietMs: 5_000, atMostMs: 30_000, apartMs: 0 };
const KEPT_REVISIONS = 20;
/** Between two looks at all labels, however fast services change. */
const LOOK_APART_MS = 500;

export function createHistory(
  { engine, clock, logger: root }: RoutesTools,
  home: OwnPlace,
  extension: ExtensionBoard,
): History {
  const owner: Owner = { extension: extension.settings.name, stack: home.stack, serviceName: home.serviceName };
  const logger = root.child({ area: 'history', ...owner, serviceCluster: extension.settings.serviceCluster });
  const alone = createOneAtATime();
  let known: readonly HistoryEntry[] | undefined;

  async function read(signal: AbortSignal): Promise<readonly HistoryEntry[]> {
    known = await readEntries(engine, owner, known ?? [], signal);
    return known;
  }

  async function readOrKnown(signal: AbortSignal): Promise<readonly HistoryEntry[]> {
    try {
      return await read(signal);
    } catch (error) {
      if (known === undefined || !isOperational(error)) {
        throw error;
      }
      logger.debug({ err: error }, 'history is as it was last read');
      return known;
    }
  }

  async function storeIfNew(routes: RouteSet, signal: AbortSignal): Promise<void> {
    const entries = await read(signal);
    const newest = entries.at(-1);
    if (!isNews(routes, newest) || !(await isHomeThere(engine, home, signal))) {
      return;
    }
    const before = (newest && unpackRoutes(newest.packed)) ?? { services: [] };
    const sequence = (newest?.sequence ?? 0) + 1;
    const wanted = {
      sequence,
      revision: sequence,
      digest: digestRoutes(routes),
      atMs: clock.now(),
      changes: summaryOf(serviceChanges(before, routes)),
      packed: packRoutes(routes),
    };
    const stored = await storeOrJoin(engine, 'routes', owner, wanted, signal);
    known = [...entries, { ...stored, packed: wanted.packed }];
    logger.info(
      { revision: stored.sequence, digest: wanted.digest.slice(0, 12), config: stored.name },
      'routes stored',
    );
    for (const old of known.slice(0, -KEPT_REVISIONS)) {
      await removeStored(engine, old, signal);
    }
    known = known.slice(-KEPT_REVISIONS);
  }

  return {
    entries: (signal) => alone(() => readOrKnown(signal)),
    component: {
      name: `history.${owner.extension}`,
      run: (signal) =>
        recordForEver(
          {
            extension,
            clock,
            logger,
            newest: () => known?.at(-1),
            storeIfNew: (routes, scope) => alone(() => storeIfNew(routes, scope)),
          },
          signal,
        ),
    },
  };
}

/** No revision tells of a Swarm in which nothing was ever routed. */
function isNews(routes: RouteSet, newest: Stored | undefined): boolean {
  return newest === undefined ? routes.services.length > 0 : newest.digest !== digestRoutes(routes);
}

/** The bytes of a Docker Config never change, so only those that are new are read. */
async function readEntries(
  engine: ConfigEngine,
  owner: Owner,
  known: readonly HistoryEntry[],
  signal: AbortSignal,
): Promise<readonly HistoryEntry[]> {
  const packedOf = new Map(known.map(({ configId, packed }) => [configId, packed]));
  const entries: HistoryEntry[] = [];
  for (const stored of await listStored(engine, 'routes', owner, signal)) {
    const packed = packedOf.get(stored.configId) ?? (await engine.readConfig(stored.configId, signal));
    if (packed !== undefined) {
      entries.push({ ...stored, packed });
    }
  }
  return entries;
}

interface Recorder {
  readonly extension: ExtensionBoard;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly newest: () => Stored | undefined;
  readonly storeIfNew: (routes: RouteSet, signal: AbortSignal) => Promise<void>;
}

async function recordForEver(recorder: Recorder, signal: AbortSignal): Promise<void> {
  const look = createTrigger();
  const scope = new AbortController();
  const either = AbortSignal.any([signal, scope.signal]);
  const firing = fireOnEach(recorder.extension.routes, look, either);
  try {
    await Promise.race([firing, lookForEver(recorder, look, either)]);
  } finally {
    scope.abort();
    await Promise.allSettled([firing]);
  }
}

async function lookForEver(recorder: Recorder, look: Trigger, signal: AbortSignal): Promise<void> {
  const { clock } = recorder;
  const settling = createSettling(clock, REVISION_PACE);
  let backoff = createBackoff(clock);
  for (;;) {
    backoff.begin();
    const waiting = await record(recorder, settling, backoff.streak() === 0, signal);
    if (waiting.kind === 'failed') {
      await backoff.wait(signal);
      continue;
    }
    backoff = createBackoff(clock); // a look is short: none would count as a healthy spell by its length
    if (waiting.kind === 'at-rest') {
      await look.wait(signal);
      await clock.sleep(LOOK_APART_MS, signal);
    } else if (await waitAtMost(waiting.ms, look, clock, signal)) {
      await clock.sleep(Math.min(waiting.ms, LOOK_APART_MS), signal);
    }
  }
}

type Waiting =
  | { readonly kind: 'at-rest' }
  | { readonly kind: 'settling'; readonly ms: number }
  | { readonly kind: 'failed' };

async function record(
  { extension, logger, newest, storeIfNew }: Recorder,
  settling: Settling,
  firstTry: boolean,
  signal: AbortSignal,
): Promise<Waiting> {
  const routes = extension.routes.get()?.();
  const isOpen = routes !== undefined && isNews(routes, newest());
  settling.note(isOpen ? digestRoutes(routes) : undefined);
  const ms = settling.dueInMs();
  if (!isOpen || ms > 0) {
    return isOpen ? { kind: 'settling', ms } : { kind: 'at-rest' };
  }
  try {
    await storeIfNew(routes, signal);
    settling.done();
    return { kind: 'at-rest' };
  } catch (error) {
    if (signal.aborted || !isOperational(error)) {
      throw error;
    }
    logger[firstTry && error.class !== 'conflict' ? 'warn' : 'debug'](
      { err: toError(error), code: error.code },
      'routes not stored',
    );
    // What the engine refuses for good (too large) it would refuse again: the next change is another one.
    return error.class === 'permanent' ? { kind: 'at-rest' } : { kind: 'failed' };
  }
}
