/**
 * Core and extension while the managers elect a leader. The new one calls every node unknown until that node has found it, and down when
 * it takes too long; then Swarm itself ends the node's tasks, and starts others once it is back.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFakeEngine, type FakeEngine } from '../../fakes/engine/fake-engine.ts';
import { type Daemons, prepareDaemons } from '../../support/daemons.ts';
import { eventually } from '../../support/eventually.ts';

const NODES = ['m1', 'm2', 'm3'];
const PATIENCE = { timeoutMs: 20_000 };

let fake: FakeEngine;
let daemons: Daemons;
let stored: number;

beforeEach(async () => {
  fake = await createFakeEngine({ nodes: NODES.map((hostname) => ({ hostname, role: 'manager' as const })) });
  daemons = await prepareDaemons(fake);
  daemons.startCore();
  daemons.startExtension();
  fake.swarm.addService({
    Name: 'app',
    Labels: { 'com.docker.lb.hosts': 'app.local', 'com.docker.lb.port': '8080' },
    Mode: { Replicated: { Replicas: NODES.length } },
    TaskTemplate: { ContainerSpec: { Image: 'app:1' }, Networks: [{ Target: fake.swarm.addNetwork('app') }] },
  });
  await serves(NODES.length, 'app.local');
  await eventually(() => expect(names()).toContainEqual(expect.stringContaining('.routes.')), PATIENCE);
  await eventually(
    () => expect(fake.swarm.service('interlock-proxy').UpdateStatus?.State ?? 'completed').toBe('completed'),
    PATIENCE,
  );
  fake.forgetCalls();
  stored = proxyConfigs();
});

afterEach(async () => {
  await daemons.stopAll();
  await fake.close();
});

/** Of the tasks that run and shall. */
function addresses(): readonly string[] {
  const attached = fake.swarm.runningTasksOf('app').flatMap(({ NetworksAttachments = [] }) => NetworksAttachments);
  return attached.map(({ Addresses }) => Addresses[0]?.split('/')[0] ?? '').sort();
}

/** Of all Docker Configs. */
function names(): readonly string[] {
  return [...fake.swarm.store.configs.values()].map(({ Spec }) => Spec.Name);
}

function proxyConfigs(): number {
  return names().filter((name) => name.includes('.proxy.')).length;
}

/** The proxies are told of exactly the tasks that run, this many. */
async function serves(tasks: number, host: string): Promise<void> {
  await eventually(() => {
    const served = daemons.served() ?? '';
    expect(served).toContain(host);
    expect(addresses()).toHaveLength(tasks);
    expect([...served.matchAll(/server ([\d.]+):8080/g)].map(([, address = '']) => address).sort()).toEqual(
      addresses(),
    );
  }, PATIENCE);
}

/** What core wrote since `calls` were forgotten: services, and Proxy Configs; history stores labels in its own time. */
function writes(): { readonly services: number; readonly configs: number } {
  const updates = fake.calls.filter(({ asked }) => /^(POST|DELETE) \/services/.test(asked));
  return { services: updates.length, configs: proxyConfigs() - stored };
}

async function say(state: string, nodes: readonly string[] = NODES): Promise<void> {
  const lists = () => fake.calls.filter(({ asked }) => asked === 'GET /nodes').length;
  const before = lists();
  for (const node of nodes) {
    fake.swarm.setNode(node, { state });
  }
  await eventually(() => expect(lists()).toBeGreaterThan(before), PATIENCE);
}

describe('a new leader', { timeout: 60_000 }, () => {
  it('that knows no node yet changes nothing: all endpoints stay, and nothing is written', async () => {
    const before = addresses();
    await say('unknown');
    await say('ready');
    expect(writes()).toEqual({ services: 0, configs: 0 });
    // Had the nodes been news, there would be more than this.
    await say('unknown');
    fake.swarm.updateService('app', (spec) => {
      spec.Labels['com.docker.lb.hosts'] = 'other.local';
    });
    await serves(NODES.length, 'other.local');
    expect(addresses()).toEqual(before);
    expect(writes()).toEqual({ services: 1, configs: 1 });
  });

  it('that gives a node up: its endpoint leaves, the one in its place comes, and each is one config and one roll', async () => {
    const before = addresses();
    const tasks = fake.swarm.runningTasksOf('app');
    const lost = tasks[0]?.NodeID ?? '';
    await say('unknown'); // the task's successor has to wait for a node
    await say('down', [lost]);
    await serves(tasks.filter(({ NodeID }) => NodeID !== lost).length, 'app.local');
    expect(before).toEqual(expect.arrayContaining([...addresses()]));
    await say('ready');
    await serves(NODES.length, 'app.local');
    expect(addresses()).not.toEqual(before);
    expect(writes()).toEqual({ services: 2, configs: 2 });
  });
});
