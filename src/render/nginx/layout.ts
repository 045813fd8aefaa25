/**
 * The layout of the file: which host becomes which block, and the only place that decides it. Chosen by `npm run bench:layout`
 * (docs/performance.md): at 10,000 hosts a `server` per host costs a third more processor time per reload and 40 % more memory,
 * and a variable `proxy_pass` is searched by name on every request. So plain hosts share servers, and each keeps a static `proxy_pass`.
 * Hosts with TLS do the same where they share a certificate.
 */
import { createHash } from 'node:crypto';
import type { HostEntry, PoolId } from '../../model/cluster.ts';
import { compareText } from '../../model/cluster.ts';
import { powerOfTwo } from './http.ts';
import { isTlsOnly, type RedirectAnswer, redirectOf, redirectServer, toHttps } from './redirects.ts';
import {
  defaultServer,
  defaultTlsServer,
  groupServer,
  hostServer,
  misdirectedServer,
  type ServerContext,
  type Surface,
  surfaceCertificate,
  surfaceListen,
} from './servers.ts';
import { type Node, printed } from './syntax.ts';
import { type CertificatePair, pairKey } from './tls.ts';
import { type Upstream, upstreamOf } from './upstreams.ts';

/** NGINX walks the named locations of a server one by one, so a group stays small. */
const HOSTS_PER_GROUP = 20;
/** One in so many ends a piece of the file. */
const SERVERS_PER_PIECE = 32;
/** Servers are children of `http`. */
const DEPTH = 1;

/** Upstreams, then servers. `hosts` sorted. */
export function layoutNodes(hosts: readonly HostEntry[], context: ServerContext): readonly Node[] {
  const placed = hosts.map((entry) => place(entry, context));
  const terminates = context.header.defaultTls.kind === 'terminate' || placed.some(({ tls }) => tls.kind !== 'refused');
  const refused = placed.filter(({ tls }) => tls.kind === 'refused').map(({ entry }) => entry);
  return [
    ...upstreamNodes(hosts, context),
    defaultServer(
      placed.filter(({ http }) => http.kind === 'unknown').map(({ entry }) => entry),
      context,
    ),
    ...bySurface(placed).flatMap((group) => servingNodes(group, context)),
    ...redirectNodes(placed, context),
    defaultTlsServer(terminates, context),
    ...(terminates && refused.length > 0 ? [misdirectedServer(refused, context)] : []),
  ];
}

/** What a host is on each of the two ports. */
interface Placed {
  readonly entry: HostEntry;
  readonly http: Side | { readonly kind: 'unknown' };
  readonly tls: (Side & { readonly pair: CertificatePair }) | { readonly kind: 'refused' };
}

type Side = { readonly kind: 'routes' } | { readonly kind: 'redirect'; readonly answer: RedirectAnswer };

function place(entry: HostEntry, context: ServerContext): Placed {
  return { entry, http: httpSide(entry, context), tls: tlsSide(entry) };
}

function httpSide(entry: HostEntry, { header, options }: ServerContext): Placed['http'] {
  const answer = redirectOf(entry, 'http') ?? (isTlsOnly(entry.tls) ? toHttps(header, options) : undefined);
  if (answer !== undefined) {
    return { kind: 'redirect', answer };
  }
  return { kind: entry.tls.kind === 'passthrough' ? 'unknown' : 'routes' };
}

function tlsSide(entry: HostEntry): Placed['tls'] {
  if (entry.tls.kind !== 'terminate') {
    return { kind: 'refused' };
  }
  const { certificate, key } = entry.tls;
  const answer = redirectOf(entry, 'https');
  const side: Side = answer === undefined ? { kind: 'routes' } : { kind: 'redirect', answer };
  return { ...side, pair: { certificate, key } };
}

interface SurfaceGroup {
  readonly surface: Surface;
  readonly hosts: readonly HostEntry[];
}

/** The hosts that serve their routes, by where they do: the HTTP port alone first, then certificate by certificate. */
function bySurface(placed: readonly Placed[]): readonly SurfaceGroup[] {
  const groups = new Map<string, { surface: Surface; hosts: HostEntry[] }>();
  for (const { entry, http, tls } of placed) {
    const surface = { http: http.kind === 'routes', pair: tls.kind === 'routes' ? tls.pair : undefined };
    if (surface.http || surface.pair !== undefined) {
      const key = `${surface.pair === undefined ? '' : pairKey(surface.pair)} ${surface.http ? 'http' : ''}`;
      const group = groups.get(key) ?? { surface, hosts: [] };
      groups.set(key, group);
      group.hosts.push(entry);
    }
  }
  return [...groups].sort(([a], [b]) => compareText(a, b)).map(([, group]) => group);
}

function servingNodes({ surface, hosts }: SurfaceGroup, context: ServerContext): readonly Node[] {
  return [
    ...groupsOf(hosts.filter(isPlain)).map((group) => serverNode(group, surface, context, groupServer)),
    ...hosts.filter((host) => !isPlain(host)).map((host) => serverNode([host], surface, context, hostServer)),
  ];
}

/** All that a server's block is made of. */
interface Ingredients {
  readonly hosts: readonly HostEntry[];
  readonly upstreams: readonly Upstream[];
  readonly surface: string;
  readonly header: ServerContext['header'];
  readonly options: ServerContext['options'];
  readonly infoHeaders: ServerContext['infoHeaders'];
}

/** By the first host: entries are immutable, and those that did not change are the same objects in the next model. */
const serversKnown = new WeakMap<HostEntry, { readonly made: Ingredients; readonly node: Node }>();

function serverNode(
  hosts: readonly HostEntry[],
  surface: Surface,
  context: ServerContext,
  make: (hosts: readonly HostEntry[], surface: Surface, context: ServerContext) => Node,
): Node {
  const { header, options, infoHeaders } = context;
  const made: Ingredients = {
    hosts,
    upstreams: hosts.flatMap(({ routes }) => routes.map(({ pool }) => upstreamOf(context.upstreams, pool))),
    surface: `${surface.http} ${surface.pair === undefined ? '' : pairKey(surface.pair)}`,
    header,
    options,
    infoHeaders,
  };
  const [first] = hosts;
  const known = first && serversKnown.get(first);
  if (known !== undefined && isSame(known.made, made)) {
    return known.node;
  }
  const isBorder = first !== undefined && hashOf(first) % SERVERS_PER_PIECE === 0;
  const node = printed(make(hosts, surface, context), DEPTH, { isBorder });
  if (first !== undefined) {
    serversKnown.set(first, { made, node });
  }
  return node;
}

function isSame(a: Ingredients, b: Ingredients): boolean {
  return (
    a.surface === b.surface &&
    a.header === b.header &&
    a.options === b.options &&
    a.infoHeaders === b.infoHeaders &&
    sameObjects(a.hosts, b.hosts) &&
    sameObjects(a.upstreams, b.upstreams)
  );
}

function sameObjects(a: readonly object[], b: readonly object[]): boolean {
  return a.length === b.length && a.every((item, at) => item === b[at]);
}

/** A server per answer and port; on the TLS port, per certificate too. */
function redirectNodes(placed: readonly Placed[], context: ServerContext): readonly Node[] {
  const servers = new Map<string, { surface: Surface; answer: RedirectAnswer; names: string[] }>();
  const add = (surface: Surface, answer: RedirectAnswer, name: string) => {
    const key = `${surface.pair === undefined ? '' : pairKey(surface.pair)} ${answer.status} ${answer.location}`;
    const server = servers.get(key) ?? { surface, answer, names: [] };
    servers.set(key, server);
    server.names.push(name);
  };
  for (const { entry, http, tls } of placed) {
    if (http.kind === 'redirect') {
      add({ http: true, pair: undefined }, http.answer, entry.host);
    }
    if (tls.kind === 'redirect') {
      add({ http: false, pair: tls.pair }, tls.answer, entry.host);
    }
  }
  return [...servers]
    .sort(([a], [b]) => compareText(a, b))
    .map(([, { surface, answer, names }]) =>
      redirectServer(
        { listen: surfaceListen(surface, context), certificate: surfaceCertificate(surface) },
        names,
        answer,
      ),
    );
}

/** Pools that are only passed through have their upstream in `stream`. */
function upstreamNodes(hosts: readonly HostEntry[], { upstreams, header }: ServerContext): readonly Node[] {
  const { defaultPool, defaultTls } = header;
  const defaults = defaultPool === undefined ? [] : [defaultPool];
  const passed = new Set<PoolId>(defaultTls.kind === 'passthrough' ? defaults : []);
  const served = new Set<PoolId>(defaultTls.kind === 'passthrough' ? [] : defaults);
  for (const { tls, routes } of hosts) {
    const pools = routes.map(({ pool }) => pool);
    for (const pool of tls.kind === 'passthrough' ? [...pools, tls.pool] : pools) {
      (tls.kind === 'passthrough' ? passed : served).add(pool);
    }
  }
  return [...upstreams.values()].flatMap((upstream) =>
    upstream.kind === 'named' && (served.has(upstream.pool) || !passed.has(upstream.pool)) ? [upstream.node] : [],
  );
}

/** One route for every path, and an exact name: for a wildcard `$host` is not the name of the location. */
function isPlain({ host, routes }: HostEntry): boolean {
  return routes.length === 1 && routes[0]?.prefix === '/' && !host.startsWith('*');
}

/** By hash, so that a host that comes or goes changes its own group's block and no other until the number of hosts doubles. */
function groupsOf(hosts: readonly HostEntry[]): readonly (readonly HostEntry[])[] {
  const count = powerOfTwo(Math.ceil(hosts.length / HOSTS_PER_GROUP));
  const groups = Array.from({ length: count }, (): HostEntry[] => []);
  for (const entry of hosts) {
    groups[hashOf(entry) % count]?.push(entry);
  }
  return groups.filter((group) => group.length > 0);
}

const hashes = new WeakMap<HostEntry, number>();

function hashOf(entry: HostEntry): number {
  const hash = hashes.get(entry) ?? createHash('sha256').update(entry.host).digest().readUInt32BE(0);
  hashes.set(entry, hash);
  return hash;
}
