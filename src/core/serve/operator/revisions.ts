/** Stored routes for people: which revisions there are, what differs between two, and a cluster held at one of them. */
import { modelsOf } from '../../../labels/models.ts';
import { intentsOf } from '../../../labels/route-sets.ts';
import type { ClusterModel } from '../../../model/cluster.ts';
import { compareRoutes, digestRoutes, type RouteChange, type RouteSet, serviceChanges } from '../../../model/routes.ts';
import type { Snapshot } from '../../../model/snapshot.ts';
import type { ReadableCell } from '../../../runtime/cell.ts';
import type { Clock } from '../../../runtime/clock.ts';
import { OperationalError } from '../../../runtime/errors.ts';
import { definitionOf } from '../../../settings/cluster-definition.ts';
import { refusal } from '../../../wire/errors.ts';
import type {
  ClusterHistory,
  CompareReport,
  CompareRequest,
  PinView,
  RevisionsReport,
  RevisionsRequest,
  RollbackReport,
  RollbackRequest,
  RouteRevision,
  UnpinReport,
  UnpinRequest,
} from '../../../wire/revisions.ts';
import type { Board, ExtensionBoard } from '../../board.ts';
import type { History, HistoryEntry } from '../../routes/history.ts';
import type { Pins } from '../../routes/pins.ts';
import { NO_CHANGES, summaryOf, unpackRoutes } from '../../routes/stored.ts';

export interface RevisionParts {
  readonly board: Board;
  readonly snapshots: ReadableCell<Snapshot>;
  /** By extension. */
  readonly histories: ReadonlyMap<string, History>;
  readonly pins: Pins;
  readonly clock: Pick<Clock, 'now'>;
}

export async function revisionsReport(
  parts: RevisionParts,
  { cluster }: RevisionsRequest,
  signal: AbortSignal,
): Promise<RevisionsReport> {
  const chosen = cluster === undefined ? [...parts.board.extensions.values()] : [clusterNamed(parts.board, cluster)];
  return { clusters: await Promise.all(chosen.map((extension) => historyOf(parts, extension, signal))) };
}

async function historyOf(
  parts: RevisionParts,
  extension: ExtensionBoard,
  signal: AbortSignal,
): Promise<ClusterHistory> {
  const shelf = await shelfOf(parts, extension, signal);
  const stored = [...shelf.entries].reverse().map((entry) => revisionOf(shelf, entry));
  const isStored = stored[0]?.live === true || (stored.length === 0 && shelf.live.services.length === 0);
  return {
    ...refOf(extension),
    revisions: isStored ? stored : [liveRevision(shelf), ...stored],
    pin: viewOf(shelf.pin),
  };
}

export async function compareReport(
  parts: RevisionParts,
  { cluster, before, after, models }: CompareRequest,
  signal: AbortSignal,
): Promise<CompareReport> {
  const extension = clusterNamed(parts.board, cluster);
  const shelf = await shelfOf(parts, extension, signal);
  const [old, now] = [find(shelf, before), find(shelf, after)];
  return {
    ...refOf(extension),
    before: old.revision,
    after: now.revision,
    changes: changesBetween(old, now),
    models: models
      ? { before: modelOf(parts, extension, old.routes), after: modelOf(parts, extension, now.routes) }
      : undefined,
  };
}

export async function rollback(
  parts: RevisionParts,
  { cluster, revision, dryRun }: RollbackRequest,
  signal: AbortSignal,
): Promise<RollbackReport> {
  const extension = clusterNamed(parts.board, cluster);
  const shelf = await shelfOf(parts, extension, signal);
  const [served, wanted] = [find(shelf, 'served'), find(shelf, revision)];
  const report = { ...refOf(extension), revision: wanted.revision, changes: changesBetween(served, wanted) };
  if (digestRoutes(served.routes) === digestRoutes(wanted.routes)) {
    return { ...report, outcome: 'unchanged' };
  }
  if (dryRun) {
    return { ...report, outcome: 'would-pin' };
  }
  if (wanted.entry === undefined) {
    throw refusal('precondition', `"${revision}" is what the labels ask for: let go of the pin with "interlock unpin"`);
  }
  await parts.pins.pin(extension, wanted.entry, signal);
  return { ...report, outcome: 'pinned' };
}

export async function unpin(
  parts: RevisionParts,
  { cluster }: UnpinRequest,
  signal: AbortSignal,
): Promise<UnpinReport> {
  const extension = clusterNamed(parts.board, cluster);
  const shelf = await shelfOf(parts, extension, signal);
  const changes = shelf.pin === null ? [] : changesBetween(find(shelf, 'served'), find(shelf, 'live'));
  await parts.pins.unpin(extension, signal);
  return { ...refOf(extension), was: viewOf(shelf.pin), changes };
}

function refOf({ settings }: ExtensionBoard) {
  return { extension: settings.name, serviceCluster: settings.serviceCluster };
}

/** By service cluster, else by the extension's name; `undefined` means the only one. */
function clusterNamed(board: Board, name: string | undefined): ExtensionBoard {
  const all = [...board.extensions.values()];
  const found =
    name === undefined
      ? all
      : (nonEmpty(all.filter(({ settings }) => settings.serviceCluster === name)) ??
        all.filter(({ settings }) => settings.name === name));
  const [only] = found;
  if (only !== undefined && found.length === 1) {
    return only;
  }
  const names = all.map(({ settings }) => `"${settings.serviceCluster}"`).join(', ');
  throw name === undefined
    ? refusal('malformed', `there are several service clusters: name one of ${names} with --cluster`)
    : refusal('not-found', `there is no service cluster "${name}"; there are ${names}`);
}

function nonEmpty<Item>(list: readonly Item[]): readonly Item[] | undefined {
  return list.length === 0 ? undefined : list;
}

/** All route sets of one cluster that can be meant. */
interface Shelf {
  /** Oldest first. */
  readonly entries: readonly HistoryEntry[];
  readonly pin: NonNullable<ReturnType<ExtensionBoard['pin']['get']>> | null;
  /** What the labels ask for. */
  readonly live: RouteSet;
  readonly liveDigest: string;
  readonly nowMs: number;
}

async function shelfOf(
  { histories, clock }: RevisionParts,
  { settings, pin, routes }: ExtensionBoard,
  signal: AbortSignal,
): Promise<Shelf> {
  const live = routes.get()?.();
  const known = pin.get();
  if (live === undefined || known === undefined) {
    throw new OperationalError('WIRE.UNREACHABLE', 'core has not seen all of Swarm yet');
  }
  const entries = (await histories.get(settings.name)?.entries(signal)) ?? [];
  return { entries, pin: known, live, liveDigest: digestRoutes(live), nowMs: clock.now() };
}

function viewOf(pin: Shelf['pin']): PinView | undefined {
  return pin === null ? undefined : { revision: pin.revision, digest: pin.digest, sinceMs: pin.sinceMs };
}

function revisionOf(
  { entries, pin, liveDigest }: Shelf,
  { sequence, digest, atMs, changes }: HistoryEntry,
): RouteRevision {
  const live = digest === liveDigest && sequence === entries.at(-1)?.sequence;
  return {
    number: sequence,
    digest,
    atMs,
    ...changes,
    live,
    served: pin === null ? live : pin.revision === sequence && pin.digest === digest,
  };
}

/** What the labels ask for: the newest revision, or one that is still coming to rest. */
function liveRevision(shelf: Shelf): RouteRevision {
  const { entries, pin, live, liveDigest: digest, nowMs: atMs } = shelf;
  const newest = entries.at(-1);
  if (newest?.digest === digest) {
    return revisionOf(shelf, newest);
  }
  const before = newest && unpackRoutes(newest.packed);
  const changes = summaryOf(serviceChanges(before ?? { services: [] }, live));
  return { number: 0, digest, atMs, ...changes, live: true, served: pin === null };
}

interface Found {
  readonly revision: RouteRevision;
  readonly routes: RouteSet;
  /** Missing: not in history. */
  readonly entry: HistoryEntry | undefined;
}

/** @throws a refusal that says what there is. */
function find(shelf: Shelf, text: string): Found {
  switch (text) {
    case 'live':
      return { revision: liveRevision(shelf), routes: shelf.live, entry: undefined };
    case 'served':
      return shelf.pin === null ? find(shelf, 'live') : pinned(shelf, shelf.pin);
    case 'previous':
      return stored(shelf, previous(shelf));
    default:
      return stored(shelf, named(shelf, text));
  }
}

function stored(shelf: Shelf, entry: HistoryEntry): Found {
  const routes = unpackRoutes(entry.packed);
  if (routes === undefined) {
    throw refusal('precondition', `revision ${entry.sequence} cannot be read: ${entry.name} is damaged`);
  }
  return { revision: revisionOf(shelf, entry), routes, entry };
}

/** A pin holds its own copy: its revision may have left history. */
function pinned(shelf: Shelf, { revision, digest, sinceMs, routes }: NonNullable<Shelf['pin']>): Found {
  const entry = shelf.entries.find((one) => one.sequence === revision && one.digest === digest);
  return {
    routes,
    entry,
    revision:
      entry === undefined
        ? { number: revision, digest, atMs: sinceMs, ...NO_CHANGES, live: digest === shelf.liveDigest, served: true }
        : revisionOf(shelf, entry),
  };
}

/** The newest one before what is served that is something else. */
function previous({ entries, pin, liveDigest }: Shelf): HistoryEntry {
  const [digest, below] = pin === null ? [liveDigest, Number.POSITIVE_INFINITY] : [pin.digest, pin.revision];
  const found = [...entries].reverse().find((entry) => entry.sequence < below && entry.digest !== digest);
  if (found === undefined) {
    throw refusal('not-found', 'history holds nothing older than what is served');
  }
  return found;
}

const SHORTEST_DIGEST = 4;

function named(shelf: Shelf, text: string): HistoryEntry {
  const byNumber = shelf.entries.filter(({ sequence }) => String(sequence) === text);
  const isDigest = text.length >= SHORTEST_DIGEST && /^[0-9a-f]+$/.test(text);
  const byDigest = isDigest ? shelf.entries.filter(({ digest }) => digest.startsWith(text)) : [];
  const found = byNumber.length > 0 ? byNumber : byDigest;
  const digests = new Set(found.map(({ digest }) => digest));
  const newest = found.at(-1);
  if (newest !== undefined && digests.size === 1) {
    return newest;
  }
  const [oldest, youngest] = [shelf.entries[0]?.sequence, shelf.entries.at(-1)?.sequence];
  const there =
    oldest === undefined ? 'history is empty' : `there are ${oldest} to ${youngest}; see "interlock revisions"`;
  throw digests.size > 1
    ? refusal('malformed', `"${text}" is the beginning of several revisions' digests: write more of it`)
    : refusal('not-found', `there is no revision "${text}": ${there}`);
}

function changesBetween(before: Found, after: Found): readonly RouteChange[] {
  return compareRoutes(intentsOf(before.routes), intentsOf(after.routes));
}

/** With the endpoints of now, so that two models differ by their routes alone. */
function modelOf({ snapshots }: RevisionParts, { settings }: ExtensionBoard, routes: RouteSet): ClusterModel {
  const snapshot = snapshots.get();
  const definition = definitionOf(settings);
  const [model] =
    snapshot === undefined
      ? []
      : modelsOf(snapshot, [definition], new Map([[settings.serviceCluster, routes]])).built.models;
  if (model === undefined) {
    throw new OperationalError('WIRE.UNREACHABLE', 'core has not seen all of Swarm yet');
  }
  return model;
}
