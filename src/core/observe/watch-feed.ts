/**
 * The feed that hears of every change as it happens: the manager's watch API. One run is one stream:
 *
 *   open --> ready --> list everything --> live --> a list every `driftMs`, held against what was heard; and one of the services that
 *                 \--> replay (after a break) --/           a proxy could not reach
 *
 * Changes are taken as fast as they come, folded by object, and handed to the picture once per turn of the event loop: what waits is
 * bounded by the number of objects, and the manager never waits for us.
 */
import { isOperational, OperationalError, toError } from '../../runtime/errors.ts';
import type { Change } from '../../swarmkit/changes.ts';
import { type WatchSwarm, watchFailure, whyLost } from '../../swarmkit/watch-client.ts';
import type { EngineApi } from '../engine/engine-api.ts';
import { waitForAny } from '../wait-at-most.ts';
import type { Learnt, Picture } from './picture.ts';
import type { ObserveTools } from './retried.ts';
import type { TaskFeedContext } from './task-feed.ts';

export interface WatchFeedOptions {
  readonly socketPath: string;
  /** Between two lists of everything, in ms. */
  readonly driftMs: number;
  /** Hears how many changes a drift check found. */
  readonly onRepairs?: ((repairs: number) => void) | undefined;
}

export interface WatchListener {
  /** Everything is known from now on. Called again with another reason when drift was found. */
  onLive(reason: string): void;
}

export interface WatchFeed {
  /** One stream, until it breaks: throws OperationalError (FEED.LOST, ENGINE.*), or the signal's reason. */
  run(context: TaskFeedContext, listener: WatchListener, signal: AbortSignal): Promise<never>;
}

/** The manager answers at once, or not at all. */
const READY_MS = 5_000;

/** What outlives a stream. */
interface Memory {
  /** The highest version heard of; where a new stream goes on. */
  heard: number;
  /** Whose log `heard` belongs to. */
  trustRoot: string | undefined;
  /** Everything was listed, and nothing misread since: a replay of what came after `heard` is enough. */
  whole: boolean;
  /** How many changes only the drift check found. */
  repairs: number;
}

export function createWatchFeed(
  engine: EngineApi,
  watch: WatchSwarm,
  tools: ObserveTools,
  options: WatchFeedOptions,
): WatchFeed {
  const memory: Memory = { heard: 0, trustRoot: undefined, whole: false, repairs: 0 };
  return {
    async run(context, listener, signal) {
      try {
        return await oneStream({ engine, watch, tools, options, memory, context, listener }, signal);
      } catch (error) {
        memory.whole &&= canGoOn(error);
        if (whyLost(error) === 'other-history') {
          forgetHistory(memory, context);
        }
        throw error;
      }
    },
  };
}

function forgetHistory(memory: Memory, { picture }: TaskFeedContext): void {
  picture.forgetVersions();
  memory.heard = 0;
  memory.whole = false;
}

/** After these nothing was misread, so a replay closes the gap. */
function canGoOn(error: unknown): boolean {
  const why = whyLost(error);
  return why === undefined
    ? isOperational(error)
    : why === 'ended' || why === 'no-socket' || why === 'refused' || why === 'not-mounted';
}

interface Stream {
  readonly engine: EngineApi;
  readonly watch: WatchSwarm;
  readonly tools: ObserveTools;
  readonly options: WatchFeedOptions;
  readonly memory: Memory;
  readonly context: TaskFeedContext;
  readonly listener: WatchListener;
}

async function oneStream(stream: Stream, signal: AbortSignal): Promise<never> {
  const { engine, watch, tools, options, memory, context } = stream;
  const scope = new AbortController();
  const either = AbortSignal.any([signal, scope.signal]);
  const inbox = createInbox(context, memory);
  const asked = { resumed: false };
  const ready = createLatch();

  const trustRoot = (asking: AbortSignal): Promise<string> => trustRootOf(engine, asking);
  const resumeFrom = (root: string): number | undefined => {
    // Another authority is another Swarm, whose versions mean something else.
    if (memory.trustRoot !== undefined && memory.trustRoot !== root) {
      forgetHistory(memory, context);
    }
    memory.trustRoot = root;
    asked.resumed = memory.whole && memory.heard > 0;
    return asked.resumed ? memory.heard : undefined;
  };
  const heard = watch(
    { socketPath: options.socketPath, trustRoot, resumeFrom },
    { onReady: () => ready.open(), onChanges: (changes) => inbox.put(changes) },
    either,
  );
  const work = async (): Promise<never> => {
    await Promise.race([ready.opened, tooLate(tools, either)]);
    if (!asked.resumed) {
      memory.whole = false;
      await listEverything(engine, context.picture, inbox, either);
      memory.whole = true;
    }
    return await stayLive(stream, inbox, { checkNow: asked.resumed }, either);
  };
  const working = work();
  try {
    return await Promise.race([heard, working]);
  } finally {
    scope.abort();
    inbox.close();
    await Promise.allSettled([heard, working]);
  }
}

async function trustRootOf(engine: EngineApi, signal: AbortSignal): Promise<string> {
  const { trustRoot, isManager } = await engine.info(signal);
  if (trustRoot === undefined) {
    throw watchFailure('no-socket', `this engine ${isManager ? 'names no trust root' : 'is no Swarm manager'}`);
  }
  return trustRoot;
}

/** Never resolves. */
async function tooLate({ clock }: ObserveTools, signal: AbortSignal): Promise<never> {
  await clock.sleep(READY_MS, signal);
  throw watchFailure('refused', `the control socket does not answer within ${READY_MS / 1_000} s`);
}

interface Latch {
  readonly opened: Promise<void>;
  open(): void;
}

function createLatch(): Latch {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

// --- what the stream tells ------------------------------------------------------------------------------------------------------

interface Inbox {
  put(changes: readonly Change[]): void;
  /** Hands over what waits. */
  flush(): void;
  close(): void;
  /** Ids of removed objects that the stream told of since the last call. */
  takeRemoved(): ReadonlySet<string>;
}

/** The newest change of each object, until the end of this turn of the event loop. */
function createInbox({ picture, refresh }: TaskFeedContext, memory: Memory): Inbox {
  const waiting = new Map<string, Change>();
  const removed = new Set<string>();
  let turn: NodeJS.Immediate | undefined;

  function flush(): void {
    clearImmediate(turn);
    turn = undefined;
    if (waiting.size === 0) {
      return;
    }
    const changes = [...waiting.values()];
    waiting.clear();
    picture.applyChanges(changes);
    if (changes.some(needsLists)) {
      refresh(['nodes']);
    }
  }

  return {
    put(changes) {
      for (const change of changes) {
        memory.heard = Math.max(memory.heard, change.version);
        waiting.set(change.id, change); // ids are unique across kinds
        if (change.action === 'remove') {
          removed.add(change.id);
        }
      }
      turn ??= setImmediate(flush);
    },
    flush,
    close() {
      flush(); // heard is heard: a later replay begins behind it
    },
    takeRemoved() {
      const taken = new Set(removed);
      removed.clear();
      return taken;
    },
  };
}

/** The stream does not tell the address of a manager that talks to itself. */
function needsLists(change: Change): boolean {
  return change.kind === 'node' && change.action === 'upsert' && change.part.address === undefined;
}

// --- what the lists tell --------------------------------------------------------------------------------------------------------

/** Every kind that the stream tells of. @throws OperationalError ENGINE.* */
async function listEverything(
  engine: EngineApi,
  picture: Picture,
  inbox: Inbox,
  signal: AbortSignal,
): Promise<readonly Learnt[]> {
  const since = picture.mark();
  const [services, nodes, networks, tasks] = await Promise.all([
    engine.listServices(signal, { known: picture.known.services }),
    engine.listNodes(signal),
    engine.listNetworks(signal),
    engine.listTasks(signal, { known: picture.known.tasks }),
  ]);
  // What was heard meanwhile is not news of the lists.
  inbox.flush();
  // Networks and nodes first, so that no task is seen without the ones it is on.
  return [
    ...picture.acceptLists({ networks, nodes, services }, since),
    ...picture.acceptTasks({ kind: 'all', tasks }, since),
  ];
}

/** The tasks of some services alone. @throws OperationalError ENGINE.* */
function listTasksOf(serviceIds: readonly string[]): typeof listEverything {
  return async (engine, picture, inbox, signal) => {
    const since = picture.mark();
    const tasks = await engine.listTasks(signal, { serviceIds, known: picture.known.tasks });
    inbox.flush();
    return picture.acceptTasks({ kind: 'services', serviceIds, tasks }, since);
  };
}

async function stayLive(
  stream: Stream,
  inbox: Inbox,
  { checkNow }: { readonly checkNow: boolean },
  signal: AbortSignal,
): Promise<never> {
  const { tools, options, memory, listener } = stream;
  const { clock } = tools;
  const { looks } = stream.context;
  let open: readonly Question[] = [];
  let nextCheckAt = clock.monotonic() + (checkNow ? 0 : options.driftMs);
  listener.onLive(reasonOf(memory));
  for (;;) {
    if (clock.monotonic() >= nextCheckAt) {
      open = await checkDrift(stream, inbox, open, 'everything', signal);
      nextCheckAt = clock.monotonic() + options.driftMs;
    }
    const suspects = looks.due();
    open = await checkDrift(stream, inbox, open, suspects, signal);
    looks.looked(suspects);
    const leftMs = Math.min(nextCheckAt - clock.monotonic(), looks.nextInMs(), overdueInMs(open, clock.monotonic()));
    await waitForAny(Math.max(0, leftMs), [looks.trigger], clock, signal);
  }
}

function reasonOf({ repairs }: Memory): string {
  const drift = repairs === 0 ? '' : `; ${repairs} changes were found by the drift check only`;
  return `the manager's control socket answers${drift}`;
}

/** What a check could not judge yet, because the stream may have been about to tell it: a version, or the id of what is gone. */
type Question = { readonly atMs: number } & ({ readonly version: number } | { readonly goneId: string });

/** The stream tells within ms, and a manager under load within a second or two. */
const OVERDUE_MS = 10_000;

/** Until the first question is overdue. */
function overdueInMs(open: readonly Question[], nowMs: number): number {
  return open.reduce((first, { atMs }) => Math.min(first, atMs + OVERDUE_MS - nowMs), Number.POSITIVE_INFINITY);
}

/**
 * Lists everything, or the tasks of some services, and holds it against what the stream told. The stream keeps the order of versions: what
 * the list has with a lower version than the stream has reached, the stream left out. What is higher may be on its way; when it still is
 * some time later, the stream stands still. Returns what is open then.
 * @throws OperationalError FEED.LOST when the stream left something out: a new one begins with a list.
 */
async function checkDrift(
  { engine, context, memory, listener, options, tools }: Stream,
  inbox: Inbox,
  before: readonly Question[],
  what: 'everything' | readonly string[],
  signal: AbortSignal,
): Promise<readonly Question[]> {
  const removed = inbox.takeRemoved();
  const open = before.filter((one) => ('version' in one ? one.version > memory.heard : !removed.has(one.goneId)));
  const overdue = open.filter(({ atMs }) => tools.clock.monotonic() - atMs >= OVERDUE_MS).length;
  const list = what === 'everything' ? listEverything : listTasksOf(what);
  const learnt =
    what.length === 0 ? [] : await quietly(() => list(engine, context.picture, inbox, signal), tools, signal);
  // Networks carry no version in the lists, those of the engine itself are not on the stream at all; nodes get addresses from lists.
  const judged = learnt.filter(({ kind }) => kind === 'services' || kind === 'tasks');
  const missed = judged.filter(({ gone, version }) => !gone && version !== undefined && version < memory.heard);
  const repairs = missed.length + overdue;
  if (repairs > 0) {
    memory.repairs += repairs;
    options.onRepairs?.(repairs);
    listener.onLive(reasonOf(memory));
    tools.logger.warn({ area: 'feed', repairs, total: memory.repairs, missed: missed.slice(0, 5) }, 'drift repaired');
    throw watchFailure('broken', `the drift check found ${repairs} changes that the stream had left out`);
  }
  const atMs = tools.clock.monotonic();
  const asked = judged.flatMap(({ gone, id, version }): readonly Question[] =>
    gone ? [{ atMs, goneId: id }] : version === undefined ? [] : [{ atMs, version }],
  );
  return [...open, ...asked];
}

/** Managers without a leader cannot list; nothing changes then either, so the stream is kept. */
async function quietly(
  list: () => Promise<readonly Learnt[]>,
  { logger }: ObserveTools,
  signal: AbortSignal,
): Promise<readonly Learnt[]> {
  try {
    return await list();
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof OperationalError)) {
      throw error;
    }
    logger.debug({ area: 'feed', err: toError(error) }, 'drift check not possible');
    return [];
  }
}
