/** The internal server: health and counters, on a unix socket that only the proxy's own container reaches. */
import { block, directive, type Node } from './syntax.ts';

export const STATUS_SOCKET = '/run/interlock-status.sock';

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
