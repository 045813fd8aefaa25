/**
 * One size, one feed, in a fresh process: core runs here and nothing else does, so this process's time is core's. Sends its figures to
 * its parent and ends.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type * as dockerodeEngine from '../../../src/core/engine/dockerode-engine.ts';
import type { EngineApi } from '../../../src/core/engine/engine-api.ts';
import type * as main from '../../../src/core/main.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { createLogger } from '../../../src/runtime/logging.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/nginx.ts';
import { coreSettings } from '../../support/settings.ts';
import { percentile } from '../stats.ts';
import type { CallCount, FromOutside, ToOutside } from './outside.ts';

/** What ships. The sources are run by tsx, which gives each closure a name whenever one is made, and core would pay for that. */
async function compiled<Module>(path: string): Promise<Module> {
  return (await import(new URL(`../../../dist/${path}`, import.meta.url).href)) as Module;
}
const { createDockerodeEngine } = await compiled<typeof dockerodeEngine>('core/engine/dockerode-engine.js');
const { coreMain } = await compiled<typeof main>('core/main.js');

export interface Figures {
  readonly services: number;
  readonly feed: Feed;
  readonly stage: 'start-up' | 'rest' | 'endpoint' | 'label';
  readonly samples: number;
  /** start-up: to the first whole model; rest: of one poll round (watch: of ten seconds); else: to the agent's word that it serves it. */
  readonly wallMs: number;
  readonly cpuMs: number;
  /** Of that, while a list call was under way. */
  readonly listCpuMs: number;
  readonly beyondMs: number;
  readonly beyondMaxMs: number;
  /** What the yardstick took, once after each sample: how fast the machine was meanwhile. */
  readonly yardstickMs: number;
  readonly calls: number;
  readonly bytes: number;
  readonly asked: readonly CallCount[];
}

export type Feed = 'watch' | 'poll';

const POLL_MS = 3_000;
const UNTIL = { timeoutMs: 120_000, everyMs: 2 };

interface Core {
  readonly modelledHosts: () => number;
  readonly cpu: () => Cpu;
}

interface Cpu {
  readonly totalMs: number;
  readonly listsMs: number;
}

interface Outside {
  readonly child: ChildProcess;
  readonly applied: () => number;
  /** The next word of the agent that it serves something. Nobody polls for it: this process's time is what is measured. */
  nextApplied(): Promise<void>;
  calls(): Promise<readonly CallCount[]>;
  tell(message: ToOutside): void;
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** Counts this process's time while at least one list call is under way. */
function countLists(engine: EngineApi): { readonly engine: EngineApi; readonly listsMs: () => number } {
  let open = 0;
  let since = 0;
  let total = 0;
  const counted = async <Answer>(call: () => Promise<Answer>): Promise<Answer> => {
    since = open === 0 ? cpuMs() : since;
    open += 1;
    try {
      return await call();
    } finally {
      open -= 1;
      total += open === 0 ? cpuMs() - since : 0;
    }
  };
  return {
    listsMs: () => total + (open > 0 ? cpuMs() - since : 0),
    engine: {
      ...engine,
      listServices: (signal, options) => counted(() => engine.listServices(signal, options)),
      listTasks: (signal, filter) => counted(() => engine.listTasks(signal, filter)),
      listNodes: (signal) => counted(() => engine.listNodes(signal)),
      listNetworks: (signal) => counted(() => engine.listNetworks(signal)),
      listSecrets: (signal) => counted(() => engine.listSecrets(signal)),
      listServiceObjects: (labels, signal) => counted(() => engine.listServiceObjects(labels, signal)),
      listConfigs: (labels, signal) => counted(() => engine.listConfigs(labels, signal)),
      secretsOfTasks: (signal) => counted(() => engine.secretsOfTasks(signal)),
    },
  };
}

async function openOutside(services: number): Promise<{ readonly outside: Outside; readonly ready: Ready }> {
  const child = fork(fileURLToPath(new URL('outside.ts', import.meta.url)), [String(services)]);
  const heard: {
    ready?: Ready;
    applied: number;
    calls: readonly CallCount[] | undefined;
    waiting: (() => void) | undefined;
  } = { applied: 0, calls: undefined, waiting: undefined };
  child.on('message', (message: FromOutside) => {
    if (message.kind === 'ready') {
      heard.ready = message;
    } else if (message.kind === 'applied') {
      heard.applied = message.count;
      heard.waiting?.();
    } else {
      heard.calls = message.calls;
    }
  });
  const tell = (message: ToOutside): void => void child.send(message);
  const ready = await eventually(() => there(heard.ready), UNTIL);
  const outside: Outside = {
    child,
    tell,
    applied: () => heard.applied,
    nextApplied: () =>
      new Promise((resolve) => {
        heard.waiting = resolve;
      }),
    async calls() {
      heard.calls = undefined;
      tell({ kind: 'calls' });
      return eventually(() => there(heard.calls), UNTIL);
    },
  };
  return { outside, ready };
}

function there<Value>(value: Value | undefined): Value {
  if (value === undefined) {
    throw new Error('the process outside has not answered');
  }
  return value;
}

type Ready = Extract<FromOutside, { readonly kind: 'ready' }>;

async function startCore({ dockerUrl, controlSocket }: Ready, feed: Feed, port: number): Promise<Core> {
  const { engine, listsMs } = countLists(createDockerodeEngine({ dockerUrl }));
  const settings = coreSettings(`ListenAddr = "127.0.0.1:${port}"
DockerURL = "${dockerUrl}"
EndpointOverride = "127.0.0.1:${port}"
TaskFeed = "${feed}"
PollInterval = "${POLL_MS}ms"
[Extensions.default]
ServiceName = "interlock-extension"
ProxyServiceName = "interlock-proxy"
ProxyReplicas = 1
`);
  let hosts = 0;
  const log = {
    write(line: string) {
      const { msg, hosts: modelled } = JSON.parse(line) as { readonly msg: string; readonly hosts?: number };
      hosts = msg === 'model revised' ? (modelled ?? 0) : hosts;
    },
  };
  const logger = createLogger({ level: 'info', component: 'core' }, log);
  const options = { settings, findings: [], version: '0.0.0', engine, controlSocket };
  const ended = coreMain(options, { signal: new AbortController().signal, logger, clock: systemClock });
  ended.catch((error: unknown) => {
    throw error;
  });
  return { modelledHosts: () => hosts, cpu: () => ({ totalMs: cpuMs(), listsMs: listsMs() }) };
}

interface Sample {
  readonly wallMs: number;
  readonly cpu: Cpu;
  readonly yardstickMs: number;
}

const YARDSTICK = JSON.stringify(
  Array.from({ length: 2_000 }, (_, at) => ({ id: `object${at}`, labels: { at, name: 'x' } })),
);

/** Fixed work of what core does most, after the same idling as a change: JSON read and written, and its digest. Processor time, in ms. */
function yardstickMs(): number {
  const before = cpuMs();
  createHash('sha256')
    .update(JSON.stringify(JSON.parse(YARDSTICK)))
    .digest('hex');
  return cpuMs() - before;
}

function spent(before: Cpu, after: Cpu): Cpu {
  return { totalMs: after.totalMs - before.totalMs, listsMs: after.listsMs - before.listsMs };
}

function figuresOf(
  of: Pick<Figures, 'services' | 'feed' | 'stage'>,
  samples: readonly Sample[],
  calls: readonly CallCount[],
): Figures {
  const median = (pick: (sample: Sample) => number) => percentile(samples.map(pick), 50);
  const beyond = ({ cpu }: Sample) => cpu.totalMs - cpu.listsMs;
  const each = (sum: number) => Math.round((10 * sum) / samples.length) / 10;
  return {
    ...of,
    samples: samples.length,
    wallMs: median(({ wallMs }) => wallMs),
    cpuMs: median(({ cpu }) => cpu.totalMs),
    listCpuMs: median(({ cpu }) => cpu.listsMs),
    beyondMs: median(beyond),
    beyondMaxMs: percentile(samples.map(beyond), 100),
    yardstickMs: median((sample) => sample.yardstickMs),
    calls: each(calls.reduce((sum, { count }) => sum + count, 0)),
    bytes: Math.round(calls.reduce((sum, { bytes }) => sum + bytes, 0) / samples.length),
    asked: calls,
  };
}

async function measure(services: number, feed: Feed, count: number): Promise<void> {
  const { outside, ready } = await openOutside(services);
  const send = (figures: Figures): void => void process.send?.(figures);
  const port = await freePort();

  const before = { totalMs: cpuMs(), listsMs: 0 };
  const begun = performance.now();
  const core = await startCore(ready, feed, port);
  await eventually(() => core.modelledHosts() >= services, UNTIL);
  const startUp = { wallMs: performance.now() - begun, cpu: spent(before, core.cpu()), yardstickMs: yardstickMs() };
  send(figuresOf({ services, feed, stage: 'start-up' }, [startUp], await outside.calls()));

  outside.tell({ kind: 'serve', endpoint: `127.0.0.1:${port}` });
  await eventually(() => outside.applied() > 0, UNTIL);
  // The tables, the stored config and all that follows the first roll, and the compiler of this process, come to rest.
  await pause(15_000);

  send(await measureRest({ services, feed, core, outside }));
  for (const stage of ['endpoint', 'label'] as const) {
    const samples: Sample[] = [];
    for (let at = -WARM_UP; at < count; at += 1) {
      if (at === 0) {
        await outside.calls();
      }
      const sample = await measureChange({ services, feed, core, outside }, stage, at + WARM_UP);
      samples.push(...(at >= 0 ? [sample] : []));
    }
    send(figuresOf({ services, feed, stage }, samples, await outside.calls()));
  }
  outside.child.kill();
  process.exit(0);
}

const WARM_UP = 3;

interface Bench {
  readonly services: number;
  readonly feed: Feed;
  readonly core: Core;
  readonly outside: Outside;
}

async function measureRest({ services, feed, core, outside }: Bench): Promise<Figures> {
  const rounds = feed === 'poll' ? 5 : 1;
  const roundMs = feed === 'poll' ? POLL_MS : 10_000;
  await outside.calls();
  const samples: Sample[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const before = core.cpu();
    await pause(roundMs);
    samples.push({ wallMs: roundMs, cpu: spent(before, core.cpu()), yardstickMs: yardstickMs() });
  }
  return figuresOf({ services, feed, stage: 'rest' }, samples, await outside.calls());
}

/** With the watch until half a second after the agent's word; by polling until the service is no longer looked at closely. */
async function measureChange(
  { services, feed, core, outside }: Bench,
  stage: 'endpoint' | 'label',
  at: number,
): Promise<Sample> {
  const service = (at * 7_919 + (stage === 'label' ? 1 : 0)) % services;
  const begun = performance.now();
  const applied = outside.nextApplied();
  outside.tell({ kind: stage, service, host: `new-${at}.example.com` });
  // Behind it: telling is this bench's work, and nothing else has run here since.
  const before = core.cpu();
  await applied;
  const wallMs = performance.now() - begun;
  await pause(feed === 'watch' ? 500 : 11_000);
  return { wallMs, cpu: spent(before, core.cpu()), yardstickMs: yardstickMs() };
}

const [services = '', feed = '', count = ''] = process.argv.slice(2);
await measure(Number(services), feed as Feed, Number(count));
