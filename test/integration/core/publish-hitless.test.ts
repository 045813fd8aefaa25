/** Hitless delivery by core's side: what is stored when, and what rolls the proxy service and what does not. */

import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Rendered } from '../../../src/core/board.ts';
import { eventually } from '../../support/eventually.ts';
import { type Core, createWorld, isSettled, LABELS, PROXY, rolledOnto, type World } from './publish-world.ts';

let world: World;

beforeEach(async () => {
  world = await createWorld();
});

afterEach(async () => {
  await world.close();
});

const present = () => ({});

/** A cluster whose proxies run and have agents. */
async function settledCore(options: Parameters<World['startCore']>[0] = {}): Promise<Core> {
  const core = world.startCore(options);
  core.agents();
  core.render('one');
  await rolledOnto(world, 'one');
  core.agents(present);
  await core.pass(1_000);
  world.fake.forgetCalls();
  return core;
}

/** Checked where it changed; meanwhile the check of the whole of what was rendered before it has passed. */
function renderUnchecked(core: Core, ...what: Parameters<Core['render']>): void {
  const { revision, artifact, requirements } = rendered(core);
  core.render(...what);
  core.board.rendered.set({ ...rendered(core), checkPending: true });
  core.board.confirmed.set({ revision, artifact, requirements });
}

function rendered(core: Core): Rendered {
  const now = core.board.rendered.get();
  if (now === undefined) {
    throw new Error('nothing is rendered');
  }
  return now;
}

const proxyTasks = () => world.fake.swarm.tasksOf(PROXY).map(({ ID }) => ID);

describe('a new artifact, when the proxies have agents', () => {
  it('rolls nothing, is told at once and stored after 5 s of quiet', async () => {
    const core = await settledCore();
    const before = proxyTasks();
    core.render('two');
    await core.pass(4_000);
    expect(core.board.published.get()?.artifactDigest).toBe(core.board.rendered.get()?.artifact.digest);
    expect(world.writes()).toEqual([]);
    await core.pass(2_000);
    await eventually(() => world.stored().includes('two'));
    expect(world.writes()).toEqual(['POST /configs/create']);
    expect(proxyTasks()).toEqual(before);
    expect(world.mounted()).toBe('one');
  });

  it('that never comes to rest is stored every 30 s and no more often', async () => {
    const core = await settledCore();
    for (let second = 0; second < 95; second += 4) {
      core.render(`change ${second}`);
      await core.pass(4_000);
    }
    expect(world.writes()).toEqual(Array.from({ length: 3 }, () => 'POST /configs/create'));
  });

  it('that comes before the last one was checked as a whole: the one before it is stored every 30 s', async () => {
    const core = await settledCore();
    for (let second = 0; second < 95; second += 4) {
      renderUnchecked(core, `change ${second}`);
      await core.pass(4_000);
    }
    expect(world.writes()).toEqual(Array.from({ length: 3 }, () => 'POST /configs/create'));
    expect(world.stored().at(-1)).toMatch(/^change /);
    expect(world.stored()).not.toContain('change 92');
  });

  it('costs no call to the Engine before it is stored', async () => {
    const core = await settledCore();
    const calls = () => world.fake.calls.filter(({ query }) => query.includes('filters')).length;
    const before = calls();
    for (let change = 0; change < 50; change += 1) {
      core.render(`change ${change}`);
      await core.clock.advance(10);
    }
    expect(calls()).toBe(before);
  });

  it('that goes back to what is stored writes nothing', async () => {
    const core = await settledCore();
    core.render('two');
    await core.pass(2_000);
    core.render('one');
    await core.pass(60_000);
    expect(world.writes()).toEqual([]);
  });

  it('that somebody removes from Swarm again is stored anew within a minute', async () => {
    const core = await settledCore();
    core.render('two');
    await core.pass(6_000);
    await eventually(() => world.stored().includes('two'));
    for (const { ID, Spec } of world.fake.swarm.store.configs.values()) {
      if (Buffer.from(Spec.Data ?? '', 'base64').toString() === 'two') {
        world.fake.swarm.store.configs.delete(ID);
      }
    }
    expect(world.stored()).toEqual(['one']);
    world.fake.forgetCalls();
    await core.pass(90_000);
    await eventually(() => world.stored().includes('two'));
    expect(world.writes()).toEqual(['POST /configs/create']);
  });

  it('is stored when core stops, and the next core writes nothing', async () => {
    const core = await settledCore();
    core.render('two');
    await core.pass(1_000);
    await core.stop();
    expect(world.stored()).toEqual(['one', 'two']);
    world.fake.forgetCalls();
    const next = world.startCore();
    next.agents(present);
    next.render('two');
    await next.pass(61_000);
    expect(world.writes()).toEqual([]);
    expect(world.mounted()).toBe('one');
  });

  it('does not keep core from stopping when the Engine hangs', async () => {
    const core = await settledCore();
    core.render('two');
    await core.pass(1_000);
    world.fake.fault({ match: 'GET /services', action: { kind: 'delay', ms: 60_000 }, times: 10 });
    const stopped = core.stop();
    await eventually(() => core.clock.sleepers() > 0);
    await core.clock.advance(3_000);
    await stopped;
  });

  it('that all agents refuse is neither stored nor rolled onto', async () => {
    const core = await settledCore();
    core.render('bad');
    const bad = core.board.rendered.get()?.artifact.digest ?? '';
    core.agents(() => ({ artifactDigest: 'old', refused: { artifactDigest: bad, reason: 'no' } }));
    world.fake.swarm.addNetwork('late');
    await core.pass(40_000);
    expect(world.stored()).toEqual(['one']);
    expect(world.mounted()).toBe('one');
  });
});

describe('what needs a roll', () => {
  it('several new networks and a secret are one roll, onto the newest artifact, shown as pending before', async () => {
    const core = await settledCore();
    world.fake.swarm.addNetwork('a');
    world.fake.swarm.addNetwork('b');
    world.fake.swarm.addSecret('cert');
    await core.pass(100);
    core.render('with a', { networks: ['a'] });
    await core.pass(200);
    core.render('with a and b', { networks: ['a', 'b'], secrets: ['cert'] });
    await core.pass(100);
    expect(core.board.delivery.get()?.pending).toEqual({ networks: ['a', 'b'], secrets: ['cert'] });
    await core.pass(1_000);
    await rolledOnto(world, 'with a and b');
    await core.pass(1_000);
    expect(world.writes()).toEqual(['POST /configs/create', 'POST /services/*/update']);
    expect(core.board.delivery.get()).toMatchObject({ pending: { networks: [], secrets: [] }, rolling: false });
  });

  it('a network and a secret are attached while changes come faster than whole checks', async () => {
    const core = await settledCore();
    world.fake.swarm.addNetwork('a');
    world.fake.swarm.addSecret('cert');
    await core.pass(100);
    for (let count = 1; count <= 4; count += 1) {
      renderUnchecked(core, `change ${count}`, { networks: ['a'], secrets: ['cert'] });
      await core.pass(1_000);
    }
    await eventually(() => expect(world.mounted()).toMatch(/^change [1-3]$/));
    // The look that follows the roll says that nothing is pending any more.
    await eventually(async () => {
      await core.pass(1_000);
      expect(core.board.delivery.get()?.pending).toEqual({ networks: [], secrets: [] });
    });
    expect(world.writes().filter((write) => write.startsWith('POST /services'))).toHaveLength(1);
  });

  it('what comes up while a roll is under way waits for its end', async () => {
    const core = await settledCore();
    for (const name of ['a', 'b', 'c']) {
      world.fake.swarm.addNetwork(name);
    }
    world.fake.swarm.setOutcome((_, service) => (service.Spec.Name === PROXY ? 'hang' : 'run'));
    core.render('a', { networks: ['a'] });
    await core.pass(1_000);
    await eventually(() => world.mounted() === 'a');
    core.render('ab', { networks: ['a', 'b'] });
    await core.pass(2_000);
    core.render('abc', { networks: ['a', 'b', 'c'] });
    await core.pass(3_000);
    expect(world.mounted()).toBe('a');
    world.fake.swarm.setOutcome(() => 'run');
    for (const task of world.fake.swarm.tasksOf(PROXY).filter(({ Status }) => Status.State === 'starting')) {
      world.fake.swarm.killTask(task.ID);
    }
    await eventually(
      async () => {
        await core.pass(1_000);
        return world.mounted() === 'abc';
      },
      { timeoutMs: 20_000 },
    );
    expect(world.stored()).not.toContain('ab');
  });

  it('a secret that appears later is attached by one roll, and stays in the spec of both services that name it', async () => {
    const core = await settledCore();
    core.render('tls', { secrets: ['cert', 'cert'] });
    await core.pass(2_000);
    expect(world.writes()).toEqual([]);
    world.fake.swarm.addSecret('cert');
    await core.pass(2_000);
    await rolledOnto(world, 'tls');
    await core.pass(2_000);
    expect(world.spec().TaskTemplate.ContainerSpec?.Secrets).toMatchObject([
      { SecretName: 'cert', File: { Name: 'cert' } },
    ]);
    expect(world.writes().filter((write) => write.startsWith('POST /services'))).toHaveLength(1);
  });

  it('a secret in use cannot be removed; made anew under its name it is exchanged by one roll', async () => {
    world.fake.swarm.addSecret('cert');
    const core = await settledCore();
    core.render('tls', { secrets: ['cert'] });
    await core.pass(2_000);
    await rolledOnto(world, 'tls');
    const old = world.fake.swarm.api.blob('secret', 'cert').ID;
    expect(() => world.fake.swarm.api.removeBlob('secret', 'cert')).toThrow('in use');
    world.fake.swarm.store.secrets.delete(old); // what no Swarm allows, and a restored backup may show
    await core.pass(2_000);
    world.fake.swarm.addSecret('cert');
    await core.pass(2_000);
    await eventually(() => world.spec().TaskTemplate.ContainerSpec?.Secrets?.[0]?.SecretID !== old);
    expect(world.spec().TaskTemplate.ContainerSpec?.Secrets).toHaveLength(1);
  });

  it('networks that nobody needs go with the next roll for another reason, long before NetworkLinger', async () => {
    const [a, b] = ['a', 'b'].map((name) => world.fake.swarm.addNetwork(name));
    const core = await settledCore({ patience: { networkLingerMs: 600_000 } });
    const attached = () => (world.spec().TaskTemplate.Networks ?? []).map(({ Target }) => Target);
    core.render('a', { networks: ['a'] });
    await core.pass(2_000);
    await rolledOnto(world, 'a');
    core.agents(present);
    core.render('none');
    await core.pass(40_000);
    expect(attached()).toEqual([a]);
    core.render('b', { networks: ['b'] });
    await core.pass(2_000);
    await rolledOnto(world, 'b');
    expect(attached()).toEqual([b]);
    expect(world.writes().filter((write) => write.startsWith('POST /services'))).toHaveLength(2);
  });

  it('networks that nobody needs go after NetworkLinger without any other reason', async () => {
    world.fake.swarm.addNetwork('a');
    world.fake.swarm.addNetwork('b');
    const core = await settledCore({ patience: { networkLingerMs: 600_000 } });
    core.render('a', { networks: ['a'] });
    await core.pass(2_000);
    await rolledOnto(world, 'a');
    core.agents(present);
    core.render('none');
    await core.pass(300_000);
    expect(world.spec().TaskTemplate.Networks).toHaveLength(1);
    await core.pass(301_000);
    await rolledOnto(world, 'none');
    expect(world.spec().TaskTemplate.Networks).toHaveLength(0);
  });

  it('a Proxy Config that has become too old is exchanged, also when core restarted meanwhile', async () => {
    const day = 600_000; // a short one
    const core = await settledCore({ patience: { proxyConfigRefreshMs: day } });
    core.render('two');
    await core.pass(6_000);
    await core.stop();
    expect(world.mounted()).toBe('one');
    const next = world.startCore({ patience: { proxyConfigRefreshMs: day } });
    next.agents(present);
    next.render('two');
    await next.pass(1_000);
    await next.clock.advance(day * 1.2);
    await next.pass(1_000);
    await rolledOnto(world, 'two');
  });
});

describe('a proxy image without agent', () => {
  it('is served in classic mode after 15 s, with a finding, until sessions appear', async () => {
    const core = world.startCore();
    core.agents();
    core.render('one');
    await rolledOnto(world, 'one');
    core.render('two');
    await core.pass(10_000);
    expect(world.mounted()).toBe('one');
    await core.pass(8_000);
    await rolledOnto(world, 'two');
    expect(core.findings().map(({ code }) => code)).toContain('PUBLISH.NO_AGENT_SESSION');
    expect(core.board.delivery.get()).toMatchObject({ mode: 'classic' });
    core.agents(present);
    await core.pass(1_000);
    expect(core.findings()).toEqual([]);
    world.fake.forgetCalls();
    core.render('three');
    await core.pass(20_000);
    expect(world.mounted()).toBe('two');
    expect(world.stored()).toContain('three');
  });

  it('is not concluded from sessions that were there and broke', async () => {
    const core = await settledCore();
    core.agents();
    core.render('two');
    await core.pass(60_000);
    expect(world.mounted()).toBe('one');
    expect(core.findings()).toEqual([]);
  });

  it('is not concluded by a new core that nobody reaches for a minute, and the extension before the agents', async () => {
    await (await settledCore()).stop();
    const next = world.startCore();
    next.agents();
    await next.pass(60_000);
    world.fake.forgetCalls();
    next.render('two');
    await next.pass(30_000);
    next.agents(present);
    await next.pass(30_000);
    expect(world.mounted()).toBe('one');
    expect(world.writes()).toEqual(['POST /configs/create']);
    expect(next.findings()).toEqual([]);
  });
});

describe('a file above what Swarm stores', () => {
  const huge = (seed: string) => `${seed}\n`.repeat(200_000);

  it('is packed for proxies with an agent', async () => {
    const core = await settledCore();
    core.render(huge('server a;'));
    await core.pass(7_000);
    await eventually(() => world.fake.swarm.store.configs.size === 2);
    const [, packed] = [...world.fake.swarm.store.configs.values()];
    expect(gunzipSync(Buffer.from(packed?.Spec.Data ?? '', 'base64')).toString()).toBe(huge('server a;'));
    expect(packed?.Spec.Labels[LABELS.encoding]).toBe('gzip');
    expect(core.findings()).toEqual([]);
  });

  it('is refused with its size for those without one, and a smaller one goes through', async () => {
    const core = world.startCore({ lines: 'HitlessServiceUpdate = false\n' });
    core.render('one');
    await rolledOnto(world, 'one');
    core.render(huge('server a;'));
    await core.pass(1_000);
    await eventually(() => core.findings().some(({ code }) => code === 'PUBLISH.CONFIG_TOO_LARGE'));
    expect(core.findings()[0]?.advice).toContain('2000000 bytes');
    core.render('small again');
    await core.pass(1_000);
    await rolledOnto(world, 'small again');
  });
});

describe('two cores', () => {
  it('in hitless mode come to the same and to rest', async () => {
    const left = await settledCore();
    const right = world.startCore();
    right.agents(present);
    world.fake.swarm.addNetwork('a');
    for (const core of [left, right]) {
      core.render('two', { networks: ['a'] });
    }
    await Promise.all([left.pass(3_000), right.pass(3_000)]);
    await rolledOnto(world, 'two');
    await Promise.all([left.pass(121_000), right.pass(121_000)]);
    const before = world.writes().length;
    await Promise.all([left.pass(121_000), right.pass(121_000)]);
    expect(world.writes().length).toBe(before);
    expect(isSettled(world)).toBe(true);
  });
});
