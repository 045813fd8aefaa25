/** What tests may expect of the fake beyond the contract: what goes wrong on request, and time moved by hand. */
import { afterEach, describe, expect, it } from 'vitest';
import { createDockerodeEngine } from '../../../../src/core/engine/dockerode-engine.ts';
import { createFakeEngine, type FakeEngine, type FakeEngineOptions } from '../../../fakes/engine/fake-engine.ts';
import { createManualTime } from '../../../fakes/engine/time.ts';
import { callEngine } from '../../../support/engine-call.ts';

const { signal } = new AbortController();

describe('the fake engine', () => {
  const open: FakeEngine[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((fake) => fake.close()));
  });

  /** Steps take 10 ms and stopping 3 s of a time that stands still; a spec's durations are as written. */
  async function withTime(options: FakeEngineOptions = {}) {
    const time = createManualTime();
    const fake = await createFakeEngine({ time, stepMs: 10, stopMs: 3_000, speed: 1, ...options });
    open.push(fake);
    const states = (service: string) =>
      fake.swarm.tasksOf(service).map((task) => `${task.Status.State} ${task.DesiredState}`);
    return { fake, swarm: fake.swarm, time, states };
  }
  const replicas = (count: number) => ({ Mode: { Replicated: { Replicas: count } } });
  const nodes = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      hostname: `n${index + 1}`,
      role: index === 0 ? ('manager' as const) : ('worker' as const),
    }));
  const roll = (order: string, failureAction = 'pause') => ({
    UpdateConfig: { Parallelism: 1, Order: order, FailureAction: failureAction, Monitor: 1e9 },
  });

  it('takes a task through its states, and nothing happens while time stands', async () => {
    const { swarm, time, states } = await withTime();
    swarm.addService({ Name: 'web' });
    const seen = new Set<string>();
    for (let step = 0; step < 12; step += 1) {
      for (const state of states('web')) {
        seen.add(state);
      }
      time.advance(10);
    }

    expect([...seen]).toEqual(
      ['new', 'pending', 'assigned', 'accepted', 'preparing', 'ready', 'starting', 'running'].map(
        (state) => `${state} running`,
      ),
    );
  });

  it('restarts a killed task after its delay, as another task', async () => {
    const { swarm, time, states } = await withTime();
    swarm.addService({ Name: 'web' });
    time.advance(1_000);
    swarm.killTask(swarm.runningTasksOf('web')[0]?.ID ?? '');

    time.advance(4_900); // the default delay is 5 s
    expect(states('web')).toEqual(['failed shutdown', 'ready ready']);
    time.advance(200);
    expect(states('web')).toEqual(['failed shutdown', 'running running']);
  });

  it('keeps the state of tasks on a node that is down, and replaces them', async () => {
    const { swarm, time, states } = await withTime({ nodes: nodes(2) });
    swarm.addService({ Name: 'web', ...replicas(2) });
    time.advance(1_000);

    swarm.setNode('n2', { state: 'down' });
    time.advance(10_000);
    expect(states('web').sort()).toEqual(['running running', 'running running', 'running shutdown']);

    swarm.setNode('n2', { state: 'ready' });
    time.advance(10_000);
    expect(states('web').sort()).toEqual(['running running', 'running running', 'shutdown shutdown']);
  });

  it('runs one global task on each node that is active and fits', async () => {
    const { swarm, time, states } = await withTime({ nodes: nodes(3) });
    const template = { ContainerSpec: { Image: 'a' }, Placement: { Constraints: ['node.role == worker'] } };
    swarm.addService({ Name: 'all', Mode: { Global: {} }, TaskTemplate: template });
    time.advance(1_000);
    expect(states('all')).toEqual(['running running', 'running running']);

    swarm.setNode('n2', { availability: 'drain' });
    time.advance(4_000);
    expect(states('all').sort()).toEqual(['running running', 'shutdown shutdown']);
  });

  it('rolls stop-first one by one: the old task stops before the new one starts', async () => {
    const { swarm, time, states } = await withTime();
    swarm.addService({ Name: 'web', ...replicas(2), ...roll('stop-first') });
    time.advance(1_000);
    swarm.updateService('web', (spec) => {
      spec.TaskTemplate.ForceUpdate = 1;
    });

    time.advance(2_000);
    expect(states('web').sort()).toEqual(['ready ready', 'running running', 'running shutdown']);
    expect(swarm.service('web').UpdateStatus?.State).toBe('updating');
    time.advance(10_000);
    expect(swarm.runningTasksOf('web').every((task) => task.Spec.ForceUpdate === 1)).toBe(true);
    expect(swarm.service('web').UpdateStatus?.State).toBe('completed');
  });

  it('deadlocks start-first where the host port is taken on every node', async () => {
    const { swarm, time, states } = await withTime();
    const ports = [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: 80, PublishMode: 'host' }];
    swarm.addService({ Name: 'proxy', EndpointSpec: { Ports: ports }, ...roll('start-first') });
    time.advance(1_000);
    swarm.updateService('proxy', (spec) => {
      spec.TaskTemplate.ForceUpdate = 1;
    });
    time.advance(60_000);

    expect(states('proxy')).toEqual(['running running', 'pending running']);
    expect(swarm.tasksOf('proxy')[1]?.Status.Err).toBe('no suitable node (host-mode port already in use on 1 node)');
    expect(swarm.service('proxy').UpdateStatus?.State).toBe('updating');
  });

  it.each([
    ['pause', 'paused', 'bad'],
    ['rollback', 'rollback_completed', 'app:1'],
  ])('answers a failing update with %s', async (action, state, image) => {
    const { swarm, time } = await withTime();
    swarm.addService({ Name: 'web', ...roll('start-first', action) });
    time.advance(1_000);
    swarm.setOutcome((task) => (task.Spec.ContainerSpec?.Image === 'bad' ? 'fail' : 'run'));
    swarm.updateService('web', (spec) => {
      spec.TaskTemplate.ContainerSpec = { Image: 'bad' };
    });
    time.advance(20_000);

    expect(swarm.service('web').UpdateStatus?.State).toBe(state);
    expect(swarm.service('web').Spec.TaskTemplate.ContainerSpec?.Image).toBe(image);
    expect(swarm.runningTasksOf('web')).toHaveLength(1);
  });

  it('holds a task in the states a test gives it', async () => {
    const { swarm, time, states } = await withTime();
    swarm.addService({ Name: 'web' });
    time.advance(1_000);
    const before = swarm.versionIndex();
    swarm.setTask(swarm.tasksOf('web')[0]?.ID ?? '', { state: 'starting' });
    time.advance(10_000);

    expect(states('web')).toEqual(['starting running']);
    expect(swarm.versionIndex()).toBe(before + 1);
  });

  it('can answer stale, refuse, lose answers, and counts', async () => {
    const { fake, swarm } = await withTime();
    const engine = createDockerodeEngine({ dockerUrl: fake.dockerUrl });
    const names = async () => (await engine.listSecrets(signal)).map((secret) => secret.name);
    await names();
    swarm.addSecret('new');
    const config = { name: 'c', labels: {}, bytes: new Uint8Array([1]) };

    fake.fault({ match: 'GET /secrets', action: { kind: 'stale' } });
    expect(await names()).toEqual([]);
    expect(await names()).toEqual(['new']);

    const refusing = fake.fault({ match: /secrets/, times: 2, action: { kind: 'status', status: 500, message: 'no' } });
    await expect(names()).rejects.toMatchObject({ code: 'ENGINE.FAILED' });
    refusing.remove();
    expect(refusing.hits()).toBe(1);

    fake.fault({ match: 'POST /configs/*', action: { kind: 'hangup', when: 'after' } });
    await expect(engine.createConfig(config, signal)).rejects.toMatchObject({ code: 'ENGINE.UNREACHABLE' });
    await expect(engine.createConfig(config, signal)).rejects.toMatchObject({ code: 'ENGINE.NAME_TAKEN' });

    fake.setReachable(false);
    await expect(names()).rejects.toMatchObject({ code: 'ENGINE.UNREACHABLE' });
    fake.setReachable(true);
    expect(await names()).toEqual(['new']);
    expect(fake.count('POST /configs/create')).toBe(2);
    expect(fake.calls.at(-1)).toMatchObject({ asked: 'GET /secrets', status: 200 });
  });

  it('answers 501 for what it does not model', async () => {
    const { fake } = await withTime();

    const { status, body } = await callEngine(fake.dockerUrl, 'GET', '/v1.51/images/json');

    expect(status).toBe(501);
    expect(body).toEqual({ message: 'the fake engine does not model GET /images/json' });
  });
});
