/**
 * Route sets in Swarm, as Docker Configs: revisions of history and pins. What one is, its labels say; its bytes are the route set as
 * packed JSON. They carry core's own stack, so that `docker stack rm` takes them along, and another stack's mean nothing here.
 */
import { gunzipSync, gzipSync } from 'node:zlib';
import { parseRoutes, routesText } from '../../labels/route-sets.ts';
import { compareText } from '../../model/cluster.ts';
import type { RouteSet, ServiceChanges } from '../../model/routes.ts';
import { isOperational } from '../../runtime/errors.ts';
import { slugOf } from '../../settings/slug.ts';
import { refusal } from '../../wire/errors.ts';
import type { ConfigObject, EngineApi } from '../engine/engine-api.ts';
import { homeLabels, type Identity, mayBeOfHome } from '../publish/home-labels.ts';
import { LABELS, TYPES } from '../publish/names.ts';

export type ConfigEngine = Pick<EngineApi, 'listConfigs' | 'readConfig' | 'createConfig' | 'removeConfig'>;

export type StoredKind = 'routes' | 'pin';

/** Whose: of which table of config.toml, in which stack (`undefined`: core runs outside of any, by its own service's name). */
export interface Owner extends Identity {
  readonly extension: string;
}

/** One Docker Config that holds a route set. */
export interface Stored {
  readonly extension: string;
  readonly configId: string;
  readonly name: string;
  /** Of history: its number. Of a pin: the order among pins. */
  readonly sequence: number;
  /** Of the route set; 64 hex digits. */
  readonly digest: string;
  /** Of a revision: when it was stored. Of a pin: since when. In ms since the epoch. */
  readonly atMs: number;
  /** Of a pin: the number of the revision that it holds on to. */
  readonly revision: number;
  /** What it changed against the revision before. */
  readonly changes: ChangeSummary;
}

/** How many services, and the names of the first few. */
export interface ChangeSummary {
  readonly added: NameList;
  readonly changed: NameList;
  readonly removed: NameList;
}

export interface NameList {
  readonly count: number;
  readonly names: readonly string[];
}

const EXTRA = {
  /** Of the route set: no artifact's, so not the label of one. */
  digest: 'com.docker.interlock.routes-digest',
  at: 'com.docker.interlock.at',
  revision: 'com.docker.interlock.revision',
  changes: 'com.docker.interlock.changes',
} as const;

const MOST_NAMES = 5;

export function summaryOf({ added, changed, removed }: ServiceChanges): ChangeSummary {
  const list = (names: readonly string[]): NameList => ({ count: names.length, names: names.slice(0, MOST_NAMES) });
  return { added: list(added), changed: list(changed), removed: list(removed) };
}

export const NO_CHANGES: ChangeSummary = summaryOf({ added: [], changed: [], removed: [] });

export function packRoutes(routes: RouteSet): Uint8Array {
  return gzipSync(routesText(routes), { level: 9 });
}

/** 64 MiB: more than any Swarm's labels, and little enough for bytes that somebody else may have written. */
const MOST_BYTES = 64 * 1024 * 1024;

/** `undefined` for bytes that are no route set. */
export function unpackRoutes(packed: Uint8Array): RouteSet | undefined {
  try {
    return parseRoutes(gunzipSync(packed, { maxOutputLength: MOST_BYTES }).toString('utf8'));
  } catch {
    return undefined; // not gzip, or too much of it
  }
}

/** Oldest first. Configs whose labels were damaged are left out. */
export async function listStored(
  engine: ConfigEngine,
  kind: StoredKind,
  owner: Owner,
  signal: AbortSignal,
): Promise<readonly Stored[]> {
  return (await listAll(engine, kind, owner, signal)).stored;
}

/** A config of this kind whose other labels were damaged, or are those of another version of ours. */
export type Damaged = Pick<Stored, 'extension' | 'configId' | 'name'>;

export interface Listed {
  /** Oldest first. */
  readonly stored: readonly Stored[];
  readonly damaged: readonly Damaged[];
}

/** Without an extension: those of all. */
export async function listAll(
  engine: ConfigEngine,
  kind: StoredKind,
  { extension, ...home }: Identity & Partial<Owner>,
  signal: AbortSignal,
): Promise<Listed> {
  const ofExtension = extension === undefined ? LABELS.extension : `${LABELS.extension}=${extension}`;
  const configs = await engine.listConfigs([`${LABELS.type}=${TYPES[kind]}`, ofExtension], signal);
  const own = configs.filter(({ labels }) => mayBeOfHome(labels, home));
  return {
    stored: own
      .flatMap((config) => storedOf(config) ?? [])
      .sort((a, b) => a.sequence - b.sequence || compareText(a.digest, b.digest)),
    damaged: own
      .filter((config) => storedOf(config) === undefined)
      .map(({ id, name, labels }) => ({ extension: labels[LABELS.extension] ?? '', configId: id, name })),
  };
}

function storedOf({ id, name, labels }: ConfigObject): Stored | undefined {
  const sequence = wholeNumber(labels[LABELS.sequence]);
  const digest = labels[EXTRA.digest] ?? '';
  return sequence === undefined || !/^[0-9a-f]{64}$/.test(digest)
    ? undefined
    : {
        extension: labels[LABELS.extension] ?? '',
        configId: id,
        name,
        sequence,
        digest,
        atMs: wholeNumber(labels[EXTRA.at]) ?? 0,
        revision: wholeNumber(labels[EXTRA.revision]) ?? sequence,
        changes: changesOf(labels[EXTRA.changes]),
      };
}

function wholeNumber(text = ''): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function changesOf(text = ''): ChangeSummary {
  const value = parseJson(text);
  return {
    added: nameListOf(value, 'added'),
    changed: nameListOf(value, 'changed'),
    removed: nameListOf(value, 'removed'),
  };
}

function nameListOf(value: unknown, key: string): NameList {
  const list = member(value, key);
  const [count, names] = [member(list, 'count'), member(list, 'names')];
  return {
    count: typeof count === 'number' && Number.isSafeInteger(count) && count >= 0 ? count : 0,
    names: Array.isArray(names) ? names.filter((name) => typeof name === 'string').slice(0, MOST_NAMES) : [],
  };
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // somebody edited the label: what changed is not known
  }
}

export interface NewStored extends Omit<Stored, 'extension' | 'configId' | 'name'> {
  readonly packed: Uint8Array;
}

/** @throws OperationalError ENGINE.NAME_TAKEN when another core stored the same first. */
export async function store(
  engine: ConfigEngine,
  kind: StoredKind,
  { extension, ...home }: Owner,
  { packed, ...wanted }: NewStored,
  signal: AbortSignal,
): Promise<Stored> {
  const { sequence, digest, atMs, revision, changes } = wanted;
  const name = storedName(kind, extension, sequence, digest);
  const labels = {
    ...homeLabels(home),
    [LABELS.type]: TYPES[kind],
    [LABELS.extension]: extension,
    [LABELS.sequence]: String(sequence),
    [EXTRA.digest]: digest,
    [EXTRA.at]: String(atMs),
    [EXTRA.revision]: String(revision),
    [EXTRA.changes]: JSON.stringify(changes),
  };
  return { ...wanted, extension, name, configId: await engine.createConfig({ name, labels, bytes: packed }, signal) };
}

/** Names that things which are not ours may hold: of another stack with the same table, or with damaged labels. */
const MOST_TAKEN = 10;

/**
 * Under the next name when somebody else has this one. The same routes under the same name are joined when they are ours: another core
 * stored the same.
 * @throws OperationalError WIRE.REFUSED when no name was free.
 */
export async function storeOrJoin(
  engine: ConfigEngine,
  kind: StoredKind,
  owner: Owner,
  wanted: NewStored,
  signal: AbortSignal,
): Promise<Stored> {
  for (let skipped = 0; skipped < MOST_TAKEN; skipped += 1) {
    const sequence = wanted.sequence + skipped;
    try {
      const revision = kind === 'routes' ? sequence : wanted.revision;
      return await store(engine, kind, owner, { ...wanted, sequence, revision }, signal);
    } catch (error) {
      if (!isOperational(error, 'ENGINE.NAME_TAKEN')) {
        throw error;
      }
    }
    const own = await listStored(engine, kind, owner, signal);
    const same = own.find((one) => one.sequence >= sequence && one.digest === wanted.digest);
    if (same !== undefined) {
      return same;
    }
  }
  const first = storedName(kind, owner.extension, wanted.sequence, wanted.digest);
  throw refusal(
    'precondition',
    `the names of ${MOST_TAKEN} Docker Configs from ${first} on are taken by some that are not of this core: remove or rename them`,
  );
}

/** At most 28 + 16 + 1 + 9 + 1 + 8 = 63 of Swarm's 64 characters. */
function storedName(kind: StoredKind, extension: string, sequence: number, digest: string): string {
  return `com.docker.interlock.${kind}.${slugOf(extension)}.${sequence}-${digest.slice(0, 8)}`;
}

/** Another core may have removed it; one that cannot be removed now is met again. */
export async function removeStored(
  engine: ConfigEngine,
  { configId }: Pick<Stored, 'configId'>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await engine.removeConfig(configId, signal);
  } catch (error) {
    if (!isOperational(error, 'ENGINE.NOT_FOUND', 'ENGINE.IN_USE')) {
      throw error;
    }
  }
}
