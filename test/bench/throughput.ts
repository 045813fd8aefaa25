/**
 * `npm run bench:throughput [-- --json FILE] [--hosts 1,1000,10000] [--seconds N] [--rounds N]`
 *
 * Requests per second and p99 through the rendered file, beside what else stands on this machine in the same run, same upstreams:
 *
 *   buffered       the rendered file with `HTTPOptions = ["proxy_buffering on;"]`: answers are not passed on as they come
 *   hand-written   NGINX: a server per host, upstream keep-alive, the same forwarded headers, nothing else
 *   same-headers   the same, and all headers that the rendered file adds, in the plainest way: what these headers cost anybody
 *   original       NGINX: the layout that the original documents: HTTP/1.0 to the upstreams, no keep-alive
 *   haproxy        Debian's HAProxy: a map from host to backend, kept connections
 *
 * Access logs are off everywhere. Rounds go over all candidates in turn, so that a noisy moment meets all of them; the figures are
 * medians over the rounds, the ratio is the median of each round's own ratio to the hand-written file.
 * 64 connections: plain HTTP by wrk over all hosts in turn, TLS (on the first 100 hosts, one EC certificate) by h2load over one host.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePort } from '../support/nginx.ts';
import { percentile, printTable } from './stats.ts';
import { type Candidate, startCandidates, startOrigin } from './throughput/candidates.ts';
import {
  type Drive,
  driverOf,
  type LoadTools,
  type Sample,
  tool,
  WORKLOADS,
  type Workload,
} from './throughput/load.ts';

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

interface Tools extends LoadTools {
  readonly haproxy: string;
}

async function main(): Promise<void> {
  const tools = { wrk: await tool('wrk'), h2load: await tool('h2load'), haproxy: await tool('haproxy') };
  const folder = await mkdtemp(join(tmpdir(), 'interlock-throughput-'));
  const origins = [await freePort(), await freePort(), await freePort()];
  const origin = await startOrigin(origins);
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

async function measureHosts(
  hosts: number,
  origins: readonly number[],
  folder: string,
  tools: Tools,
): Promise<readonly Row[]> {
  const names = Array.from({ length: hosts }, (_, index) => `app-${index}.example.com`);
  const candidates = await startCandidates({ names, origins }, folder, tools.haproxy);
  try {
    const rows: Row[] = [];
    for (const workload of WORKLOADS) {
      const drive = await driverOf(workload, tools, { hosts, seconds: SECONDS, folder });
      rows.push(...(await measureWorkload(hosts, workload, candidates, drive)));
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
  drive: Drive,
): Promise<readonly Row[]> {
  const samples = new Map(candidates.map(({ name }) => [name, [] as Sample[]]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const candidate of candidates) {
      samples.get(candidate.name)?.push(await named(candidate, drive));
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

async function named(candidate: Candidate, drive: Drive): Promise<Sample> {
  try {
    return await drive(candidate);
  } catch (cause) {
    throw new Error(`the load on ${candidate.name} did not go well`, { cause });
  }
}

function ratioOf(own: readonly Sample[], reference: readonly Sample[]): number {
  const ratios = own.map(({ perSecond }, round) => perSecond / (reference[round]?.perSecond ?? Number.NaN));
  const sorted = ratios.sort((a, b) => a - b);
  return Math.round((sorted[Math.floor(sorted.length / 2)] ?? Number.NaN) * 1_000) / 1_000;
}

await main();
