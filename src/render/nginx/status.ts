/** The internal servers, on unix sockets that only the proxy's own container reaches. */
import { type RouteContext, unavailableActions } from './locations.ts';
import { block, directive, type Node } from './syntax.ts';

export const STATUS_SOCKET = '/run/interlock-status.sock';
/** The agent puts it in the place of servers that its task cannot reach. */
export const UNAVAILABLE_SOCKET = '/run/interlock-unavailable.sock';

/**
 * 503 for the pools whose network this proxy's task is not attached to. Always there, so that the agent only changes addresses.
 * `variables`: `set` lines of variables that must be known to the file even if no location sets them.
 */
export function unavailableServer(context: Pick<RouteContext, 'infoHeaders'>, variables: readonly Node[]): Node {
  return block(
    'server',
    [],
    [
      directive('listen', `unix:${UNAVAILABLE_SOCKET}`),
      directive('server_name', '_'),
      directive('access_log', 'off'),
      ...variables,
      block('location', ['/'], unavailableActions(context)),
    ],
  );
}

/** Health and counters. */
export function statusServer(): Node {
  return block(
    'server',
    [],
    [
      directive('listen', `unix:${STATUS_SOCKET}`),
      directive('server_name', '_'),
      directive('access_log', 'off'),
      directive('default_type', 'text/plain'),
      block('location', ['=', '/healthz'], [directive('return', 200, 'ok')]),
      block('location', ['=', '/status'], [directive('stub_status')]),
      block('location', ['/'], [directive('return', 404)]),
    ],
  );
}
