/** The kinds of `server` blocks. */
import type { ClusterHeader, HostEntry } from '../../model/cluster.ts';
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { handOver, page, poolActions, type RouteContext, routeLocations } from './locations.ts';
import { block, directive, type Node } from './syntax.ts';
import { upstreamOf } from './upstreams.ts';

export interface ServerContext extends RouteContext {
  readonly header: ClusterHeader;
  readonly options: NginxOptions;
}

/** Hosts that nobody claimed: the default pool, or a 503 page. */
export function defaultServer(context: ServerContext): Node {
  const { defaultPool } = context.header;
  const actions =
    defaultPool === undefined
      ? [directive('return', 503, page('503 Service Unavailable', 'No service has this host name.'))]
      : poolActions(upstreamOf(context.upstreams, defaultPool), context);
  return block(
    'server',
    [],
    [listen(context, 'default_server'), directive('server_name', '_'), block('location', ['/'], actions)],
  );
}

/** One host with all its paths. */
export function hostServer({ host, routes }: HostEntry, context: ServerContext): Node {
  return block('server', [], [listen(context), directive('server_name', host), ...routeLocations(routes, context)]);
}

/** Several exact hosts, each with one route for every path: a named location per host. */
export function groupServer(hosts: readonly HostEntry[], context: ServerContext): Node {
  return block(
    'server',
    [],
    [
      listen(context),
      ...hosts.map(({ host }) => directive('server_name', host)),
      handOver(),
      ...hosts.flatMap(({ host, routes }) =>
        routes.map((route) =>
          block('location', [`@${host}`], poolActions(upstreamOf(context.upstreams, route.pool), context)),
        ),
      ),
    ],
  );
}

function listen({ header, options }: ServerContext, ...flags: readonly string[]): Node {
  return directive('listen', header.listen.http, ...flags, ...(options.proxyProtocol ? ['proxy_protocol'] : []));
}
