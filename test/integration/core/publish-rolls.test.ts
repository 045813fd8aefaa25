/** Rolls that fail or do not get on, tokens, and what an earlier config.toml left behind. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { createWorld, EXTENSION, LABELS, PROXY, rolledOnto, TYPES, type World } from './publish-world.ts';

let world: World;

beforeEach(async () => {
  world = await createWorld();
});

afterEach(async () => {
  await world.close();
});

const CLASSIC = 'HitlessServiceUpdate = false\n';
const codes = (core: ReturnType<World['startCore']>) => core.findings().map(({ code }) => code);
const failNew = (text: string) => {
  const marks = new Set(
    world.fake.swarm.tasksOf(PROXY).map(({ Spec }) => Spec.ContainerSpec?.Labels?.[LABELS.template]),
  );
  world.fake.swarm.setOutcome(({ Spec }, service) =>
    service.Spec.Name === PROXY && !marks.has(Spec.ContainerSpec?.Labels?.[LABELS.template]) ? 'fail' : 'run',
  );
  return text;
};

describe('a roll that Swarm rolled back', () => {
  it('is not tried again, also not by a core that restarts, until the artifact changes', async () => {
    const core = world.startCore({ lines: CLASSIC });
    core.render('good');
    await rolledOnto(world, 'good');
    core.render(failNew('bad'));
    await core.pass(1_000);
    await eventually(() => world.fake.swarm.service(PROXY).UpdateStatus?.State === 'rollback_completed');
    await core.pass(61_000);
    expect(codes(core)).toEqual(['PUBLISH.ROLL_FAILED']);
    await core.stop();
    world.fake.forgetCalls();

    const next = world.startCore({ lines: CLASSIC });
    next.render('bad');
    await next.pass(125_000);
    expect(world.writes()).toEqual([]);
    expect(codes(next)).toEqual(['PUBLISH.ROLL_FAILED']);
    expect(world.mounted()).toBe('good');
    world.fake.swarm.setOutcome(() => 'run');
    next.render('better');
    await next.pass(2_000);
    await rolledOnto(world, 'better');
    await next.pass(61_000);
    expect(codes(next)).toEqual([]);
  });
});

describe('a roll that Swarm rolled back, in hitless mode', () => {
  it('is not tried again with each new artifact, but when more than that changes', async () => {
    for (const name of ['a', 'b']) {
      world.fake.swarm.addNetwork(name);
    }
    const core = world.startCore();
    core.agents();
    core.render('one');
    await rolledOnto(world, 'one');
    core.agents(() => ({}));
    await core.pass(1_000);
    world.fake.forgetCalls();
    core.render(failNew('two'), { networks: ['a'] });
    await core.pass(1_000);
    await eventually(() => world.fake.swarm.service(PROXY).UpdateStatus?.State === 'rollback_completed');
    for (let change = 0; change < 8; change += 1) {
      core.render(`change ${change}`, { networks: ['a'] });
      await core.pass(6_000);
    }
    const updates = () => world.writes().filter((write) => write.startsWith('POST /services'));
    expect(updates()).toHaveLength(1);
    expect(codes(core)).toContain('PUBLISH.ROLL_FAILED');
    world.fake.swarm.setOutcome(() => 'run');
    core.render('three', { networks: ['a', 'b'] });
    await core.pass(40_000);
    await rolledOnto(world, 'three');
    expect(updates()).toHaveLength(2);
  });
});

describe('a roll that does not get on', () => {
  it.each([
    ['no matching node', 'ProxyConstraints = ["node.labels.edge==true"]\n', 'no suitable node'],
    ['no free host port', 'PublishMode = "host"\nPublishedPort = 80\n', 'host-mode port already in use'],
  ])('because of %s becomes a finding within 30 s, and goes with its cause', async (_, lines, words) => {
    const core = world.startCore({ lines: CLASSIC + lines });
    core.render('one');
    await core.pass(2_000);
    await eventually(() => world.fake.swarm.tasksOf(PROXY).some(({ Status }) => Status.Err !== undefined));
    await core.pass(20_000);
    const stuck = core.findings().filter(({ code }) => code === 'PUBLISH.ROLL_STUCK');
    expect(stuck).toMatchObject([{ service: PROXY }]);
    expect(stuck[0]?.value).toContain(words);
    world.fake.swarm.addNode({ hostname: 'w1', role: 'worker', labels: { edge: 'true' } });
    world.fake.swarm.addNode({ hostname: 'w2', role: 'worker', labels: { edge: 'true' } });
    await eventually(() => world.fake.swarm.runningTasksOf(PROXY).length === 2);
    await core.pass(10_000);
    expect(codes(core)).toEqual([]);
  });

  it('gives way to a newer configuration', async () => {
    const core = world.startCore({ lines: CLASSIC });
    core.render('one');
    await rolledOnto(world, 'one');
    world.fake.swarm.setOutcome((_, service) => (service.Spec.Name === PROXY ? 'reject' : 'run'));
    world.fake.swarm.updateService(PROXY, (spec) => {
      spec.UpdateConfig = { ...spec.UpdateConfig, FailureAction: 'continue' };
      spec.TaskTemplate.ForceUpdate = 1;
    });
    await core.pass(1_000);
    await eventually(() => world.fake.swarm.service(PROXY).UpdateStatus?.State === 'updating');
    core.render('two');
    await core.pass(5_000);
    expect(world.mounted()).toBe('one');
    await core.pass(20_000);
    await eventually(() => world.mounted() === 'two');
  });
});

describe('role tokens', () => {
  it('no service is written before they are there; then both carry theirs, and a new one is one roll', async () => {
    const core = world.startCore({ lines: CLASSIC, withoutTokens: true });
    core.render('one');
    await core.pass(5_000);
    expect(world.writes()).toEqual([]);
    const secret = (name: string) => ({ id: world.fake.swarm.addSecret(name), name });
    core.board.tokens.set({ extension: secret('token.e.1'), proxy: secret('token.p.1') });
    await core.pass(1_000);
    await rolledOnto(world, 'one');
    const file = { Name: 'interlock-token', Mode: 0o444 };
    const secretsOf = (name: string) => world.fake.swarm.service(name).Spec.TaskTemplate.ContainerSpec?.Secrets;
    expect(secretsOf(PROXY)).toMatchObject([{ SecretName: 'token.p.1', File: file }]);
    expect(secretsOf(EXTENSION)).toMatchObject([{ SecretName: 'token.e.1', File: file }]);
    await core.pass(1_000);
    world.fake.forgetCalls();
    core.board.tokens.set({ extension: secret('token.e.2'), proxy: secret('token.p.2') });
    await core.pass(1_000);
    await eventually(() => secretsOf(PROXY)?.[0]?.SecretName === 'token.p.2');
    await core.pass(61_000);
    expect(secretsOf(PROXY)).toHaveLength(1);
    expect(world.writes()).toEqual(['POST /services/*/update', 'POST /services/*/update']);
  });

  it("a certificate that calls itself like the token's file is left out", async () => {
    world.fake.swarm.addSecret('interlock-token');
    const core = world.startCore({ lines: CLASSIC });
    core.board.tokens.set({
      extension: { id: world.fake.swarm.addSecret('e'), name: 'e' },
      proxy: { id: world.fake.swarm.addSecret('p'), name: 'p' },
    });
    core.render('one', { secrets: ['interlock-token'] });
    await rolledOnto(world, 'one');
    expect(world.spec().TaskTemplate.ContainerSpec?.Secrets).toMatchObject([{ SecretName: 'p' }]);
  });
});

describe('Networks of the extension', () => {
  it('are all that the proxy joins besides the control network; one that is not there is a finding', async () => {
    const { swarm } = world.fake;
    const [control, edge] = [swarm.addNetwork('control'), swarm.addNetwork('interlock_edge')];
    swarm.addNetwork('app');
    const core = world.startCore({
      lines: `${CLASSIC}Networks = ["edge", "nowhere"]\n`,
      home: { controlNetworkIds: [control] },
    });
    core.render('one', { networks: ['app'] });
    await rolledOnto(world, 'one');
    expect(world.spec().TaskTemplate.Networks).toEqual([{ Target: control }, { Target: edge }]);
    await core.pass(1_000);
    expect(core.findings()).toMatchObject([{ code: 'PUBLISH.NETWORK_UNKNOWN', value: 'nowhere' }]);
  });
});

describe('what an earlier config.toml left', () => {
  it('dropped and renamed services and their configs go; foreign ones and those of another stack stay', async () => {
    const first = world.startCore({
      toml: `
[Extensions.old]
ServiceName = "old-extension"
ProxyServiceName = "old-proxy"
HitlessServiceUpdate = false
`,
    });
    first.render('one');
    await eventually(() => [...world.fake.swarm.store.services.values()].some(({ Spec }) => Spec.Name === 'old-proxy'));
    await first.stop();
    const labels = { [LABELS.type]: TYPES.proxy, [LABELS.extension]: 'old', [LABELS.stack]: 'another' };
    world.fake.swarm.addService({ Name: 'of-another-stack', Labels: labels });
    world.fake.swarm.addService({ Name: 'foreign', Labels: { [LABELS.stack]: 'interlock' } });
    const second = world.startCore({ lines: CLASSIC });
    second.render('two');
    await second.pass(1_000);
    await rolledOnto(world, 'two');
    const names = [...world.fake.swarm.store.services.values()].map(({ Spec }) => Spec.Name).sort();
    expect(names).toEqual(['foreign', EXTENSION, PROXY, 'of-another-stack'].sort());
    await eventually(() => world.stored().length === 1);
  });
});
