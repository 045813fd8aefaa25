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

  it('of proxies that run, because no node matches any more, becomes a finding within 30 s, and one of them serves on', async () => {
    const lines = `${CLASSIC}PublishMode = "host"\n`;
    const first = world.startCore({ lines });
    first.render('one');
    await rolledOnto(world, 'one');
    await first.stop();
    const [before] = world.fake.swarm.runningTasksOf(PROXY);

    const core = world.startCore({ lines: `${lines}ProxyConstraints = ["node.labels.edge==true"]\n` });
    core.render('one');
    await core.pass(2_000);
    await eventually(() => world.fake.swarm.tasksOf(PROXY).some(({ Status }) => Status.Err !== undefined));
    await core.pass(20_000);
    const stuck = core.findings().filter(({ code }) => code === 'PUBLISH.ROLL_STUCK');
    expect(stuck).toMatchObject([{ service: PROXY }]);
    expect(stuck[0]?.value).toContain('no suitable node');
    const mark = before?.Spec.ContainerSpec?.Labels?.[LABELS.template];
    const running = world.fake.swarm.runningTasksOf(PROXY);
    expect(running.map(({ Spec }) => Spec.ContainerSpec?.Labels?.[LABELS.template])).toEqual([mark]);
  });

  it('because an image takes its time is said with its state, holds a newer configuration for a minute, and goes with the pull', async () => {
    const core = world.startCore({ lines: CLASSIC });
    core.render('one');
    await rolledOnto(world, 'one');
    const marks = new Set(
      world.fake.swarm.tasksOf(PROXY).map(({ Spec }) => Spec.ContainerSpec?.Labels?.[LABELS.template]),
    );
    world.fake.swarm.setOutcome(({ Spec }) =>
      marks.has(Spec.ContainerSpec?.Labels?.[LABELS.template]) ? 'run' : 'pull',
    );
    core.render('two');
    await core.pass(1_000);
    await eventually(() => world.fake.swarm.tasksOf(PROXY).some(({ Status }) => Status.State === 'preparing'));
    core.render('three');
    await core.pass(8_000);
    expect(codes(core)).toEqual([]);
    await core.pass(12_000);
    expect(core.findings()).toMatchObject([{ code: 'PUBLISH.ROLL_SLOW', service: PROXY }]);
    expect(core.findings()[0]?.value).toMatch(/^preparing: /);
    await core.pass(60_000);
    expect(codes(core)).toEqual(['PUBLISH.ROLL_STUCK']);
    await core.pass(480_000);
    expect(world.mounted()).toBe('two');
    await core.pass(60_000);
    await eventually(() => world.mounted() === 'three');

    await core.pass(20_000);
    expect(codes(core)).toEqual(['PUBLISH.ROLL_SLOW']);
    world.fake.swarm.setOutcome(() => 'run');
    await rolledOnto(world, 'three');
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

const HOME_OF = (stack: string) => ({ home: { stack } });
const versions = () =>
  Object.fromEntries(
    [...world.fake.swarm.store.services.values()].map(({ Spec, Version }) => [Spec.Name, Version.Index]),
  );
const configs = () => [...world.fake.swarm.store.configs.values()];
const serviceIds = () => [...world.fake.swarm.store.services.values()].map(({ Spec, ID }) => [Spec.Name, ID]);
const addConfig = (name: string, labels: Record<string, string>) =>
  world.fake.swarm.api.createBlob('config', { Name: name, Labels: labels, Data: 'eA==' });

describe('what a core outside of any stack made', () => {
  it('goes with its table, and nothing of another such core does', async () => {
    const home = (serviceName: string) => ({ home: { stack: undefined, serviceName } });
    const table = (name: string) => `
[Extensions.${name}]
ServiceName = "${name}-extension"
ProxyServiceName = "${name}-proxy"
HitlessServiceUpdate = false
`;
    for (const [name, core] of [
      ['mine', 'core-one'],
      ['theirs', 'core-two'],
    ] as const) {
      const one = world.startCore({ toml: table(name), ...home(core) });
      one.render(name);
      await eventually(() => world.fake.swarm.service(`${name}-proxy`).ID);
      await one.pass(1_000);
      await one.stop();
    }
    const again = world.startCore({ toml: table('new'), ...home('core-one') });
    again.render('new');
    const names = () => [...world.fake.swarm.store.services.values()].map(({ Spec }) => Spec.Name).sort();
    await eventually(() => names().join() === 'new-extension,new-proxy,theirs-extension,theirs-proxy');
    await eventually(() => world.stored().length === 2);
    expect([...world.stored()].sort()).toEqual(['new', 'theirs']);
  });
});

describe('another stack in the same Swarm, with tables of the same names', () => {
  it('finds its names taken and says by whom; nothing of the first is written, and what is free again is made at once', async () => {
    const first = world.startCore({ lines: CLASSIC, ...HOME_OF('a') });
    first.render('one');
    await rolledOnto(world, 'one');
    await first.pass(1_000);
    const before = versions();
    await first.stop();
    world.fake.forgetCalls();

    const second = world.startCore({ lines: CLASSIC, ...HOME_OF('b') });
    second.render('two');
    await second.pass(125_000);
    expect(world.writes()).toEqual([]);
    expect(versions()).toEqual(before);
    const taken = { code: 'PUBLISH.NAME_TAKEN', value: 'made by the Interlock of the stack a' };
    expect(second.findings()).toMatchObject([EXTENSION, PROXY].map((service) => ({ ...taken, service })));
    world.fake.swarm.api.removeService(world.fake.swarm.service(PROXY).ID);
    // It was never ours, so nobody takes ours away just now: no time is waited.
    await second.pass(1_000);
    await rolledOnto(world, 'two');
    expect(codes(second)).toEqual(['PUBLISH.NAME_TAKEN']);
  });

  it('is handed a service by its stack label, and then rolls it', async () => {
    const first = world.startCore({ lines: CLASSIC, ...HOME_OF('a') });
    first.render('one');
    await rolledOnto(world, 'one');
    await first.stop();
    for (const name of [EXTENSION, PROXY]) {
      world.fake.swarm.updateService(name, (spec) => {
        spec.Labels[LABELS.stack] = 'b';
      });
    }
    const ids = serviceIds();
    const second = world.startCore({ lines: CLASSIC, ...HOME_OF('b') });
    second.render('two');
    await second.pass(1_000);
    await rolledOnto(world, 'two');
    await second.pass(1_000);
    expect(second.findings()).toEqual([]);
    expect(serviceIds()).toEqual(ids);
  });

  it('has Proxy Configs that count for nothing here, and names that are stepped over', async () => {
    const labels = (n: number, stack: string) => ({
      [LABELS.type]: TYPES.proxyConfig,
      [LABELS.extension]: 'default',
      [LABELS.stack]: stack,
      [LABELS.sequence]: String(n),
      [LABELS.digest]: String(n).padStart(64, '0'),
    });
    for (let n = 1; n <= 15; n += 1) {
      addConfig(`theirs.${n}`, labels(n + 100, 'b'));
    }
    const core = world.startCore({ lines: CLASSIC });
    core.render('one');
    await rolledOnto(world, 'one');
    const [own] = configs().filter(({ Spec }) => Spec.Labels[LABELS.stack] === 'interlock');
    expect(own?.Spec.Labels[LABELS.sequence]).toBe('1');
    await core.stop();

    // The same artifact under the same number, in another stack.
    world.fake.swarm.api.removeService(world.fake.swarm.service(PROXY).ID);
    world.fake.swarm.api.removeService(world.fake.swarm.service(EXTENSION).ID);
    const again = world.startCore({ lines: CLASSIC, ...HOME_OF('c') });
    again.render('one');
    await again.pass(10_000);
    await rolledOnto(world, 'one');
    const theirs = configs().filter(({ Spec }) => Spec.Labels[LABELS.stack] === 'c');
    expect(theirs.map(({ Spec }) => Spec.Labels[LABELS.sequence])).toEqual(['2']);
    expect(configs().filter(({ Spec }) => Spec.Labels[LABELS.stack] === 'b')).toHaveLength(15);
  });
});

describe('a table with another name', () => {
  const named = (table: string) => `
[Extensions.${table}]
ServiceName = "${EXTENSION}"
ProxyServiceName = "${PROXY}"
ProxyReplicas = 2
HitlessServiceUpdate = false
`;

  it("takes over the services that keep theirs, by one roll of each; what was the old one's goes afterwards", async () => {
    const first = world.startCore({ toml: named('old') });
    first.render('one');
    await rolledOnto(world, 'one');
    await first.stop();
    const ids = serviceIds();
    world.fake.forgetCalls();

    const second = world.startCore({ toml: named('new') });
    await second.pass(2_000);
    expect(world.mounted()).toBe('one'); // until the new table's extension has rendered
    second.render('two');
    await second.pass(1_000);
    await rolledOnto(world, 'two');
    await second.pass(1_000);
    await eventually(() => configs().every(({ Spec }) => Spec.Labels[LABELS.extension] === 'new'));
    expect(serviceIds()).toEqual(ids);
    expect(world.writes().filter((write) => write.includes('/services'))).toEqual([
      'POST /services/*/update',
      'POST /services/*/update',
    ]);
    for (const name of [EXTENSION, PROXY]) {
      const { Labels, TaskTemplate } = world.fake.swarm.service(name).Spec;
      expect(Labels[LABELS.extension]).toBe('new');
      expect(TaskTemplate.ContainerSpec?.['Env']).toContain('INTERLOCK_EXTENSION=new');
    }
    await second.pass(61_000);
    expect(second.findings()).toEqual([]);
  });

  it('keeps what a roll may go back to until the roll has ended', async () => {
    const first = world.startCore({ toml: named('old') });
    first.render('one');
    await rolledOnto(world, 'one');
    await first.stop();
    const second = world.startCore({ toml: named('new') });
    second.render(failNew('bad'));
    await second.pass(2_000);
    await eventually(() => world.fake.swarm.service(PROXY).UpdateStatus?.State === 'rollback_completed');
    await second.pass(61_000);
    expect(world.mounted()).toBe('one');
    expect(codes(second)).toEqual(['PUBLISH.ROLL_FAILED']);
  });
});

describe('a config that an earlier config.toml left and somebody uses', () => {
  it('keeps no other from going, costs next to nothing, and goes later', async () => {
    const left = { [LABELS.type]: TYPES.proxyConfig, [LABELS.extension]: 'old', [LABELS.stack]: 'interlock' };
    const held = addConfig('a-held', left);
    world.fake.swarm.addService({
      Name: 'debug',
      TaskTemplate: {
        ContainerSpec: {
          Image: 'app:1',
          Configs: [{ ConfigID: held, ConfigName: 'a-held' }],
        },
      },
    });
    for (const name of ['b-free', 'c-free']) {
      addConfig(name, left);
    }
    const core = world.startCore({ lines: CLASSIC });
    core.render('one');
    await rolledOnto(world, 'one');
    await eventually(() => configs().every(({ Spec }) => !Spec.Name.endsWith('free')));
    await core.pass(5_000);
    world.fake.forgetCalls();
    for (let n = 0; n < 10; n += 1) {
      world.fake.swarm.addService({ Name: `app${n}` });
      await core.pass(10_000);
    }
    const listed = world.fake.calls.filter(({ asked, query }) => asked === 'GET /configs' && query.includes('routes'));
    expect(listed).toHaveLength(0);
    expect(world.fake.count(/^DELETE \/configs/)).toBe(0);
    world.fake.swarm.api.removeService(world.fake.swarm.service('debug').ID);
    await core.pass(600_000);
    await eventually(() => configs().every(({ Spec }) => Spec.Name !== 'a-held'));
  });
});

describe('a port of the routing mesh', () => {
  const tables = ([edge, shop]: readonly [number, number]) =>
    [
      ['edge', edge],
      ['shop', shop],
    ]
      .map(
        ([name, port]) => `
[Extensions.${name}]
ServiceName = "${name}-extension"
ServiceCluster = "${name}"
ProxyServiceName = "${name}-proxy"
PublishedPort = ${port}
HitlessServiceUpdate = false
`,
      )
      .join('');
  const portOf = (name: string) => world.fake.swarm.service(name).Spec.EndpointSpec?.Ports?.[0]?.PublishedPort;
  const start = (toml: string) => {
    const core = world.startCore({ toml });
    core.render('edge', { table: 'edge' });
    core.render('shop', { table: 'shop' });
    return core;
  };

  it.each([
    ['edge', [9_081, 9_080], [9_080, 9_082]],
    ['shop', [9_081, 9_080], [9_082, 9_081]],
  ] as const)('goes from one table to another in one edit (%s takes it)', async (_, before, after) => {
    const first = start(tables(before));
    await eventually(() => portOf('edge-proxy') === before[0] && portOf('shop-proxy') === before[1]);
    await first.pass(1_000);
    await first.stop();
    const second = start(tables(after));
    // Without a hint it would be looked at again after a minute.
    await second.pass(10_000);
    expect([portOf('edge-proxy'), portOf('shop-proxy')]).toEqual(after);
    await second.pass(61_000);
    expect(second.findings()).toEqual([]);
  });

  it('that somebody else keeps is asked for less and less often, and at once when a service of ours has changed', async () => {
    world.fake.swarm.addService({
      Name: 'other',
      EndpointSpec: { Ports: [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: 9_080, PublishMode: 'ingress' }] },
    });
    const core = start(tables([9_080, 9_082]));
    await core.pass(1_000);
    await eventually(() => codes(core).includes('PUBLISH.REFUSED'));
    world.fake.forgetCalls();
    for (let passed = 0; passed < 300_000; passed += 1_000) {
      await core.clock.advance(1_000);
    }
    await core.pass(1_000);
    const asked = world.fake.count('POST /services/create');
    expect(asked).toBeGreaterThanOrEqual(4);
    expect(asked).toBeLessThanOrEqual(20);
    // The next try is most of a minute away, but for a word of the other table's services.
    world.fake.swarm.api.removeService(world.fake.swarm.service('other').ID);
    world.fake.swarm.updateService('shop-proxy', (spec) => {
      spec.Labels['operator'] = 'was here';
    });
    await core.pass(2_000);
    expect(portOf('edge-proxy')).toBe(9_080);
  });
});
