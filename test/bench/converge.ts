/**
 * `npm run bench:converge [-- --json FILE] [--modes hitless,classic] [--feeds watch,poll] [--samples N] [--services N] [--slow FILE]`
 *
 * How long a change takes until every proxy acts on it, on a real Swarm of three nodes with two proxies in host mode, and how many
 * requests of a steady load fail meanwhile.
 *
 *   label        a host name added to a service (API call returned)   -> every proxy answers it with 200, on new connections
 *   label-kept   the same                                             -> the same on connections that were kept from before
 *   removal      a service removed (API call returned)                -> every proxy answers its host with 503
 *   task-up      a task RUNNING in Swarm's store                      -> every proxy has sent it a request
 *   task-down    a task's desired state leaves RUNNING                -> the last request that any proxy sent it
 *
 * Times of the store are the tasks' own UpdatedAt: the managers' clock is this machine's. Each sample starts from rest. The physical
 * limit beside it: SIGHUP to the first answer of the new generation, same file, same machine. `--slow FILE` keeps what the daemons logged
 * during each hitless sample that took longer than the target for the slowest one allows, to find out why.
 */
import { appendFile, writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Agent, request } from 'undici';
import { startSwarm } from '../support/bed.ts';
import { eventually } from '../support/eventually.ts';
import { imageArchive } from '../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock, type TaskJson } from '../support/interlock.ts';
import { bareReloadMs } from './bare-reload.ts';
import { feedMs, logsSince, readStages, STAGES, type StagesMs, stagesBetween } from './converge-stages.ts';
import { percentile, printTable } from './stats.ts';

const PROXIES = 2;
const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    modes: { type: 'string', default: 'hitless,classic' },
    feeds: { type: 'string', default: 'watch,poll' },
    samples: { type: 'string', default: '30' },
    services: { type: 'string', default: '50' },
    slow: { type: 'string' },
  },
});
const SAMPLES = Number(values.samples);
const SERVICES = Number(values.services);
type Mode = 'classic' | 'hitless';
type Feed = 'poll' | 'watch';
/** Targets for the p99 of a change, hitless. By polling there is one for all. */
const SLOW_MS: Readonly<Record<Change, number>> = {
  label: 400,
  'label-kept': 1_200,
  removal: 400,
  'task-up': 400,
  'task-down': 1_200,
};
const SLOW_BY_POLLING_MS = 1_500;
/** A reload is over, and old workers are gone, well within this time. */
const REST_MS = 1_500;
/** Between two looks at a proxy: the resolution. */
const LOOK_MS = 3;

type Change = 'label' | 'label-kept' | 'removal' | 'task-up' | 'task-down';

interface Row {
  readonly bench: 'converge';
  readonly mode: Mode;
  readonly feed: Feed;
  readonly change: Change;
  readonly samples: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failed: number;
  readonly requests: number;
  readonly bareReloadMs: number;
  /** From the API call's answer to the revised model, median; for changes that are API calls. Below 0: the feed was faster than the answer. */
  readonly feedAndBuildMs: number | undefined;
  /** Means over the samples of this kind of change, and of whatever else went on meanwhile. */
  readonly stagesMs: StagesMs;
}

async function main(): Promise<void> {
  const rows: Row[] = [];
  for (const mode of values.modes.split(',') as Mode[]) {
    for (const feed of values.feeds.split(',') as Feed[]) {
      rows.push(...(await measureOne(mode, feed)));
      print(rows);
      if (values.json !== undefined) {
        await writeFile(values.json, `${JSON.stringify(rows, null, 2)}\n`);
      }
    }
  }
}

function print(rows: readonly Row[]): void {
  printTable(
    rows.map(({ mode, feed, change, samples, p50Ms, p99Ms, failed, requests, bareReloadMs: bare }) => ({
      mode,
      feed,
      change,
      samples,
      p50Ms,
      p99Ms,
      failed,
      requests,
      bare,
    })),
  );
  console.log(
    '\nmeans by stage, ms (docs/metrics.md says what each is); of which render, check, submit and fetch to reload are parts',
  );
  printTable(
    rows.map(({ mode, feed, change, feedAndBuildMs, stagesMs }) => ({
      mode,
      feed,
      change,
      'feed+build': feedAndBuildMs ?? '-',
      ...Object.fromEntries(STAGES.map((stage) => [stage, stagesMs[stage] ?? '-'])),
    })),
  );
}

async function measureOne(mode: Mode, feed: Feed): Promise<readonly Row[]> {
  say(`${mode}, ${feed}`);
  const swarm = await startSwarm({ name: `converge-${mode}-${feed}`, nodes: 3 });
  try {
    await swarm.loadImages([await imageArchive()]);
    const extra = `HitlessServiceUpdate = ${mode === 'hitless'}\n`;
    const config = `TaskFeed = "${feed}"\n${defaultConfig({ replicas: PROXIES, extra })}`;
    const interlock = await deployInterlock(swarm, config, { controlSocket: feed === 'watch' });
    try {
      await prepare(interlock);
      return await measureAll(interlock, mode, feed);
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
  const names = [
    'steady',
    'subject',
    ...Array.from({ length: SERVICES - 2 }, (_, i) => `app-${i}`),
    ...Array.from({ length: SAMPLES }, (_, sample) => goneName(sample)),
  ];
  for (const name of names) {
    // What is only there to be many needs no task: a route without one answers 503.
    const replicas = name === 'steady' ? 2 : name === 'subject' ? 1 : 0;
    await interlock.createApp({ name, networks: ['app'], replicas, lb: { hosts: `${name}.local`, port: '8080' } });
  }
  for (const host of ['steady.local', 'subject.local']) {
    await interlock.untilAll(host, ({ status }) => status === 200, { proxies: PROXIES, timeoutMs: 180_000 });
  }
  await atRest(interlock);
}

interface Measured extends Readonly<Partial<Record<Change, number>>> {
  /** When the API call answered that made the change, in ms since the epoch. */
  readonly changedAtMs?: number;
}

async function measureAll(interlock: Interlock, mode: Mode, feed: Feed): Promise<readonly Row[]> {
  const limit = await bareReloadMs(await renderedFile(interlock));
  const samples = new Map<Change, number[]>();
  const counted = new Map<Change, { requests: number; failed: number }>();
  const stages = new Map<Change, { readonly stagesMs: StagesMs; readonly feedAndBuildMs: number | undefined }>();
  for (const measure of [label, removal, upAndDown]) {
    const before = await readStages(interlock);
    const kinds = new Set<Change>();
    const changedAt: number[] = [];
    for (let sample = 0; sample < SAMPLES; sample += 1) {
      const load = await startLoad(interlock);
      const since = new Date();
      const { changedAtMs, ...measured } = await measure(interlock, sample);
      changedAt.push(...(changedAtMs === undefined ? [] : [changedAtMs]));
      await atRest(interlock);
      const { requests, failed } = await load.stop();
      for (const [change, ms] of Object.entries(measured) as [Change, number][]) {
        kinds.add(change);
        samples.set(change, [...(samples.get(change) ?? []), ms]);
        const before = counted.get(change) ?? { requests: 0, failed: 0 };
        counted.set(change, { requests: before.requests + requests, failed: before.failed + failed });
      }
      const line = `${sample + 1}/${SAMPLES}: ${JSON.stringify(measured)}, ${failed} of ${requests} requests failed`;
      say(line);
      if (values.slow !== undefined && mode === 'hitless' && isSlow(measured, feed)) {
        await appendFile(values.slow, `${feed}, ${line}\n${await logsSince(interlock, since, 'steady.local')}\n`);
      }
    }
    const stagesMs = stagesBetween(before, await readStages(interlock));
    const fed = changedAt.length === 0 ? [] : await feedMs(interlock, changedAt);
    for (const change of kinds) {
      stages.set(change, { stagesMs, feedAndBuildMs: fed.length === 0 ? undefined : percentile(fed, 50) });
    }
  }
  return [...samples].map(([change, list]) => ({
    bench: 'converge',
    mode,
    feed,
    change,
    samples: list.length,
    p50Ms: percentile(list, 50),
    p99Ms: percentile(list, 99),
    ...(counted.get(change) ?? { requests: 0, failed: 0 }),
    bareReloadMs: limit,
    ...(stages.get(change) ?? { stagesMs: {}, feedAndBuildMs: undefined }),
  }));
}

function isSlow(measured: Readonly<Partial<Record<Change, number>>>, feed: Feed): boolean {
  return (Object.entries(measured) as [Change, number][]).some(
    ([change, ms]) => ms > (feed === 'watch' ? SLOW_MS[change] : SLOW_BY_POLLING_MS),
  );
}

async function label(interlock: Interlock, sample: number): Promise<Measured> {
  const host = `label-${sample}.local`;
  const bases = await interlock.proxies();
  const kept = bases.map(() => new Agent({ connections: 1 }));
  for (const [index, base] of bases.entries()) {
    await ask(base, host, kept[index]);
  }
  await interlock.updateService('subject', (spec) => {
    spec.Labels['com.docker.lb.hosts'] = `subject.local,${host}`;
  });
  const [changedAt, changedAtMs] = [performance.now(), Date.now()];
  const served = (agents: readonly (Agent | undefined)[]) =>
    allSince(bases, changedAt, async (base, index) => (await ask(base, host, agents[index]))?.status === 200);
  const [fresh, onKept] = await Promise.all([served([]), served(kept)]);
  await Promise.all(kept.map((agent) => agent.destroy()));
  return { label: fresh, 'label-kept': onKept, changedAtMs };
}

async function removal(interlock: Interlock, sample: number): Promise<Measured> {
  const bases = await interlock.proxies();
  const host = `${goneName(sample)}.local`;
  for (const base of bases) {
    if ((await ask(base, host))?.headers['retry-after'] === undefined) {
      throw new Error(`${base} has no route for ${host}`);
    }
  }
  await interlock.removeService(goneName(sample));
  const [changedAt, changedAtMs] = [performance.now(), Date.now()];
  // Until then the route answers 503 with Retry-After, because the service has no task; an unknown host has none.
  const gone = await allSince(bases, changedAt, async (base) => {
    const answer = await ask(base, host);
    return answer?.status === 503 && answer.headers['retry-after'] === undefined;
  });
  return { removal: gone, changedAtMs };
}

/** One replica more, then one less. */
async function upAndDown(interlock: Interlock): Promise<Measured> {
  const bases = await interlock.proxies();
  const before = await replicas(interlock);
  const [old = ''] = before.keys();
  await scale(interlock, 2);
  const reached = bases.map(() => Number.NaN);
  let newcomer = '';
  const looking = Promise.all(
    bases.map(async (base, index) => {
      while (Number.isNaN(reached[index])) {
        const host = (await ask(base, 'subject.local'))?.headers['x-demo-host'];
        if (typeof host === 'string' && !old.startsWith(host)) {
          newcomer = host;
          reached[index] = Date.now();
        }
        await pause(LOOK_MS);
      }
    }),
  );
  const runningAt = await eventually(
    async () => {
      const found = [...(await replicas(interlock))].find(([container]) => !before.has(container));
      if (found === undefined) {
        throw new Error('the new replica does not run');
      }
      return found[1];
    },
    { timeoutMs: 60_000, everyMs: 5 },
  );
  await looking;
  const up = Math.max(...reached) - runningAt;
  await atRest(interlock);
  return { 'task-up': up, 'task-down': await scaleDown(interlock, bases, [old, newcomer]) };
}

/** From two replicas to one: when the leaving one was asked last, after Swarm wanted it gone. */
async function scaleDown(interlock: Interlock, bases: readonly string[], known: readonly string[]): Promise<number> {
  const lastAskedAt = new Map<string, number>();
  let over = false;
  const asking = Promise.all(
    bases.map(async (base) => {
      while (!over) {
        const askedAt = Date.now();
        const host = (await ask(base, 'subject.local'))?.headers['x-demo-host'];
        if (typeof host === 'string') {
          lastAskedAt.set(host, Math.max(askedAt, lastAskedAt.get(host) ?? 0));
        }
        await pause(LOOK_MS);
      }
    }),
  );
  await scale(interlock, 1);
  const leaving = await eventually(
    async () => {
      const tasks = await tasksOf(interlock);
      const task = tasks.find(({ DesiredState, Status }) => DesiredState !== 'running' && Status.State === 'running');
      if (task === undefined) {
        throw new Error('no replica is leaving');
      }
      return { container: containerOf(task), at: Date.parse(task.UpdatedAt) };
    },
    { timeoutMs: 60_000, everyMs: 5 },
  );
  await eventually(async () => (await replicas(interlock)).size === 1, { timeoutMs: 60_000, everyMs: 50 });
  await pause(4_000);
  over = true;
  await asking;
  const name = known.find((host) => leaving.container.startsWith(host.slice(0, 12))) ?? '';
  const last = lastAskedAt.get(name.slice(0, 12)) ?? Number.NaN;
  return Math.max(0, last - leaving.at);
}

type StoredTask = TaskJson & { readonly UpdatedAt: string };

async function tasksOf(interlock: Interlock): Promise<readonly StoredTask[]> {
  // Shape: Engine API `GET /tasks`.
  return (await interlock.docker.listTasks({ filters: { service: ['subject'] } })) as readonly StoredTask[];
}

/** Container id -> when its task became RUNNING in the store, as long as nothing else was written since. */
async function replicas(interlock: Interlock): Promise<ReadonlyMap<string, number>> {
  const tasks = (await tasksOf(interlock)).filter(
    ({ DesiredState, Status }) => DesiredState === 'running' && Status.State === 'running',
  );
  return new Map(tasks.map((task) => [containerOf(task), Date.parse(task.UpdatedAt)]));
}

function containerOf(task: TaskJson): string {
  return task.Status.ContainerStatus?.ContainerID ?? '';
}

function scale(interlock: Interlock, count: number): Promise<void> {
  return interlock.updateService('subject', (spec) => {
    spec.Mode.Replicated = { Replicas: count };
  });
}

function goneName(sample: number): string {
  return `gone-${sample}`;
}

const FRESH = new Agent({ pipelining: 0, connect: { timeout: 1_000 }, headersTimeout: 3_000, bodyTimeout: 3_000 });

/** `undefined` when there is no answer. */
async function ask(base: string, host: string, dispatcher: Agent = FRESH) {
  try {
    const { statusCode, headers, body } = await request(base, { dispatcher, headers: { host } });
    await body.dump();
    return { status: statusCode, headers };
  } catch {
    return undefined;
  }
}

/** Milliseconds from `since` until `holds` was true at every base, each looked at on its own. */
async function allSince(
  bases: readonly string[],
  since: number,
  holds: (base: string, index: number) => Promise<boolean>,
): Promise<number> {
  const ends = await Promise.all(
    bases.map(async (base, index) => {
      while (!(await holds(base, index))) {
        await pause(LOOK_MS);
      }
      return performance.now();
    }),
  );
  return Math.max(...ends) - since;
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
  await pause(REST_MS);
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

await main();
