/** What a route does with a request: the children of its `location`. */
import { compareText, type HostEntry, type PathRoute } from '../../model/cluster.ts';
import type { PathPrefix } from '../../model/names.ts';
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { responseHeader } from './headers.ts';
import { isRewritten, rewritten } from './rewrite.ts';
import { pathRoute } from './route-log.ts';
import { sorted } from './sorted.ts';
import { cookieChoice } from './sticky.ts';
import { block, directive, expression, type Node } from './syntax.ts';
import { upstreamTlsNodes } from './upstream-tls.ts';
import { type Upstream, type Upstreams, upstreamOf } from './upstreams.ts';

/** What every location may need to know. */
export interface RouteContext {
  readonly upstreams: Upstreams;
  /** To be repeated by who adds a header. */
  readonly infoHeaders: readonly Node[];
}

type NamedUpstream = Extract<Upstream, { kind: 'named' }>;

const RETRY_AFTER_SECONDS = 5;

/** To the pool, or 503 with `Retry-After` while it has no endpoint. `proxy_pass` has no URI, so the request's goes on byte for byte. */
export function poolActions(upstream: Upstream, context: RouteContext): readonly Node[] {
  return upstream.kind === 'named'
    ? [...poolSettings(upstream), directive('proxy_pass', urlOf(upstream))]
    : unavailableActions(context);
}

/** The answer where a pool has nobody to send to. */
export function unavailableActions({ infoHeaders }: Pick<RouteContext, 'infoHeaders'>): readonly Node[] {
  return [
    ...infoHeaders,
    responseHeader('Retry-After', String(RETRY_AFTER_SECONDS)),
    directive('return', 503, page('503 Service Unavailable', 'No task of this service is running.')),
  ];
}

function routeActions(route: PathRoute, upstream: Upstream, context: RouteContext): readonly Node[] {
  return isRewritten(route) && upstream.kind === 'named'
    ? [...poolSettings(upstream), ...rewritten(route.prefix, urlOf(upstream))]
    : poolActions(upstream, context);
}

function poolSettings({ balance, tls }: NamedUpstream): readonly Node[] {
  return [...cookieChoice(balance), ...upstreamTlsNodes(tls)];
}

function urlOf({ tls, name }: NamedUpstream): string {
  return `${tls.kind === 'on' ? 'https' : 'http'}://${name}`;
}

/** Static locations, sorted by prefix, longest prefix first by NGINX's own rule; paths without a route answer 404. */
export function routeLocations(
  { host, routes }: HostEntry,
  context: RouteContext & { readonly options: NginxOptions },
): readonly Node[] {
  const inOrder = sorted(routes, (a, b) => compareText(a.prefix, b.prefix));
  const locations = inOrder.flatMap((route) => {
    const actions = [
      ...pathRoute(context.options, host, route.prefix),
      ...routeActions(route, upstreamOf(context.upstreams, route.pool), context),
    ];
    return matchersOf(route.prefix).map((matcher) => block('location', matcher, actions));
  });
  return routes.some((route) => route.prefix === '/') ? locations : [...locations, notFound()];
}

/** `/app` is the path itself and what is below `/app/`, never `/apple`. The exact one also keeps NGINX from redirecting to `/app/`. */
function matchersOf(prefix: PathPrefix): readonly (readonly string[])[] {
  return prefix === '/' ? [['/']] : [['=', prefix], [`${prefix}/`]];
}

function notFound(): Node {
  return block('location', ['/'], [directive('return', 404, page('404 Not Found', 'No service has this path.'))]);
}

/** A small page of its own for answers that no service gave. */
export function page(title: string, text: string): string {
  return `<!doctype html><title>${title}</title><h1>${title}</h1><p>${text}</p>`;
}

/** Hands the request to the named location `@<host>`, untouched: method, URI and body stay. See `layout.ts`. */
export function handOver(): Node {
  return block('location', ['/'], [directive('error_page', 418, '=', expression('@$host')), directive('return', 418)]);
}
