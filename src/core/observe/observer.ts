/**
 * Keeps the latest complete Snapshot. Level-triggered: an event only marks a part as stale, and stale parts are listed again, so a
 * lost or doubled event costs nothing but a list call. Nothing is handed out before every part was read once, and a failed list
 * leaves the last picture as it was.
 *
 *   events --\                         /-> services, nodes, networks, secrets (list calls)
 *   resync ---> stale parts -> refresh                                               \
 *   poll: tasks of converging services, all tasks -----------------------------------> picture --> Snapshot cell
 *   watch: services, tasks, nodes, networks, one by one as they change ---------------/
 *   looks: tasks of services that proxies could not reach, by poll and beside the watch
 *
 * While the watch is live, only secrets are listed because of events: the watch tells of everything else, and checks itself.
 */
import type { Snapshot, Task } from '../../model/snapshot.ts';
import { createCell, createTrigger, type ReadableCell, type Trigger } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import { toError } from '../../runtime/errors.ts';
import type { Component } from '../../runtime/supervisor.ts';
import type { EngineApi, EngineEvent } from '../engine/engine-api.ts';
import { waitAtMost } from '../wait-at-most.ts';
import { convergingServices } from './converging.ts';
import { createLooks, type LooksParts } from './looks.ts';
import { createPicture, LISTED, type Listed, type Lists, type Picture } from './picture.ts';
import { type ObserveTools, retried } from './retried.ts';
import type { FeedChoice } from './task-feed.ts';

export interface ObserverOptions {
  /** A full list of everything at least this often, in ms: part of correctness, because events get lost. */
  readonly resyncMs: number;
  readonly onLooked?: LooksParts['onLooked'];
}

export interface Observer {
  readonly snapshots: ReadableCell<Snapshot>;
  /**
   * Has the tasks of these services listed soon: somebody could not reach them. Bounded, however often it is called; names of no service
   * are passed over.
   */
  readonly lookAt: (serviceNames: readonly string[]) => void;
  readonly components: readonly Component[];
}

export function createObserver(
  engine: EngineApi,
  feed: FeedChoice,
  tools: ObserveTools,
  options: ObserverOptions,
): Observer {
  const cell = createCell<Snapshot>();
  const picture = createPicture(cell, tools.clock);
  const stale = createStaleParts();
  const lookNow = createTrigger();
  const servicesListed = createTrigger();
  const connected = createTrigger();
  const looks = createLooks({ clock: tools.clock, tasksOf: (id) => picture.tasksOf(id), onLooked: options.onLooked });
  const markStale = (parts: readonly Listed[]): void => {
    stale.mark(feed.watching() ? parts.filter((part) => part === 'secrets') : parts);
    // Listing all tasks is the dearest call: a new network or secret moves none.
    if (parts.includes('services') || parts.includes('nodes')) {
      lookNow.fire();
    }
  };
  const context = {
    picture,
    lookNow,
    servicesListed,
    looks,
    converging: () => {
      const snapshot = cell.get();
      return snapshot === undefined ? [] : convergingServices(snapshot, tools.clock.now());
    },
    missesServiceOf: (tasks: readonly Task[]) => {
      const snapshot = cell.get();
      const known = new Set(snapshot?.services.map(({ id }) => id));
      return (
        snapshot !== undefined &&
        tasks.some(({ serviceId, desiredState }) => desiredState === 'running' && !known.has(serviceId))
      );
    },
    refresh: (parts: readonly Listed[]) => stale.mark(parts),
  };
  return {
    snapshots: cell,
    lookAt(names) {
      const wanted = new Set(names);
      looks.note((cell.get()?.services ?? []).flatMap(({ id, name }) => (wanted.has(name) ? [id] : [])));
    },
    components: [
      retried('events', tools, (signal) => followEvents(engine, markStale, connected, signal)),
      retried('resync', tools, (signal) => resync(markStale, connected, tools.clock, options.resyncMs, signal)),
      retried('lists', tools, (signal) => refreshStale(engine, { stale, picture, servicesListed }, signal)),
      ...feed.components(context),
    ],
  };
}

async function followEvents(
  engine: EngineApi,
  markStale: (parts: readonly Listed[]) => void,
  connected: Trigger,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of engine.events(signal)) {
    markStale(partsTouchedBy(event));
    if (event.kind === 'connected') {
      connected.fire();
    }
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

/** Who has just subscribed lists everything anyway: at the start it is listed once, unless the events are late. */
const UNTIL_CONNECTED_MS = 500;

async function resync(
  markStale: (parts: readonly Listed[]) => void,
  connected: Trigger,
  clock: Clock,
  everyMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (!(await waitAtMost(UNTIL_CONNECTED_MS, connected, clock, signal))) {
    markStale(LISTED);
  }
  for (;;) {
    await clock.sleep(everyMs, signal);
    markStale(LISTED);
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
  { stale, picture, servicesListed }: { stale: StaleParts; picture: Picture; servicesListed: Trigger },
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const parts = await stale.take(signal);
    const since = picture.mark();
    const outcomes = await Promise.allSettled(
      parts.map(async (part) => [part, await listPart(engine, part, picture, signal)] as const),
    );
    stale.mark(parts.filter((_, at) => outcomes[at]?.status === 'rejected'));
    const lists = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const learnt = lists.length > 0 ? picture.acceptLists(Object.fromEntries(lists), since) : [];
    if (learnt.some(({ kind }) => kind === 'services')) {
      servicesListed.fire();
    }
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) {
      throw toError(failed.reason);
    }
  }
}

function listPart(engine: EngineApi, part: Listed, { known }: Picture, signal: AbortSignal): Promise<Lists[Listed]> {
  switch (part) {
    case 'services':
      return engine.listServices(signal, { known: known.services });
    case 'nodes':
      return engine.listNodes(signal);
    case 'networks':
      return engine.listNetworks(signal);
    case 'secrets':
      return engine.listSecrets(signal);
  }
}
