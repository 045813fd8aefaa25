/**
 * `npm run bench:converge [-- --json FILE] [--samples N] [--services N]`
 *
 * How long a change takes from the Docker API call's answer until every proxy serves it, on a real Swarm of three nodes with two
 * proxies in host mode, and how many requests fail meanwhile. A steady load asks a service that never changes, at both proxies
 * directly: in classic mode a proxy that is being replaced is away, and that is counted.
 *
 *   label      a host name added to a service       -> every proxy answers it with 200
 *   scale-up   one replica more                     -> every proxy has sent a request to the new one
 *   removal    a service removed                    -> every proxy answers its host with 503
 *
 * Each sample starts from rest (the last roll completed). The physical limit beside it: SIGHUP to the first answer of the new
 * generation, same file, same machine.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { Agent, request } from 'undici';
import { startSwarm } from '../support/bed.ts';
import { eventually } from '../support/eventually.ts';
import { imageArchive } from '../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock } from '../support/interlock.ts';
import { bareReloadMs } from './bare-reload.ts';
import { percentile, printTable } from './stats.ts';

const PROXIES = 2;
const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    samples: { type: 'string', default: '20' },
    services: { type: 'string', default: '10' },
  },
});
const SAMPLES = Number(values.samples);
const SERVICES = Number(values.services);

interface Row {
  readonly bench: 'converge';
  readonly mode: 'classic' | 'hitless';
  readonly feed: 'poll' | 'watch';
  readonly change: 'label' | 'scale-up' | 'removal';
  readonly samples: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failed: number;
  readonly requests: number;
  readonly bareReloadMs: number;
}

await main();

async function main(): Promise<void> {
  const swarm = await startSwarm({ name: 'converge', nodes: 3 });
  try {
    await swarm.loadImages([await imageArchive()]);
    const interlock = await deployInterlock(swarm, defaultConfig({ replicas: PROXIES }));
    try {
      await prepare(interlock);
      const rows = await measureAll(interlock);
      printTable(rows.map((row) => ({ ...row })));
      if (values.json !== undefined) {
        await writeFile(values.json, `${JSON.stringify(rows, null, 2)}\n`);
      }
    } finally {
      await interlock.down();
    }
  } finally {
    await swarm.down();
  }
}

async function prepare(interlock: Interlock): Promise<void> {
  say(`deploying ${SERVICES} services`);
  await interlock.createNetwork('app');
  await interlock.createApp({
    name: 'steady',
    networks: ['app'],
    replicas: 2,
    lb: { hosts: 'steady.local', port: '8080' },
  });
  await interlock.createApp({
    name: 'subject',
    networks: ['app'],
    replicas: 1,
    lb: { hosts: 'subject.local', port: '8080' },
  });
  const others = [
    ...Array.from({ length: SERVICES - 2 }, (_, i) => `app-${i}`),
    ...Array.from({ length: SAMPLES }, (_, sample) => goneName(sample)),
  ];
  for (const name of others) {
    await interlock.createApp({ name, networks: ['app'], lb: { hosts: `${name}.local`, port: '8080' } });
  }
  for (const host of ['steady.local', 'subject.local', ...others.map((name) => `${name}.local`)]) {
    await interlock.untilAll(host, ({ status }) => status === 200, { proxies: PROXIES, timeoutMs: 180_000 });
  }
  await atRest(interlock);
}

async function measureAll(interlock: Interlock): Promise<readonly Row[]> {
  const limit = await bareReloadMs(await renderedFile(interlock));
  const changes = { label, 'scale-up': scaleUp, removal } as const;
  const rows: Row[] = [];
  for (const change of ['label', 'scale-up', 'removal'] as const) {
    const samples: number[] = [];
    let failed = 0;
    let requests = 0;
    for (let sample = 0; sample < SAMPLES; sample += 1) {
      const load = await startLoad(interlock);
      samples.push(await changes[change](interlock, sample));
      await atRest(interlock);
      const counted = await load.stop();
      failed += counted.failed;
      requests += counted.requests;
      say(
        `${change} ${sample + 1}/${SAMPLES}: ${Math.round(samples.at(-1) ?? 0)} ms, ${counted.failed} of ${counted.requests} requests failed`,
      );
    }
    rows.push({
      bench: 'converge',
      mode: 'classic',
      feed: 'poll',
      change,
      samples: samples.length,
      p50Ms: percentile(samples, 50),
      p99Ms: percentile(samples, 99),
      failed,
      requests,
      bareReloadMs: limit,
    });
  }
  return rows;
}

async function label(interlock: Interlock, sample: number): Promise<number> {
  const host = `label-${sample}.local`;
  await interlock.updateService('subject', (spec) => {
    spec.Labels['com.docker.lb.hosts'] = `subject.local,${host}`;
  });
  return sinceNow(() => interlock.untilAll(host, ({ status }) => status === 200, { proxies: PROXIES }));
}

async function scaleUp(interlock: Interlock, sample: number): Promise<number> {
  const replicas = (sample % 5) + 2;
  if (replicas === 2) {
    await scale(interlock, 1);
    await eventually(async () => (await runningTasks(interlock, 'subject')) === 1, { timeoutMs: 60_000 });
    await atRest(interlock);
  }
  await scale(interlock, replicas);
  return sinceNow(() =>
    eventually(
      async () => {
        const bases = await interlock.proxies();
        const seen = await Promise.all(bases.map((base) => replicasSeen(interlock, base, replicas)));
        return bases.length === PROXIES && seen.every((count) => count === replicas);
      },
      { timeoutMs: 60_000, everyMs: 20 },
    ),
  );
}

async function removal(interlock: Interlock, sample: number): Promise<number> {
  await interlock.removeService(goneName(sample));
  return sinceNow(() =>
    interlock.untilAll(`${goneName(sample)}.local`, ({ status }) => status === 503, { proxies: PROXIES }),
  );
}

function goneName(sample: number): string {
  return `gone-${sample}`;
}

async function sinceNow(until: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await until();
  return performance.now() - startedAt;
}

function scale(interlock: Interlock, replicas: number): Promise<void> {
  return interlock.updateService('subject', (spec) => {
    spec.Mode.Replicated = { Replicas: replicas };
  });
}

/** Distinct replicas over twice as many requests as there are: round robin reaches each. */
async function replicasSeen(interlock: Interlock, base: string, replicas: number): Promise<number> {
  const answers = await Promise.all(
    Array.from({ length: replicas * 3 }, () => interlock.ask(base, 'subject.local').catch(() => undefined)),
  );
  return new Set(answers.flatMap((answer) => (answer?.status === 200 ? [String(answer.headers['x-demo-host'])] : [])))
    .size;
}

async function runningTasks(interlock: Interlock, service: string): Promise<number> {
  const tasks = (await interlock.docker.listTasks({
    filters: { service: [service], 'desired-state': ['running'] },
  })) as unknown as { Status: { State: string } }[];
  return tasks.filter(({ Status }) => Status.State === 'running').length;
}

async function atRest(interlock: Interlock): Promise<void> {
  await eventually(
    async () => {
      const { UpdateStatus } = await interlock.inspectService('interlock-proxy');
      const running = await interlock.proxies();
      return running.length === PROXIES && (UpdateStatus === undefined || UpdateStatus.State === 'completed');
    },
    { timeoutMs: 120_000, everyMs: 200 },
  );
}

interface Load {
  stop(): Promise<{ readonly requests: number; readonly failed: number }>;
}

/** One request every 20 ms at each proxy that runs at the start, fresh connections, at most 3 s each. Anything but 200 has failed. */
async function startLoad(interlock: Interlock): Promise<Load> {
  const bases = await interlock.proxies();
  const agent = new Agent({ pipelining: 0, connect: { timeout: 1_000 }, headersTimeout: 3_000, bodyTimeout: 3_000 });
  const pending = new Set<Promise<void>>();
  const counted = { requests: 0, failed: 0 };
  const ask = async (base: string): Promise<void> => {
    counted.requests += 1;
    try {
      const { statusCode, body } = await request(base, { dispatcher: agent, headers: { host: 'steady.local' } });
      await body.dump();
      counted.failed += statusCode === 200 ? 0 : 1;
    } catch {
      counted.failed += 1; // refused, reset or too late: the client got no answer
    }
  };
  const timer = setInterval(() => {
    for (const base of bases) {
      const asked = ask(base).finally(() => pending.delete(asked));
      pending.add(asked);
    }
  }, 20);
  return {
    async stop() {
      clearInterval(timer);
      await Promise.all(pending);
      await agent.close();
      return counted;
    },
  };
}

/** The file that the proxies run right now, out of its Docker Config. */
async function renderedFile(interlock: Interlock): Promise<string> {
  const { Spec } = await interlock.inspectService('interlock-proxy');
  const configs = Spec.TaskTemplate.ContainerSpec['Configs'] as readonly { readonly ConfigID: string }[];
  const config = (await interlock.docker.getConfig(configs[0]?.ConfigID ?? '').inspect()) as unknown as {
    Spec: { Data: string };
  };
  return Buffer.from(config.Spec.Data, 'base64').toString('utf8');
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
