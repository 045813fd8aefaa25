/**
 * What of a model stands or falls together: services that share a pool are one unit, and a host without a service is one.
 * Leaving a unit out keeps the entries of all others as they are, so the others' bytes do not change.
 */
import { createHash } from 'node:crypto';
import type { ClusterHeader, ClusterModel, HostEntry, Pool, PoolId } from '../model/cluster.ts';
import { compareText } from '../model/cluster.ts';
import { entryDigest } from '../model/revision.ts';

export interface Unit {
  /** Stable while the unit exists: the first of its service names, or `host <name>`. */
  readonly key: string;
  /** Names, sorted; empty for a host that no service answers. */
  readonly services: readonly string[];
  /** Hosts that lead to it, sorted; for people. */
  readonly hosts: readonly string[];
  readonly pools: ReadonlySet<PoolId>;
  /** Of its pools and of the whole entries of its hosts: changes with anything that may make it valid. */
  readonly digest: string;
}

/** In the order of their keys. */
export function unitsOf(model: ClusterModel): readonly Unit[] {
  const drafts = draftsOf(model.pools);
  const byPool = new Map([...drafts].flatMap((draft) => draft.pools.map((pool) => [pool.id, draft] as const)));
  for (const host of model.hosts) {
    const owners = new Set(poolsOf(host).flatMap((id) => byPool.get(id) ?? []));
    for (const owner of owners) {
      owner.hosts.push(host);
    }
    if (owners.size === 0) {
      drafts.add({ services: new Set(), pools: [], hosts: [host] });
    }
  }
  return [...drafts].map(unitOf).sort((a, b) => compareText(a.key, b.key));
}

/**
 * The model with these units and no others. A host whose TLS passes through to a pool that is left out goes with it: its other paths
 * must not be served in the clear instead.
 */
export function restrictTo(model: ClusterModel, units: readonly Unit[]): ClusterModel {
  const pools = new Set(units.flatMap((unit) => [...unit.pools]));
  const bare = new Set(units.flatMap((unit) => (unit.pools.size === 0 ? unit.hosts : [])));
  return {
    header: restrictHeader(model.header, pools),
    hosts: model.hosts.flatMap((host) => restrictHost(host, pools, bare)),
    pools: model.pools.filter(({ id }) => pools.has(id)),
  };
}

/** The same header when its pools are all there. */
export function restrictHeader(header: ClusterHeader, pools: ReadonlySet<PoolId>): ClusterHeader {
  const { defaultPool, defaultTls } = header;
  const gone = defaultPool !== undefined && !pools.has(defaultPool);
  const goneTls = defaultTls.kind === 'passthrough' && !pools.has(defaultTls.pool);
  if (!gone && !goneTls) {
    return header;
  }
  return { ...header, defaultPool: gone ? undefined : defaultPool, defaultTls: { kind: 'none' } };
}

/** How a finding names it. */
export function nameOf({ services, hosts }: Unit): string {
  return services.length > 0 ? services.join(', ') : (hosts[0] ?? '');
}

interface UnitDraft {
  readonly services: Set<string>;
  readonly pools: Pool[];
  readonly hosts: HostEntry[];
}

/** Pools that share a service are joined. */
function draftsOf(pools: readonly Pool[]): Set<UnitDraft> {
  const drafts = new Set<UnitDraft>();
  const byService = new Map<string, UnitDraft>();
  for (const pool of pools) {
    const joined = new Set(pool.services.flatMap((name) => byService.get(name) ?? []));
    const [home = { services: new Set<string>(), pools: [], hosts: [] }, ...others] = joined;
    for (const other of others) {
      home.pools.push(...other.pools);
      for (const name of other.services) {
        home.services.add(name);
      }
      drafts.delete(other);
    }
    home.pools.push(pool);
    drafts.add(home);
    for (const name of [...pool.services, ...others.flatMap(({ services }) => [...services])]) {
      home.services.add(name);
      byService.set(name, home);
    }
  }
  return drafts;
}

function unitOf({ services, pools, hosts }: UnitDraft): Unit {
  const names = [...services].sort(compareText);
  const hostNames = hosts.map(({ host }) => host).sort(compareText);
  const digests = [...pools, ...hosts].map(entryDigest).sort(compareText);
  return {
    key: names[0] ?? (pools[0] === undefined ? `host ${hostNames[0] ?? ''}` : `pool ${pools[0].id}`),
    services: names,
    hosts: hostNames,
    pools: new Set(pools.map(({ id }) => id)),
    digest: createHash('sha256').update(digests.join('\n')).digest('hex'),
  };
}

function poolsOf({ routes, tls }: HostEntry): readonly PoolId[] {
  const routed = routes.map(({ pool }) => pool);
  return tls.kind === 'passthrough' ? [...routed, tls.pool] : routed;
}

function restrictHost(host: HostEntry, pools: ReadonlySet<PoolId>, bare: ReadonlySet<string>): readonly HostEntry[] {
  const all = poolsOf(host);
  if (all.length === 0) {
    return bare.has(host.host) ? [host] : [];
  }
  if (all.every((id) => pools.has(id))) {
    return [host];
  }
  const routes = host.routes.filter(({ pool }) => pools.has(pool));
  const passes = host.tls.kind !== 'passthrough' || pools.has(host.tls.pool);
  return routes.length > 0 && passes ? [{ ...host, routes }] : [];
}
