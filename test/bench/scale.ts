/**
 * `npm run bench:scale [-- --json FILE] [--hosts 10,100,1000,10000] [--samples N] [--profiles FOLDER]`
 *
 * What one change costs with N hosts of three endpoints each: core, extension and agent as processes of their own (from `dist`), a real
 * NGINX, hitless, and a simulated Swarm with its watch (test/bench/scale/).
 *
 *   endpoint  a task of one service is replaced        -> a new connection reaches the new address
 *   label     a host name is added to one service      -> a new connection to it is answered with 200
 *
 * Each sample starts from rest. Beside it the physical limit: the bare reload of the same file. Processor time is counted until rest,
 * so the check of the whole file and the stored Docker Config are in it; `checks` is that of `nginx -t`. The bench itself, the Swarm and
 * NGINX share the machine's processors with the daemons. Needs root.
 */
import { writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Agent, request } from 'undici';
import { bareReloadMs } from './bare-reload.ts';
import { type LogLine, type Role, type ScaleDaemons, startDaemons } from './scale/daemons.ts';
import { residentMiB, usageOf } from './scale/processes.ts';
import { STAGES, type Stages, stagesOf } from './scale/stages.ts';
import { hostOf, type SimulatedSwarm, simulateSwarm } from './scale/swarm.ts';
import { percentile, printTable } from './stats.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    hosts: { type: 'string', default: '10,100,1000,10000' },
    samples: { type: 'string', default: '20' },
    profiles: { type: 'string' },
  },
});
const SAMPLES = Number(values.samples);
const WARM_UP = 3;
const ROLES = ['core', 'extension', 'agent'] as const;
/** The whole check begins 2 s after the delivery. At rest then: less than this much processor time in a while, in all three daemons. */
const REST = { afterMs: 2_500, lookEveryMs: 300, belowMs: 20, atMostMs: 30_000 };
const SERVED_WITHIN_MS = 60_000;

type Change = 'endpoint' | 'label';
type Figures = Readonly<Record<string, number>>;

interface Row {
  readonly bench: 'scale';
  readonly hosts: number;
  readonly change: Change;
  readonly samples: number;
  readonly servedP50Ms: number;
  readonly servedP99Ms: number;
  readonly bareReloadMs: number;
  /** Medians. */
  readonly stagesMs: Figures;
  /** Medians per change. */
  readonly cpuMs: Figures;
  readonly bytes: Figures;
  readonly residentMiB: Figures;
}

async function main(): Promise<void> {
  const rows: Row[] = [];
  for (const hosts of values.hosts.split(',').map(Number)) {
    rows.push(...(await measureSize(hosts)));
    print(rows);
    if (values.json !== undefined) {
      await writeFile(values.json, `${JSON.stringify(rows, null, 2)}\n`);
    }
  }
}

function print(rows: readonly Row[]): void {
  const part = (pick: (row: Row) => Figures) =>
    printTable(rows.map((row) => ({ hosts: row.hosts, change: row.change, ...pick(row) })));
  const { log } = console;
  log('\nms from the change to the first answer, and the bare reload of the same file');
  part(({ samples, servedP50Ms, servedP99Ms, bareReloadMs: bare }) => ({ samples, servedP50Ms, servedP99Ms, bare }));
  log('\nms by stage (medians)');
  part(({ stagesMs }) => stagesMs);
  log('\nms of processor time per change until rest (medians)');
  part(({ cpuMs }) => cpuMs);
  log('\nbytes on the wire per change (medians), and MiB resident');
  part(({ bytes, residentMiB: resident }) => ({ ...bytes, ...resident }));
}

async function measureSize(hosts: number): Promise<readonly Row[]> {
  say(`${hosts} hosts`);
  await using swarm = await simulateSwarm(hosts);
  await using daemons = await startDaemons(swarm, values.profiles);
  await untilServed(daemons, hostOf(hosts - 1), ({ status }) => status === 200);
  await untilRest(daemons);
  const bench: Bench = { swarm, daemons, hosts };
  const measured = new Map<Change, readonly Sample[]>();
  for (const change of ['endpoint', 'label'] as const) {
    const samples: Sample[] = [];
    for (let at = -WARM_UP; at < SAMPLES; at += 1) {
      const sample = await measureOne(bench, change, at + WARM_UP);
      say(`${change} ${at + 1}/${SAMPLES}: ${Math.round(sample.servedMs)} ms`);
      if (at >= 0) {
        samples.push(sample);
      }
    }
    measured.set(change, samples);
  }
  const resident = figures(ROLES, (role) => residentMiB(daemons.pids[role]));
  const bare = await bareReloadMs(onDefaultPorts(await daemons.served(), daemons.port));
  return [...measured].map(([change, samples]) => rowOf({ hosts, change, samples, bare, resident }));
}

/** As the bare reload expects it. */
function onDefaultPorts(file: string, port: number): string {
  return file.replaceAll(`listen ${port}`, 'listen 80').replace(/listen \d{4,5}\b/g, 'listen 443');
}

interface Bench {
  readonly swarm: SimulatedSwarm;
  readonly daemons: ScaleDaemons;
  readonly hosts: number;
}

interface Sample {
  readonly servedMs: number;
  readonly stages: Stages;
  readonly cpuMs: Figures;
  readonly bytes: Figures;
}

async function measureOne({ swarm, daemons, hosts }: Bench, change: Change, at: number): Promise<Sample> {
  const service = (at * 7_919 + (change === 'label' ? 1 : 0)) % hosts;
  const before = counters(daemons);
  const changedAtMs = Date.now();
  const begunAt = performance.now();
  if (change === 'endpoint') {
    const address = swarm.replaceTask(service);
    await untilServed(daemons, hostOf(service), ({ body }) => body === address);
  } else {
    const host = `new-${at}.example.com`;
    swarm.addHost(service, host);
    await untilServed(daemons, host, ({ status }) => status === 200);
  }
  const servedMs = performance.now() - begunAt;
  await untilRest(daemons);
  const after = counters(daemons);
  const spent = (name: string) => (after[name] ?? 0) - (before[name] ?? 0);
  return {
    servedMs,
    stages: stagesOf(await allLogs(daemons), changedAtMs),
    cpuMs: figures([...ROLES, 'checks'], spent),
    bytes: figures(['coreToExtension', 'extensionToCore', 'coreToAgent'], spent),
  };
}

/** Counted up since the start of each. */
function counters({ pids, wire }: ScaleDaemons): Figures {
  return {
    ...figures(ROLES, (role) => usageOf(pids[role]).ownMs),
    checks: usageOf(pids.extension).childrenMs,
    coreToExtension: wire.extension.counted.down,
    extensionToCore: wire.extension.counted.up,
    coreToAgent: wire.agent.counted.down,
  };
}

async function allLogs(daemons: ScaleDaemons): Promise<Readonly<Record<Role, readonly LogLine[]>>> {
  const [core, extension, agent] = await Promise.all(ROLES.map((role) => daemons.log(role)));
  return { core: core ?? [], extension: extension ?? [], agent: agent ?? [] };
}

function rowOf(of: {
  readonly hosts: number;
  readonly change: Change;
  readonly samples: readonly Sample[];
  readonly bare: number;
  readonly resident: Figures;
}): Row {
  const { hosts, change, samples } = of;
  const served = samples.map(({ servedMs }) => servedMs);
  const medians = (names: readonly string[], pick: (sample: Sample) => Figures) =>
    figures(names, (name) =>
      percentile(
        samples.map((sample) => pick(sample)[name] ?? Number.NaN),
        50,
      ),
    );
  return {
    bench: 'scale',
    hosts,
    change,
    samples: samples.length,
    servedP50Ms: percentile(served, 50),
    servedP99Ms: percentile(served, 99),
    bareReloadMs: of.bare,
    stagesMs: medians([...STAGES, 'untilSighup', 'renderMs', 'fitMs', 'writeMs'], ({ stages }) => ({ ...stages })),
    cpuMs: medians([...ROLES, 'checks'], ({ cpuMs }) => cpuMs),
    bytes: medians(['coreToExtension', 'extensionToCore', 'coreToAgent'], ({ bytes }) => bytes),
    residentMiB: of.resident,
  };
}

function figures(names: readonly string[], figure: (name: never) => number): Figures {
  return Object.fromEntries(names.map((name) => [name, figure(name as never)])); // each name is one that `figure` takes
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** On new connections, one after the other: the gap between two is the resolution. */
async function untilServed({ port }: ScaleDaemons, host: string, like: (answer: Answer) => boolean): Promise<void> {
  const agent = new Agent({ pipelining: 0 });
  const deadline = performance.now() + SERVED_WITHIN_MS;
  for (;;) {
    const answer = await ask(agent, port, host);
    if (answer !== undefined && like(answer)) {
      break;
    }
    if (performance.now() > deadline) {
      throw new Error(`${host} was not served within ${SERVED_WITHIN_MS} ms: ${JSON.stringify(answer)}`);
    }
    await pause(1);
  }
  await agent.close();
}

async function ask(dispatcher: Agent, port: number, host: string): Promise<Answer | undefined> {
  try {
    const { statusCode, body } = await request(`http://127.0.0.1:${port}/`, { dispatcher, headers: { host } });
    return { status: statusCode, body: await body.text() };
  } catch {
    return undefined; // cut by the end of an old worker
  }
}

async function untilRest({ pids }: ScaleDaemons): Promise<void> {
  const total = () =>
    ROLES.map((role) => usageOf(pids[role])).reduce((sum, { ownMs, childrenMs }) => sum + ownMs + childrenMs, 0);
  await pause(REST.afterMs);
  const deadline = performance.now() + REST.atMostMs;
  let last = total();
  for (;;) {
    await pause(REST.lookEveryMs);
    const now = total();
    if (now - last < REST.belowMs || performance.now() > deadline) {
      return;
    }
    last = now;
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

await main();
