/**
 * The ways to lay out the proxy's file that `npm run bench:layout` compares. Each renders the same routes: one host, one pool of
 * three endpoints, at most 32 idle connections per pool. They are sketches for measuring; the product's renderer is `src/render/nginx`.
 */

import { renderNginx } from '../../src/render/nginx/render.ts';
import { DEFAULT_NGINX_OPTIONS } from '../../src/settings/nginx-options.ts';
import { endpoint, model, SERVER_INFO, port as toModelPort } from '../support/render-models.ts';

export interface BenchPool {
  readonly host: string;
  /** `address:port` */
  readonly endpoints: readonly string[];
}

export interface BenchFile {
  readonly port: number;
  /** Nobody asks there; the product listens on it. */
  readonly tlsPort: number;
  /** Shown as the response header `x-generation`. */
  readonly generation: number;
  readonly pools: readonly BenchPool[];
}

export interface LayoutCandidate {
  readonly id: string;
  readonly title: string;
  render(file: BenchFile): string;
}

export const CANDIDATES: readonly LayoutCandidate[] = [
  { id: 'A', title: 'server + upstream per host', render: (file) => frame(file, serverPerHost(file)) },
  {
    id: 'B',
    title: 'one server, map host -> upstream, variable proxy_pass',
    render: (file) => frame(file, variablePass(file)),
  },
  grouped('C', 'map host -> named location', 20, mappedGroup),
  grouped('D', '`@$host`', 20, hostGroup),
  grouped('D', '`@$host`', 100, hostGroup),
  { id: 'product', title: 'what `src/render/nginx` writes', render: product },
];

/** The product's own file, with all its headers and maps; only the access log is off as in the others. */
function product({ port, tlsPort, generation, pools }: BenchFile): string {
  const routes = pools.map(({ host, endpoints }) => [
    host,
    {
      '/': endpoints.map((text) => {
        const [address = '', portText] = text.split(':');
        return endpoint(address, Number(portText));
      }),
    },
  ]);
  const cluster = model(Object.fromEntries(routes) as Parameters<typeof model>[0], {
    listen: { http: toModelPort(port), tls: toModelPort(tlsPort) },
  });
  const options = {
    ...DEFAULT_NGINX_OPTIONS,
    workerProcesses: 2,
    maxConnections: 4096,
    accessLogPath: 'off',
    errorLogPath: '/dev/stderr',
    httpOptions: [`add_header x-generation ${generation} always;`],
  };
  const [file] = renderNginx(cluster, options, { serverInfo: SERVER_INFO }).artifact.files;
  return Buffer.from(file?.bytes ?? []).toString();
}

type Group = (file: BenchFile, pools: readonly NamedPool[]) => string;

interface NamedPool extends BenchPool {
  readonly upstream: string;
}

function grouped(letter: string, key: string, size: number, render: Group): LayoutCandidate {
  return {
    id: `${letter}${size}`,
    title: `${size} hosts per server, ${key}, static proxy_pass`,
    render: (file) => {
      const pools = named(file);
      const groups: string[] = [];
      for (let from = 0; from < pools.length; from += size) {
        groups.push(render(file, pools.slice(from, from + size)));
      }
      const map = letter === 'C' ? hostMap(pools, '$location', (pool) => `p_${pool.upstream}`) : '';
      return frame(file, pools.map(upstreamBlock).join('') + map + groups.join(''));
    },
  };
}

function frame(file: BenchFile, body: string): string {
  return `worker_processes 2;
worker_rlimit_nofile 65535;
pid /run/nginx.pid;
error_log /dev/stderr warn;
worker_shutdown_timeout 10s;
events { worker_connections 4096; }
http {
access_log off;
client_body_temp_path /var/cache/nginx/body;
proxy_temp_path /var/cache/nginx/proxy;
fastcgi_temp_path /var/cache/nginx/fastcgi;
uwsgi_temp_path /var/cache/nginx/uwsgi;
scgi_temp_path /var/cache/nginx/scgi;
proxy_max_temp_file_size 0;
keepalive_min_timeout 1s;
server_names_hash_max_size 65536;
server_names_hash_bucket_size 128;
map_hash_max_size 65536;
map_hash_bucket_size 128;
proxy_http_version 1.1;
proxy_set_header Host $http_host;
proxy_set_header Connection "";
proxy_set_header X-Request-ID $request_id;
proxy_set_header X-Real-IP $remote_addr;
proxy_set_header X-Forwarded-For $remote_addr;
proxy_set_header X-Forwarded-Proto $scheme;
add_header x-generation ${file.generation} always;
add_header x-upstream-addr $upstream_addr always;
add_header x-upstream-response-time $upstream_response_time always;
server { listen ${file.port} default_server; return 503; }
${body}}
`;
}

/** The hash comes first: NGINX finds an upstream by walking a list, and most comparisons then end at the first byte. */
function named(file: BenchFile): NamedPool[] {
  return file.pools.map((pool) => ({ ...pool, upstream: `${shortHash(pool.host)}_${pool.host.replaceAll('.', '_')}` }));
}

function shortHash(text: string): string {
  let hash = 2166136261;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 16777619) >>> 0;
  }
  return hash.toString(16).padStart(8, '0');
}

function upstreamBlock(pool: NamedPool): string {
  const servers = pool.endpoints.map((endpoint) => `server ${endpoint} max_fails=3 fail_timeout=10s;\n`).join('');
  return `upstream ${pool.upstream} {\n${servers}keepalive 32;\n}\n`;
}

function serverPerHost(file: BenchFile): string {
  return named(file)
    .map(
      (pool) =>
        `${upstreamBlock(pool)}server {\nlisten ${file.port};\nserver_name ${pool.host};\nlocation / { proxy_pass http://${pool.upstream}; }\n}\n`,
    )
    .join('');
}

function variablePass(file: BenchFile): string {
  const pools = named(file);
  const names = pools.map((pool) => `${pool.host}\n`).join('');
  return `${pools.map(upstreamBlock).join('')}${hostMap(pools, '$pool', (pool) => pool.upstream)}server {
listen ${file.port};
server_name ${names};
location / { proxy_pass http://$pool; }
}
`;
}

function hostMap(pools: readonly NamedPool[], variable: string, valueFor: (pool: NamedPool) => string): string {
  return `map $host ${variable} {\nhostnames;\n${pools.map((pool) => `${pool.host} ${valueFor(pool)};\n`).join('')}}\n`;
}

function mappedGroup(file: BenchFile, pools: readonly NamedPool[]): string {
  return group(file, pools, '@$location', (pool) => `@p_${pool.upstream}`);
}

function hostGroup(file: BenchFile, pools: readonly NamedPool[]): string {
  return group(file, pools, '@$host', (pool) => `@${pool.host}`);
}

function group(
  file: BenchFile,
  pools: readonly NamedPool[],
  target: string,
  nameOf: (pool: NamedPool) => string,
): string {
  const names = pools.map((pool) => pool.host).join('\n');
  const locations = pools.map((pool) => `location ${nameOf(pool)} { proxy_pass http://${pool.upstream}; }\n`).join('');
  return `server {
listen ${file.port};
server_name ${names};
location / { error_page 418 = ${target}; return 418; }
${locations}}
`;
}
