/**
 * Snapshot and intents in, one ClusterModel per cluster out. Pure: the order of the input never matters, and what cannot be used
 * becomes a finding that harms its own service only.
 *
 * Rules (design: several services, same host): one pool per host and path; services that share both share the pool; the oldest
 * service (creation time, then id) decides the options, the others get a finding.
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
import { boundFindings, createFinding, type Finding } from './finding.ts';
import { type BuiltHost, buildHost, terminateTls } from './host.ts';
import type { RoutingIntent } from './intent.ts';
import { about, type Member, type ProxyNetworks, resolveMember } from './member.ts';
import type { Hostname } from './names.ts';
import { buildPool } from './pool.ts';
import { findLoops, loopFinding } from './redirects.ts';
import { type Snapshot, STACK_LABEL } from './snapshot.ts';
import { addTo, indexSnapshot, type SnapshotIndex } from './snapshot-index.ts';

/** One `[Extensions.<name>]` table, as far as routing is concerned. */
export interface ClusterDefinition {
  readonly header: Omit<ClusterHeader, 'defaultPool' | 'defaultTls' | 'tlsHop'>;
  readonly proxyServiceName: string;
  /** Names of the only networks that the proxies join, the control network aside; `undefined`: those of the routed services. */
  readonly networks: readonly string[] | undefined;
}

export interface BuiltModels {
  /** One per definition, in the order of the definitions. */
  readonly models: readonly ClusterModel[];
  readonly findings: readonly Finding[];
}

export function buildModels(
  snapshot: Snapshot,
  intents: readonly RoutingIntent[],
  definitions: readonly ClusterDefinition[],
): BuiltModels {
  const index = indexSnapshot(snapshot);
  const findings: Finding[] = [];
  const byCluster = new Map(definitions.map(({ header }) => [header.serviceCluster, [] as RoutingIntent[]]));
  for (const intent of [...intents].sort(compareAge)) {
    const members = byCluster.get(intent.serviceCluster);
    if (members === undefined) {
      findings.push(unknownCluster(intent, [...byCluster.keys()]));
    } else {
      members.push(intent);
    }
  }
  const models = definitions.map((definition) =>
    buildCluster(index, byCluster.get(definition.header.serviceCluster) ?? [], definition, findings),
  );
  return { models, findings: boundFindings(findings) };
}

function compareAge(a: RoutingIntent, b: RoutingIntent): number {
  return compareText(a.service.createdAt, b.service.createdAt) || compareText(a.service.id, b.service.id);
}

function unknownCluster(intent: RoutingIntent, known: readonly string[]): Finding {
  const names = known.map((name) => (name === '' ? '"" (no label)' : `"${name}"`)).join(', ');
  return createFinding(
    'LABEL.SERVICE_CLUSTER_UNKNOWN',
    `No extension in config.toml has this ServiceCluster; write one of: ${names}.`,
    {
      service: intent.service.name,
      serviceCluster: intent.serviceCluster,
      subject: 'com.docker.lb.service_cluster',
      value: intent.serviceCluster,
    },
  );
}

function buildCluster(
  index: SnapshotIndex,
  intents: readonly RoutingIntent[],
  definition: ClusterDefinition,
  findings: Finding[],
): ClusterModel {
  const proxy = proxyNetworks(index, definition);
  const members = intents.flatMap((intent) => resolveMember(index, intent, proxy, findings));
  const built = groupByHost(members).map(([host, ofHost]) => buildHost(index, host, ofHost));
  findings.push(...built.flatMap((one) => one.findings));
  const fallback = buildDefault(
    index,
    members.filter(({ intent }) => intent.defaultBackend),
    findings,
  );
  const pools = [...built.flatMap((one) => one.pools), ...fallback.pools];
  return {
    header: {
      ...definition.header,
      defaultPool: fallback.pool,
      defaultTls: fallback.tls,
      tlsHop: [fallback.tls, ...built.map(({ entry }) => entry.tls)].some(({ kind }) => kind === 'passthrough'),
    },
    hosts: withoutLoops(built, definition.header.published, findings),
    pools: pools.sort((a, b) => compareText(a.id, b.id)),
  };
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
function groupByHost(members: readonly Member[]): readonly (readonly [Hostname, readonly Member[]])[] {
  const groups = new Map<Hostname, Member[]>();
  for (const member of members) {
    for (const host of member.intent.hosts) {
      addTo(groups, host, member);
    }
  }
  return [...groups].sort(([a], [b]) => compareText(a, b));
}

function withoutLoops(
  built: readonly BuiltHost[],
  published: ClusterHeader['published'],
  findings: Finding[],
): readonly HostEntry[] {
  const claims = built.flatMap((one) => one.claims);
  if (claims.length === 0) {
    return built.map(({ entry }) => entry);
  }
  const loops = findLoops(claims, new Map(built.map(({ entry }) => [entry.host, entry])), published);
  findings.push(...claims.filter((claim) => loops.has(claim)).map(loopFinding));
  return built.map(({ entry, claims: own }) =>
    own.some((claim) => loops.has(claim))
      ? { ...entry, redirects: own.filter((claim) => !loops.has(claim)).map(({ redirect }) => redirect) }
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
