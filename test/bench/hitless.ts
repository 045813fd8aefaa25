/**
 * `npm run bench:hitless [-- --json FILE] [--mode hitless|classic] [--feed watch|poll] [--only PHASE,...] [--times N] [--core-log FILE]`
 *
 * A constant load for at least ten minutes while, by script, everything moves that moves in a Swarm's life; how many requests fail.
 * What counts as a failure stands in `hitless/load.ts`. Real Swarm of three nodes: core on the manager, one proxy in host mode on
 * each worker, the application on all nodes.
 *
 *   lane direct   straight at the two proxies' addresses
 *   lane outer    through an HAProxy before them, as the production layout has it
 *   floor         the same load on a hand-written NGINX file with scripted reloads and nothing else: what can be reached at all
 *
 * `--times 0.1` does a tenth of the repetitions, to try the bench itself; `--core-log FILE` keeps what core said.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { startSwarm } from '../support/bed.ts';
import { imageArchive } from '../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock } from '../support/interlock.ts';
import { measureFloor } from './hitless/floor.ts';
import { type Counts, type Load, startLoad, timeOfDay } from './hitless/load.ts';
import { startOuter } from './hitless/outer.ts';
import { APP, atRest, PHASES, type Phase, type Scene, STEADY } from './hitless/phases.ts';
import { printTable } from './stats.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    mode: { type: 'string', default: 'hitless' },
    feed: { type: 'string', default: 'watch' },
    only: { type: 'string' },
    times: { type: 'string', default: '1' },
    'core-log': { type: 'string' },
  },
});
const MODE = values.mode === 'classic' ? 'classic' : 'hitless';
const PROXIES = 2;

interface Row {
  readonly phase: string;
  readonly lane: 'direct' | 'outer' | 'floor';
  readonly mode: 'hitless' | 'classic' | 'bare NGINX';
  readonly requests: number;
  readonly failed: number;
  readonly byKind: Counts['byKind'];
  /** Of those that failed, begun after a task or a node had died without notice; only in the phases in which one does. */
  readonly begunAfter?: number;
  readonly p99Ms: number;
}

await main();

async function main(): Promise<void> {
  const rows: Row[] = [rowOf('reloads', 'floor', 'bare NGINX', await measureFloor())];
  const swarm = await startSwarm({ name: 'hitless', nodes: 3, fastHeartbeat: true });
  try {
    await swarm.loadImages([await imageArchive()]);
    const config = defaultConfig({
      replicas: PROXIES,
      extra: `ProxyConstraints = ["node.role==worker"]\nHitlessServiceUpdate = ${MODE === 'hitless'}\n`,
    });
    const interlock = await deployInterlock(swarm, `TaskFeed = "${values.feed}"\n${config}`);
    try {
      await prepare(interlock);
      rows.push(...(await underLoad({ interlock, swarm, times: Number(values.times) })));
      if (values['core-log'] !== undefined) {
        const lines = await interlock.coreLog();
        await writeFile(values['core-log'], lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
      }
    } finally {
      await interlock.down();
    }
  } finally {
    await swarm.down();
  }
  printTable(rows.map((row) => ({ ...row, byKind: JSON.stringify(row.byKind), begunAfter: row.begunAfter ?? '-' })));
  if (values.json !== undefined) {
    await writeFile(values.json, `${JSON.stringify(rows, null, 2)}\n`);
  }
}

async function prepare(interlock: Interlock): Promise<void> {
  say('deploying the applications');
  await interlock.createNetwork('app');
  const common = { networks: ['app'] };
  await interlock.createApp({ ...common, name: APP, replicas: 3, lb: { hosts: `${APP}.local`, port: '8080' } });
  await interlock.createApp({
    ...common,
    name: STEADY,
    replicas: 2,
    lb: { hosts: `${STEADY}.local`, port: '8080' },
    // Core's node never goes away here, so whatever ends these connections is a proxy.
    constraints: ['node.role==manager'],
  });
  for (const name of [APP, STEADY]) {
    await interlock.untilAll(`${name}.local`, ({ status }) => status === 200, { proxies: PROXIES, timeoutMs: 180_000 });
  }
  await atRest(interlock);
}

async function underLoad(on: Omit<Scene, 'onDeath'>): Promise<readonly Row[]> {
  const bases = await on.interlock.proxies();
  const outer = await startOuter(bases);
  const hosts = { host: `${APP}.local`, steadyHost: `${STEADY}.local` };
  const lanes: readonly (readonly ['direct' | 'outer', Load])[] = [
    ['direct', startLoad({ bases, ...hosts })],
    ['outer', startLoad({ bases: [outer.url], ...hosts })],
  ];
  const wanted = values.only?.split(',');
  const rows: Row[] = [];
  try {
    const phases = PHASES.filter(({ hitlessOnly }) => MODE === 'hitless' || hitlessOnly !== true);
    for (const name of wanted?.filter((each) => !phases.some((phase) => phase.name === each)) ?? []) {
      throw new Error(`no phase ${name} in ${MODE} mode: ${phases.map((phase) => phase.name).join(', ')}`);
    }
    for (const phase of phases.filter(({ name }) => wanted === undefined || wanted.includes(name))) {
      for (const [, load] of lanes) {
        load.cut();
      }
      let diedAtMs: number | undefined;
      const onDeath = (atMs: number): void => {
        diedAtMs = atMs;
        say(`  dead at ${timeOfDay(atMs)}`);
      };
      await play(phase, { ...on, onDeath });
      for (const [lane, load] of lanes) {
        const counts = load.cut();
        rows.push(rowOf(phase.name, lane, MODE, counts, diedAtMs));
        say(`  ${lane}: ${counts.failed} of ${counts.requests} failed`);
        for (const example of counts.examples) {
          say(`    ${example}`);
        }
      }
    }
  } finally {
    await Promise.all(lanes.map(([, load]) => load.stop()));
    await outer.stop();
  }
  return rows;
}

async function play(phase: Phase, scene: Scene): Promise<void> {
  const startedAt = performance.now();
  say(`${phase.name}: ${phase.about}`);
  await phase.run(scene);
  await atRest(scene.interlock);
  say(`  took ${Math.round((performance.now() - startedAt) / 1_000)} s`);
}

function rowOf(phase: string, lane: Row['lane'], mode: Row['mode'], counts: Counts, diedAtMs?: number): Row {
  const { requests, failed, byKind, failedBegunMs, p99Ms } = counts;
  const after = diedAtMs === undefined ? {} : { begunAfter: failedBegunMs.filter((at) => at > diedAtMs).length };
  return { phase, lane, mode, requests, failed, byKind, ...after, p99Ms };
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
