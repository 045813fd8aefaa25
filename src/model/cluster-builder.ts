/**
 * One cluster's model from Snapshot to Snapshot. What nothing was said about stays the same object: the entries, whose digests are known
 * by object, and in the end the model itself. The price of a change of tasks is the hosts of its service, and a walk over lists.
 *
 *   intents, networks  -> members (a service's port and network)
 *   members            -> groups by host
 *   a group, its services' tasks, nodes, secrets -> a built host, built anew only when one of these is another
 */
import {
  type ClusterHeader,
  type ClusterModel,
  compareText,
  type HostEntry,
  type HostTls,
  type Pool,
  type PoolId,
} from './cluster.ts';
import { createFinding, type Finding } from './finding.ts';
import { type BuiltHost, buildHost, terminateTls } from './host.ts';
import type { RoutingIntent } from './intent.ts';
import { about, type Member, type ProxyNetworks, resolveMember } from './member.ts';
import type { Hostname } from './names.ts';
import { buildPool } from './pool.ts';
import { findLoops, loopFinding } from './redirects.ts';
import { canonicalJson, entryDigest } from './revision.ts';
import { type Service, STACK_LABEL } from './snapshot.ts';
import { addTo, type SnapshotIndex } from './snapshot-index.ts';

/** One `[Extensions.<name>]` table, as far as routing is concerned. */
export interface ClusterDefinition {
  readonly header: Omit<ClusterHeader, 'defaultPool' | 'defaultTls' | 'tlsHop'>;
  readonly proxyServiceName: string;
  /** Names of the only networks that the proxies join, the control network aside; `undefined`: those of the routed services. */
  readonly networks: readonly string[] | undefined;
}

/** What is another than at the last update. */
export interface Changes {
  readonly networks: boolean;
  /** Nodes or secrets, as far as a model shows them. */
  readonly surroundings: boolean;
  /** All services that have other tasks; `undefined`: each has to be asked about. */
  readonly tasks: ReadonlySet<string> | undefined;
  /** Whether a service has other tasks. */
  readonly tasksOf: (serviceId: string) => boolean;
}

export interface BuiltCluster {
  readonly model: ClusterModel;
  readonly findings: readonly Finding[];
}

export interface ClusterBuilder {
  /** `intents` are the cluster's own, oldest first. */
  update(index: SnapshotIndex, intents: readonly RoutingIntent[], changes: Changes): BuiltCluster;
}

/** Everything of the last update. */
interface State {
  readonly services: SnapshotIndex['services'];
  readonly intents: readonly RoutingIntent[];
  readonly proxyKey: string;
  readonly resolved: ReadonlyMap<RoutingIntent, Resolved>;
  readonly members: readonly Member[];
  readonly groups: readonly HostGroup[];
  /** Written in place, because copying it would be the dearest step of a change of tasks. */
  readonly built: Map<Hostname, BuiltGroup>;
  readonly places: Places;
  readonly model: ClusterModel;
  readonly findings: readonly Finding[];
}

/** Where a service shows in a model. */
interface Places {
  readonly hostsOf: ReadonlyMap<string, readonly Hostname[]>;
  /** Positions in the model's list. */
  readonly pools: ReadonlyMap<PoolId, number>;
  /** Those that ask to be the default backend. */
  readonly defaults: readonly Member[];
}

interface Resolved {
  readonly service: Service | undefined;
  readonly members: readonly Member[];
  readonly findings: readonly Finding[];
}

interface HostGroup {
  readonly host: Hostname;
  /** Oldest first. */
  readonly members: readonly Member[];
}

interface BuiltGroup {
  readonly members: readonly Member[];
  readonly host: BuiltHost;
}

export function createClusterBuilder(definition: ClusterDefinition): ClusterBuilder {
  let state: State | undefined;
  return {
    update(index, intents, changes) {
      state =
        state !== undefined && areOnlyTasks(state, index, intents, changes)
          ? withTasks(state, index, changes)
          : withEverything(definition, state, index, intents, changes);
      return { model: state.model, findings: state.findings };
    },
  };
}

function areOnlyTasks(
  state: State,
  index: SnapshotIndex,
  intents: readonly RoutingIntent[],
  { networks, surroundings }: Changes,
): boolean {
  return !networks && !surroundings && state.intents === intents && state.services === index.services;
}

/** Tasks show in the endpoints of pools and nowhere else: neither in hosts nor in findings. */
function withTasks(state: State, index: SnapshotIndex, changes: Changes): State {
  const { hostsOf, pools: positions } = state.places;
  const touched = [...(changes.tasks ?? hostsOf.keys())].filter((id) => hostsOf.has(id) && changes.tasksOf(id));
  const rebuilt = new Set(touched.flatMap((id) => hostsOf.get(id) ?? []));
  const { defaults } = state.places;
  const fallback = defaults.some(({ service }) => changes.tasksOf(service.id))
    ? buildDefault(index, defaults, [])
    : undefined;
  if (rebuilt.size === 0 && fallback === undefined) {
    return state;
  }
  const next = [...(fallback?.pools ?? [])];
  for (const host of rebuilt) {
    const before = state.built.get(host);
    if (before !== undefined) {
      const after = keepHost(before.host, buildHost(index, host, before.members));
      state.built.set(host, { members: before.members, host: after });
      next.push(...after.pools);
    }
  }
  const before = state.model.pools;
  const others = next.flatMap((pool) => {
    const at = positions.get(pool.id);
    return at === undefined || keep(before[at], pool) === before[at] ? [] : [{ at, pool }];
  });
  if (others.length === 0) {
    return state;
  }
  const pools = [...before];
  for (const { at, pool } of others) {
    pools[at] = pool;
  }
  return { ...state, model: { ...state.model, pools } };
}

function withEverything(
  definition: ClusterDefinition,
  last: State | undefined,
  index: SnapshotIndex,
  intents: readonly RoutingIntent[],
  changes: Changes,
): State {
  const proxy = proxyNetworks(index, definition);
  const proxyKey = canonicalJson([[...proxy.attached], [...(proxy.offered ?? ['*'])]]);
  const known = last === undefined || changes.networks || proxyKey !== last.proxyKey ? new Map() : last.resolved;
  const resolved = resolveAll(index, intents, proxy, known);
  const members = [...resolved.values()].flatMap((one) => one.members);
  const groups = last !== undefined && sameItems(members, last.members) ? last.groups : groupByHost(members);
  const built = buildGroups(index, groups, last?.built ?? new Map(), changes);
  const findings: Finding[] = [...resolved.values()].flatMap((one) => one.findings);
  const model = assemble(index, definition, { members, built, last: last?.model }, findings);
  const places = placesOf(members, model);
  return { services: index.services, intents, proxyKey, resolved, members, groups, built, places, model, findings };
}

function placesOf(members: readonly Member[], { pools }: ClusterModel): Places {
  return {
    hostsOf: new Map(members.map(({ service, intent }) => [service.id, intent.hosts])),
    pools: new Map(pools.map(({ id }, at) => [id, at])),
    defaults: defaultMembers(members),
  };
}

function defaultMembers(members: readonly Member[]): readonly Member[] {
  return members.filter(({ intent }) => intent.defaultBackend);
}

function resolveAll(
  index: SnapshotIndex,
  intents: readonly RoutingIntent[],
  proxy: ProxyNetworks,
  known: ReadonlyMap<RoutingIntent, Resolved>,
): ReadonlyMap<RoutingIntent, Resolved> {
  return new Map(
    intents.map((intent) => {
      const service = index.services.get(intent.service.id);
      const before = known.get(intent);
      return [
        intent,
        before?.service === service && before !== undefined ? before : resolve(index, intent, service, proxy),
      ];
    }),
  );
}

function resolve(
  index: SnapshotIndex,
  intent: RoutingIntent,
  service: Service | undefined,
  proxy: ProxyNetworks,
): Resolved {
  const findings: Finding[] = [];
  return { service, members: resolveMember(index, intent, proxy, findings), findings };
}

/** In the order of the groups. */
function buildGroups(
  index: SnapshotIndex,
  groups: readonly HostGroup[],
  known: ReadonlyMap<Hostname, BuiltGroup>,
  changes: Changes,
): Map<Hostname, BuiltGroup> {
  return new Map(
    groups.map(({ host, members }) => {
      const before = known.get(host);
      return [
        host,
        before !== undefined && isFresh(before, members, changes)
          ? before
          : { members, host: keepHost(before?.host, buildHost(index, host, members)) },
      ];
    }),
  );
}

function isFresh(before: BuiltGroup, members: readonly Member[], changes: Changes): boolean {
  return (
    !changes.surroundings &&
    sameItems(before.members, members) &&
    !members.some(({ service }) => changes.tasksOf(service.id))
  );
}

function keepHost(before: BuiltHost | undefined, next: BuiltHost): BuiltHost {
  if (before === undefined) {
    return next;
  }
  const pools = new Map(before.pools.map((pool) => [pool.id, pool]));
  return {
    ...next,
    entry: keep(before.entry, next.entry),
    pools: next.pools.map((pool) => keep(pools.get(pool.id), pool)),
  };
}

/** The old object where the new one says the same. */
function keep<Entry extends HostEntry | Pool>(before: Entry | undefined, next: Entry): Entry {
  return before !== undefined && entryDigest(before) === entryDigest(next) ? before : next;
}

function keepList<Item>(before: readonly Item[] | undefined, next: readonly Item[]): readonly Item[] {
  return before !== undefined && sameItems(before, next) ? before : next;
}

export function sameItems<Item>(a: readonly Item[], b: readonly Item[]): boolean {
  return a === b || (a.length === b.length && a.every((item, at) => item === b[at]));
}

interface Parts {
  readonly members: readonly Member[];
  readonly built: ReadonlyMap<Hostname, BuiltGroup>;
  readonly last: ClusterModel | undefined;
}

function assemble(
  index: SnapshotIndex,
  definition: ClusterDefinition,
  { members, built, last }: Parts,
  findings: Finding[],
): ClusterModel {
  const all = [...built.values()].map(({ host }) => host);
  findings.push(...all.flatMap((one) => one.findings));
  const fallback = buildDefault(index, defaultMembers(members), findings);
  const header: ClusterHeader = {
    ...definition.header,
    defaultPool: fallback.pool,
    defaultTls: fallback.tls,
    tlsHop: [fallback.tls, ...all.map(({ entry }) => entry.tls)].some(({ kind }) => kind === 'passthrough'),
  };
  const hosts = keepList(last?.hosts, withoutLoops(all, definition.header.published, last, findings));
  const pools = keepList(last?.pools, sortPools([...all.flatMap((one) => one.pools), ...fallback.pools], last));
  const sameHeader = last !== undefined && canonicalJson(last.header) === canonicalJson(header);
  return sameHeader && last.hosts === hosts && last.pools === pools
    ? last
    : { header: sameHeader ? last.header : header, hosts, pools };
}

/** Where the ids are those of the last model its order is taken, because sorting thousands of names costs more than all the rest. */
function sortPools(pools: readonly Pool[], last: ClusterModel | undefined): readonly Pool[] {
  const byId = new Map(pools.map((pool) => [pool.id, pool]));
  const inPlace = (last?.pools ?? []).flatMap(({ id }) => byId.get(id) ?? []);
  const sorted =
    inPlace.length === pools.length && last?.pools.length === pools.length
      ? inPlace
      : [...pools].sort((a, b) => compareText(a.id, b.id));
  const before = new Map((last?.pools ?? []).filter(({ id }) => id === DEFAULT_POOL).map((pool) => [pool.id, pool]));
  return sorted.map((pool) => (pool.id === DEFAULT_POOL ? keep(before.get(pool.id), pool) : pool));
}

function proxyNetworks(index: SnapshotIndex, { proxyServiceName, networks }: ClusterDefinition): ProxyNetworks {
  const proxy = index.servicesByName.get(proxyServiceName);
  return {
    attached: new Set(proxy?.networkIds ?? []),
    offered: networks === undefined ? undefined : offeredNames(index, networks, proxy?.labels[STACK_LABEL]),
  };
}

/** By full name, or by the short name in core's own stack, which the proxy service belongs to. Publishing reads them the same way. */
function offeredNames(
  index: SnapshotIndex,
  networks: readonly string[],
  stack: string | undefined,
): ReadonlySet<string> {
  const known = new Set([...index.networks.values()].map(({ name }) => name));
  return new Set(networks.map((name) => (known.has(name) || stack === undefined ? name : `${stack}_${name}`)));
}

/** Sorted by host; members keep their order. */
function groupByHost(members: readonly Member[]): readonly HostGroup[] {
  const groups = new Map<Hostname, Member[]>();
  for (const member of members) {
    for (const host of member.intent.hosts) {
      addTo(groups, host, member);
    }
  }
  return [...groups].sort(([a], [b]) => compareText(a, b)).map(([host, ofHost]) => ({ host, members: ofHost }));
}

function withoutLoops(
  built: readonly BuiltHost[],
  published: ClusterHeader['published'],
  last: ClusterModel | undefined,
  findings: Finding[],
): readonly HostEntry[] {
  const claims = built.flatMap((one) => one.claims);
  const loops =
    claims.length === 0
      ? new Set()
      : findLoops(claims, new Map(built.map(({ entry }) => [entry.host, entry])), published);
  findings.push(...claims.filter((claim) => loops.has(claim)).map(loopFinding));
  const before = new Map(loops.size === 0 ? [] : last?.hosts.map((entry) => [entry.host, entry]));
  return built.map(({ entry, claims: own }) =>
    own.some((claim) => loops.has(claim))
      ? keep(before.get(entry.host), {
          ...entry,
          redirects: own.filter((claim) => !loops.has(claim)).map(({ redirect }) => redirect),
        })
      : entry,
  );
}

/** A host name can never begin with a parenthesis, so this id is never a host's. */
const DEFAULT_POOL: PoolId = '(default)';

interface BuiltDefault {
  readonly pool: PoolId | undefined;
  readonly tls: HostTls;
  readonly pools: readonly Pool[];
}

/** Hosts that nobody claimed. A default backend that wants its connections unopened answers on the TLS port alone. */
function buildDefault(index: SnapshotIndex, members: readonly Member[], findings: Finding[]): BuiltDefault {
  const [oldest, ...others] = members;
  if (oldest === undefined) {
    return { pool: undefined, tls: { kind: 'none' }, pools: [] };
  }
  findings.push(...others.map(({ intent }) => secondDefault(oldest, intent)));
  const pool = buildPool(index, { id: DEFAULT_POOL, shared: 'unclaimed hosts' }, oldest, [oldest], findings);
  const tls: HostTls =
    oldest.intent.tls.kind === 'passthrough'
      ? { kind: 'passthrough', pool: DEFAULT_POOL }
      : terminateTls(index, oldest, findings);
  return { pool: DEFAULT_POOL, tls, pools: [pool] };
}

function secondDefault(oldest: Member, intent: RoutingIntent): Finding {
  return createFinding(
    'ROUTE.OPTIONS_DIFFER',
    `${oldest.service.name} is older and already the default backend of this service cluster.`,
    about(intent, 'com.docker.lb.default_backend'),
  );
}
