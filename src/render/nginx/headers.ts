/**
 * Headers in both directions. NGINX's trap: one `add_header` (or `proxy_set_header`) in a location drops all of the outer ones.
 * So all stand in `http`, values that differ come from maps, and who needs one more header repeats `infoHeaders`.
 */
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { block, directive, entry, expression, type Node } from './syntax.ts';

const REQUEST_ID = '$reqid';
const REQUEST_HOST = '$requested_host';

const known = new WeakMap<NginxOptions, { readonly serverInfo: string; readonly nodes: readonly Node[] }>();

/** The documented response headers; empty when the operator hides them. The same list for the same options. */
export function infoHeaders(options: NginxOptions, serverInfo: string): readonly Node[] {
  const before = known.get(options);
  if (before?.serverInfo === serverInfo) {
    return before.nodes;
  }
  const nodes = makeInfoHeaders(options, serverInfo);
  known.set(options, { serverInfo, nodes });
  return nodes;
}

/** A header with an empty value is not sent. */
function makeInfoHeaders(options: NginxOptions, serverInfo: string): readonly Node[] {
  if (options.hideInfoHeaders) {
    return [];
  }
  return [
    responseHeader('x-request-id', expression(REQUEST_ID)),
    responseHeader('x-proxy-id', expression('$hostname')),
    responseHeader('x-server-info', options.version === '' ? serverInfo : options.version),
    responseHeader('x-upstream-addr', expression('$upstream_addr')),
    responseHeader('x-upstream-response-time', expression('$upstream_seconds')),
  ];
}

/** `always`: on errors too. */
export function responseHeader(name: string, value: Parameters<typeof entry>[1]): Node {
  return directive('add_header', name, value, 'always');
}

/** For `http`: maps and headers. */
export function headerNodes(options: NginxOptions, serverInfo: string): readonly Node[] {
  const info = infoHeaders(options, serverInfo);
  return [
    ...valueMaps(options),
    ...(options.trustedProxies.length === 0 ? [] : trustMaps(options)),
    ...requestHeaders(options),
    ...info,
    ...(info.length === 0 ? [] : hideServicesOwn()),
  ];
}

/** A service that sends one of these itself (often it echoes `X-Request-ID`) would make the client see two. */
function hideServicesOwn(): readonly Node[] {
  return ['x-request-id', 'x-proxy-id', 'x-server-info', 'x-upstream-addr', 'x-upstream-response-time'].map((name) =>
    directive('proxy_hide_header', name),
  );
}

/**
 * Words about the way here that we never say ourselves and many frameworks believe, `Forwarded` (RFC 7239) before all others: a trusted
 * peer's are passed on, nobody else's. A header with an empty value is not sent.
 */
const TRUSTED_ONLY = [
  { name: 'Forwarded', header: '$http_forwarded', target: '$forwarded_standard' },
  { name: 'X-Forwarded-Prefix', header: '$http_x_forwarded_prefix', target: '$forwarded_prefix' },
  { name: 'X-Forwarded-Server', header: '$http_x_forwarded_server', target: '$forwarded_server' },
  { name: 'X-Forwarded-Ssl', header: '$http_x_forwarded_ssl', target: '$forwarded_ssl' },
] as const;

function requestHeaders(options: NginxOptions): readonly Node[] {
  const trusting = options.trustedProxies.length > 0;
  const forwarded = (name: string, own: string) => expression(trusting ? `$forwarded_${name}` : own);
  const set = (name: string, value: Parameters<typeof entry>[1]) => directive('proxy_set_header', name, value);
  return [
    set('Host', expression(REQUEST_HOST)),
    set('Connection', expression('$upgrade_connection')),
    set('Upgrade', expression('$upgrade_protocol')),
    set('TE', expression('$accepted_trailers')),
    set('X-Request-ID', expression(REQUEST_ID)),
    set('X-Real-IP', expression(trusting && !options.proxyProtocol ? '$client_address' : '$remote_addr')),
    set('X-Forwarded-For', forwarded('for', '$remote_addr')),
    set('X-Forwarded-Proto', forwarded('proto', '$scheme')),
    set('X-Forwarded-Host', forwarded('host', REQUEST_HOST)),
    set('X-Forwarded-Port', forwarded('port', '$requested_port')),
    ...TRUSTED_ONLY.map(({ name, target }) => set(name, trusting ? expression(target) : '')),
  ];
}

function map(source: string, target: string, entries: readonly Node[]): Node {
  return block('map', [expression(source), expression(target)], entries);
}

function valueMaps(options: NginxOptions): readonly Node[] {
  const usedScheme = options.trustedProxies.length > 0 ? '$forwarded_proto' : '$scheme';
  return [
    map('$http_x_request_id', REQUEST_ID, [
      entry('default', expression('$request_id')),
      entry(expression('~^[A-Za-z0-9._~+/=:@-]{1,128}$'), expression('$http_x_request_id')),
    ]),
    // An HTTP/1.0 client may send no Host.
    map('$http_host', '$sent_host', [entry('default', expression('$http_host')), entry('', expression('$host'))]),
    // RFC 9112 3.2.2: an absolute-form target replaces the Host that came with it.
    map('$request', REQUEST_HOST, [
      entry('default', expression('$sent_host')),
      entry(
        expression('~^[^ ]+ [A-Za-z][A-Za-z0-9+.-]*://(?<target_authority>[^/?# ]+)'),
        expression('$target_authority'),
      ),
    ]),
    map(usedScheme, '$scheme_port', [entry('default', 80), entry('https', options.publicSslPort ?? 443)]),
    map(REQUEST_HOST, '$requested_port', [
      entry('default', expression('$scheme_port')),
      entry(expression('~:(?<host_port>[0-9]+)$'), expression('$host_port')),
    ]),
    // Any protocol but h2c: that one would carry requests past us on the upgraded connection.
    map('$http_upgrade', '$upgrade_protocol', [
      entry('default', expression('$http_upgrade')),
      entry('', ''),
      entry(expression('~*h2c'), ''),
    ]),
    // RFC 9110 10.1.4: trailers are sent only to who says it takes them, and `TE` is named in `Connection`.
    map('$http_te', '$accepted_trailers', [
      entry('default', ''),
      entry(expression('~*(?:^|,)\\s*trailers\\s*(?:,|$)'), 'trailers'),
    ]),
    map('$accepted_trailers', '$plain_connection', [entry('default', 'te'), entry('', '')]),
    map('$upgrade_protocol', '$upgrade_connection', [
      entry('default', 'upgrade'),
      entry('', expression('$plain_connection')),
    ]),
    // The whole time is known only after the answer; while its header goes out, the time to the header is.
    map('$upstream_header_time', '$upstream_seconds', [
      entry('default', expression('$upstream_header_time')),
      entry('', ''),
      entry(expression('~-$'), expression('$upstream_response_time')),
    ]),
  ];
}

/** 1 to 65535. */
const PORT = '(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])';

/**
 * What a trusted peer says is passed on; what it leaves out or what is absurd, and everything from others, is ours.
 *
 * Who the peer is: whoever wrote the request's headers. Behind a balancer that speaks the PROXY protocol that is not the balancer, which
 * passes bytes, but the client it names. A request that came through the hop from the `stream` block (a unix socket) has its peer in the
 * PROXY header too.
 */
function trustMaps(options: NginxOptions): readonly Node[] {
  const hop = map('$realip_remote_addr', '$peer_address', [
    entry('default', expression('$realip_remote_addr')),
    entry('unix:', expression('$proxy_protocol_addr')),
  ]);
  const peer = options.proxyProtocol ? '$remote_addr' : '$peer_address';
  return [
    ...options.trustedProxies.map((trustedPeer) => directive('set_real_ip_from', trustedPeer)),
    directive('real_ip_header', options.proxyProtocol ? 'proxy_protocol' : 'X-Forwarded-For'),
    directive('real_ip_recursive', 'on'),
    ...(options.proxyProtocol ? [] : [hop]),
    block(
      'geo',
      [expression(peer), expression('$peer_trusted')],
      [entry('default', 0), ...options.trustedProxies.map((trustedPeer) => entry(trustedPeer, 1))],
    ),
    trusted(
      '$http_x_forwarded_for',
      '$forwarded_for',
      '[0-9A-Za-z.:, _\\[\\]"-]{1,1024}$',
      '$remote_addr',
      `$http_x_forwarded_for, ${peer}`,
    ),
    ...(options.proxyProtocol ? [] : [clientAddress()]),
    trusted('$http_x_forwarded_proto', '$forwarded_proto', 'https?$', '$scheme'),
    trusted('$http_x_forwarded_host', '$forwarded_host', '[A-Za-z0-9._:\\[\\]-]{1,260}$', REQUEST_HOST),
    trusted('$http_x_forwarded_port', '$forwarded_port', `${PORT}$`, '$requested_port'),
    ...TRUSTED_ONLY.map(({ header, target }) =>
      map('$peer_trusted', target, [entry('default', ''), entry('1', expression(header))]),
    ),
  ];
}

/** Behind the hop NGINX takes one word for the client, the PROXY header's; what a trusted peer says beyond it is read here, one step far. */
function clientAddress(): Node {
  return map('$peer_trusted:$realip_remote_addr:$http_x_forwarded_for', '$client_address', [
    entry('default', expression('$remote_addr')),
    entry(expression('~^1:unix::(?:.*[ ,])?(?<last_forwarded>[0-9A-Fa-f.:]{2,45})$'), expression('$last_forwarded')),
  ]);
}

function trusted(header: string, target: string, pattern: string, own: string, value: string = header): Node {
  return map(`$peer_trusted:${header}`, target, [
    entry('default', expression(own)),
    entry(expression(`~^1:${pattern}`), expression(value)),
  ]);
}
