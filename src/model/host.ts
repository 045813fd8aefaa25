/** One host: who serves which path, whose TLS it has, which redirects begin there. */
import { compareText, type HostEntry, type HostTls, type PathRoute, type Pool, type PoolId } from './cluster.ts';
import { tlsByYounger, tlsDifferences } from './differing.ts';
import { createFinding, type Finding } from './finding.ts';
import { about, type Member } from './member.ts';
import type { Hostname, PathPrefix } from './names.ts';
import { buildPool } from './pool.ts';
import { chooseRedirects, type RedirectClaim } from './redirects.ts';
import { resolveSecret, secretFile } from './secrets.ts';
import { addTo, type SnapshotIndex } from './snapshot-index.ts';

export interface BuiltHost {
  readonly entry: HostEntry;
  readonly pools: readonly Pool[];
  /** `entry.redirects` with who asked for them. */
  readonly claims: readonly RedirectClaim[];
  readonly findings: readonly Finding[];
}

/** `members` are all that name the host, oldest first, at least one. */
export function buildHost(index: SnapshotIndex, host: Hostname, members: readonly Member[]): BuiltHost {
  const findings: Finding[] = [];
  const oldest = first(members);
  const served = members.filter((member) => !isConflict(host, oldest, member, findings));
  const built = isPassed(oldest)
    ? []
    : [...byPrefix(served)].map(([prefix, ofPath]) => buildRoute(index, host, prefix, ofPath, findings));
  const tls = buildHostTls(index, host, served, findings);
  const claims = chooseRedirects(host, tls.tls, served, findings);
  const entry: HostEntry = {
    host,
    tls: tls.tls,
    redirects: claims.map(({ redirect }) => redirect),
    routes: built.map(({ route }) => route).sort((a, b) => compareText(a.prefix, b.prefix)),
  };
  return { entry, pools: [...built.map(({ pool }) => pool), ...tls.pools], claims, findings };
}

/** A host is passed through or served, not both: younger services of the other kind are left out, and say so. */
function isConflict(host: Hostname, oldest: Member, member: Member, findings: Finding[]): boolean {
  const passed = isPassed(oldest);
  if (isPassed(member) === passed) {
    return false;
  }
  findings.push(
    createFinding(
      'ROUTE.TLS_CONFLICT',
      `${oldest.service.name} is older, and ${passed ? 'has' : 'does not have'} the TLS of ${host} passed through. Do the same, or use another host.`,
      about(member.intent, 'com.docker.lb.ssl_passthrough', host),
    ),
  );
  return true;
}

function isPassed({ intent }: Member): boolean {
  return intent.tls.kind === 'passthrough';
}

function byPrefix(members: readonly Member[]): ReadonlyMap<PathPrefix, readonly Member[]> {
  const groups = new Map<PathPrefix, Member[]>();
  for (const member of members) {
    addTo(groups, member.intent.contextRoot.prefix, member);
  }
  return groups;
}

function buildRoute(
  index: SnapshotIndex,
  host: Hostname,
  prefix: PathPrefix,
  members: readonly Member[],
  findings: Finding[],
): { readonly route: PathRoute; readonly pool: Pool } {
  const oldest = first(members);
  const id = `${host}${prefix}`;
  const pool = buildPool(index, { id, shared: id }, oldest, members, findings);
  const { contextRoot, websocketEndpoints } = oldest.intent;
  return { route: { prefix, rewrite: contextRoot.rewrite, pool: id, websocketEndpoints }, pool };
}

/**
 * The oldest service that asks for TLS decides for the host; services without a word about TLS have no say in it. That plain HTTP is
 * sent to https takes the host's oldest service: a younger one could take its plain HTTP down otherwise.
 */
function buildHostTls(
  index: SnapshotIndex,
  host: Hostname,
  members: readonly Member[],
  findings: Finding[],
): { readonly tls: HostTls; readonly pools: readonly Pool[] } {
  const [decider, ...others] = members.filter(({ intent }) => intent.tls.kind !== 'none');
  if (decider === undefined) {
    return { tls: { kind: 'none' }, pools: [] };
  }
  if (isPassed(decider)) {
    const pool = buildPool(index, { id: passthroughPool(host), shared: host }, decider, members, findings);
    return { tls: { kind: 'passthrough', pool: pool.id }, pools: [pool] };
  }
  findings.push(...others.flatMap((other) => tlsDifferences(host, decider, other)));
  const tls = terminateTls(index, decider, findings);
  const oldest = first(members);
  if (decider === oldest) {
    return { tls, pools: [] };
  }
  findings.push(...tlsByYounger(host, oldest, decider));
  return { tls: withPlainHttp(tls), pools: [] };
}

function withPlainHttp(tls: HostTls): HostTls {
  return tls.kind === 'terminate' || tls.kind === 'lost' ? { ...tls, only: false } : tls;
}

/** A host name has no colon, so this is never the pool of a path. */
function passthroughPool(host: Hostname): PoolId {
  return `tls:${host}`;
}

/** TLS ended at the proxy as one service asks for it, or lost where one of its secrets does not exist. `none`: it does not ask. */
export function terminateTls(index: SnapshotIndex, member: Member, findings: Finding[]): HostTls {
  const { tls } = member.intent;
  if (tls.kind !== 'terminate') {
    return { kind: 'none' };
  }
  const certificate = resolveSecret(index, member, 'ssl_cert', tls.certificate, findings);
  const key = tls.key === undefined ? undefined : resolveSecret(index, member, 'ssl_key', tls.key, findings);
  if (certificate === undefined || (tls.key !== undefined && key === undefined)) {
    return { kind: 'lost', only: tls.only };
  }
  return {
    kind: 'terminate',
    certificate: secretFile(certificate),
    key: key === undefined ? undefined : secretFile(key),
    only: tls.only,
  };
}

function first(members: readonly Member[]): Member {
  const [oldest] = members;
  if (oldest === undefined) {
    throw new TypeError('a group of members is never empty');
  }
  return oldest;
}
