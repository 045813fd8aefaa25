/**
 * Three managers and nobody else, under constant light traffic: the one that leads and runs core is lost; then nobody leads for a minute.
 * A proxy runs on each, and a backend on the second and the third: what core has to say stays the same throughout.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Swarm, startSwarm } from '../support/bed.ts';
import { eventually } from '../support/eventually.ts';
import { imageArchive } from '../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock } from '../support/interlock.ts';
import {
  baseOf,
  containersOf,
  nodesOf,
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
const CORE = 'interlock_core';
const WITHOUT_LEADER_MS = 60_000;
const ALL = [1, 2, 3] as const;
const EVERYTHING = ['demo', CORE, 'interlock-extension', 'interlock-proxy'];

let swarm: Swarm;
let interlock: Interlock;
const cleanUps: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  // The heartbeat that Swarms have: with a short one a new leader gives nodes too little time to find it.
  swarm = await startSwarm({ name: 'full-managers', nodes: 3, managers: 3 });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  // Node 1 leads, and is to run core; the test asks node 2, which stays.
  await availability('drain');
  const second = { ...swarm, managerSocket: swarm.nodes[1]?.dockerSocket ?? '' };
  interlock = await deployInterlock(second, defaultConfig({ replicas: 3 }));
  cleanUps.unshift(() => interlock.down());
  await eventually(async () => expect(await coreNode()).toBe('n1'), PATIENCE);
  await availability('active');
  const app = await interlock.createNetwork('app');
  await interlock.createApp({
    name: 'demo',
    networks: [app],
    everywhere: true,
    constraints: ['node.hostname!=n1'],
    lb: { hosts: HOST, port: '8080' },
  });
  await arrives(HOST);
  await untilServed(interlock, { demo: 2 }, ALL);
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

async function availability(state: 'active' | 'drain'): Promise<void> {
  for (const node of ['n2', 'n3']) {
    await eventually(() => swarm.exec(1, ['docker', 'node', 'update', '--availability', state, node]), PATIENCE);
  }
}

async function coreNode(): Promise<string | undefined> {
  return (await runningOf(interlock, CORE))[0]?.hostname;
}

async function leader(): Promise<string | undefined> {
  return (await nodesOf(interlock)).find(({ ManagerStatus }) => ManagerStatus?.Leader === true)?.Description.Hostname;
}

const arrives = (host: string, proxies = 3) =>
  interlock.untilAll(host, ({ status }) => status === 200, { proxies, timeoutMs: PATIENCE.timeoutMs });

async function rename(host: string): Promise<void> {
  await interlock.updateService('demo', (spec) => {
    spec.Labels['com.docker.lb.hosts'] = `${HOST},${host}`;
  });
}

async function trafficThrough(...nodes: readonly number[]): Promise<Traffic> {
  const traffic = startTraffic({ host: HOST, bases: nodes.map((index) => baseOf(swarm, index)) });
  cleanUps.unshift(() => traffic.stop());
  await traffic.answeredBy(20);
  return traffic;
}

async function endOf(traffic: Traffic, title: string): Promise<readonly unknown[]> {
  await traffic.answeredBy(20);
  await traffic.stop();
  process.stderr.write(`${title}: ${tallyOf(traffic)}\n`);
  return traffic.failed();
}

describe('three managers', () => {
  it('lose the one that leads and runs core: core carries on elsewhere and writes nothing', async () => {
    const before = await untilAtRest(interlock);
    expect([await leader(), await coreNode()]).toEqual(['n1', 'n1']);
    const traffic = await trafficThrough(2, 3);
    await swarm.killNode(1);
    await traffic.answeredBy(5);
    await eventually(async () => expect(['n2', 'n3']).toContain(await leader()), PATIENCE);
    await eventually(async () => expect(['n2', 'n3']).toContain(await coreNode()), PATIENCE);
    await untilServed(interlock, { demo: 2 }, [2, 3]);
    await untilAtRest(interlock);
    expect(await versionsOf(interlock)).toEqual(before);
    await rename('second-core.local');
    await arrives('second-core.local', 2);

    await swarm.startNode(1);
    await eventually(async () => expect(await stateOf(interlock, 'n1')).toBe('ready'), PATIENCE);
    await untilServed(interlock, { demo: 2 }, ALL);
    await arrives('second-core.local');
    expect(await endOf(traffic, "core's manager, the leader, lost")).toEqual([]);
  });

  /**
   * A node that finds the new leader too late (30 s with the default heartbeat; 28 were seen on a busy machine) is declared down: Swarm
   * itself ends its tasks and starts others. Core then has to store twice, without the endpoint and with the one in its place, so it is
   * kept out of here: what is claimed is that core writes nothing of its own accord. The other case: test/integration/daemons/leader-change.test.ts.
   */
  it('have no leader for a minute: nothing is torn down or written, no request fails, changes arrive afterwards', async () => {
    await swarm.exec(2, ['docker', 'swarm', 'update', '--dispatcher-heartbeat', UNHURRIED]);
    const before = await untilAtRest(interlock);
    const containers = await containersOf(interlock, EVERYTHING);
    const traffic = await trafficThrough(...ALL);
    await separate('-I');
    await eventually(async () => {
      const told = await interlock.docker.listNodes().catch((error: unknown) => String(error));
      expect(told).toMatch(/leader|deadline|context/i);
    }, PATIENCE);
    await pause(WITHOUT_LEADER_MS); // the case itself
    await separate('-D');
    await eventually(async () => expect(ALL.map((n) => `n${n}`)).toContain(await leader()), PATIENCE);
    await eventually(async () => {
      expect(await Promise.all(ALL.map((n) => stateOf(interlock, `n${n}`)))).toEqual(['ready', 'ready', 'ready']);
    }, PATIENCE);
    await untilServed(interlock, { demo: 2 }, ALL);
    await untilAtRest(interlock);
    // Tasks first: were they replaced, by Swarm, then further configs were called for.
    expect(await containersOf(interlock, EVERYTHING)).toEqual(containers);
    expect(await versionsOf(interlock)).toEqual(before);
    await rename('leader-back.local');
    await arrives('leader-back.local');
    expect(await endOf(traffic, 'no leader for a minute')).toEqual([]);
  });
});

/** Managers hear nothing of each other on their port; everything else between the nodes goes on. Two cut off are all three apart. */
async function separate(action: '-I' | '-D'): Promise<void> {
  for (const index of [2, 3]) {
    for (const port of ['--dport', '--sport']) {
      await swarm.exec(index, ['iptables', action, 'INPUT', '-i', 'eth0', '-p', 'tcp', port, '2377', '-j', 'DROP']);
    }
  }
}
