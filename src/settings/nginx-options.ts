/**
 * The `[Extensions.<name>.Config]` table for NGINX: every key of the original's, plus ours.
 * Comes in as an unknown table (from TOML in core, from the model's `optionsJson` in the extension), goes out as frozen options.
 * Everything that reaches the proxy's file has a grammar tighter than NGINX's own; the raw option lines alone are the operator's word.
 */
import { z } from 'zod';
import type { Finding } from '../model/finding.ts';
import { type IpAddress, type Port, parseIpAddress } from '../model/names.ts';
import { key, readTable } from './key-table.ts';
import { type LogFormat, parseLogFormat } from './log-format.ts';
import type { SettingsProblem } from './problem.ts';
import {
  ABSOLUTE_PATH,
  anyOf,
  FLAG,
  listOf,
  NGINX_TIME,
  OPTIONAL_PORT,
  seconds,
  text,
  textShape,
  type ValueKind,
  wholeNumber,
} from './value-kind.ts';
import { findWaitingKeys } from './waiting-keys.ts';

declare const size: unique symbol;
/** Text of an NGINX size: digits and one of `k`, `m`, `g`, or none; e.g. `32m`. */
export type NginxSize = string & { readonly [size]: true };

export interface NginxOptions {
  /** Printed in `x-server-info` by the original; `''`: our own version. */
  readonly version: string;
  /** Towards upstreams. */
  readonly httpVersion: '1.0' | '1.1';
  /** `undefined`: no `user` directive. A proxy that is not root ignores it anyway. */
  readonly user: string | undefined;
  /** Always under `/run`. */
  readonly pidPath: string;
  /** `worker_connections` in use, per worker process; room for idle ones to upstreams comes on top. */
  readonly maxConnections: number;
  readonly connectTimeoutSeconds: number;
  readonly sendTimeoutSeconds: number;
  readonly readTimeoutSeconds: number;
  /** Client address hashing for every pool that asks for nothing else. */
  readonly ipHash: boolean;
  /** `undefined`: no `ssl_dhparam`. */
  readonly sslDhParamPath: string | undefined;
  readonly sslCiphers: string;
  /** NGINX's words, e.g. `['TLSv1.2', 'TLSv1.3']`; at least one. */
  readonly sslProtocols: readonly SslProtocol[];
  readonly workerProcesses: number | 'auto';
  readonly rlimitNoFile: number;
  /** Leave the five `x-` response headers out. */
  readonly hideInfoHeaders: boolean;
  /** A path, `off`, or `syslog:...`. */
  readonly accessLogPath: string;
  /** A path, `stderr`, or `syslog:...`. */
  readonly errorLogPath: string;
  readonly mainLogFormat: LogFormat;
  readonly traceLogFormat: LogFormat;
  /** Write the access log in the trace format. */
  readonly traceLogging: boolean;
  /** Write the access log as one JSON object per line; `traceLogging` adds nothing to it. */
  readonly accessLogJson: boolean;
  /** Tell the agent of each request, so that it counts them per route. */
  readonly routeMetrics: boolean;
  readonly keepaliveTimeoutMs: number;
  /** `0`: no limit. */
  readonly clientMaxBodySize: NginxSize;
  readonly clientBodyBufferSize: NginxSize;
  readonly clientHeaderBufferSize: NginxSize;
  readonly largeClientHeaderBuffers: { readonly count: number; readonly size: NginxSize };
  readonly clientBodyTimeoutMs: number;
  readonly underscoresInHeaders: boolean;
  /** At least this many bytes; `undefined`: computed from the names. The original's newest versions compute it always. */
  readonly serverNamesHashBucketSizeBytes: number | undefined;
  /** `undefined`: no `zone` lines. */
  readonly upstreamZoneKiB: number | undefined;
  /** Raw lines for the main context, as the operator wrote them. */
  readonly globalOptions: readonly string[];
  /** Raw lines for `http`. */
  readonly httpOptions: readonly string[];
  /** Raw lines for `stream`. */
  readonly tcpOptions: readonly string[];
  /** Container ports; core has merged them into the model's `listen` already. */
  readonly port: Port | undefined;
  readonly sslPort: Port | undefined;
  /** Peers whose `X-Forwarded-*` headers are believed: addresses or networks in CIDR form. */
  readonly trustedProxies: readonly TrustedProxy[];
  /** Expect the PROXY protocol from outside, on both ports. */
  readonly proxyProtocol: boolean;
  /** The https port people use, where it is not `PublishedSSLPort`. */
  readonly publicSslPort: Port | undefined;
}

export type SslProtocol = 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3';

declare const trustedProxy: unique symbol;
/** `<address>` or `<address>/<bits>`. */
export type TrustedProxy = string & { readonly [trustedProxy]: true };

export type NginxOptionsOutcome =
  | { readonly ok: true; readonly options: NginxOptions; readonly findings: readonly Finding[] }
  | { readonly ok: false; readonly problems: readonly SettingsProblem[]; readonly findings: readonly Finding[] };

const REMOTE_FIELDS =
  '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for"';
const MAIN_LOG_FORMAT: LogFormat = { text: REMOTE_FIELDS, escape: 'default' };
const TRACE_LOG_FORMAT: LogFormat = {
  text: `${REMOTE_FIELDS} $request_id $msec $request_time $upstream_connect_time $upstream_header_time $upstream_response_time`,
  escape: 'default',
};
const SSL_PROTOCOLS: readonly SslProtocol[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'];
const MODERN_PROTOCOLS: readonly SslProtocol[] = ['TLSv1.2', 'TLSv1.3'];
const NO_LINES: readonly string[] = [];
const NO_PEERS: readonly TrustedProxy[] = [];

const LOG_TARGET = /^(?:\/(?!.*\/\.{1,2}(?:\/|$))[A-Za-z0-9._+@/-]{1,255}|syslog:server=[A-Za-z0-9.:_[\]/,=-]{1,255})$/;
const ACCESS_LOG = text(
  'path',
  'an absolute path, "off" or "syslog:server=..."',
  new RegExp(`^off$|${LOG_TARGET.source}`),
);
const ERROR_LOG = text(
  'path',
  'an absolute path, "stderr" or "syslog:server=..."',
  new RegExp(`^stderr$|${LOG_TARGET.source}`),
);
const USER = text('string', 'a user name of letters, digits, _ and -', /^[A-Za-z_][A-Za-z0-9_-]{0,31}$/);
const VERSION = text('string', 'up to 64 letters, digits and . _ + - /', /^[A-Za-z0-9._+/-]{1,64}$/);
const CIPHERS = text('string', 'an OpenSSL cipher list such as "HIGH:!aNULL:!MD5"', /^[A-Za-z0-9:!@+=_,.-]{1,4096}$/);

const HTTP_VERSION: ValueKind<'1.0' | '1.1'> = {
  type: 'string',
  expected: '"1.1" or "1.0"',
  shape: { enum: ['1.1', '1.0', 1.1, 1] },
  read: (raw) => (raw === 1.1 || raw === '1.1' ? '1.1' : raw === 1 || raw === '1.0' ? '1.0' : undefined),
};

const PID_PATH: ValueKind<string> = {
  type: 'path',
  expected: 'a path under /run, such as "/run/nginx.pid"; the rest of the proxy is read-only',
  shape: textShape(/^\/(?:var\/)?run\/[A-Za-z0-9._+@/-]+$/),
  read(raw) {
    const path = ABSOLUTE_PATH.read(raw)?.replace(/^\/var\/run\//, '/run/');
    return path?.startsWith('/run/') ? path : undefined;
  },
};

const WORKER_PROCESSES: ValueKind<number | 'auto'> = {
  type: 'int or string',
  expected: '"auto" or a whole number from 1 to 1024',
  shape: anyOf({ enum: ['auto'] }, { type: 'integer', minimum: 1, maximum: 1024 }, textShape(/^\d{1,4}$/)),
  read: (raw) => (raw === 'auto' ? 'auto' : wholeNumber({ min: 1, max: 1024 }).read(raw)),
};

const PROTOCOLS: ValueKind<readonly SslProtocol[]> = {
  type: 'string',
  expected: `a list of ${SSL_PROTOCOLS.join(', ')}, such as "TLSv1.2 TLSv1.3"`,
  shape: anyOf(
    { type: 'array', minItems: 1, items: { enum: SSL_PROTOCOLS } },
    textShape(/^TLSv1(?:\.[123])?(?:[\s,]+TLSv1(?:\.[123])?)*$/),
  ),
  read(raw) {
    const words = Array.isArray(raw) ? raw : typeof raw === 'string' ? raw.trim().split(/[\s,]+/) : [];
    const found = words.map((word) => SSL_PROTOCOLS.find((name) => name === word));
    return words.length > 0 && found.every((name) => name !== undefined) ? [...new Set(found)].sort() : undefined;
  },
};

const LOG_FORMAT: ValueKind<LogFormat> = {
  type: 'string',
  expected: "a log format such as '$remote_addr \"$request\" $status', plain or with NGINX's quotes and semicolon",
  shape: { type: 'string' },
  read: (raw) => (typeof raw === 'string' ? parseLogFormat(raw) : undefined),
};

/** Sizes that NGINX keeps in memory (`k`, `m`, at least 1) or may be huge (`g` too, 0 for no limit). */
function nginxSize(grammar: RegExp, expected: string): ValueKind<NginxSize> {
  return {
    type: 'size',
    expected,
    shape: anyOf(
      { type: 'integer', minimum: 0 },
      textShape(
        new RegExp(grammar.source.replace(/\[([kmg]+)\]/, (_, units: string) => `[${units}${units.toUpperCase()}]`)),
      ),
    ),
    read(raw) {
      const shown = typeof raw === 'number' ? String(raw) : typeof raw === 'string' ? raw.trim().toLowerCase() : '';
      return grammar.test(shown) ? (shown as NginxSize) : undefined;
    },
  };
}

const BUFFER_SIZE = nginxSize(/^[1-9]\d{0,5}[km]?$/, 'a size such as "8k" or "1m"');
const BODY_SIZE = nginxSize(/^\d{1,9}[kmg]?$/, 'a size such as "32m" or "1g", or 0 for no limit');

const BUFFERS: ValueKind<{ count: number; size: NginxSize }> = {
  type: 'string',
  expected: 'a number and a size, such as "4 8k"',
  shape: textShape(/^[1-9]\d{0,3}\s+\S+$/),
  read(raw) {
    const [, count, each] = typeof raw === 'string' ? (/^\s*([1-9]\d{0,3})\s+(\S+)\s*$/.exec(raw) ?? []) : [];
    const size = BUFFER_SIZE.read(each);
    return size === undefined ? undefined : { count: Number(count), size };
  },
};

const HASH_BUCKET: ValueKind<number> = wholeNumber({ min: 1, max: 65_536 });

/** NGINX refuses a zone of less than eight pages, 32 KiB. */
const ZONE_KIB: ValueKind<number | 'none'> = {
  type: 'int, KiB',
  expected: 'a whole number of KiB from 32 to 1048576, or 0 for none',
  shape: anyOf({ type: 'integer', minimum: 0, maximum: 1_048_576 }, textShape(/^\d{1,15}[kK]?$/)),
  read(raw) {
    const kib = wholeNumber({ min: 0, max: 1_048_576 }).read(typeof raw === 'string' ? raw.replace(/k$/i, '') : raw);
    return kib === 0 ? 'none' : kib !== undefined && kib >= 32 ? kib : undefined;
  },
};

const RAW_LINE: ValueKind<string> = {
  type: 'string',
  expected: 'a line of NGINX configuration',
  shape: { type: 'string' },
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  read: (raw) => (typeof raw === 'string' && !/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(raw) ? raw : undefined),
};
const RAW_LINES = listOf(RAW_LINE, 'a list of strings, each a line of NGINX configuration');

const PEER: ValueKind<TrustedProxy> = {
  type: 'string',
  expected: 'an address or a network',
  shape: textShape(/^[0-9A-Fa-f.:]+(?:\/\d{1,3})?$/),
  read(raw) {
    const [, address, bits] = typeof raw === 'string' ? (/^\s*([^/\s]+)(?:\/(\d{1,3}))?\s*$/.exec(raw) ?? []) : [];
    const ip = address === undefined ? undefined : parseIpAddress(address);
    if (ip === undefined || (bits !== undefined && Number(bits) > addressBits(ip))) {
      return undefined;
    }
    return (bits === undefined ? ip : `${ip}/${Number(bits)}`) as TrustedProxy;
  },
};

function addressBits(ip: IpAddress): number {
  return ip.includes(':') ? 128 : 32;
}

/** Kept by the original without visible effect; any text or number is taken. */
const IGNORED: ValueKind<string> = {
  type: 'string',
  expected: 'a string or a number',
  shape: anyOf({ type: 'string' }, { type: 'number' }),
  read: (raw) => (typeof raw === 'string' || typeof raw === 'number' ? String(raw) : undefined),
};

/** Key by key in the original's order, then ours. `docs/config.md` prints it. */
export const NGINX_SCHEMA = z.object({
  Version: key(VERSION, '', 'Version text shown in `x-server-info`; empty: our own version.'),
  HTTPVersion: key(HTTP_VERSION, '1.1', 'HTTP version towards upstreams.'),
  User: key(USER, undefined, '`user`. The proxy is not root, so NGINX runs as the image says and ignores it.'),
  PidPath: key(PID_PATH, '/run/nginx.pid', '`pid`; under `/run`. `/var/run/` is read as `/run/`.'),
  MaxConnections: key(
    wholeNumber({ min: 1, max: 1_000_000 }),
    1024,
    '`worker_connections`, per worker process; room for idle connections to upstreams is added.',
  ),
  ConnectTimeout: key(
    seconds(1),
    2,
    '`proxy_connect_timeout`, in seconds. The original waits 600, which turns a dead node into hanging requests.',
  ),
  SendTimeout: key(seconds(1), 600, '`proxy_send_timeout` and `send_timeout`, in seconds.'),
  ReadTimeout: key(seconds(1), 600, '`proxy_read_timeout`, in seconds; it bounds idle WebSockets too.'),
  IPHash: key(FLAG, false, 'Client address hashing for every service of the cluster.'),
  AdminUser: key(IGNORED, '', 'Accepted; without effect for NGINX, as in the original.'),
  AdminPass: key(IGNORED, '', 'Accepted; without effect for NGINX, as in the original.'),
  SSLOpts: key(IGNORED, '', 'Accepted; without effect, as in the original.'),
  SSLDefaultDHParam: key(
    wholeNumber({ min: 0, max: 16_384 }),
    1024,
    'Size of the DH parameters in bits; 0 switches `SSLDefaultDHParamPath` off.',
  ),
  SSLDefaultDHParamPath: key(ABSOLUTE_PATH, undefined, '`ssl_dhparam`.'),
  SSLVerify: key(IGNORED, 'required', 'Accepted; without effect, as in the original.'),
  WorkerProcesses: key(WORKER_PROCESSES, 'auto', '`worker_processes`: a number or `auto`. The original starts 1.'),
  RLimitNoFile: key(wholeNumber({ min: 64, max: 1_073_741_816 }), 65_535, '`worker_rlimit_nofile`.'),
  SSLCiphers: key(CIPHERS, 'HIGH:!aNULL:!MD5', '`ssl_ciphers`, for TLS 1.2 and older.'),
  SSLProtocols: key(PROTOCOLS, MODERN_PROTOCOLS, '`ssl_protocols`. The original offers TLS 1.2 only.', {
    shownDefault: '`"TLSv1.2 TLSv1.3"`',
  }),
  HideInfoHeaders: key(
    FLAG,
    false,
    'Leave out the response headers `x-request-id`, `x-proxy-id`, `x-server-info`, `x-upstream-addr` and `x-upstream-response-time`.',
  ),
  AccessLogPath: key(ACCESS_LOG, '/dev/stdout', '`access_log`, in the main format; `off` for none.'),
  ErrorLogPath: key(ERROR_LOG, '/dev/stdout', '`error_log`, at level `warn`.'),
  MainLogFormat: key(
    LOG_FORMAT,
    MAIN_LOG_FORMAT,
    "`log_format main`: the plain format, or NGINX's text with quotes and semicolon as the original has it.",
    { shownDefault: `\`${REMOTE_FIELDS}\`` },
  ),
  TraceLogFormat: key(LOG_FORMAT, TRACE_LOG_FORMAT, '`log_format trace`, in the same two forms.', {
    shownDefault:
      'the main format, then `$request_id $msec $request_time $upstream_connect_time $upstream_header_time $upstream_response_time`',
  }),
  KeepaliveTimeout: key(NGINX_TIME, 75_000, '`keepalive_timeout` towards clients.', { shownDefault: '`"75s"`' }),
  ClientMaxBodySize: key(
    BODY_SIZE,
    '1m' as NginxSize,
    "`client_max_body_size`; 0 for no limit. UCP's default file sets `32m`.",
  ),
  ClientBodyBufferSize: key(BUFFER_SIZE, '8k' as NginxSize, '`client_body_buffer_size`.'),
  ClientHeaderBufferSize: key(BUFFER_SIZE, '1k' as NginxSize, '`client_header_buffer_size`.'),
  LargeClientHeaderBuffers: key(BUFFERS, { count: 4, size: '8k' as NginxSize }, '`large_client_header_buffers`.', {
    shownDefault: '`"4 8k"`',
  }),
  ClientBodyTimeout: key(NGINX_TIME, 60_000, '`client_body_timeout`.', { shownDefault: '`"60s"`' }),
  UnderscoresInHeaders: key(FLAG, false, '`underscores_in_headers`.'),
  ServerNamesHashBucketSize: key(
    HASH_BUCKET,
    undefined,
    '`server_names_hash_bucket_size`, in bytes: a lower bound. The needed size is computed.',
    { shownDefault: 'computed' },
  ),
  UpstreamZoneSize: key(
    ZONE_KIB,
    undefined,
    'Size in KiB of the shared memory zone of each upstream; missing or 0: no zones.',
  ),
  GlobalOptions: key(RAW_LINES, NO_LINES, 'Raw lines for the main context.'),
  HTTPOptions: key(RAW_LINES, NO_LINES, 'Raw lines for `http`.'),
  TCPOptions: key(RAW_LINES, NO_LINES, 'Raw lines for `stream`.'),
  Port: key(
    OPTIONAL_PORT,
    undefined,
    'Listen port for HTTP in the container; the same as `TargetPort` of the extension.',
    { shownDefault: '`TargetPort`' },
  ),
  SSLPort: key(
    OPTIONAL_PORT,
    undefined,
    'Listen port for TLS in the container; the same as `TargetSSLPort` of the extension.',
    { shownDefault: '`TargetSSLPort`' },
  ),
  TraceLogging: key(FLAG, false, 'Write the access log in the trace format instead of the main one.', { ours: true }),
  AccessLogJSON: key(
    FLAG,
    false,
    'Write the access log as one JSON object per line, with the fields of the trace format, instead of either format.',
    { ours: true },
  ),
  RouteMetrics: key(
    FLAG,
    false,
    'Count requests, times and bytes per host and path in `/metrics` of each proxy. Off, because it costs with every request: NGINX sends a datagram, and the agent reads it.',
    { ours: true },
  ),
  TrustedProxies: key(
    listOf(PEER, 'a list of addresses and networks, such as ["10.0.0.0/8"]'),
    NO_PEERS,
    'Peers whose `X-Forwarded-*` headers are believed and passed on: addresses or networks.',
    { ours: true },
  ),
  ProxyProtocol: key(
    FLAG,
    false,
    'Expect the PROXY protocol on both ports, from an outer balancer among `TrustedProxies`.',
    { ours: true },
  ),
  PublicSSLPort: key(
    OPTIONAL_PORT,
    undefined,
    'The https port people use, for redirects and `X-Forwarded-Port`, where an outer balancer changes it.',
    { shownDefault: '`PublishedSSLPort`', ours: true },
  ),
});

/**
 * Reads a `Config` table; an absent one (`undefined`) gives the defaults. `path` is the table's own, for problems and findings,
 * e.g. `Extensions.default.Config`. Never throws.
 */
export function parseNginxOptions(raw: unknown, path: string): NginxOptionsOutcome {
  const reading = readTable(NGINX_SCHEMA, raw ?? {}, path);
  if (!reading.ok) {
    return { ok: false, problems: reading.problems, findings: reading.findings };
  }
  const findings = [...reading.findings, ...findWaitingKeys('nginx', NGINX_SCHEMA, reading)];
  return { ok: true, options: toOptions(reading.values), findings };
}

function toOptions(table: z.output<typeof NGINX_SCHEMA>): NginxOptions {
  return Object.freeze({
    version: table.Version,
    httpVersion: table.HTTPVersion,
    user: table.User,
    pidPath: table.PidPath,
    maxConnections: table.MaxConnections,
    connectTimeoutSeconds: table.ConnectTimeout,
    sendTimeoutSeconds: table.SendTimeout,
    readTimeoutSeconds: table.ReadTimeout,
    ipHash: table.IPHash,
    sslDhParamPath: table.SSLDefaultDHParam > 0 ? table.SSLDefaultDHParamPath : undefined,
    sslCiphers: table.SSLCiphers,
    sslProtocols: table.SSLProtocols,
    workerProcesses: table.WorkerProcesses,
    rlimitNoFile: table.RLimitNoFile,
    hideInfoHeaders: table.HideInfoHeaders,
    accessLogPath: table.AccessLogPath,
    errorLogPath: table.ErrorLogPath,
    mainLogFormat: table.MainLogFormat,
    traceLogFormat: table.TraceLogFormat,
    traceLogging: table.TraceLogging,
    accessLogJson: table.AccessLogJSON,
    routeMetrics: table.RouteMetrics,
    keepaliveTimeoutMs: table.KeepaliveTimeout,
    clientMaxBodySize: table.ClientMaxBodySize,
    clientBodyBufferSize: table.ClientBodyBufferSize,
    clientHeaderBufferSize: table.ClientHeaderBufferSize,
    largeClientHeaderBuffers: table.LargeClientHeaderBuffers,
    clientBodyTimeoutMs: table.ClientBodyTimeout,
    underscoresInHeaders: table.UnderscoresInHeaders,
    serverNamesHashBucketSizeBytes: table.ServerNamesHashBucketSize,
    upstreamZoneKiB: table.UpstreamZoneSize === 'none' ? undefined : table.UpstreamZoneSize,
    globalOptions: table.GlobalOptions,
    httpOptions: table.HTTPOptions,
    tcpOptions: table.TCPOptions,
    port: portOf(table.Port),
    sslPort: portOf(table.SSLPort),
    trustedProxies: table.TrustedProxies,
    proxyProtocol: table.ProxyProtocol,
    publicSslPort: portOf(table.PublicSSLPort),
  });
}

function portOf(value: Port | 'none' | undefined): Port | undefined {
  return value === 'none' ? undefined : value;
}

/** What an empty `Config` table means. */
export const DEFAULT_NGINX_OPTIONS: NginxOptions = toOptions(NGINX_SCHEMA.parse({}));
