/** What `http` says once for all servers: logs, limits, timeouts, retries, hash sizes. */
import type { Hostname } from '../../model/names.ts';
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { routeFormat, routeLogPlace } from './route-log.ts';
import { block, directive, entry, expression, type Node } from './syntax.ts';

/** `ngx_hash_init` refuses more than 64 KiB less a cache line: the largest power of two below. */
const MAX_BUCKET = 32_768;
const TEMP = '/var/cache/nginx';

/** Directives of `http` that hold for every server; an operator's raw line of the same name replaces one. */
export function httpNodes(options: NginxOptions, hosts: readonly Hostname[]): readonly Node[] {
  return [
    directive('default_type', 'text/html'),
    directive('server_tokens', 'off'),
    ...logNodes(options),
    ...tempPaths(),
    ...clientNodes(options),
    ...upstreamNodes(options),
    ...hashSizes(options, hosts),
  ];
}

function logNodes(options: NginxOptions): readonly Node[] {
  return [
    logFormat('main', options.mainLogFormat),
    logFormat('trace', options.traceLogFormat),
    ...(options.accessLogJson ? jsonLogNodes() : []),
    ...routeFormat(options),
    options.accessLogPath === 'off'
      ? directive('access_log', 'off')
      : directive('access_log', options.accessLogPath, usedFormat(options)),
    ...routeLogPlace(options),
  ];
}

function usedFormat({ accessLogJson, traceLogging }: NginxOptions): string {
  return accessLogJson ? 'json' : traceLogging ? 'trace' : 'main';
}

function logFormat(name: string, { text, escape: escaping }: NginxOptions['mainLogFormat']): Node {
  return directive('log_format', name, ...(escaping === 'default' ? [] : [`escape=${escaping}`]), expression(text));
}

/** Times of upstreams are text: there is one per attempt. */
const JSON_FIELDS: Readonly<Record<string, string>> = {
  time: '"$time_iso8601"',
  request_id: '"$reqid"',
  client: '"$remote_addr"',
  method: '"$request_method"',
  scheme: '"$scheme"',
  host: '"$host"',
  uri: '"$request_uri"',
  protocol: '"$server_protocol"',
  status: '$status_number',
  bytes_sent: '$body_bytes_sent',
  request_length: '$request_length',
  request_seconds: '$request_time',
  referer: '"$http_referer"',
  user_agent: '"$http_user_agent"',
  forwarded_for: '"$http_x_forwarded_for"',
  upstream: '"$upstream_addr"',
  upstream_status: '"$upstream_status"',
  upstream_connect_seconds: '"$upstream_connect_time"',
  upstream_header_seconds: '"$upstream_header_time"',
  upstream_response_seconds: '"$upstream_response_time"',
};

function jsonLogNodes(): readonly Node[] {
  const text = `{${Object.entries(JSON_FIELDS)
    .map(([name, value]) => `"${name}":${value}`)
    .join(',')}}`;
  return [
    // A request that ends before it has a status is logged as `000`, which is no number in JSON.
    block(
      'map',
      [expression('$status'), expression('$status_number')],
      [entry('default', expression('$status')), entry(expression('~^0'), 0)],
    ),
    logFormat('json', { text, escape: 'json' }),
  ];
}

/** Below the one folder that is writable in a proxy's container. */
function tempPaths(): readonly Node[] {
  return ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) =>
    directive(`${name}_temp_path`, `${TEMP}/${name}`),
  );
}

function clientNodes(options: NginxOptions): readonly Node[] {
  const { count, size } = options.largeClientHeaderBuffers;
  return [
    directive('sendfile', 'on'),
    directive('tcp_nopush', 'on'),
    directive('keepalive_timeout', `${options.keepaliveTimeoutMs}ms`),
    // Since 1.27.4: after a reload idle connections get this long, so that no request is lost on a connection that closes.
    directive('keepalive_min_timeout', '1s'),
    directive('client_max_body_size', options.clientMaxBodySize),
    directive('client_body_buffer_size', options.clientBodyBufferSize),
    directive('client_body_timeout', `${options.clientBodyTimeoutMs}ms`),
    directive('client_header_buffer_size', options.clientHeaderBufferSize),
    directive('large_client_header_buffers', count, size),
    directive('underscores_in_headers', options.underscoresInHeaders ? 'on' : 'off'),
    directive('send_timeout', `${options.sendTimeoutSeconds}s`),
  ];
}

function upstreamNodes(options: NginxOptions): readonly Node[] {
  return [
    directive('proxy_http_version', options.httpVersion),
    directive('proxy_connect_timeout', `${options.connectTimeoutSeconds}s`),
    directive('proxy_send_timeout', `${options.sendTimeoutSeconds}s`),
    directive('proxy_read_timeout', `${options.readTimeoutSeconds}s`),
    // Lost connections only: an application's own 5xx is its answer. A POST moves on only while nothing of it was sent.
    directive('proxy_next_upstream', 'error', 'timeout'),
    // Answers go on as they come: heads and server-sent events at once, and of a download no more than a buffer is kept for a client
    // that reads slowly. With buffering NGINX holds the head back until the body begins, and a stream without chunks until a buffer is
    // full. It is not dearer either, as long as the buffer is larger than the default 4 KiB, which cuts a download into small pieces.
    directive('proxy_buffering', 'off'),
    directive('proxy_buffer_size', '16k'),
    directive('proxy_buffers', 8, '16k'),
    directive('proxy_max_temp_file_size', 0),
    // Bodies go on as they come. Otherwise all of a body is written below `client_body_temp_path` first, which is memory here. A
    // request still moves to the next endpoint when the connection to the first fails, as nothing of the body was sent then.
    directive('proxy_request_buffering', 'off'),
    directive('proxy_pass_trailers', 'on'),
    directive('proxy_headers_hash_max_size', 1024),
    directive('proxy_headers_hash_bucket_size', 128),
  ];
}

/**
 * Sizes that make NGINX find its hash quickly: a bucket holds the longest name (pointer, length, name, alignment to 8, and a null pointer),
 * and there are about four times as many buckets as names. After `NGX_HASH_ELT_SIZE` in src/core/ngx_hash.c.
 */
export function hashSizes(options: NginxOptions, hosts: readonly Hostname[]): readonly Node[] {
  const longest = hosts.reduce((length, host) => Math.max(length, host.length), 0);
  const element = 8 + Math.ceil((longest + 2) / 8) * 8 + 8;
  const asked = Math.min(options.serverNamesHashBucketSizeBytes ?? 0, MAX_BUCKET);
  const roomy = hosts.length > 1000 ? 256 : 128;
  return [
    directive('server_names_hash_max_size', powerOfTwo(Math.max(1024, hosts.length * 4))),
    directive('server_names_hash_bucket_size', powerOfTwo(Math.max(element, asked, roomy))),
  ];
}

/** The smallest power of two that is not below `value`. */
export function powerOfTwo(value: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, value)));
}
