/** The kinds of `server` blocks. */
import type { ClusterHeader, HostEntry } from '../../model/cluster.ts';
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { handOver, page, poolActions, type RouteContext, routeLocations } from './locations.ts';
import { isTlsOnly, toHttps } from './redirects.ts';
import { groupRoute, hostRoute, unknownRoute } from './route-log.ts';
import { block, directive, expression, type Node } from './syntax.ts';
import { type CertificatePair, certificateNodes, tlsListen } from './tls.ts';
import { upstreamOf } from './upstreams.ts';

export interface ServerContext extends RouteContext {
  readonly header: ClusterHeader;
  readonly options: NginxOptions;
}

/** Where a server is heard: on the HTTP port, on the TLS port with a certificate, or on both. */
export interface Surface {
  readonly http: boolean;
  readonly pair: CertificatePair | undefined;
}

/** Hosts that nobody claimed: the default pool, or a 503 page. `others`: hosts of ours that are to be answered alike. */
export function defaultServer(others: readonly HostEntry[], context: ServerContext): Node {
  const { header, options } = context;
  const { status, location } = toHttps(header, options);
  const actions = isTlsOnly(header.defaultTls)
    ? [directive('return', status, expression(location))]
    : unknownActions(context);
  return block(
    'server',
    [],
    [
      httpListen(context, 'default_server'),
      directive('server_name', '_'),
      ...namesOf(others),
      ...unknownRoute(options),
      anyPath(actions),
    ],
  );
}

/**
 * The TLS port for names that nobody claimed, and for clients that send none: the handshake is refused, unless the default backend has
 * a certificate. `reachable`: a client may come in by another host's name and then ask for an unknown one.
 */
export function defaultTlsServer(reachable: boolean, context: ServerContext): Node {
  const { header, options } = context;
  const { defaultTls } = header;
  return block(
    'server',
    [],
    [
      ...tlsListen(header, options, 'default_server'),
      directive('server_name', '_'),
      ...(defaultTls.kind === 'terminate' ? certificateNodes(defaultTls) : refuseHandshake(reachable)),
      ...(reachable ? [...unknownRoute(options), anyPath(unknownActions(context))] : []),
    ],
  );
}

/** Hosts of ours without TLS, or whose TLS is not ours: a handshake for them is refused, and who came in by another name is sent back. */
export function misdirectedServer(hosts: readonly HostEntry[], { header, options }: ServerContext): Node {
  const text = page('421 Misdirected Request', 'This host is not served over this connection.');
  return block(
    'server',
    [],
    [
      ...tlsListen(header, options),
      ...namesOf(hosts),
      ...refuseHandshake(true),
      ...unknownRoute(options),
      anyPath([directive('return', 421, text)]),
    ],
  );
}

/** One host with all its paths. */
export function hostServer(hosts: readonly HostEntry[], surface: Surface, context: ServerContext): Node {
  return block(
    'server',
    [],
    [
      ...surfaceListen(surface, context),
      ...namesOf(hosts),
      ...surfaceCertificate(surface),
      ...hosts.flatMap((entry) => [...hostRoute(context.options, entry.host), ...routeLocations(entry, context)]),
    ],
  );
}

/** Several exact hosts, each with one route for every path: a named location per host. */
export function groupServer(hosts: readonly HostEntry[], surface: Surface, context: ServerContext): Node {
  return block(
    'server',
    [],
    [
      ...surfaceListen(surface, context),
      ...namesOf(hosts),
      ...surfaceCertificate(surface),
      ...groupRoute(context.options),
      handOver(),
      ...hosts.flatMap(({ host, routes }) =>
        routes.map((route) =>
          block('location', [`@${host}`], poolActions(upstreamOf(context.upstreams, route.pool), context)),
        ),
      ),
    ],
  );
}

/** The head of a server that is heard there: its `listen` lines. */
export function surfaceListen({ http, pair }: Surface, context: ServerContext): readonly Node[] {
  return [
    ...(http ? [httpListen(context)] : []),
    ...(pair === undefined ? [] : tlsListen(context.header, context.options)),
  ];
}

export function surfaceCertificate({ pair }: Surface): readonly Node[] {
  return pair === undefined ? [] : certificateNodes(pair);
}

/** A default backend that is passed through speaks TLS, so it answers no plain request. */
function unknownActions(context: ServerContext): readonly Node[] {
  const { defaultPool, defaultTls } = context.header;
  return defaultPool === undefined || defaultTls.kind === 'passthrough'
    ? [directive('return', 503, page('503 Service Unavailable', 'No service has this host name.'))]
    : poolActions(upstreamOf(context.upstreams, defaultPool), context);
}

/** `reachable`: over HTTP/2 too, which NGINX would answer by itself where it is off. */
function refuseHandshake(reachable: boolean): readonly Node[] {
  return [...(reachable ? [directive('http2', 'on')] : []), directive('ssl_reject_handshake', 'on')];
}

function anyPath(actions: readonly Node[]): Node {
  return block('location', ['/'], actions);
}

function namesOf(hosts: readonly HostEntry[]): readonly Node[] {
  return hosts.map(({ host }) => directive('server_name', host));
}

function httpListen({ header, options }: ServerContext, ...flags: readonly string[]): Node {
  return directive('listen', header.listen.http, ...flags, ...(options.proxyProtocol ? ['proxy_protocol'] : []));
}
