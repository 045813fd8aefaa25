/** What is measured side by side: our rendered file, two hand-written ones, the original's layout, HAProxy; and the upstreams behind. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ArtifactFile } from '../../../src/model/artifact.ts';
import type { ClusterModel, HostTls } from '../../../src/model/cluster.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { parseNginxOptions } from '../../../src/settings/nginx-options.ts';
import { secretFile } from '../../integration/nginx/tls-clients.ts';
import { createAuthority } from '../../support/certificates.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort, startNginx } from '../../support/nginx.ts';
import { local, model, port as modelPort } from '../../support/render-models.ts';

const run = promisify(execFile);

export const WORKERS = 2;
/** So many hosts end TLS, all with one certificate; the others are plain. */
const TLS_HOSTS = 100;
const PAIR = 'pair.pem';
const { certificate, key } = createAuthority().issue(['*.example.com']);
const SECRETS = { [PAIR]: certificate + key };

export interface Candidate {
  readonly name: string;
  readonly port: number;
  readonly tlsPort: number;
  stop(): Promise<void>;
}

interface Setting {
  readonly names: readonly string[];
  /** Ports on the loopback that answer. */
  readonly origins: readonly number[];
}

interface Listen {
  readonly http: number;
  readonly tls: number;
}

/** All of them, running; the first that cannot start ends the others. */
export async function startCandidates(
  setting: Setting,
  folder: string,
  haproxy: string,
): Promise<readonly Candidate[]> {
  return [
    await nginxCandidate('rendered', (listen) => renderedFiles(listen, setting)),
    await nginxCandidate('buffered', (listen) => renderedFiles(listen, setting, ['proxy_buffering on;'])),
    await nginxCandidate('hand-written', (listen) => fileOf(handWrittenConf(listen, setting))),
    await nginxCandidate('same-headers', (listen) => fileOf(handWrittenConf(listen, setting, SAME_HEADERS))),
    await nginxCandidate('original', (listen) => fileOf(originalConf(listen, setting))),
    await haproxyCandidate(haproxy, folder, setting),
  ];
}

export async function startOrigin(ports: readonly number[]) {
  return startNginx(fileOf(originConf(ports)));
}

async function nginxCandidate(name: string, files: (listen: Listen) => readonly ArtifactFile[]): Promise<Candidate> {
  const listen = { http: await freePort(), tls: await freePort() };
  const nginx = await startNginx(files(listen), SECRETS);
  await answers(listen.http);
  return { name, port: listen.http, tlsPort: listen.tls, stop: () => nginx.stop() };
}

async function haproxyCandidate(binary: string, folder: string, { names, origins }: Setting): Promise<Candidate> {
  const listen = { http: await freePort(), tls: await freePort() };
  const pem = join(folder, PAIR);
  await writeFile(pem, SECRETS[PAIR]);
  await chmod(pem, 0o600);
  const map = join(folder, 'hosts.map');
  const file = join(folder, 'haproxy.cfg');
  await writeFile(map, names.map((name, index) => `${name} pool${index}\n`).join(''));
  await writeFile(file, haproxyConf({ listen, map, pem }, { names, origins }));
  const child = spawn(binary, ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'inherit'] });
  await answers(listen.http);
  return { name: 'haproxy', port: listen.http, tlsPort: listen.tls, stop: () => ended(child) };
}

async function ended(child: ChildProcess): Promise<void> {
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exit;
}

async function answers(port: number): Promise<void> {
  await eventually(
    async () => {
      const { stdout } = await run('curl', ['-s', '-H', 'Host: app-0.example.com', `http://127.0.0.1:${port}/x`]);
      return stdout.startsWith('xxx');
    },
    { timeoutMs: 60_000, everyMs: 100 },
  );
}

function renderedFiles(
  listen: Listen,
  { names, origins }: Setting,
  httpOptions: readonly string[] = [],
): readonly ArtifactFile[] {
  const parsed = parseNginxOptions(
    { AccessLogPath: 'off', WorkerProcesses: WORKERS, HTTPOptions: httpOptions },
    'Config',
  );
  if (!parsed.ok) {
    throw new Error(JSON.stringify(parsed.problems));
  }
  const routes = Object.fromEntries(names.map((name) => [name, { '/': local(...origins) }]));
  const header = { listen: { http: modelPort(listen.http), tls: modelPort(listen.tls) } };
  const cluster = withTls(model(routes, header));
  return renderNginx(cluster, parsed.options, { serverInfo: 'interlock/bench' }).artifact.files;
}

function withTls(plain: ClusterModel): ClusterModel {
  const tls: HostTls = { kind: 'terminate', certificate: secretFile(PAIR), key: undefined, only: false };
  return { ...plain, hosts: plain.hosts.map((host, index) => (index < TLS_HOSTS ? { ...host, tls } : host)) };
}

const TEMP_PATHS = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  .map((name) => `  ${name}_temp_path /var/cache/nginx/${name};`)
  .join('\n');

const MAIN = `worker_processes ${WORKERS};
worker_rlimit_nofile 65535;
pid /run/nginx.pid;
error_log /dev/stderr warn;
events { worker_connections 49152; }`;

const CERTIFICATE = `http2 on; ssl_certificate /run/secrets/${PAIR}; ssl_certificate_key /run/secrets/${PAIR};`;

const SAME_HEADERS = `  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header TE $http_te;
  proxy_set_header X-Request-ID $request_id;
  proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header X-Forwarded-Port $server_port;
  add_header x-request-id $request_id always;
  add_header x-proxy-id $hostname always;
  add_header x-server-info interlock/bench always;
  add_header x-upstream-addr $upstream_addr always;
  add_header x-upstream-response-time $upstream_header_time always;
`;

function handWrittenConf(listen: Listen, { names, origins }: Setting, more = ''): string {
  return `${MAIN}
http {
  access_log off;
${TEMP_PATHS}
  server_names_hash_max_size 65536;
  server_names_hash_bucket_size 128;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  proxy_set_header X-Real-IP $remote_addr;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto $scheme;
${more}${names.map((name, index) => serverOf(listen, name, index, origins, 'keepalive 32; keepalive_timeout 4s;')).join('\n')}
}
`;
}

function originalConf(listen: Listen, { names, origins }: Setting): string {
  return `${MAIN}
http {
  access_log off;
${TEMP_PATHS}
  server_names_hash_max_size 65536;
  server_names_hash_bucket_size 128;
  proxy_set_header Host $http_host;
  proxy_set_header X-Real-IP $remote_addr;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header x-request-id $request_id;
  add_header x-request-id $request_id;
  add_header x-proxy-id $hostname;
  add_header x-upstream-addr $upstream_addr;
  proxy_http_version 1.0;
${names.map((name, index) => serverOf(listen, name, index, origins, '')).join('\n')}
}
`;
}

function serverOf(listen: Listen, name: string, index: number, origins: readonly number[], keepalive: string): string {
  const servers = origins.map((port) => `server 127.0.0.1:${port};`).join(' ');
  const tls = index < TLS_HOSTS ? ` listen ${listen.tls} ssl; ${CERTIFICATE}` : '';
  return `  upstream pool${index} { ${servers} ${keepalive} }
  server { listen ${listen.http};${tls} server_name ${name}; location / { proxy_pass http://pool${index}; } }`;
}

function haproxyConf(
  files: { readonly listen: Listen; readonly map: string; readonly pem: string },
  { names, origins }: Setting,
): string {
  const { listen, map, pem } = files;
  const backends = names.map((_, index) => {
    const servers = origins.map((port, position) => `  server s${position} 127.0.0.1:${port}`).join('\n');
    return `backend pool${index}\n${servers}`;
  });
  return `global
  maxconn 4096
  nbthread ${WORKERS}
defaults
  mode http
  timeout connect 2s
  timeout client 75s
  timeout server 75s
  http-reuse always
  option forwardfor
frontend http
  bind 127.0.0.1:${listen.http}
  bind 127.0.0.1:${listen.tls} ssl crt ${pem} alpn h2,http/1.1
  use_backend %[req.hdr(host),field(1,:),lower,map(${map})]
${backends.join('\n')}
`;
}

function originConf(ports: readonly number[]): string {
  return `worker_processes ${WORKERS};
worker_rlimit_nofile 65535;
pid /run/nginx.pid;
error_log /dev/stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
${TEMP_PATHS}
  keepalive_requests 1000000;
  client_body_buffer_size 128k;
  server {
${ports.map((port) => `    listen 127.0.0.1:${port};`).join('\n')}
    location / { return 200 "${'x'.repeat(1_024)}"; }
  }
}
`;
}

function fileOf(text: string): readonly ArtifactFile[] {
  return [{ path: '/etc/nginx/nginx.conf', mode: 0o444, bytes: Buffer.from(text) }];
}
