/** Load on one candidate: wrk for plain HTTP, h2load for TLS. Every answer that is not 200 ends the bench: a fast error page is no throughput. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runBed } from '../../support/bed.ts';
import { percentile } from '../stats.ts';
import type { Candidate } from './candidates.ts';

const run = promisify(execFile);
const CONNECTIONS = 64;

export const WORKLOADS = ['GET 1 KiB', 'POST 64 KiB', 'GET 1 KiB, TLS HTTP/1.1', 'GET 1 KiB, TLS HTTP/2'] as const;
export type Workload = (typeof WORKLOADS)[number];

export interface Sample {
  readonly perSecond: number;
  readonly p99Ms: number;
}

export interface LoadTools {
  readonly wrk: string;
  readonly h2load: string;
}

export async function tool(name: string): Promise<string> {
  return (await runBed('debian.sh', ['tool', name])).stdout.trim();
}

export type Drive = (candidate: Candidate) => Promise<Sample>;

/** Plain HTTP goes over all hosts in turn, TLS over the connections of one host. */
export async function driverOf(
  workload: Workload,
  { wrk, h2load }: LoadTools,
  { hosts, seconds, folder }: { readonly hosts: number; readonly seconds: number; readonly folder: string },
): Promise<Drive> {
  if (workload === 'GET 1 KiB, TLS HTTP/1.1' || workload === 'GET 1 KiB, TLS HTTP/2') {
    const alpn = workload.endsWith('/2') ? [] : ['--h1'];
    return ({ tlsPort }) => driveTls(h2load, tlsPort, seconds, alpn);
  }
  const script = join(folder, 'load.lua');
  await writeFile(script, loadScript(workload === 'POST 64 KiB', hosts));
  return ({ port }) => drive(wrk, port, seconds, script);
}

async function drive(wrk: string, port: number, seconds: number, script: string): Promise<Sample> {
  const args = ['-t2', `-c${CONNECTIONS}`, `-d${seconds}s`, '--latency', '-s', script, `http://127.0.0.1:${port}/x`];
  const { stdout } = await run(wrk, args);
  if (/Non-2xx|Socket errors/.test(stdout)) {
    throw new Error(`wrk saw errors:\n${stdout}`);
  }
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
  const [, amount = '', unit = ''] = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout) ?? [];
  const factor = { us: 0.001, ms: 1, s: 1_000 }[unit] ?? Number.NaN;
  return { perSecond, p99Ms: Number(amount) * factor };
}

/** Beyond the seconds of the measurement: handshakes, and the lines of the log. */
const GRACE_SECONDS = 15;
const TRIES = 3;

/** h2load (nghttp2 1.52) with HTTP/1.1 sometimes goes on with single connections when the time is up, and never ends: then the sample is taken anew. */
async function runAtMost(command: string, args: readonly string[], seconds: number): Promise<string> {
  for (let tries = 1; ; tries += 1) {
    try {
      return (await run(command, args, { timeout: seconds * 1_000, killSignal: 'SIGKILL' })).stdout;
    } catch (error) {
      if (tries === TRIES || !(error instanceof Error && 'killed' in error && error.killed === true)) {
        throw error;
      }
    }
  }
}

async function driveTls(h2load: string, port: number, seconds: number, alpn: readonly string[]): Promise<Sample> {
  const folder = await mkdtemp(join(tmpdir(), 'interlock-h2load-'));
  const log = join(folder, 'requests');
  try {
    const aim = [`--connect-to=127.0.0.1:${port}`, `https://app-0.example.com:${port}/x`];
    const args = ['-t2', `-c${CONNECTIONS}`, `-D${seconds}`, `--log-file=${log}`, ...alpn, ...aim];
    const stdout = await runAtMost(h2load, args, seconds + GRACE_SECONDS);
    const [, ok, rest] = /status codes: (\d+) 2xx, (0 3xx, 0 4xx, 0 5xx)?/.exec(stdout) ?? [];
    if (!(Number(ok) > 0) || rest === undefined || !/ 0 failed, 0 errored/.test(stdout)) {
      throw new Error(`h2load saw errors:\n${stdout}`);
    }
    // A line of the log: start in us, status, time in us.
    const times = (await readFile(log, 'utf8')).split('\n').flatMap((line) => {
      const [, , us] = line.split('\t');
      return us === undefined ? [] : [Number(us) / 1_000];
    });
    return { perSecond: Number(/, ([\d.]+) req\/s/.exec(stdout)?.[1]), p99Ms: percentile(times, 99) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Hosts in turn, each of wrk's threads beginning elsewhere. */
function loadScript(post: boolean, hosts: number): string {
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
