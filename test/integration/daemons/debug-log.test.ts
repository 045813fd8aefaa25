/** Debug logs of core and extension, against the fake Engine, which both write at level debug here. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFakeEngine, type FakeEngine } from '../../fakes/engine/fake-engine.ts';
import { type Daemons, prepareDaemons } from '../../support/daemons.ts';
import { eventually } from '../../support/eventually.ts';

const REPLICAS = 60;

let fake: FakeEngine;
let daemons: Daemons;

beforeEach(async () => {
  fake = await createFakeEngine({ nodes: [{ hostname: 'm1', role: 'manager' }] });
  daemons = await prepareDaemons(fake);
});

afterEach(async () => {
  await daemons.stopAll();
  await fake.close();
});

describe('the debug log', { timeout: 60_000 }, () => {
  it('stays short, however many tasks there are', async () => {
    const network = fake.swarm.addNetwork('app');
    fake.swarm.addService({
      Name: 'wide',
      Labels: { 'com.docker.lb.hosts': 'wide.local', 'com.docker.lb.port': '8080' },
      Mode: { Replicated: { Replicas: REPLICAS } },
      TaskTemplate: { ContainerSpec: { Image: 'app:1' }, Networks: [{ Target: network }] },
    });
    daemons.startCore();
    daemons.startExtension();
    await eventually(() => (daemons.served() ?? '').split(':8080').length > REPLICAS, { timeoutMs: 40_000 });

    const tasks = fake.swarm.tasksOf('wide').map(({ ID }) => ID);
    // Errors carry their stacks, whatever there is in the Swarm.
    const lines = daemons.log.filter((line) => line['err'] === undefined).map((line) => JSON.stringify(line));
    expect(tasks).toHaveLength(REPLICAS);
    expect(daemons.log.some(({ level }) => level === 'debug' || level === 20)).toBe(true);
    expect(lines.filter((line) => line.length > 2_000)).toEqual([]);
    expect(lines.filter((line) => tasks.some((id) => line.includes(id)))).toEqual([]);
  });
});
