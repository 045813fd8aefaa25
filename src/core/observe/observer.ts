/**
 * Keeps the latest complete Snapshot. Level-triggered: an event only marks a part as stale, and stale parts are listed again, so a
 * lost or doubled event costs nothing but a list call. Nothing is handed out before every part was read once, and a failed list
 * leaves the last picture as it was.
 *
 *   events --\                         /-> services, nodes, networks, secrets (list calls)
 *   resync ---> stale parts -> refresh                                              \
 *   task feed ------------------------------------------------------> tasks ---------> Snapshot cell
 */
import type { Network, Node, Secret, Service, Snapshot, Task } from '../../model/snapshot.ts';
import { createBackoff } from '../../runtime/backoff.ts';
import { type Cell, createCell, createTrigger, type ReadableCell, type Trigger } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isOperational, toError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logging.ts';
import type { Component } from '../../runtime/supervisor.ts';
import { buildSnapshot } from '../../snapshot/snapshot.ts';
import type { EngineApi, EngineEvent } from '../engine/engine-api.ts';
import { convergingServices } from './converging.ts';
import { applyBatch, type TaskBatch, type TaskFeed } from './task-feed.ts';

/** The parts that are listed; tasks come through the feed. */
const LISTED = ['services', 'nodes', 'networks', 'secrets'] as const;
type Listed = (typeof LISTED)[number];

interface Parts {
  readonly services: readonly Service[] | undefined;
  readonly nodes: readonly Node[] | undefined;
  readonly networks: readonly Network[] | undefined;
  readonly secrets: readonly Secret[] | undefined;
  readonly tasks: ReadonlyMap<string, Task> | undefined;
}

export interface ObserverOptions {
  /** A full list of everything at least this often, in ms: part of correctness, because events get lost. */
  readonly resyncMs: number;
}

export interface Observer {
  readonly snapshots: ReadableCell<Snapshot>;
  readonly components: readonly Component[];
}

export function createObserver(
  engine: EngineApi,
  feed: TaskFeed,
  tools: { readonly clock: Clock; readonly logger: Logger },
  options: ObserverOptions,
): Observer {
  const cell = createCell<Snapshot>();
  const picture = createPicture(cell, tools.clock);
  const stale = createStaleParts();
  const lookNow = createTrigger();
  const markStale = (parts: readonly Listed[]): void => {
    stale.mark(parts);
    // Listing all tasks is the dearest call: a new network or secret moves none.
    if (parts.includes('services') || parts.includes('nodes')) {
      lookNow.fire();
    }
  };
  const context = {
    accept: (batch: TaskBatch) => picture.acceptTasks(batch),
    lookNow,
    converging: () => {
      const snapshot = cell.get();
      return snapshot === undefined ? [] : convergingServices(snapshot, tools.clock.now());
    },
  };
  return {
    snapshots: cell,
    components: [
      retried('events', tools, (signal) => followEvents(engine, markStale, signal)),
      retried('resync', tools, (signal) => resync(markStale, tools.clock, options.resyncMs, signal)),
      retried('lists', tools, (signal) => refreshStale(engine, stale, picture, signal)),
      retried('tasks', tools, (signal) => feed.run(context, signal)),
    ],
  };
}

/** A step that runs for ever and is started again with backoff when it breaks; one log line per change of state, and one per bug. */
function retried(
  name: string,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
  step: (signal: AbortSignal) => Promise<void>,
): Component {
  return {
    name: `observe.${name}`,
    async run(signal) {
      const backoff = createBackoff(clock);
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

/** Asked anew: the compiler takes the loop's own condition for granted across an await. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

async function followEvents(
  engine: EngineApi,
  markStale: (parts: readonly Listed[]) => void,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of engine.events(signal)) {
    markStale(partsTouchedBy(event));
  }
}

/** A fresh connection may have missed anything. A service's change may bring or take networks. */
function partsTouchedBy(event: EngineEvent): readonly Listed[] {
  switch (event.kind) {
    case 'connected':
      return LISTED;
    case 'service':
      return ['services'];
    case 'node':
      return ['nodes'];
    case 'network':
      return ['networks', 'services'];
    case 'secret':
      return ['secrets'];
    case 'config':
      return [];
  }
}

async function resync(
  markStale: (parts: readonly Listed[]) => void,
  clock: Clock,
  everyMs: number,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    markStale(LISTED);
    await clock.sleep(everyMs, signal);
  }
}

interface StaleParts {
  mark(parts: readonly Listed[]): void;
  /** Waits for stale parts and takes them. */
  take(signal: AbortSignal): Promise<readonly Listed[]>;
}

function createStaleParts(): StaleParts {
  const parts = new Set<Listed>();
  const trigger: Trigger = createTrigger();
  return {
    mark(stale) {
      for (const part of stale) {
        parts.add(part);
      }
      if (stale.length > 0) {
        trigger.fire();
      }
    },
    async take(signal) {
      while (parts.size === 0) {
        await trigger.wait(signal);
      }
      const taken = [...parts];
      parts.clear();
      return taken;
    },
  };
}

/**
 * Parts taken but not read (an error, a stop) are marked again, or a change would be lost until the next resync. What could be read
 * counts: one list that fails for long (an object of an unknown shape in it) does not freeze the others.
 */
async function refreshStale(
  engine: EngineApi,
  stale: StaleParts,
  picture: Picture,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const parts = await stale.take(signal);
    const outcomes = await Promise.allSettled(
      parts.map(async (part) => [part, await listPart(engine, part, signal)] as const),
    );
    stale.mark(parts.filter((_, at) => outcomes[at]?.status === 'rejected'));
    const lists = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    if (lists.length > 0) {
      picture.acceptLists(Object.fromEntries(lists));
    }
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) {
      throw toError(failed.reason);
    }
  }
}

function listPart(engine: EngineApi, part: Listed, signal: AbortSignal): Promise<Parts[Listed]> {
  switch (part) {
    case 'services':
      return engine.listServices(signal);
    case 'nodes':
      return engine.listNodes(signal);
    case 'networks':
      return engine.listNetworks(signal);
    case 'secrets':
      return engine.listSecrets(signal);
  }
}

interface Picture {
  acceptLists(lists: Partial<Omit<Parts, 'tasks'>>): void;
  acceptTasks(batch: TaskBatch): void;
}

/** Owns the parts; sets the cell when all are there and something differs from what was handed out last. */
function createPicture(cell: Cell<Snapshot>, clock: Clock): Picture {
  let parts: Parts = {
    services: undefined,
    nodes: undefined,
    networks: undefined,
    secrets: undefined,
    tasks: undefined,
  };
  let published = '';

  function publish(): void {
    const { services, nodes, networks, secrets, tasks } = parts;
    if (!services || !nodes || !networks || !secrets || !tasks) {
      return;
    }
    const snapshot = buildSnapshot({ services, nodes, networks, secrets, tasks: [...tasks.values()] }, clock.now());
    const identity = snapshotIdentity(snapshot);
    if (identity !== published) {
      published = identity;
      cell.set(snapshot);
    }
  }

  return {
    acceptLists(lists) {
      parts = { ...parts, ...lists };
      publish();
    },
    acceptTasks(batch) {
      // Without a complete list first, a partial batch would look like "there are no others".
      if (batch.kind === 'all' || parts.tasks !== undefined) {
        parts = { ...parts, tasks: applyBatch(parts.tasks ?? new Map(), batch) };
        publish();
      }
    },
  };
}

/** Version indexes change with every write of an object; networks carry none in the REST lists, so their names stand in. */
function snapshotIdentity(snapshot: Snapshot): string {
  const versions = (items: readonly { readonly id: string; readonly version: number }[]): string =>
    items
      .map(({ id, version }) => `${id}:${version}`)
      .sort()
      .join();
  const networks = snapshot.networks.map(({ id, name }) => `${id}:${name}`).sort();
  return [
    versions(snapshot.services),
    versions(snapshot.tasks),
    versions(snapshot.nodes),
    versions(snapshot.secrets),
    networks.join(),
  ].join('|');
}
