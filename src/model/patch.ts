/** The difference between two models of one cluster, entry by entry. `applyPatch(a, diffModels(a, b))` equals `b`. */
import {
  type ClusterHeader,
  type ClusterModel,
  compareText,
  type HostEntry,
  type Pool,
  type PoolId,
} from './cluster.ts';
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
    header: canonicalJson(base.header) === canonicalJson(next.header) ? undefined : next.header,
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

/** Both lists are sorted by key: one walk beside each other, without a table of thousands of names. */
function diffEntries<Entry extends HostEntry | Pool, Key extends string>(
  base: readonly Entry[],
  next: readonly Entry[],
  keyOf: (entry: Entry) => Key,
): { upserts: Entry[]; removals: Key[] } {
  const upserts: Entry[] = [];
  const removals: Key[] = [];
  if (base === next) {
    return { upserts, removals };
  }
  let at = 0;
  for (const entry of next) {
    let old = base[at];
    while (old !== undefined && old !== entry && keyOf(old) < keyOf(entry)) {
      removals.push(keyOf(old));
      at += 1;
      old = base[at];
    }
    const counterpart = old !== undefined && keyOf(old) === keyOf(entry) ? old : undefined;
    if (counterpart === undefined || !sameEntry(counterpart, entry)) {
      upserts.push(entry);
    }
    at += counterpart === undefined ? 0 : 1;
  }
  removals.push(...base.slice(at).map(keyOf));
  return { upserts, removals };
}

/** By digest: both models were digested when they became revisions, so nothing is encoded here. */
function sameEntry(a: HostEntry | Pool, b: HostEntry | Pool): boolean {
  return a === b || entryDigest(a) === entryDigest(b);
}

function applyEntries<Entry, Key extends string>(
  base: readonly Entry[],
  upserts: readonly Entry[],
  removals: readonly Key[],
  keyOf: (entry: Entry) => Key,
): readonly Entry[] {
  if (upserts.length === 0 && removals.length === 0) {
    return base;
  }
  const removed = new Set(removals);
  const waiting = new Map(upserts.map((entry) => [keyOf(entry), entry]));
  const kept = base
    .filter((entry) => !removed.has(keyOf(entry)))
    .map((entry) => {
      const newer = waiting.get(keyOf(entry));
      waiting.delete(keyOf(entry));
      return newer ?? entry;
    });
  return waiting.size === 0 ? kept : [...kept, ...waiting.values()].sort((a, b) => compareText(keyOf(a), keyOf(b)));
}
