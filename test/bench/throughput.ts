/**
 * `npm run bench:throughput [-- --json FILE] [--hosts 1,1000,10000] [--seconds N] [--rounds N]`
 *
 * Requests per second and p99 through the rendered file, beside what else stands on this machine in the same run, same upstreams:
 *
 *   hand-written   NGINX: a server per host, upstream keep-alive, the same forwarded headers, nothing else
 *   same-headers   the same, and all headers that the rendered file adds, in the plainest way: what these headers cost anybody
 *   original       NGINX: the layout that the original documents: HTTP/1.0 to the upstreams, no keep-alive
 *   haproxy        Debian's HAProxy: a map from host to backend, kept connections
 *
 * Access logs are off everywhere. Rounds go over all candidates in turn, so that a noisy moment meets all of them; the figures are
 * medians over the rounds, the ratio is the median of each round's own ratio to the hand-written file.
 * Driven by wrk: 64 connections, hosts in turn.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import type { ArtifactFile } from '../../src/model/artifact.ts';
import { renderNginx } from '../../src/render/nginx/render.ts';
import { parseNginxOptions } from '../../src/settings/nginx-options.ts';
import { runBed } from '../support/bed.ts';
import { eventually } from '../support/eventually.ts';
import { freePort, startNginx } from '../support/nginx.ts';
import { local, model, port as modelPort } from '../support/render-models.ts';
import { percentile, printTable } from './stats.ts';

const run = promisify(execFile);
const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    hosts: { type: 'string', default: '1,1000,10000' },
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '7' },
  },
});
const SECONDS = Number(values.seconds);
const ROUNDS = Number(values.rounds);
const CONNECTIONS = 64;
const WORKERS = 2;

const WORKLOADS = ['GET 1 KiB', 'POST 64 KiB'] as const;
type Workload = (typeof WORKLOADS)[number];

interface Row {
  readonly bench: 'throughput';
  readonly hosts: number;
  readonly workload: Workload;
  readonly candidate: string;
  readonly requestsPerSecond: number;
  readonly p99Ms: number;
  /** To the hand-written file, 1 = equal. */
  readonly ratio: number;
}

interface Candidate {
  readonly name: string;
  readonly port: number;
  stop(): Promise<void>;
}

interface Sample {
  readonly perSecond: number;
  readonly p99Ms: number;
}

async function main(): Promise<void> {
  const tools = { wrk: await tool('wrk'), haproxy: await tool('haproxy') };
  const folder = await mkdtemp(join(tmpdir(), 'interlock-throughput-'));
  const origins = [await freePort(), await freePort(), await freePort()];
  const origin = await startNginx(fileOf(originConf(origins)));
  const rows: Row[] = [];
  try {
    for (const hosts of values.hosts.split(',').map(Number)) {
      rows.push(...(await measureHosts(hosts, origins, folder, tools)));
    }
  } finally {
    await origin.stop();
    await rm(folder, { recursive: true, force: true });
  }
  printTable(rows.map((row) => ({ ...row })));
  if (values.json !== undefined) {
    await writeFile(values.json, `${JSON.stringify(rows, undefined, 2)}\n`);
  }
}

async function tool(name: string): Promise<string> {
  return (await runBed('debian.sh', ['tool', name])).stdout.trim();
}

async function measureHosts(
  hosts: number,
  origins: readonly number[],
  folder: string,
  tools: { readonly wrk: string; readonly haproxy: string },
): Promise<readonly Row[]> {
  const names = Array.from({ length: hosts }, (_, index) => `app-${index}.example.com`);
  const candidates = [
    await nginxCandidate('rendered', (listen) => renderedFiles(listen, names, origins)),
    await nginxCandidate('hand-written', (listen) => fileOf(handWrittenConf(listen, names, origins))),
    await nginxCandidate('same-headers', (listen) => fileOf(handWrittenConf(listen, names, origins, SAME_HEADERS))),
    await nginxCandidate('original', (listen) => fileOf(originalConf(listen, names, origins))),
    await haproxyCandidate(tools.haproxy, folder, names, origins),
  ];
  try {
    const rows: Row[] = [];
    for (const workload of WORKLOADS) {
      const script = join(folder, 'load.lua');
      await writeFile(script, loadScript(workload, hosts));
      rows.push(...(await measureWorkload(hosts, workload, candidates, (port) => drive(tools.wrk, script, port))));
    }
    return rows;
  } finally {
    for (const candidate of candidates) {
      await candidate.stop();
    }
  }
}

async function measureWorkload(
  hosts: number,
  workload: Workload,
  candidates: readonly Candidate[],
  driveOne: (port: number) => Promise<Sample>,
): Promise<readonly Row[]> {
  const samples = new Map(candidates.map(({ name }) => [name, [] as Sample[]]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { name, port } of candidates) {
      samples.get(name)?.push(await driveOne(port));
    }
    process.stderr.write(`${hosts} hosts, ${workload}, round ${round + 1}/${ROUNDS}\n`);
  }
  const reference = samples.get('hand-written') ?? [];
  return candidates.map(({ name }) => {
    const own = samples.get(name) ?? [];
    return {
      bench: 'throughput',
      hosts,
      workload,
      candidate: name,
      requestsPerSecond: Math.round(
        percentile(
          own.map(({ perSecond }) => perSecond),
          50,
        ),
      ),
      p99Ms: percentile(
        own.map(({ p99Ms }) => p99Ms),
        50,
      ),
      ratio: ratioOf(own, reference),
    };
  });
}

function ratioOf(own: readonly Sample[], reference: readonly Sample[]): number {
  const ratios = own.map(({ perSecond }, round) => perSecond / (reference[round]?.perSecond ?? Number.NaN));
  const sorted = ratios.sort((a, b) => a - b);
  return Math.round((sorted[Math.floor(sorted.length / 2)] ?? Number.NaN) * 1_000) / 1_000;
}

/** Every answer that is not 200 ends the bench: a fast error page is no throughput. */
async function drive(wrk: string, script: string, port: number): Promise<Sample> {
  const args = ['-t2', `-c${CONNECTIONS}`, `-d${SECONDS}s`, '--latency', '-s', script, `http://127.0.0.1:${port}/x`];
  const { stdout } = await run(wrk, args);
  if (/Non-2xx|Socket errors/.test(stdout)) {
    throw new Error(`wrk saw errors:\n${stdout}`);
  }
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
  const [, amount = '', unit = ''] = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout) ?? [];
  const factor = { us: 0.001, ms: 1, s: 1_000 }[unit] ?? Number.NaN;
  return { perSecond, p99Ms: Number(amount) * factor };
}

/** Hosts in turn, each of wrk's threads beginning elsewhere. */
function loadScript(workload: Workload, hosts: number): string {
  const post = workload === 'POST 64 KiB';
  return `local count = ${hosts}
local at = 0
local threads = 0
function setup(thread) thread:set("offset", threads * 5003) threads = threads + 1 end
function init(args) at = offset end
local body = ${post ? 'string.rep("x", 65536)' : 'nil'}
function request()
  at = (at + 7919) % count
  return wrk.format("${post ? 'POST' : 'GET'}", "/x", { ["Host"] = "app-" .. at .. ".example.com" }, body)
end
`;
}

async function nginxCandidate(name: string, files: (listen: number) => readonly ArtifactFile[]): Promise<Candidate> {
  const port = await freePort();
  const nginx = await startNginx(files(port));
  await answers(port);
  return { name, port, stop: () => nginx.stop() };
}

async function haproxyCandidate(
  binary: string,
  folder: string,
  names: readonly string[],
  origins: readonly number[],
): Promise<Candidate> {
  const port = await freePort();
  const map = join(folder, 'hosts.map');
  const file = join(folder, 'haproxy.cfg');
  await writeFile(map, names.map((name, index) => `${name} pool${index}\n`).join(''));
  await writeFile(file, haproxyConf(port, map, names, origins));
  const child = spawn(binary, ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'inherit'] });
  await answers(port);
  return { name: 'haproxy', port, stop: () => ended(child) };
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

function renderedFiles(listen: number, names: readonly string[], origins: readonly number[]): readonly ArtifactFile[] {
  const parsed = parseNginxOptions({ AccessLogPath: 'off', WorkerProcesses: WORKERS }, 'Config');
  if (!parsed.ok) {
    throw new Error(JSON.stringify(parsed.problems));
  }
  const routes = Object.fromEntries(names.map((name) => [name, { '/': local(...origins) }]));
  // A free TLS port, so that nothing else on the machine is in the way.
  const header = { listen: { http: modelPort(listen), tls: modelPort(listen === 65_535 ? 1_024 : listen + 1) } };
  return renderNginx(model(routes, header), parsed.options, { serverInfo: 'interlock/bench' }).artifact.files;
}

const TEMP_PATHS = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  .map((name) => `  ${name}_temp_path /var/cache/nginx/${name};`)
  .join('\n');

const MAIN = `worker_processes ${WORKERS};
worker_rlimit_nofile 65535;
pid /run/nginx.pid;
error_log /dev/stderr warn;
events { worker_connections 1024; }`;

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

function handWrittenConf(listen: number, names: readonly string[], origins: readonly number[], more = ''): string {
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

function originalConf(listen: number, names: readonly string[], origins: readonly number[]): string {
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

function serverOf(listen: number, name: string, index: number, origins: readonly number[], keepalive: string): string {
  const servers = origins.map((port) => `server 127.0.0.1:${port};`).join(' ');
  return `  upstream pool${index} { ${servers} ${keepalive} }
  server { listen ${listen}; server_name ${name}; location / { proxy_pass http://pool${index}; } }`;
}

function haproxyConf(listen: number, map: string, names: readonly string[], origins: readonly number[]): string {
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
  bind 127.0.0.1:${listen}
  use_backend %[req.hdr(host),lower,map(${map})]
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

await main();
