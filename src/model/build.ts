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
  type PathRoute,
  type Pool,
  type PoolId,
} from './cluster.ts';
import { createFinding, type Finding } from './finding.ts';
import type { RoutingIntent } from './intent.ts';
import { about, type Member, resolveMember } from './member.ts';
import type { Hostname, PathPrefix, SecretName } from './names.ts';
import { buildPool } from './pool.ts';
import type { Snapshot } from './snapshot.ts';
import { addTo, indexSnapshot, type SnapshotIndex } from './snapshot-index.ts';

/** One `[Extensions.<name>]` table, as far as routing is concerned. */
export interface ClusterDefinition {
  readonly header: Omit<ClusterHeader, 'defaultPool' | 'defaultTls' | 'tlsHop'>;
  readonly proxyServiceName: string;
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
  return { models, findings };
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
  const proxyNetworks = new Set(index.servicesByName.get(definition.proxyServiceName)?.networkIds ?? []);
  const members = intents.flatMap((intent) => resolveMember(index, intent, proxyNetworks, findings));
  const pools = new Map<PoolId, Pool>();
  const hosts = groupByHost(members).map(([host, ofHost]) => buildHost(index, host, ofHost, pools, findings));
  const defaultMembers = members.filter(({ intent }) => intent.defaultBackend);
  const defaultPool = buildDefaultPool(index, defaultMembers, pools, findings);
  return {
    header: {
      ...definition.header,
      defaultPool,
      defaultTls: { kind: 'none' },
      tlsHop: hosts.some(({ tls }) => tls.kind === 'passthrough'),
    },
    hosts: hosts.sort((a, b) => compareText(a.host, b.host)),
    pools: [...pools.values()].sort((a, b) => compareText(a.id, b.id)),
  };
}

function groupByHost(members: readonly Member[]): [Hostname, Member[]][] {
  const groups = new Map<Hostname, Member[]>();
  for (const member of members) {
    for (const host of member.intent.hosts) {
      addTo(groups, host, member);
    }
  }
  return [...groups];
}

function buildHost(
  index: SnapshotIndex,
  host: Hostname,
  members: readonly Member[],
  pools: Map<PoolId, Pool>,
  findings: Finding[],
): HostEntry {
  const byPrefix = new Map<PathPrefix, Member[]>();
  for (const member of members) {
    addTo(byPrefix, member.intent.contextRoot.prefix, member);
  }
  const routes = [...byPrefix].flatMap(([prefix, ofPath]) => buildRoute(index, host, prefix, ofPath, pools, findings));
  return {
    host,
    tls: hostTls(host, members),
    redirects: members.flatMap(({ intent }) => intent.redirects).filter(({ source }) => source.host === host),
    routes: routes.sort((a, b) => compareText(a.prefix, b.prefix)),
  };
}

/** The oldest service that asks for TLS decides for the host. */
function hostTls(host: Hostname, members: readonly Member[]): HostTls {
  const tls = members.map(({ intent }) => intent).find((intent) => intent.tls.kind !== 'none');
  switch (tls?.tls.kind) {
    case 'terminate':
      return {
        kind: 'terminate',
        certificate: secretFile(tls.tls.certificate),
        key: tls.tls.key === undefined ? undefined : secretFile(tls.tls.key),
        only: tls.tls.only,
      };
    case 'passthrough':
      return { kind: 'passthrough', pool: poolId(host, tls.contextRoot.prefix) };
    case 'none':
    case undefined:
      return { kind: 'none' };
  }
}

function secretFile(secret: SecretName) {
  return { secret, path: `/run/secrets/${secret}` };
}

function poolId(host: Hostname, prefix: PathPrefix): PoolId {
  return `${host}${prefix}`;
}

function buildRoute(
  index: SnapshotIndex,
  host: Hostname,
  prefix: PathPrefix,
  members: readonly Member[],
  pools: Map<PoolId, Pool>,
  findings: Finding[],
): readonly PathRoute[] {
  const [oldest] = members;
  if (oldest === undefined) {
    return [];
  }
  const pool = buildPool(index, poolId(host, prefix), oldest, members, findings);
  pools.set(pool.id, pool);
  const { contextRoot, websocketEndpoints } = oldest.intent;
  return [{ prefix, rewrite: contextRoot.rewrite, pool: pool.id, websocketEndpoints }];
}

/** A host name can never begin with a parenthesis, so this id is never a host's. */
const DEFAULT_POOL: PoolId = '(default)';

function buildDefaultPool(
  index: SnapshotIndex,
  members: readonly Member[],
  pools: Map<PoolId, Pool>,
  findings: Finding[],
): PoolId | undefined {
  const [oldest, ...others] = members;
  if (oldest === undefined) {
    return undefined;
  }
  for (const { intent } of others) {
    findings.push(
      createFinding(
        'ROUTE.OPTIONS_DIFFER',
        `${oldest.service.name} is older and already the default backend of this service cluster.`,
        about(intent, 'com.docker.lb.default_backend'),
      ),
    );
  }
  pools.set(DEFAULT_POOL, buildPool(index, DEFAULT_POOL, oldest, [oldest], findings));
  return DEFAULT_POOL;
}
