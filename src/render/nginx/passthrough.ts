/**
 * TLS that ends in the service: `stream` owns the TLS port, reads the name in the ClientHello and hands the bytes on, each host by a server
 * of its own with a static `proxy_pass`. All other names go to `http` through a unix socket, with the PROXY protocol, so that HTTP/2 and
 * the client's address arrive there. The way taken is the one that outlasts reloads: `pass` would save the second hop, and reset some
 * connections at each.
 */
import { type ClusterModel, compareText, type HostEntry, type Pool, type PoolId } from '../../model/cluster.ts';
import type { Hostname } from '../../model/names.ts';
import { InvariantError } from '../../runtime/errors.ts';
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { hashSizes } from './http.ts';
import { overridable } from './raw-lines.ts';
import { block, comment, directive, expression, type Node, raw } from './syntax.ts';
import { TLS_SOCKET } from './tls.ts';
import { endpointNodes, upstreamName } from './upstreams.ts';

/** As close to the main format as bytes allow that are not read. */
const LOG_FORMAT =
  '$remote_addr - - [$time_local] "$ssl_preread_server_name -> $upstream_addr ($ssl_preread_protocol)" $status $bytes_sent "" "" ""';

/** `http` has the shorter limits for all that goes through the socket, and must be the one that ends a connection. */
const HOP_TIMEOUT = '1d';

/** Where Debian's NGINX has the lines that load what it was not built with, `stream` among them. Elsewhere nothing matches, which is fine. */
const MODULES = '/etc/nginx/modules-enabled/*.conf';

/** For the main context, where `stream` is used. The operator may load the module with lines of his own. */
export function moduleNodes({ globalOptions }: NginxOptions): readonly Node[] {
  return globalOptions.some((line) => /ngx_stream_module|modules-enabled/.test(line))
    ? []
    : [directive('include', MODULES)];
}

/** The children of `stream`; none when nothing is passed through and the operator has no lines for it. */
export function streamNodes(model: ClusterModel, options: NginxOptions): readonly Node[] {
  const lines = options.tcpOptions.map(raw);
  if (!model.header.tlsHop) {
    return lines;
  }
  const passed = passedHosts(model);
  const byId = new Map(model.pools.map((pool) => [pool.id, pool]));
  const pools = [...passedPools(model)].sort(compareText);
  return [
    ...overridable(ownNodes(model, options), options.tcpOptions),
    ...lines,
    ...pools.flatMap((pool) => upstreamNodes(poolOf(byId, pool), options)),
    ...hopServers(model, byId, options),
    ...passed.map(({ host, pool }) =>
      block(
        'server',
        [],
        [streamListen(model, options), directive('server_name', host), ...passActions(poolOf(byId, pool))],
      ),
    ),
  ];
}

/** Pools that have their endpoints in `stream`. */
export function passedPools(model: ClusterModel): ReadonlySet<PoolId> {
  return new Set(model.header.tlsHop ? [...passedHosts(model).map(({ pool }) => pool), ...defaultPools(model)] : []);
}

type PoolsById = ReadonlyMap<PoolId, Pool>;

interface PassedHost {
  readonly host: Hostname;
  readonly pool: PoolId;
}

function passedHosts({ hosts }: ClusterModel): readonly PassedHost[] {
  return hosts.flatMap(({ host, tls }) => (tls.kind === 'passthrough' ? [{ host, pool: tls.pool }] : []));
}

/** The pool of a default backend that is passed through. */
function defaultPools({ header }: ClusterModel): readonly PoolId[] {
  return header.defaultTls.kind === 'passthrough' && header.defaultPool !== undefined ? [header.defaultPool] : [];
}

function ownNodes({ hosts }: ClusterModel, options: NginxOptions): readonly Node[] {
  return [
    directive('log_format', 'tls', expression(LOG_FORMAT)),
    options.accessLogPath === 'off'
      ? directive('access_log', 'off')
      : directive('access_log', options.accessLogPath, 'tls'),
    directive('ssl_preread', 'on'),
    directive('proxy_connect_timeout', `${options.connectTimeoutSeconds}s`),
    directive('proxy_timeout', `${Math.max(options.readTimeoutSeconds, options.sendTimeoutSeconds)}s`),
    ...hashSizes(
      options,
      hosts.map(({ host }) => host),
    ),
    ...(options.proxyProtocol ? options.trustedProxies.map((peer) => directive('set_real_ip_from', peer)) : []),
  ];
}

/** A cookie cannot be read here, so only the client's address keeps a client at its task. `http` may have a zone of the upstream's name. */
function upstreamNodes(pool: Pool, options: NginxOptions): readonly Node[] {
  if (pool.endpoints.length === 0) {
    return [];
  }
  const name = upstreamName(pool.id);
  const byAddress = options.ipHash || pool.balance.kind === 'client-address';
  return [
    block(
      'upstream',
      [name],
      [
        ...(pool.network.kind === 'host' ? [comment('node addresses')] : []),
        ...(options.upstreamZoneKiB === undefined
          ? []
          : [directive('zone', `${name}_tls`, `${options.upstreamZoneKiB}k`)]),
        ...(byAddress ? [directive('hash', expression('$remote_addr'), 'consistent')] : []),
        ...endpointNodes(pool),
      ],
    ),
  ];
}

/** Whatever is not passed through goes to `http`, unless the default backend takes the names that nobody claimed. */
function hopServers(model: ClusterModel, byId: PoolsById, options: NginxOptions): readonly Node[] {
  const toHttp = [
    directive('access_log', 'off'),
    directive('proxy_timeout', HOP_TIMEOUT),
    directive('proxy_protocol', 'on'),
    directive('proxy_pass', `unix:${TLS_SOCKET}`),
  ];
  const [pool] = defaultPools(model);
  const defaults = [streamListen(model, options, 'default_server'), directive('server_name', '_')];
  const named = model.hosts.filter(({ tls }) => tls.kind !== 'passthrough');
  const others = pool === undefined ? coveredByPassed(named, model) : named;
  return [
    block('server', [], [...defaults, ...(pool === undefined ? toHttp : passActions(poolOf(byId, pool)))]),
    ...(others.length === 0
      ? []
      : [block('server', [], [streamListen(model, options), ...namesOf(others), ...toHttp])]),
  ];
}

/** Those that a wildcard which is passed through would take along: the closer name wins. */
function coveredByPassed(hosts: readonly HostEntry[], model: ClusterModel): readonly HostEntry[] {
  const passed = passedHosts(model).flatMap(({ host }) => (host.startsWith('*') ? [host.slice(1)] : []));
  return hosts.filter(({ host }) => passed.some((suffix) => host.endsWith(suffix)));
}

/** Without an endpoint the connection is closed at once: there is no answer that the client could read. */
function passActions(pool: Pool): readonly Node[] {
  return pool.endpoints.length === 0 ? [directive('return', '')] : [directive('proxy_pass', upstreamName(pool.id))];
}

function streamListen({ header }: ClusterModel, options: NginxOptions, ...flags: readonly string[]): Node {
  return directive('listen', header.listen.tls, ...flags, ...(options.proxyProtocol ? ['proxy_protocol'] : []));
}

function namesOf(hosts: readonly HostEntry[]): readonly Node[] {
  return hosts.map(({ host }) => directive('server_name', host));
}

function poolOf(byId: PoolsById, id: PoolId): Pool {
  const found = byId.get(id);
  if (found === undefined) {
    throw new InvariantError(`the model has no pool ${id}`);
  }
  return found;
}
