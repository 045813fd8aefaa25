/**
 * One cluster's model from Snapshot to Snapshot. What nothing was said about stays the same object: the entries, whose digests are known
 * by object, and in the end the model itself. The price of a change of tasks, or of a few services, is their own hosts; of one that
 * reaches further, a walk over all of them.
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
import {
  createSelection,
  editBetween,
  exchanged,
  FEW,
  keepList,
  type ListEdit,
  positionOf,
  sameItems,
} from './lists.ts';
import { about, compareAge, type Member, type ProxyNetworks, resolveMember } from './member.ts';
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
  /** `undefined`: each may be another one. */
  readonly services: ListEdit<Service> | undefined;
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
  /** This map, `built` and those of `places` are written in place: copying them would be the dearest step of a change. */
  readonly resolved: Map<RoutingIntent, Resolved>;
  /** Both are empty after a change of single services. */
  readonly members: readonly Member[];
  readonly groups: readonly HostGroup[];
  readonly built: Map<Hostname, BuiltGroup>;
  readonly places: Places;
  /** Some host redirects: whether that leads round in circles depends on others. */
  readonly anyClaims: boolean;
  readonly model: ClusterModel;
  readonly findings: readonly Finding[];
}

/** Where a service shows in a model. */
interface Places {
  readonly intentOf: Map<string, RoutingIntent>;
  readonly hostsOf: Map<string, readonly Hostname[]>;
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
  const proxyServiceIn = createSelection<Service>(({ name }) => name === definition.proxyServiceName);
  let state: State | undefined;
  return {
    update(index, intents, changes) {
      const proxy = proxyNetworks(index, definition, proxyServiceIn(index.services.list)[0]);
      const next = state && withServices(state, index, proxy, intents, changes);
      state =
        next === undefined
          ? withEverything(definition, state, index, proxy, intents, changes)
          : withTasks(next, index, changes);
      return { model: state.model, findings: state.findings };
    },
  };
}

/** The same host, made of other members. */
interface Exchange {
  readonly host: Hostname;
  readonly before: BuiltHost | undefined;
  /** `undefined`: nobody names it any more. */
  readonly after: BuiltGroup | undefined;
}

interface ServiceChange {
  readonly gone: readonly RoutingIntent[];
  readonly come: ReadonlyMap<RoutingIntent, Resolved>;
}

/**
 * With the services that came, went or have other labels. `undefined`: what changed reaches further than hosts of their own, or something
 * about it has to be said.
 */
function withServices(
  state: State,
  index: SnapshotIndex,
  proxy: ProxyNetworks,
  intents: readonly RoutingIntent[],
  changes: Changes,
): State | undefined {
  if (changes.networks || changes.surroundings) {
    return undefined;
  }
  if (state.intents === intents && state.services === index.services) {
    return state;
  }
  const change = state.anyClaims || keyOf(proxy) !== state.proxyKey ? undefined : changeOf(state, intents, changes);
  const come = change && new Map(change.come.map((intent) => [intent, resolveOne(index, intent, proxy)]));
  const exchanges = come && exchangesOf(state, index, { gone: change.gone, come });
  return come && exchanges && exchangeHosts(state, { index, intents, gone: change.gone, come }, exchanges);
}

/** Those whose service is another object have come anew. */
function changeOf(
  state: State,
  intents: readonly RoutingIntent[],
  { services }: Changes,
): { readonly gone: readonly RoutingIntent[]; readonly come: readonly RoutingIntent[] } | undefined {
  const edit = editBetween(state.intents, intents);
  if (services === undefined || [edit, services].some(({ removed, added }) => removed.length + added.length > FEW)) {
    return undefined;
  }
  const touched = new Set([...services.removed, ...services.added].map(({ id }) => id));
  const again = [...touched]
    .flatMap((id) => state.places.intentOf.get(id) ?? [])
    .filter((intent) => !edit.removed.includes(intent));
  return { gone: [...edit.removed, ...again], come: [...edit.added, ...again] };
}

function exchangesOf(
  state: State,
  index: SnapshotIndex,
  { gone, come }: ServiceChange,
): readonly Exchange[] | undefined {
  const before = gone.map((intent) => state.resolved.get(intent));
  const resolved = [...before.flatMap((one) => one ?? []), ...come.values()];
  const members = resolved.flatMap((one) => one.members);
  if (resolved.some(({ findings }) => findings.length > 0) || members.some(({ intent }) => intent.defaultBackend)) {
    return undefined;
  }
  const removed = new Set(before.flatMap((one) => one?.members ?? []));
  const added = [...come.values()].flatMap((one) => one.members);
  const hosts = new Set(members.flatMap(({ intent }) => intent.hosts));
  const exchanges = [...hosts].map((host): Exchange => {
    const known = state.built.get(host);
    const next = [
      ...(known?.members ?? []).filter((member) => !removed.has(member)),
      ...added.filter(({ intent }) => intent.hosts.includes(host)),
    ].sort((a, b) => compareAge(a.intent, b.intent));
    const after =
      next.length === 0 ? undefined : { members: next, host: keepHost(known?.host, buildHost(index, host, next)) };
    return { host, before: known?.host, after };
  });
  return exchanges.every(({ before: old, after }) => isPlain(old) && isPlain(after?.host)) ? exchanges : undefined;
}

/** Nothing of it shows outside its own entry and pools. */
function isPlain(host: BuiltHost | undefined): boolean {
  return (
    host === undefined ||
    (host.findings.length === 0 && host.claims.length === 0 && host.entry.tls.kind !== 'passthrough')
  );
}

function exchangeHosts(
  state: State,
  {
    index,
    intents,
    gone,
    come,
  }: ServiceChange & { readonly index: SnapshotIndex; readonly intents: readonly RoutingIntent[] },
  exchanges: readonly Exchange[],
): State {
  const { resolved, built, places, model } = state;
  for (const intent of gone) {
    resolved.delete(intent);
    places.intentOf.delete(intent.service.id);
    places.hostsOf.delete(intent.service.id);
  }
  for (const [intent, one] of come) {
    resolved.set(intent, one);
    places.intentOf.set(intent.service.id, intent);
    for (const { service } of one.members) {
      places.hostsOf.set(service.id, intent.hosts);
    }
  }
  for (const { host, after } of exchanges) {
    if (after === undefined) {
      built.delete(host);
    } else {
      built.set(host, after);
    }
  }
  const hosts = exchanged(model.hosts, byHost, {
    removed: exchanges.flatMap(({ before }) => before?.entry ?? []),
    added: exchanges.flatMap(({ after }) => after?.host.entry ?? []),
  });
  const pools = exchanged(model.pools, byId, {
    removed: exchanges.flatMap(({ before }) => before?.pools ?? []),
    added: exchanges.flatMap(({ after }) => after?.host.pools ?? []),
  });
  return {
    ...state,
    services: index.services,
    intents,
    members: [],
    groups: [],
    model: hosts === model.hosts && pools === model.pools ? model : { ...model, hosts, pools },
  };
}

function byHost({ host: a }: HostEntry, { host: b }: HostEntry): number {
  return compareText(a, b);
}

function byId({ id: a }: Pool, { id: b }: Pool): number {
  return compareText(a, b);
}

/** Tasks show in the endpoints of pools and nowhere else: neither in hosts nor in findings. */
function withTasks(state: State, index: SnapshotIndex, changes: Changes): State {
  const { hostsOf } = state.places;
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
    const at = positionOf(before, (other) => byId(other, pool) < 0);
    return before[at]?.id !== pool.id || keep(before[at], pool) === before[at] ? [] : [{ at, pool }];
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
  proxy: ProxyNetworks,
  intents: readonly RoutingIntent[],
  changes: Changes,
): State {
  const proxyKey = keyOf(proxy);
  const known = last === undefined || changes.networks || proxyKey !== last.proxyKey ? new Map() : last.resolved;
  const resolved = resolveAll(index, intents, proxy, known);
  const members = [...resolved.values()].flatMap((one) => one.members);
  const groups = last !== undefined && sameItems(members, last.members) ? last.groups : groupByHost(members);
  const built = buildGroups(index, groups, last?.built ?? new Map(), changes);
  const findings: Finding[] = [...resolved.values()].flatMap((one) => one.findings);
  const model = assemble(index, definition, { members, built, last: last?.model }, findings);
  return {
    services: index.services,
    intents,
    proxyKey,
    resolved,
    members,
    groups,
    built,
    places: placesOf(intents, members),
    anyClaims: [...built.values()].some(({ host }) => host.claims.length > 0),
    model,
    findings,
  };
}

function keyOf({ attached, offered }: ProxyNetworks): string {
  return canonicalJson([[...attached], [...(offered ?? ['*'])]]);
}

function placesOf(intents: readonly RoutingIntent[], members: readonly Member[]): Places {
  return {
    intentOf: new Map(intents.map((intent) => [intent.service.id, intent])),
    hostsOf: new Map(members.map(({ service, intent }) => [service.id, intent.hosts])),
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
): Map<RoutingIntent, Resolved> {
  return new Map(
    intents.map((intent) => {
      const before = known.get(intent);
      const isKnown = before !== undefined && before.service === index.services.get(intent.service.id);
      return [intent, isKnown ? before : resolveOne(index, intent, proxy)];
    }),
  );
}

function resolveOne(index: SnapshotIndex, intent: RoutingIntent, proxy: ProxyNetworks): Resolved {
  const findings: Finding[] = [];
  const service = index.services.get(intent.service.id);
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
  const known = new Map(pools.map((pool) => [pool.id, pool]));
  const inPlace = (last?.pools ?? []).flatMap(({ id }) => known.get(id) ?? []);
  const sorted =
    inPlace.length === pools.length && last?.pools.length === pools.length ? inPlace : [...pools].sort(byId);
  const before = new Map((last?.pools ?? []).filter(({ id }) => id === DEFAULT_POOL).map((pool) => [pool.id, pool]));
  return sorted.map((pool) => (pool.id === DEFAULT_POOL ? keep(before.get(pool.id), pool) : pool));
}

function proxyNetworks(
  index: SnapshotIndex,
  { networks }: ClusterDefinition,
  proxy: Service | undefined,
): ProxyNetworks {
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
