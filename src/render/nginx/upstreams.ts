/** Pools as `upstream` blocks. An upstream without a server is an error for the whole file, so an empty pool has none. */
import { createHash } from 'node:crypto';
import { compareText, type Endpoint, type Pool, type PoolId } from '../../model/cluster.ts';
import type { Balance, UpstreamTls } from '../../model/intent.ts';
import { InvariantError } from '../../runtime/errors.ts';
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { sorted } from './sorted.ts';
import { balanceNodes } from './sticky.ts';
import { block, comment, directive, type Node, type Printed, printed } from './syntax.ts';

/** Idle connections per pool and worker, at most. */
const IDLE_CONNECTIONS = 32;
/** Of all pools together; NGINX takes some 300 bytes for the place of each when it reads the file, used or not: 100 MB. */
const ALL_IDLE_PLACES = 32 * 10_240;
/**
 * Room for open ones, per worker: 424 bytes each for NGINX, so 21 MB, and well below the default of `RLimitNoFile`. An idle one ends after
 * `IDLE_TIMEOUT`, so a worker that fills this room opens 12,288 connections to upstreams each second, without a use for those it has.
 */
const ALL_IDLE_OPEN = 49_152;
/** Below the 5 s after which a Node server, the most impatient of the common ones, closes an idle connection. */
const IDLE_TIMEOUT = '4s';
const SLUG_LENGTH = 40;
/** Upstreams are children of `http`. */
const DEPTH = 1;

/** A pool that has endpoints, or one that answers 503. */
export type Upstream =
  | {
      readonly kind: 'named';
      readonly pool: PoolId;
      readonly name: string;
      readonly node: Printed;
      readonly balance: Balance;
      readonly tls: UpstreamTls;
    }
  | { readonly kind: 'empty'; readonly pool: PoolId };

export type Upstreams = ReadonlyMap<PoolId, Upstream>;

export function buildUpstreams(pools: readonly Pool[], options: NginxOptions, idle: IdleConnections): Upstreams {
  const upstreams = new Map<PoolId, Upstream>();
  for (const pool of pools) {
    upstreams.set(pool.id, buildUpstream(pool, options, idle));
  }
  return upstreams;
}

/** How many idle connections each pool of a file keeps, per worker. */
export type IdleConnections = (pool: PoolId) => number;

/** `pools`: how many there are; `shared`: see `poolsOfManyNames`. */
export function idleConnectionsOf(pools: number, shared: ReadonlySet<PoolId> = new Set()): IdleConnections {
  const idle = idlePerPool(pools);
  return (pool) => (shared.has(pool) ? 0 : idle);
}

/** Halved as pools double, so that the blocks of all pools change only with every doubling. */
function idlePerPool(pools: number): number {
  const doublings = Math.ceil(Math.log2(Math.max(1, (pools * IDLE_CONNECTIONS) / ALL_IDLE_PLACES)));
  return Math.max(1, IDLE_CONNECTIONS >> Math.min(doublings, 5));
}

/**
 * How many connections a worker may hold open to the upstreams of `pools` pools without using them. NGINX counts them against
 * `worker_connections` and closes none to make room: without room of their own they would cost clients their connections.
 */
export function idleConnections(pools: number): number {
  return Math.min(pools * idlePerPool(pools), ALL_IDLE_OPEN);
}

/** @throws InvariantError when a route names a pool that the model lacks. */
export function upstreamOf(upstreams: Upstreams, pool: PoolId): Upstream {
  const found = upstreams.get(pool);
  if (found === undefined) {
    throw new InvariantError(`the model has no pool ${pool}`);
  }
  return found;
}

/**
 * 12 hex digits of the id's SHA-256, a readable slug of it (letters, digits and `_` only), and 0 to 15 more of the digits: the same for
 * the same id. NGINX finds an upstream by walking a list and compares names of the same length (`ngx_http_upstream_add`): names that begin
 * alike, or that are equally long, made a reload of 10,000 hosts cost more processor time (docs/performance.md).
 */
export function upstreamName(pool: PoolId): string {
  const slug = pool
    .slice(0, SLUG_LENGTH)
    .replace(/[^A-Za-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '')
    .toLowerCase();
  const digits = createHash('sha256').update(pool).digest('hex');
  const more = Number.parseInt(digits.slice(-1), 16);
  return `${digits.slice(0, 12)}_${slug}${more === 0 ? '' : `_${digits.slice(12, 12 + more)}`}`;
}

/** One in so many ends a piece of the file: some 35 KB each. */
const PER_PIECE = 128;

function endsPiece(name: string): boolean {
  return Number.parseInt(name.slice(4, 12), 16) % PER_PIECE === 0;
}

/** Pools are immutable, and those that did not change are the same objects in the next model: most of a file is printed once. */
const built = new WeakMap<
  Pool,
  { readonly options: NginxOptions; readonly idle: number; readonly upstream: Upstream }
>();

export function buildUpstream(pool: Pool, options: NginxOptions, idleOf: IdleConnections): Upstream {
  const idle = idleOf(pool.id);
  const known = built.get(pool);
  if (known !== undefined && known.options === options && known.idle === idle) {
    return known.upstream;
  }
  const upstream = makeUpstream(pool, options, idle);
  built.set(pool, { options, idle, upstream });
  return upstream;
}

function makeUpstream(pool: Pool, options: NginxOptions, idle: number): Upstream {
  if (pool.endpoints.length === 0) {
    return { kind: 'empty', pool: pool.id };
  }
  const name = upstreamName(pool.id);
  const node = block('upstream', [name], [...upstreamChildren(pool, name, options), ...keepaliveNodes(idle)]);
  return {
    kind: 'named',
    pool: pool.id,
    name,
    node: printed(node, DEPTH, { isBorder: endsPiece(name) }),
    balance: pool.balance,
    tls: pool.upstreamTls,
  };
}

/**
 * `keepalive` comes after these: it wraps the balancing method. The comment tells the agent that these addresses are the nodes' own:
 * it takes out the servers of overlay networks that its task is not attached to, and these are in none.
 */
function upstreamChildren(pool: Pool, name: string, options: NginxOptions): readonly Node[] {
  return [
    ...(pool.network.kind === 'host' ? [comment('node addresses')] : []),
    ...(options.upstreamZoneKiB === undefined ? [] : [directive('zone', name, `${options.upstreamZoneKiB}k`)]),
    ...balanceNodes(pool.balance, options),
    ...endpointNodes(pool),
  ];
}

/** 0 for a pool of many names: NGINX takes a kept TLS connection for any of them, also one that it was not verified for. */
function keepaliveNodes(idle: number): readonly Node[] {
  return [directive('keepalive', idle), ...(idle === 0 ? [] : [directive('keepalive_timeout', IDLE_TIMEOUT)])];
}

/** A `server` line each, whatever their order in the model. */
export function endpointNodes(pool: Pool): readonly Node[] {
  return sorted(pool.endpoints, (a, b) => compareText(a.address, b.address) || a.port - b.port).map((endpoint) =>
    serverNode(endpoint, pool),
  );
}

function serverNode(endpoint: Endpoint, { failure }: Pool): Node {
  return directive(
    'server',
    addressOf(endpoint),
    ...(endpoint.weight === 1 ? [] : [`weight=${endpoint.weight}`]),
    `max_fails=${failure.maxFails}`,
    `fail_timeout=${failure.failTimeoutSeconds}s`,
  );
}

function addressOf({ address, port }: Endpoint): string {
  return address.includes(':') ? `${canonicalIpv6(address)}:${port}` : `${address}:${port}`;
}

/** In brackets. NGINX refuses lawful spellings such as `0:0:0:0:0:0:0::`; the URL standard's serialisation is one it takes. */
function canonicalIpv6(address: string): string {
  try {
    return new URL(`http://[${address}]/`).hostname;
  } catch (cause) {
    throw new InvariantError(`not an IPv6 address: ${JSON.stringify(address)}`, { cause });
  }
}
