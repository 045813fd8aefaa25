/** Where extension and proxies run, as nodes come and go: the publish room against the fake Engine. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { type Core, createWorld, EXTENSION, isSettled, PROXY, type World } from './publish-world.ts';

let world: World;

beforeEach(async () => {
  world = await createWorld();
});

afterEach(async () => {
  await world.close();
});

const WORKERS = ['node.role==worker'];
const swarm = () => world.fake.swarm;

const constraintsOf = (name: string) => swarm().service(name).Spec.TaskTemplate.Placement?.Constraints;
const hostOf = (nodeId: string | undefined) => swarm().api.node(nodeId ?? '').Description.Hostname;
const hostsOf = (name: string) =>
  swarm()
    .runningTasksOf(name)
    .map(({ NodeID }) => hostOf(NodeID))
    .sort();

function join(...names: readonly string[]): void {
  for (const hostname of names) {
    swarm().addNode({ hostname, role: hostname.startsWith('m') ? 'manager' : 'worker' });
  }
}

async function start(lines = ''): Promise<Core> {
  const core = world.startCore({ lines: `HitlessServiceUpdate = false\n${lines}` });
  core.render('one');
  await eventually(() => world.mounted() === 'one' && isSettled(world), { timeoutMs: 20_000 });
  await core.pass(20_000);
  return core;
}

const settledOn = (name: string, ...hosts: readonly string[]) =>
  eventually(() => isSettled(world) && JSON.stringify(hostsOf(name)) === JSON.stringify(hosts), { timeoutMs: 20_000 });

const updates = () => world.writes().filter((asked) => asked.endsWith('/update'));

describe('extension and proxies', () => {
  it('are on managers where there is nothing else, and move once to workers that join', async () => {
    const core = await start();
    expect([constraintsOf(PROXY), constraintsOf(EXTENSION)]).toEqual([undefined, undefined]);

    join('w1');
    await settledOn(PROXY, 'w1', 'w1');
    await eventually(() => JSON.stringify(hostsOf(EXTENSION)) === '["w1"]');
    await core.pass(60_000);
    const written = updates().length;
    expect(written).toBe(2);

    join('w2', 'w3');
    swarm().setNode('w1', { labels: { a: 'b' } });
    await core.pass(120_000);
    expect(updates()).toHaveLength(written);
  });

  it('go back to managers when the last worker leaves', async () => {
    join('w1');
    await start();
    expect(hostsOf(PROXY)).toEqual(['w1', 'w1']);

    swarm().setNode('w1', { state: 'down' });
    swarm().removeNode('w1');
    await settledOn(PROXY, 'm1', 'm1');
    expect([constraintsOf(PROXY), constraintsOf(EXTENSION)]).toEqual([undefined, undefined]);
  });

  it('stay as they are while a worker is down, drained beside others, or flaps', async () => {
    join('w1', 'w2');
    const core = await start();
    const written = updates().length;

    for (const change of [{ state: 'down' }, { state: 'ready' }, { availability: 'drain' }, { state: 'down' }]) {
      swarm().setNode('w2', change);
      await core.pass(90_000);
    }
    swarm().setNode('w2', { state: 'ready', availability: 'active' });
    await core.pass(90_000);

    expect(updates()).toHaveLength(written);
    expect(constraintsOf(PROXY)).toEqual(WORKERS);
  });

  it('are lent to managers when all workers are lost for a minute, and go back five minutes after one has come back', async () => {
    join('w1');
    const core = await start();
    swarm().setNode('w1', { state: 'down' });
    await core.pass(50_000);
    expect(constraintsOf(PROXY)).toEqual(WORKERS);
    await core.pass(20_000);
    await settledOn(PROXY, 'm1', 'm1');
    await eventually(() => JSON.stringify(hostsOf(EXTENSION)) === '["m1"]');

    // It comes and goes: nothing is written for that, nor by a core that restarts.
    const written = updates().length;
    swarm().setNode('w1', { state: 'ready' });
    await core.pass(240_000);
    swarm().setNode('w1', { state: 'down' });
    await core.pass(120_000);
    await core.stop();
    const next = world.startCore({ lines: 'HitlessServiceUpdate = false\n' });
    next.render('one');
    await next.pass(120_000);
    expect(updates()).toHaveLength(written);

    // Nor by one that restarts while a worker is back.
    swarm().setNode('w1', { state: 'ready' });
    await next.pass(60_000);
    await next.stop();
    const last = world.startCore({ lines: 'HitlessServiceUpdate = false\n' });
    last.render('one');
    await last.pass(1_000);
    await last.pass(240_000);
    expect(updates()).toHaveLength(written);
    await last.pass(90_000);
    await settledOn(PROXY, 'w1', 'w1');
    expect(constraintsOf(EXTENSION)).toEqual(WORKERS);
  });

  it('are lent to managers while all workers are drained', async () => {
    join('w1');
    await start();

    swarm().setNode('w1', { availability: 'drain' });
    await settledOn(PROXY, 'm1', 'm1');
    swarm().setNode('w1', { availability: 'active' });
    await settledOn(PROXY, 'w1', 'w1');
  });

  it('wait for a worker while all of them are paused, from the first deployment on: a finding says so within 30 s', async () => {
    join('w1');
    swarm().setNode('w1', { availability: 'pause' });
    const core = world.startCore({ lines: 'HitlessServiceUpdate = false\n' });
    const stuck = () => core.findings().filter(({ code }) => code === 'PUBLISH.ROLL_STUCK');
    await core.pass(1_000);
    await eventually(() => swarm().tasksOf(EXTENSION)[0]?.Status.Err !== undefined);
    await core.pass(20_000);
    expect(stuck()).toMatchObject([{ service: EXTENSION }]);
    expect(stuck()[0]?.value).toContain('no suitable node');

    swarm().setNode('w1', { availability: 'active' });
    core.render('one');
    await settledOn(PROXY, 'w1', 'w1');
    await core.pass(20_000);
    expect(core.findings()).toEqual([]);

    // What runs there stays.
    const before = swarm().runningTasksOf(PROXY);
    const written = updates().length;
    swarm().setNode('w1', { availability: 'pause' });
    await core.pass(120_000);
    expect(swarm().runningTasksOf(PROXY)).toEqual(before);
    expect(updates()).toHaveLength(written);
    expect(core.findings()).toEqual([]);
  });

  it('in host mode use managers too when there are more proxies than workers, and leave them when there is room', async () => {
    join('w1');
    const core = await start('PublishMode = "host"\nPublishedPort = 80\n');
    expect(hostsOf(PROXY)).toEqual(['m1', 'w1']);
    expect(hostsOf(EXTENSION)).toEqual(['w1']);

    join('w2');
    await settledOn(PROXY, 'w1', 'w2');

    swarm().updateService(PROXY, (spec) => {
      spec.Mode = { Replicated: { Replicas: 3 } };
    });
    await eventually(() =>
      swarm()
        .tasksOf(PROXY)
        .some(({ Status }) => Status.State === 'pending'),
    );
    await core.pass(30_000); // what does not start holds up the next roll only until it is known to be stuck
    await settledOn(PROXY, 'm1', 'w1', 'w2');
    await core.pass(30_000);
    expect(core.findings()).toEqual([]);
  });

  it("get nothing beside the operator's own constraints, and those that no node meets are said", async () => {
    join('w1');
    const core = world.startCore({
      lines: 'Constraints = ["node.role=manager"]\nProxyConstraints = ["node.labels.lb==true"]',
    });
    core.render('one');
    await eventually(() => world.mounted() === 'one');
    expect([constraintsOf(EXTENSION), constraintsOf(PROXY)]).toEqual([
      ['node.role==manager'],
      ['node.labels.lb==true'],
    ]);
    const unmatched = () => core.findings().filter(({ code }) => code === 'PUBLISH.CONSTRAINT_UNMATCHED');
    await eventually(() => unmatched().length === 1);
    expect(unmatched()[0]).toMatchObject({ service: PROXY, value: 'node.labels.lb==true', severity: 'error' });

    swarm().setNode('w1', { labels: { lb: 'true' } });
    await eventually(() => unmatched().length === 0 && hostsOf(PROXY).length === 2, { timeoutMs: 20_000 });
    expect(hostsOf(PROXY)).toEqual(['w1', 'w1']);
  });

  it('core that comes back writes nothing', async () => {
    join('w1');
    const first = await start();
    await first.stop();
    const before = world.writes().length;

    const second = world.startCore({ lines: 'HitlessServiceUpdate = false\n' });
    second.render('one');
    await second.pass(120_000);
    expect(world.writes()).toHaveLength(before);
  });
});
