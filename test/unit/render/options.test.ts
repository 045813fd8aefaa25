/** Key by key: what the operator sets reaches the file, and so does the documented default. A key without a row fails. */
import { describe, expect, it } from 'vitest';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import type { SecretName } from '../../../src/model/names.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { upstreamName } from '../../../src/render/nginx/upstreams.ts';
import { NGINX_SCHEMA, parseNginxOptions } from '../../../src/settings/nginx-options.ts';
import { endpoint, model, port } from '../../support/render-models.ts';

/** One host without TLS, one with. */
const PLAIN = model({
  'app.local': { '/': [endpoint('10.0.0.1', 80)] },
  'tls.local': { '/': [endpoint('10.0.0.2', 80)] },
});
const CLUSTER: ClusterModel = {
  ...PLAIN,
  hosts: PLAIN.hosts.map((entry) =>
    entry.host === 'tls.local'
      ? {
          ...entry,
          tls: {
            kind: 'terminate',
            certificate: { secret: 'c' as SecretName, path: '/run/secrets/c' },
            key: undefined,
            only: true,
          },
        }
      : entry,
  ),
};

function linesOf(config: Readonly<Record<string, unknown>>): readonly string[] {
  const parsed = parseNginxOptions(config, 'Config');
  if (!parsed.ok) {
    throw new Error(JSON.stringify(parsed.problems));
  }
  const [file] = renderNginx(CLUSTER, parsed.options, { serverInfo: 'interlock/test' }).artifact.files;
  return Buffer.from(file?.bytes ?? [])
    .toString()
    .split('\n')
    .map((line) => line.trim());
}

interface Row {
  readonly key: string;
  readonly value: unknown;
  /** Lines that are there with the value. */
  readonly set: readonly string[];
  /** Lines that are there without the key. */
  readonly byDefault: readonly string[];
  /** Lines that are not there without the key. */
  readonly absent?: readonly string[];
}

const MAIN_FIELDS =
  '$remote_addr - $remote_user [$time_local] \\"$request\\" $status $body_bytes_sent \\"$http_referer\\" \\"$http_user_agent\\" \\"$http_x_forwarded_for\\"';
const TRACE_FIELDS = `${MAIN_FIELDS} $request_id $msec $request_time $upstream_connect_time $upstream_header_time $upstream_response_time`;

const ROWS: readonly Row[] = [
  {
    key: 'Version',
    value: 'mine/1',
    set: ['add_header x-server-info mine/1 always;'],
    byDefault: ['add_header x-server-info interlock/test always;'],
  },
  { key: 'HTTPVersion', value: '1.0', set: ['proxy_http_version 1.0;'], byDefault: ['proxy_http_version 1.1;'] },
  { key: 'User', value: 'nginx', set: ['user nginx;'], byDefault: [], absent: ['user nginx;'] },
  { key: 'PidPath', value: '/var/run/proxy.pid', set: ['pid /run/proxy.pid;'], byDefault: ['pid /run/nginx.pid;'] },
  { key: 'MaxConnections', value: 2048, set: ['worker_connections 3072;'], byDefault: ['worker_connections 2048;'] },
  { key: 'ConnectTimeout', value: 5, set: ['proxy_connect_timeout 5s;'], byDefault: ['proxy_connect_timeout 2s;'] },
  {
    key: 'SendTimeout',
    value: 700,
    set: ['proxy_send_timeout 700s;', 'send_timeout 700s;', 'worker_shutdown_timeout 700s;'],
    byDefault: ['proxy_send_timeout 600s;', 'send_timeout 600s;', 'worker_shutdown_timeout 600s;'],
  },
  {
    key: 'ReadTimeout',
    value: 900,
    set: ['proxy_read_timeout 900s;', 'worker_shutdown_timeout 900s;'],
    byDefault: ['proxy_read_timeout 600s;', 'worker_shutdown_timeout 600s;'],
  },
  {
    key: 'IPHash',
    value: true,
    set: ['hash $remote_addr consistent;'],
    byDefault: [],
    absent: ['hash $remote_addr consistent;'],
  },
  { key: 'AdminUser', value: 'x', set: [], byDefault: [] },
  { key: 'AdminPass', value: 'x', set: [], byDefault: [] },
  { key: 'SSLOpts', value: 'x', set: [], byDefault: [] },
  { key: 'SSLVerify', value: 'none', set: [], byDefault: [] },
  { key: 'SSLDefaultDHParam', value: 2048, set: [], byDefault: [] },
  {
    key: 'SSLDefaultDHParamPath',
    value: '/run/secrets/dh.pem',
    set: ['ssl_dhparam /run/secrets/dh.pem;'],
    byDefault: [],
    absent: ['ssl_dhparam /run/secrets/dh.pem;'],
  },
  { key: 'WorkerProcesses', value: 3, set: ['worker_processes 3;'], byDefault: ['worker_processes auto;'] },
  { key: 'RLimitNoFile', value: 1024, set: ['worker_rlimit_nofile 1024;'], byDefault: ['worker_rlimit_nofile 65535;'] },
  {
    key: 'SSLCiphers',
    value: 'HIGH:!MD5',
    set: ['ssl_ciphers HIGH:!MD5;', 'ssl_prefer_server_ciphers on;'],
    byDefault: ['ssl_ciphers HIGH:!aNULL:!MD5;'],
  },
  {
    key: 'SSLProtocols',
    value: 'TLSv1.3',
    set: ['ssl_protocols TLSv1.3;'],
    byDefault: ['ssl_protocols TLSv1.2 TLSv1.3;'],
  },
  {
    key: 'HideInfoHeaders',
    value: true,
    set: [],
    byDefault: ['add_header x-proxy-id $hostname always;', 'add_header x-upstream-addr $upstream_addr always;'],
  },
  {
    key: 'AccessLogPath',
    value: '/dev/stderr',
    set: ['access_log /dev/stderr main;'],
    byDefault: ['access_log /dev/stdout main;'],
  },
  {
    key: 'ErrorLogPath',
    value: 'stderr',
    set: ['error_log stderr warn;'],
    byDefault: ['error_log /dev/stdout warn;'],
  },
  {
    key: 'MainLogFormat',
    value: '\'$status\' "$request";',
    set: ['log_format main $status$request;'],
    byDefault: [`log_format main "${MAIN_FIELDS}";`],
  },
  {
    key: 'TraceLogFormat',
    value: '$status $reqid',
    set: ['log_format trace "$status $reqid";'],
    byDefault: [`log_format trace "${TRACE_FIELDS}";`],
  },
  {
    key: 'KeepaliveTimeout',
    value: '10s',
    set: ['keepalive_timeout 10000ms;'],
    byDefault: ['keepalive_timeout 75000ms;'],
  },
  {
    key: 'ClientMaxBodySize',
    value: '32m',
    set: ['client_max_body_size 32m;'],
    byDefault: ['client_max_body_size 1m;'],
  },
  {
    key: 'ClientBodyBufferSize',
    value: '16k',
    set: ['client_body_buffer_size 16k;'],
    byDefault: ['client_body_buffer_size 8k;'],
  },
  {
    key: 'ClientHeaderBufferSize',
    value: '2k',
    set: ['client_header_buffer_size 2k;'],
    byDefault: ['client_header_buffer_size 1k;'],
  },
  {
    key: 'LargeClientHeaderBuffers',
    value: '8 16k',
    set: ['large_client_header_buffers 8 16k;'],
    byDefault: ['large_client_header_buffers 4 8k;'],
  },
  {
    key: 'ClientBodyTimeout',
    value: '30s',
    set: ['client_body_timeout 30000ms;'],
    byDefault: ['client_body_timeout 60000ms;'],
  },
  {
    key: 'UnderscoresInHeaders',
    value: true,
    set: ['underscores_in_headers on;'],
    byDefault: ['underscores_in_headers off;'],
  },
  {
    key: 'ServerNamesHashBucketSize',
    value: 512,
    set: ['server_names_hash_bucket_size 512;'],
    byDefault: ['server_names_hash_bucket_size 128;'],
  },
  {
    key: 'UpstreamZoneSize',
    value: 64,
    set: [`zone ${upstreamName('app.local/')} 64k;`],
    byDefault: [],
    absent: [`zone ${upstreamName('app.local/')} 64k;`],
  },
  {
    key: 'GlobalOptions',
    value: ['worker_priority 1;'],
    set: ['worker_priority 1;'],
    byDefault: [],
    absent: ['worker_priority 1;'],
  },
  { key: 'HTTPOptions', value: ['gzip on;'], set: ['gzip on;'], byDefault: [], absent: ['gzip on;'] },
  {
    key: 'TCPOptions',
    value: ['tcp_nodelay on;'],
    set: ['stream {', 'tcp_nodelay on;'],
    byDefault: [],
    absent: ['stream {'],
  },
  // Core merges these two into the model's listen ports.
  { key: 'Port', value: 80, set: ['listen 80;'], byDefault: ['listen 80;'] },
  { key: 'SSLPort', value: 443, set: ['listen 443 ssl;'], byDefault: ['listen 443 ssl;'] },
  {
    key: 'TraceLogging',
    value: true,
    set: ['access_log /dev/stdout trace;'],
    byDefault: ['access_log /dev/stdout main;'],
  },
  {
    key: 'AccessLogJSON',
    value: true,
    set: ['access_log /dev/stdout json;'],
    byDefault: ['access_log /dev/stdout main;'],
  },
  {
    key: 'RouteMetrics',
    value: true,
    set: ['# access_log: requests per route, to the agent', 'set $interlock_route "$host /";'],
    byDefault: ['access_log /dev/stdout main;'],
    absent: ['# access_log: requests per route, to the agent'],
  },
  {
    key: 'TrustedProxies',
    value: ['10.0.0.0/8'],
    set: ['set_real_ip_from 10.0.0.0/8;', 'real_ip_header X-Forwarded-For;', '10.0.0.0/8 1;'],
    byDefault: ['proxy_set_header X-Forwarded-For $remote_addr;'],
    absent: ['real_ip_header X-Forwarded-For;'],
  },
  {
    key: 'ProxyProtocol',
    value: true,
    set: ['listen 80 proxy_protocol;', 'listen 443 ssl proxy_protocol;'],
    byDefault: ['listen 80;'],
  },
  { key: 'PublicSSLPort', value: 8443, set: ['https 8443;'], byDefault: ['https 443;'] },
];

describe.each(ROWS)('$key', ({ key, value, set, byDefault, absent = [] }) => {
  it('reaches the file', () => {
    expect(linesOf({ [key]: value })).toEqual(expect.arrayContaining([...set]));
  });

  it('has its default there', () => {
    const lines = linesOf({});

    expect(lines).toEqual(expect.arrayContaining([...byDefault]));
    expect(lines.filter((line) => absent.includes(line))).toEqual([]);
  });
});

it('every key has a row', () => {
  expect(ROWS.map(({ key }) => key).sort()).toEqual(Object.keys(NGINX_SCHEMA.shape).sort());
});

it.each(['AdminUser', 'AdminPass', 'SSLOpts', 'SSLVerify'])('%s is without effect, as in the original', (key) => {
  expect(linesOf({ [key]: 'x' })).toEqual(linesOf({}));
});

it('SSLDefaultDHParam 0 switches SSLDefaultDHParamPath off', () => {
  const path = { SSLDefaultDHParamPath: '/run/secrets/dh.pem' };

  expect(linesOf({ ...path, SSLDefaultDHParam: 0 })).not.toContain('ssl_dhparam /run/secrets/dh.pem;');
  expect(linesOf({ ...path, SSLDefaultDHParam: 4096 })).toContain('ssl_dhparam /run/secrets/dh.pem;');
});

it('HideInfoHeaders leaves all five out', () => {
  expect(linesOf({ HideInfoHeaders: true }).filter((line) => line.startsWith('add_header x-'))).toEqual([]);
});

it('AccessLogPath off writes none, whatever the format', () => {
  const lines = linesOf({ AccessLogPath: 'off', TraceLogging: true });

  expect(lines).toContain('access_log off;');
  expect(lines.filter((line) => line.startsWith('access_log /'))).toEqual([]);
});

it('the listen ports are the model’s', () => {
  const listen = { http: port(8081), tls: port(8444) };
  const moved = { ...CLUSTER, header: { ...CLUSTER.header, listen } };
  const parsed = parseNginxOptions({}, 'Config');
  const [file] = renderNginx(moved, parsed.ok ? parsed.options : never(), { serverInfo: 'x' }).artifact.files;

  expect(Buffer.from(file?.bytes ?? []).toString()).toMatch(/listen 8081 default_server;[\s\S]*listen 8444 ssl/);
});

function never(): never {
  throw new Error('refused');
}
