/** The difference between two models of one cluster, entry by entry. `applyPatch(a, diffModels(a, b))` equals `b`. */
import {
  type ClusterHeader,
  type ClusterModel,
  compareText,
  type HostEntry,
  type Pool,
  type PoolId,
} from './cluster.ts';
import { editBetween } from './lists.ts';
import type { Hostname } from './names.ts';
import { canonicalJson, entryDigest } from './revision.ts';

export interface ModelPatch {
  /** `undefined`: unchanged. */
  readonly header: ClusterHeader | undefined;
  readonly upsertHosts: readonly HostEntry[];
  readonly removeHosts: readonly Hostname[];
  readonly upsertPools: readonly Pool[];
  readonly removePools: readonly PoolId[];
}

export function diffModels(base: ClusterModel, next: ClusterModel): ModelPatch {
  const hosts = diffEntries(base.hosts, next.hosts, (entry) => entry.host);
  const pools = diffEntries(base.pools, next.pools, (entry) => entry.id);
  return {
    header:
      base.header === next.header || canonicalJson(base.header) === canonicalJson(next.header)
        ? undefined
        : next.header,
    upsertHosts: hosts.upserts,
    removeHosts: hosts.removals,
    upsertPools: pools.upserts,
    removePools: pools.removals,
  };
}

export function applyPatch(base: ClusterModel, patch: ModelPatch): ClusterModel {
  return {
    header: patch.header ?? base.header,
    hosts: applyEntries(base.hosts, patch.upsertHosts, patch.removeHosts, (entry) => entry.host),
    pools: applyEntries(base.pools, patch.upsertPools, patch.removePools, (entry) => entry.id),
  };
}

export function isEmptyPatch(patch: ModelPatch): boolean {
  const { header, upsertHosts, removeHosts, upsertPools, removePools } = patch;
  return (
    header === undefined && upsertHosts.length + removeHosts.length + upsertPools.length + removePools.length === 0
  );
}

/** Both lists are sorted by key: one walk beside each other, between what is the same object at both ends. */
function diffEntries<Entry extends HostEntry | Pool, Key extends string>(
  base: readonly Entry[],
  next: readonly Entry[],
  keyOf: (entry: Entry) => Key,
): { upserts: Entry[]; removals: Key[] } {
  const upserts: Entry[] = [];
  const removals: Key[] = [];
  const { removed, added } = editBetween(base, next);
  let at = 0;
  for (const entry of added) {
    let old = removed[at];
    while (old !== undefined && old !== entry && keyOf(old) < keyOf(entry)) {
      removals.push(keyOf(old));
      at += 1;
      old = removed[at];
    }
    const counterpart = old !== undefined && keyOf(old) === keyOf(entry) ? old : undefined;
    if (counterpart === undefined || !sameEntry(counterpart, entry)) {
      upserts.push(entry);
    }
    at += counterpart === undefined ? 0 : 1;
  }
  removals.push(...removed.slice(at).map(keyOf));
  return { upserts, removals };
}

/** By digest: both models were digested when they became revisions, so nothing is encoded here. */
function sameEntry(a: HostEntry | Pool, b: HostEntry | Pool): boolean {
  return a === b || entryDigest(a) === entryDigest(b);
}

/** Found by halving: the lists have thousands of entries, most patches one. */
function applyEntries<Entry, Key extends string>(
  base: readonly Entry[],
  upserts: readonly Entry[],
  removals: readonly Key[],
  keyOf: (entry: Entry) => Key,
): readonly Entry[] {
  if (upserts.length === 0 && removals.length === 0) {
    return base;
  }
  const next = [...base];
  const added: Entry[] = [];
  for (const entry of upserts) {
    const at = placeOf(base, keyOf(entry), keyOf);
    if (at === undefined) {
      added.push(entry);
    } else {
      next[at] = entry;
    }
  }
  const gone = new Set(removals.map((key) => placeOf(base, key, keyOf)));
  const kept = removals.length === 0 ? next : next.filter((_, at) => !gone.has(at));
  return added.length === 0 ? kept : [...kept, ...added].sort((a, b) => compareText(keyOf(a), keyOf(b)));
}

/** `sorted` by key; `undefined`: it has none of this key. */
function placeOf<Entry, Key extends string>(
  sorted: readonly Entry[],
  key: Key,
  keyOf: (entry: Entry) => Key,
): number | undefined {
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    const entry = sorted[middle];
    if (entry !== undefined && keyOf(entry) < key) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  const found = sorted[from];
  return found !== undefined && keyOf(found) === key ? from : undefined;
}
