/**
 * `npm run bench:layout [-- --json FILE] [--hosts 1,100,1000,10000] [--layouts A,B,product]`: which layout of the proxy's file
 * reloads quickly, serves quickly and stays small. Real NGINX, two workers, three endpoints per host, traffic to the last host.
 * Needs what `test/support/nginx.ts` needs, and `wrk`. About eight minutes.
 */
import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import type { ArtifactFile } from '../../src/model/artifact.ts';
import { checkNginx, freePort, type RunningNginx, startNginx } from '../support/nginx.ts';
import { type BenchFile, type BenchPool, CANDIDATES, type LayoutCandidate } from './layout-candidates.ts';

const run = promisify(execFile);
const RELOADS = 10;
const LOAD_SECONDS = 2;
const CONNECTIONS = 50;
const WORKERS = 2;

interface Result {
  readonly bench: 'layout';
  readonly layout: string;
  readonly hosts: number;
  readonly fileKb: number;
  /** SIGHUP to the first answer by the new generation, on a connection opened after it. */
  readonly reloadMs: { readonly p50: number; readonly p99: number };
  /** Processor time of the master per reload: parsing, and forking the workers. */
  readonly reloadCpuMs: number;
  /** `nginx -t`, without the sandbox around it. */
  readonly checkMs: number;
  readonly requestsPerSecond: number;
  readonly requestP99Ms: number;
  /** Processor time of the proxy's workers per request: what the rate cannot say on a busy machine. */
  readonly requestCpuMicros: number;
  /** Shared pages are counted once in PSS, in every process in RSS. */
  readonly masterRssMb: number;
  readonly workerRssMb: number;
  readonly pssMb: number;
  /** While old and new workers live side by side. */
  readonly peakPssMb: number;
}

const { values: args } = parseArgs({
  options: {
    json: { type: 'string' },
    hosts: { type: 'string', default: '1,100,1000,10000' },
    layouts: { type: 'string' },
  },
});

const wanted = args.layouts?.split(',');
const candidates = CANDIDATES.filter(({ id }) => wanted === undefined || wanted.includes(id));
const backendPorts = await Promise.all([freePort(), freePort(), freePort()]);
const backend = await startNginx(fileOf(backendConf(backendPorts)));
try {
  const idleCheckMs = await timeCheck('events {}\npid /run/nginx.pid;\nerror_log /dev/stderr;\n');
  const results: Result[] = [];
  for (const hosts of args.hosts.split(',').map(Number)) {
    for (const candidate of candidates) {
      const result = await measure(candidate, hosts, idleCheckMs);
      results.push(result);
      process.stdout.write(`${rowOf(result)}\n`);
    }
    await printRatios(hosts);
  }
  if (args.json !== undefined) {
    await writeFile(args.json, `${JSON.stringify(results, undefined, 2)}\n`);
  }
} finally {
  await backend.stop();
}

async function measure(candidate: LayoutCandidate, hosts: number, idleCheckMs: number): Promise<Result> {
  const [port, tlsPort] = [await freePort(), await freePort()];
  const pools = benchPools(hosts);
  const last = pools.at(-1)?.host ?? '';
  const render = (generation: number) => candidate.render({ port, tlsPort, generation, pools } satisfies BenchFile);
  const nginx = await startNginx(fileOf(render(0)));
  try {
    await answers(port, last, '0');
    const load = await runLoad(nginx.pid, { port, host: last });
    const cpuBefore = await cpuMs([nginx.pid]);
    const reloads = await reloadTimes(nginx, { port, last, render });
    const reloadCpuMs = Math.round(((await cpuMs([nginx.pid])) - cpuBefore) / RELOADS);
    await oldWorkersGone(nginx.pid);
    const memory = await memoryOf(nginx.pid);
    const peakPssMb = await peakWhileReloading(nginx, { port, last, render });
    const check = Math.max(0, (await timeCheck(render(0))) - idleCheckMs);
    return {
      bench: 'layout',
      layout: candidate.id,
      hosts,
      fileKb: Math.round(render(0).length / 1024),
      reloadMs: { p50: Math.round(quantile(reloads, 0.5)), p99: Math.round(quantile(reloads, 0.99)) },
      reloadCpuMs,
      checkMs: Math.round(check),
      ...load,
      ...memory,
      peakPssMb,
    };
  } finally {
    await nginx.stop();
  }
}

/** Reloads in turn, so that a slow moment of the machine meets all layouts; what each costs beside the first. */
async function printRatios(hosts: number): Promise<void> {
  const pools = benchPools(hosts);
  const last = pools.at(-1)?.host ?? '';
  const running: (Target & {
    readonly id: string;
    readonly nginx: RunningNginx;
    readonly ms: number[];
    readonly cpu: number[];
  })[] = [];
  try {
    for (const { id, render: write } of candidates) {
      const [port, tlsPort] = [await freePort(), await freePort()];
      const render = (generation: number) => write({ port, tlsPort, generation, pools });
      running.push({ id, port, last, render, nginx: await startNginx(fileOf(render(0))), ms: [], cpu: [] });
    }
    for (let generation = 1; generation <= RELOADS; generation += 1) {
      for (const { nginx, ms, cpu, ...target } of running) {
        const before = await cpuMs([nginx.pid]);
        ms.push(await reloadOnce(nginx, target, generation));
        cpu.push((await cpuMs([nginx.pid])) - before);
        await oldWorkersGone(nginx.pid);
      }
    }
  } finally {
    for (const { nginx } of running) {
      await nginx.stop();
    }
  }
  const [first] = running;
  for (const { id, ms, cpu } of running) {
    const to = (own: readonly number[], other: readonly number[] = []) =>
      (quantile(own, 0.5) / quantile(other, 0.5)).toFixed(2);
    process.stdout.write(
      `${hosts} hosts, ${id}: ${to(ms, first?.ms)} of the time of ${first?.id}, ${to(cpu, first?.cpu)} of its CPU\n`,
    );
  }
}

/** The last host's endpoints are real; the others are never asked. */
function benchPools(hosts: number): readonly BenchPool[] {
  return Array.from({ length: hosts }, (_, index) => ({
    host: `app-${index}.example.com`,
    endpoints:
      index === hosts - 1
        ? backendPorts.map((port) => `127.0.0.1:${port}`)
        : [2, 3, 4].map((host) => `10.${1 + (index >> 8)}.${index & 255}.${host}:8080`),
  }));
}

function backendConf(ports: readonly number[]): string {
  return `worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr warn;
events { worker_connections 4096; }
http {
access_log off;
keepalive_requests 1000000;
client_body_temp_path /var/cache/nginx/body;
proxy_temp_path /var/cache/nginx/proxy;
fastcgi_temp_path /var/cache/nginx/fastcgi;
uwsgi_temp_path /var/cache/nginx/uwsgi;
scgi_temp_path /var/cache/nginx/scgi;
server { ${ports.map((port) => `listen 127.0.0.1:${port};`).join(' ')} location / { return 200 hello; } }
}
`;
}

function fileOf(text: string): readonly ArtifactFile[] {
  return [{ path: '/etc/nginx/nginx.conf', mode: 0o444, bytes: Buffer.from(text) }];
}

interface Target {
  readonly port: number;
  readonly last: string;
  readonly render: (generation: number) => string;
}

async function reloadTimes(nginx: RunningNginx, target: Target): Promise<readonly number[]> {
  const times: number[] = [];
  for (let generation = 1; generation <= RELOADS; generation += 1) {
    times.push(await reloadOnce(nginx, target, generation));
  }
  return times;
}

/** In ms, SIGHUP to the first answer of the generation. */
async function reloadOnce(nginx: RunningNginx, target: Target, generation: number): Promise<number> {
  await nginx.replace(fileOf(target.render(generation)));
  const began = performance.now();
  process.kill(nginx.pid, 'SIGHUP');
  await answers(target.port, target.last, String(generation));
  return performance.now() - began;
}

async function peakWhileReloading(nginx: RunningNginx, target: Target): Promise<number> {
  await nginx.replace(fileOf(target.render(RELOADS + 1)));
  process.kill(nginx.pid, 'SIGHUP');
  const arrived = answers(target.port, target.last, String(RELOADS + 1)).then(() => oldWorkersGone(nginx.pid));
  const peak = { mb: 0, done: false };
  const sampling = (async () => {
    while (!peak.done) {
      peak.mb = Math.max(peak.mb, (await memoryOf(nginx.pid)).pssMb);
      await sleep(10);
    }
  })();
  await arrived;
  peak.done = true;
  await sampling;
  return peak.mb;
}

/** Asks on new connections until the wanted generation answers 200; at most 60 s. */
async function answers(port: number, host: string, generation: string): Promise<void> {
  for (const until = Date.now() + 60_000; Date.now() < until; ) {
    if ((await generationAt(port, host)) === generation) {
      return;
    }
    await sleep(1);
  }
  throw new Error(`generation ${generation} did not come within 60 s`);
}

function generationAt(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asked = request({ port, host: '127.0.0.1', headers: { host }, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200 ? String(response.headers['x-generation']) : undefined);
    });
    asked.on('error', () => resolve(undefined));
    asked.end();
  });
}

async function runLoad(
  master: number,
  { port, host }: { readonly port: number; readonly host: string },
): Promise<Pick<Result, 'requestsPerSecond' | 'requestP99Ms' | 'requestCpuMicros'>> {
  const workers = await childrenOf(master);
  const before = await cpuMs(workers);
  const { stdout } = await run('wrk', [
    ...['-t1', `-c${CONNECTIONS}`, `-d${LOAD_SECONDS}s`, '--latency', '-H', `Host: ${host}`],
    `http://127.0.0.1:${port}/`,
  ]);
  const spentMs = (await cpuMs(workers)) - before;
  if (/Non-2xx/.test(stdout)) {
    throw new Error(stdout);
  }
  const [, rate = '0'] = /Requests\/sec:\s+([\d.]+)/.exec(stdout) ?? [];
  const [, value = '0', unit = 'ms'] = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout) ?? [];
  const [, count = '1'] = /(\d+) requests in/.exec(stdout) ?? [];
  const scale = { us: 0.001, ms: 1, s: 1000 }[unit] ?? 1;
  return {
    requestsPerSecond: Math.round(Number(rate)),
    requestP99Ms: Number((Number(value) * scale).toFixed(2)),
    requestCpuMicros: Number(((spentMs * 1000) / Number(count)).toFixed(1)),
  };
}

/** User and system time so far, in ticks of 10 ms (`man 5 proc_pid_stat`, fields 14 and 15). */
async function cpuMs(pids: readonly number[]): Promise<number> {
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')));
  const ticks = stats.map((text) => {
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  });
  return ticks.reduce((sum, value) => sum + value, 0) * 10;
}

async function memoryOf(master: number): Promise<{ masterRssMb: number; workerRssMb: number; pssMb: number }> {
  const workers = await childrenOf(master);
  const all = await Promise.all([master, ...workers].map(rollupOf));
  return {
    masterRssMb: Math.round((all[0]?.rssKb ?? 0) / 1024),
    workerRssMb: Math.round(Math.max(0, ...all.slice(1).map(({ rssKb }) => rssKb)) / 1024),
    pssMb: Math.round(all.reduce((sum, { pssKb }) => sum + pssKb, 0) / 1024),
  };
}

/** At most 20 s. */
async function oldWorkersGone(master: number): Promise<void> {
  const until = Date.now() + 20_000;
  while (Date.now() < until && (await childrenOf(master)).length > WORKERS) {
    await sleep(20);
  }
}

async function childrenOf(pid: number): Promise<readonly number[]> {
  const tasks = await readdir(`/proc/${pid}/task`);
  const lists = await Promise.all(
    tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, 'utf8').catch(() => '')),
  );
  return lists.flatMap((list) => list.split(' ').filter(Boolean).map(Number));
}

async function rollupOf(pid: number): Promise<{ rssKb: number; pssKb: number }> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  return { rssKb: field('Rss'), pssKb: field('Pss') };
}

async function timeCheck(text: string): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    const began = performance.now();
    const check = await checkNginx(fileOf(text));
    times.push(performance.now() - began);
    if (!check.ok) {
      throw new Error(check.output);
    }
  }
  return quantile(times, 0.5);
}

/** Nearest rank. */
function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

function rowOf(result: Result): string {
  const {
    reloadMs,
    reloadCpuMs,
    requestsPerSecond,
    requestP99Ms,
    requestCpuMicros,
    masterRssMb,
    workerRssMb,
    pssMb,
    peakPssMb,
  } = result;
  const cells = [
    ...[
      result.hosts,
      result.layout,
      `${reloadMs.p50} / ${reloadMs.p99} ms`,
      `${reloadCpuMs} ms`,
      `${result.checkMs} ms`,
    ],
    ...[
      `${requestsPerSecond}`,
      `${requestP99Ms} ms`,
      `${requestCpuMicros} \u00b5s`,
      `${masterRssMb} / ${workerRssMb} MB`,
    ],
    ...[`${pssMb} / ${peakPssMb} MB`, `${result.fileKb} KB`],
  ];
  return `| ${cells.join(' | ')} |`;
}
