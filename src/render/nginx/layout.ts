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
  const { unknown, servers, refused, terminates, onlyPassed, redirects } = planOf(hosts, context);
  const upstreams: Node[] = [];
  for (const upstream of context.upstreams.values()) {
    if (upstream.kind === 'named' && !onlyPassed.has(upstream.pool)) {
      upstreams.push(upstream.node);
    }
  }
  return [
    ...upstreams,
    defaultServer(unknown, context),
    ...servers.map((server) => serverNode(server, context)),
    ...redirects,
    defaultTlsServer(terminates, context),
    ...(terminates && refused.length > 0 ? [misdirectedServer(refused, context)] : []),
  ];
}

/** All that follows from the hosts alone: most changes are of pools, and leave the hosts' list the same object. */
interface Plan {
  readonly header: ServerContext['header'];
  readonly options: ServerContext['options'];
  /** Answered like hosts that nobody claimed. */
  readonly unknown: readonly HostEntry[];
  readonly servers: readonly PlannedServer[];
  readonly redirects: readonly Node[];
  /** Without TLS of ours. */
  readonly refused: readonly HostEntry[];
  readonly terminates: boolean;
  /** Pools that have their upstream in `stream` alone. */
  readonly onlyPassed: ReadonlySet<PoolId>;
}

interface PlannedServer {
  readonly hosts: readonly HostEntry[];
  readonly surface: Surface;
  readonly make: (hosts: readonly HostEntry[], surface: Surface, context: ServerContext) => Node;
}

const plans = new WeakMap<readonly HostEntry[], Plan>();

function planOf(hosts: readonly HostEntry[], context: ServerContext): Plan {
  const { header, options } = context;
  const known = plans.get(hosts);
  if (known !== undefined && known.header === header && known.options === options) {
    return known;
  }
  const placed = hosts.map((entry) => place(entry, context));
  const plan = {
    header,
    options,
    unknown: placed.filter(({ http }) => http.kind === 'unknown').map(({ entry }) => entry),
    servers: bySurface(placed).flatMap(plannedServers),
    redirects: redirectNodes(placed, context),
    refused: placed.filter(({ tls }) => tls.kind === 'refused').map(({ entry }) => entry),
    terminates: header.defaultTls.kind === 'terminate' || placed.some(({ tls }) => tls.kind !== 'refused'),
    onlyPassed: onlyPassedPools(hosts, header),
  };
  plans.set(hosts, plan);
  return plan;
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

function plannedServers({ surface, hosts }: SurfaceGroup): readonly PlannedServer[] {
  return [
    ...groupsOf(hosts.filter(isPlain)).map((group) => ({ hosts: group, surface, make: groupServer })),
    ...hosts.filter((host) => !isPlain(host)).map((host) => ({ hosts: [host], surface, make: hostServer })),
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

function serverNode({ hosts, surface, make }: PlannedServer, context: ServerContext): Node {
  const { header, options, infoHeaders } = context;
  const made: Ingredients = {
    hosts,
    upstreams: upstreamsOf(hosts, context),
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

function upstreamsOf(hosts: readonly HostEntry[], { upstreams }: ServerContext): readonly Upstream[] {
  const found: Upstream[] = [];
  for (const { routes } of hosts) {
    for (const { pool } of routes) {
      found.push(upstreamOf(upstreams, pool));
    }
  }
  return found;
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
    // For a wildcard `$host` is not the name of the route: it has a server of its own where routes are counted.
    const alone = context.options.routeMetrics && name.startsWith('*') ? ` ${name}` : '';
    const pair = surface.pair === undefined ? '' : pairKey(surface.pair);
    const key = `${pair} ${answer.status} ${answer.location}${alone}`;
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
        {
          listen: surfaceListen(surface, context),
          certificate: surfaceCertificate(surface),
          options: context.options,
        },
        names,
        answer,
      ),
    );
}

function onlyPassedPools(
  hosts: readonly HostEntry[],
  { defaultPool, defaultTls }: ServerContext['header'],
): ReadonlySet<PoolId> {
  const passed = new Set<PoolId>();
  const served = new Set<PoolId>();
  if (defaultPool !== undefined) {
    (defaultTls.kind === 'passthrough' ? passed : served).add(defaultPool);
  }
  for (const { tls, routes } of hosts) {
    for (const { pool } of routes) {
      (tls.kind === 'passthrough' ? passed : served).add(pool);
    }
    if (tls.kind === 'passthrough') {
      passed.add(tls.pool);
    }
  }
  return new Set([...passed].filter((pool) => !served.has(pool)));
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
