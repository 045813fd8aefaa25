/**
 * `RouteMetrics`: each request says which route it took, in a log that only the agent reads. A route is named by text of ours, never by a
 * client's: the server says the host, the location says the path. `$host` is one of our names where a server has exact names alone.
 *
 * Nothing is logged until the agent puts its own `access_log` in the place of the comment, as only it knows where it listens
 * (agent/localise/localise.ts): a file that is served without it logs nowhere.
 */
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { type Argument, comment, directive, expression, type Node } from './syntax.ts';

type Asked = Pick<NginxOptions, 'routeMetrics'>;

const ROUTE = '$interlock_route';
/** The agent reads lines of this form (agent/nginx/route-line.ts). */
const FORMAT = `$status $request_time $bytes_sent ${ROUTE}`;
/** In brackets, as no host name and no path can be. */
const UNKNOWN = '(unknown)';
const NONE = '(none)';
const REDIRECT = '(redirect)';

/** For `http`. NGINX knows no route before it has found the server, and need not warn of that. */
export function routeFormat({ routeMetrics }: Asked): readonly Node[] {
  return routeMetrics
    ? [directive('uninitialized_variable_warn', 'off'), directive('log_format', 'interlock_route', expression(FORMAT))]
    : [];
}

/** For `http`, right behind its `access_log`. */
export function routeLogPlace({ routeMetrics }: Asked): readonly Node[] {
  return routeMetrics ? [comment('access_log: requests per route, to the agent')] : [];
}

/** For a server: what has no route there, until a location says better. */
export function unknownRoute(options: Asked): readonly Node[] {
  return named(options, `${UNKNOWN} ${NONE}`);
}

/** For the server of one host. */
export function hostRoute(options: Asked, host: string): readonly Node[] {
  return named(options, `${host} ${NONE}`);
}

/** For the location of a path of it. */
export function pathRoute(options: Asked, host: string, prefix: string): readonly Node[] {
  return named(options, `${host} ${prefix}`);
}

/** For a server of exact names, each with one route for every path. */
export function groupRoute(options: Asked): readonly Node[] {
  return named(options, expression('$host /'));
}

/** For a server that only redirects; one with a wildcard has no other name. */
export function redirectRoute(options: Asked, names: readonly string[]): readonly Node[] {
  const [first = UNKNOWN] = names;
  return named(options, names.length === 1 ? `${first} ${REDIRECT}` : expression(`$host ${REDIRECT}`));
}

function named({ routeMetrics }: Asked, name: Argument): readonly Node[] {
  return routeMetrics ? [directive('set', expression(ROUTE), name)] : [];
}
