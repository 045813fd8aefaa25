/**
 * What can happen to a task, a node, an engine and a clock, on a real Swarm of three nodes under constant light traffic. A proxy and a
 * backend run on each worker, core on the manager. Each part begins and ends with all of it there.
 */
import Docker from 'dockerode';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Swarm, startSwarm } from '../support/bed.ts';
import { eventually } from '../support/eventually.ts';
import { imageArchive } from '../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock } from '../support/interlock.ts';
import { clocksCanBeOff, shiftClock } from './clock.ts';
import {
  baseOf,
  containersOf,
  PATIENCE,
  runningOf,
  stateOf,
  UNHURRIED,
  untilAtRest,
  untilServed,
  versionsOf,
} from './cluster.ts';
import { startTraffic, type Traffic, tallyOf } from './traffic.ts';

const HOST = 'demo.local';
/** How often core lists everything, whatever the task feed told: what waited for that was not told. */
const RESYNC_MS = 60_000;
/**
 * Before Swarm knows of a loss, NGINX finds out by itself: what is on its way to the lost backend is lost with it, and requests that come
 * later find another. This long, for both to be told apart on a busy machine.
 */
const UNHEARD_MS = 5_000;
const ON_WORKERS = ['demo', 'interlock-extension', 'interlock-proxy'];
let swarm: Swarm;
let interlock: Interlock;
const cleanUps: (() => Promise<unknown>)[] = [];
const traffics = new Set<Traffic>();

beforeAll(async () => {
  const archive = await imageArchive();
  // The heartbeat that Swarms have: with a short one, an engine that is back declares nodes down before they have found it again.
  swarm = await startSwarm({ name: 'full-faults', nodes: 3 });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  interlock = await deployInterlock(swarm, defaultConfig({ replicas: 2 }));
  cleanUps.unshift(() => interlock.down());
  const app = await interlock.createNetwork('app');
  await interlock.createApp({
    name: 'demo',
    networks: [app],
    everywhere: true,
    constraints: ['node.role==worker'],
    lb: { hosts: HOST, port: '8080' },
  });
  await arrives(HOST);
  await untilServed(interlock, { demo: 2 }, [2, 3]);
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

afterEach(async () => {
  for (const traffic of traffics) {
    await traffic.stop();
  }
  traffics.clear();
});

const arrives = (host: string) =>
  interlock.untilAll(host, ({ status }) => status === 200, { proxies: 2, timeoutMs: PATIENCE.timeoutMs });

async function trafficThrough(...nodes: readonly number[]): Promise<Traffic> {
  const traffic = startTraffic({ host: HOST, bases: nodes.map((index) => baseOf(swarm, index)) });
  traffics.add(traffic);
  await traffic.answeredBy(20);
  return traffic;
}

/** Waits for what is under way, says what there was, returns what failed. */
async function endOf(traffic: Traffic, title: string, sinceMs = 0): Promise<readonly unknown[]> {
  await traffic.answeredBy(20);
  await traffic.stop();
  process.stderr.write(`${title}: ${tallyOf(traffic)}\n`);
  return traffic.failed(sinceMs);
}

async function killBackendOn(hostname: string): Promise<string> {
  const victim = (await runningOf(interlock, 'demo')).find((task) => task.hostname === hostname);
  const socketPath = swarm.nodes[Number(hostname.slice(1)) - 1]?.dockerSocket ?? '';
  await new Docker({ socketPath }).getContainer(victim?.container ?? '').kill();
  return victim?.id ?? '';
}

async function rename(host: string): Promise<void> {
  await interlock.updateService('demo', (spec) => {
    spec.Labels['com.docker.lb.hosts'] = `${HOST},${host}`;
  });
}

async function killAndReplace(hostname: string): Promise<void> {
  const victim = await killBackendOn(hostname);
  await eventually(async () => {
    const running = await runningOf(interlock, 'demo');
    expect(running.filter(({ id }) => id !== victim)).toHaveLength(2);
  }, PATIENCE);
  await untilServed(interlock, { demo: 2 }, [2, 3]);
}

describe('under constant traffic', () => {
  it('a task killed on a worker comes back into the pool, and no request fails', async () => {
    const traffic = await trafficThrough(2, 3);
    await killAndReplace('n3');
    expect(await endOf(traffic, 'a task killed')).toEqual([]);
  });

  it.each([
    { how: 'power', lose: () => swarm.killNode(3), bring: () => swarm.startNode(3) },
    { how: 'link', lose: () => swarm.link(3, 'down'), bring: () => swarm.link(3, 'up') },
  ])('a worker lost by $how: its backend leaves as Swarm knows, the proxy elsewhere serves', async (fault) => {
    const traffic = await trafficThrough(2);
    await fault.lose();
    const lostMs = Date.now();
    await traffic.answeredBy(5);
    await eventually(async () => expect(await stateOf(interlock, 'n3')).toBe('down'), PATIENCE);
    const knownMs = Date.now();
    await untilServed(interlock, { demo: 1 }, [2]);
    const leftMs = Date.now();
    process.stderr.write(`${fault.how}: Swarm knew after ${knownMs - lostMs} ms, left ${leftMs - knownMs} ms later\n`);
    expect(leftMs - knownMs).toBeLessThan(RESYNC_MS / 2);
    await rename(`no-${fault.how}.local`);
    await eventually(async () => {
      expect(await interlock.ask(baseOf(swarm, 2), `no-${fault.how}.local`)).toMatchObject({ status: 200 });
    }, PATIENCE);
    await fault.bring();
    await eventually(async () => expect(await stateOf(interlock, 'n3')).toBe('ready'), PATIENCE);
    await untilServed(interlock, { demo: 2 }, [2, 3]);
    await arrives(`no-${fault.how}.local`);
    expect(await endOf(traffic, `a worker lost by ${fault.how}`, lostMs + UNHEARD_MS)).toEqual([]);
  });

  it('a node drained and back: no request fails elsewhere', async () => {
    const traffic = await trafficThrough(2);
    await interlock.cli('node', 'update', '--availability', 'drain', 'n3');
    await untilServed(interlock, { demo: 1 }, [2]);
    await interlock.cli('node', 'update', '--availability', 'active', 'n3');
    await untilServed(interlock, { demo: 2 }, [2, 3]);
    expect(await endOf(traffic, 'a node drained')).toEqual([]);
  });

  it('the engine under core dies and starts: no request fails, nothing is written, changes arrive', async () => {
    await interlock.cli('swarm', 'update', '--dispatcher-heartbeat', UNHURRIED);
    const before = await untilAtRest(interlock);
    const containers = await containersOf(interlock, ON_WORKERS);
    const traffic = await trafficThrough(2, 3);
    await swarm.crashNode(1);
    await traffic.answeredBy(20);
    await swarm.startNode(1);
    await eventually(async () => expect(await runningOf(interlock, 'interlock_core')).toHaveLength(1), PATIENCE);
    await untilServed(interlock, { demo: 2 }, [2, 3]);
    await untilAtRest(interlock);
    // Tasks first: were they replaced, by Swarm, then requests failed and further configs were called for.
    expect(await containersOf(interlock, ON_WORKERS)).toEqual(containers);
    expect(await versionsOf(interlock), await lastWords()).toEqual(before);
    await rename('engine-back.local');
    await arrives('engine-back.local');
    expect(await containersOf(interlock, ON_WORKERS)).toEqual(containers);
    expect(await endOf(traffic, 'the engine under core restarted')).toEqual([]);
    await interlock.cli('swarm', 'update', '--dispatcher-heartbeat', '5s');
  });
});

/** Of core, for whoever has to find out why it wrote something. */
async function lastWords(): Promise<string> {
  return (await interlock.coreLogText()).split('\n').slice(-60).join('\n');
}

/** What a core that took a node's clock for its own would go on saying: it waits in vain for a roll, or for sessions. */
async function standingTroubles(): Promise<readonly string[]> {
  const [core] = await runningOf(interlock, 'interlock_core');
  const { stdout, stderr } = await swarm.exec(1, ['docker', 'logs', core?.container ?? '']);
  const lines = `${stdout}\n${stderr}`.split('\n');
  return ['PUBLISH.ROLL_STUCK', 'PUBLISH.NO_AGENT_SESSION'].filter(
    (code) => lines.findLast((line) => line.includes(`"${code}"`))?.includes('"msg":"finding"') === true,
  );
}

/** Worker n3 an hour ahead; then the manager, where core runs, an hour behind as well. Both stay so to the end of the file. */
describe.skipIf(!clocksCanBeOff)('with clocks that are off', () => {
  it.each([
    { node: 3, seconds: 3_600, title: "a worker's an hour ahead" },
    { node: 1, seconds: -3_600, title: "the manager's an hour behind" },
  ])('$title: all goes on as ever', async ({ node, seconds, title }) => {
    const clock = shiftClock(swarm, node, seconds);
    cleanUps.unshift(() => clock.stop());
    const engine = new Docker({ socketPath: swarm.nodes[node - 1]?.dockerSocket ?? '' });
    await eventually(async () => {
      const { SystemTime } = (await engine.info()) as { readonly SystemTime: string };
      expect(Math.round((Date.parse(SystemTime) - Date.now()) / 60_000)).toBe(seconds / 60);
    }, PATIENCE);

    const traffic = await trafficThrough(2, 3);
    await killAndReplace('n3');
    await rename(`off-${node}.local`);
    await arrives(`off-${node}.local`);
    expect(await endOf(traffic, title)).toEqual([]);

    const network = await interlock.createNetwork(`off-${node}`);
    const host = `joined-${node}.local`;
    await interlock.createApp({ name: 'joined', networks: [network], lb: { hosts: host, port: '8080' } });
    await arrives(host);
    for (const replicas of [3, 1]) {
      await interlock.cli('service', 'scale', '-d', `joined=${replicas}`);
      await untilServed(interlock, { demo: 2, joined: replicas }, [2, 3]);
    }
    await interlock.removeService('joined');
    await untilServed(interlock, { demo: 2 }, [2, 3]);
    await untilAtRest(interlock);
    await eventually(async () => expect(await standingTroubles()).toEqual([]), PATIENCE);
  });
});
