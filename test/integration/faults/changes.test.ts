/**
 * Core killed after each step of a change: the write was carried out and core never heard of it. The last good configuration serves, and
 * the next core comes to what the change was about, with nothing twice and nothing left over. The first publish: engine.test.ts.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createDockerodeEngine } from '../../../src/core/engine/dockerode-engine.ts';
import type { EngineApi } from '../../../src/core/engine/engine-api.ts';
import { LABELS, TYPES } from '../../../src/core/publish/names.ts';
import { KEPT_CONFIGS } from '../../../src/core/publish/plan.ts';
import { createWireClient } from '../../../src/wire/client.ts';
import type { Daemons } from '../../support/daemons.ts';
import { eventually } from '../../support/eventually.ts';
import { tokenIn } from '../../support/tokens.ts';
import { dyingEngine } from './dying-engine.ts';
import { createFaultWorld, type FaultWorld, storedConfigs } from './world.ts';

interface Scene extends AsyncDisposable {
  readonly world: FaultWorld;
  /** Core and extension as the change finds them. */
  readonly now: Daemons;
  readonly operatorSocket: string;
}

interface Change {
  readonly title: string;
  /** Lines of config.toml before; what core that is killed reads, and the one behind it. */
  readonly lines?: string;
  readonly next?: string;
  before?(scene: Scene): Promise<void>;
  /** Left out: another config.toml is the change. */
  act?(scene: Scene): Promise<void> | void;
  /** The writes it takes, in order; another step has to be added here, and is killed after then. */
  readonly writes: readonly string[];
  /** Throws while it is not. */
  isThere(scene: Scene): void;
}

const container = ({ world }: Scene, service: string) =>
  world.fake.swarm.service(service).Spec.TaskTemplate.ContainerSpec;
const names = (parts: ReadonlyMap<string, { readonly Spec: { readonly Name: string } }>) =>
  [...parts.values()].map(({ Spec }) => Spec.Name).sort();

const CORE = 'interlock_core';

/** Core is a service of a stack, as in production: then it knows what is its own, and takes away what config.toml asks for no more. */
function atHome({ fake }: FaultWorld, engine: EngineApi): EngineApi {
  const self = { containerId: 'c', serviceId: fake.swarm.service(CORE).ID, serviceName: CORE, taskId: 't' };
  return { ...engine, self: () => Promise.resolve(self) };
}

const forever = new AbortController().signal;
const OTHER = `
[Extensions.other]
ServiceCluster = "other"
ServiceName = "other-extension"
ProxyServiceName = "other-proxy"
PublishedPort = 8081
`;

const CHANGES: readonly Change[] = [
  {
    title: 'a label, in classic mode, with as many configs as are kept',
    lines: 'HitlessServiceUpdate = false\n',
    async before({ world }) {
      const engine = engineOf(world);
      const type = { [LABELS.type]: TYPES.proxyConfig, [LABELS.extension]: 'default' };
      for (let sequence = 2; sequence <= KEPT_CONFIGS + 1; sequence += 1) {
        const labels = {
          [LABELS.stack]: 'interlock',
          ...type,
          [LABELS.digest]: `old${sequence}`,
          [LABELS.sequence]: String(sequence),
        };
        await engine.createConfig({ name: `old.${sequence}`, labels, bytes: Buffer.from(`old ${sequence}`) }, forever);
      }
    },
    act: ({ world }) => world.setHosts('one.local,two.local'),
    writes: ['createConfig', 'updateService', 'removeConfig'],
    isThere({ world: { fake }, now }) {
      expect(now.served()).toContain('two.local');
      expect(names(fake.swarm.store.configs)).not.toContain('old.2');
    },
  },
  {
    title: 'a service on a new network, with a certificate',
    act({ world: { fake } }) {
      fake.swarm.addSecret('late-cert');
      fake.swarm.addService({
        Name: 'late',
        Labels: {
          'com.docker.lb.hosts': 'late.local',
          'com.docker.lb.port': '80',
          'com.docker.lb.ssl_cert': 'late-cert',
        },
        TaskTemplate: {
          ContainerSpec: { Image: 'late:1' },
          Networks: [{ Target: fake.swarm.addNetwork('late') }],
        },
      });
    },
    writes: ['createConfig', 'updateService'],
    isThere(scene) {
      const { fake } = scene.world;
      expect(scene.now.served()).toContain('late.local');
      expect(container(scene, 'interlock-proxy')?.Secrets?.map(({ SecretName }) => SecretName)).toContain('late-cert');
      expect(fake.swarm.service('interlock-proxy').Spec.TaskTemplate.Networks).toEqual([
        { Target: fake.swarm.api.network('late').Id },
      ]);
    },
  },
  {
    title: 'labels of both services in config.toml',
    next: 'Labels = { "mine" = "a" }\nProxyLabels = { "mine" = "b" }\n',
    writes: ['updateService', 'updateService'],
    isThere({ world: { fake } }) {
      const labels = ['interlock-extension', 'interlock-proxy'].map(
        (name) => fake.swarm.service(name).Spec.Labels['mine'],
      );
      expect(labels).toEqual(['a', 'b']);
    },
  },
  {
    title: 'a table that leaves config.toml',
    lines: OTHER,
    next: '',
    async before({ world, now }) {
      now.startExtension('other');
      await eventually(() => now.served('other-proxy') !== undefined, { timeoutMs: 20_000 });
      expect(tokenIn(world.fake, 'other', 'proxy')).toBeDefined();
    },
    writes: ['removeService', 'removeService', 'removeConfig', 'removeSecret', 'removeSecret'],
    isThere({ world: { fake } }) {
      const { services, secrets, configs } = fake.swarm.store;
      expect([...names(services), ...names(secrets), ...names(configs)].filter((name) => /other/.test(name))).toEqual(
        [],
      );
    },
  },
  {
    title: "an exchange of the proxies' token",
    async act({ operatorSocket }) {
      const client = createWireClient({
        endpoint: `unix:${operatorSocket}`,
        identity: { role: 'operator', version: '0' },
      });
      // Its answer may be lost with core.
      await client.operator
        .rotateTokens({ extension: 'default', role: 'proxy', look: false }, AbortSignal.timeout(5_000))
        .catch(() => undefined);
      client.close();
    },
    writes: ['createSecret', 'updateService', 'removeSecret'],
    isThere(scene) {
      const tokens = names(scene.world.fake.swarm.store.secrets).map((name) => name.replace(/.*\.token\./, ''));
      expect(tokens).toEqual(['default.extension.1', 'default.proxy.2']);
      expect(container(scene, 'interlock-proxy')?.Secrets).toMatchObject([
        { SecretName: expect.stringMatching(/proxy\.2$/) as string },
      ]);
    },
  },
];

async function open({ lines = '' }: Change): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), 'interlock-changes-'));
  const operatorSocket = join(folder, 'operator.sock');
  const world = await createFaultWorld({ operatorSocket });
  const now = await world.withLines(lines);
  return {
    world,
    now,
    operatorSocket,
    async [Symbol.asyncDispose]() {
      await world.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const engineOf = ({ fake }: FaultWorld) => createDockerodeEngine({ dockerUrl: fake.dockerUrl });

/** All is published and at rest, and core is gone. */
async function settle(scene: Scene, { before }: Change): Promise<void> {
  const { world, now } = scene;
  world.fake.swarm.addService({ Name: CORE, Labels: { 'com.docker.stack.namespace': 'interlock' } });
  world.setHosts('one.local');
  const core = now.startCore(atHome(world, engineOf(world)));
  now.startExtension();
  await eventually(() => now.served()?.includes('one.local') === true, { timeoutMs: 20_000 });
  await before?.(scene);
  await core.stop();
}

/** What is left of a list when each of these is taken out once. */
function without(all: readonly string[], some: readonly string[]): readonly string[] {
  const left = [...all];
  for (const one of some) {
    const at = left.indexOf(one);
    expect(at, `${one} is one more than ${all.join(', ')}`).not.toBe(-1);
    left.splice(at, 1);
  }
  return left;
}

describe.each(CHANGES)('$title', { timeout: 120_000 }, (change) => {
  it.each(change.writes.map((_, index) => index + 1))(
    'core is killed after step %i: the next one does the rest',
    async (step) => {
      await using scene = await open(change);
      await settle(scene, change);
      const { world } = scene;
      const now = change.next === undefined ? scene.now : await world.withLines(change.next);
      await using agent = await world.startProxy();
      const master = await agent.master();
      await world.serves('one.local');

      const dying = dyingEngine(world.fake.dockerUrl, step);
      const first = now.startCore(atHome(world, dying.engine));
      await extensionIsBack(now);
      await change.act?.({ ...scene, now });
      // Two parts of core may write at the same moment.
      await eventually(() => dying.writes.length >= step, { timeoutMs: 30_000 });
      dying.end();
      await first.stop();
      expect(await world.ask('one.local')).toBe(200);

      const counting = dyingEngine(world.fake.dockerUrl, Number.POSITIVE_INFINITY);
      now.startCore(atHome(world, counting.engine));
      await eventually(() => change.isThere({ ...scene, now }), { timeoutMs: 30_000 });
      await eventually(() => expect(without(without(change.writes, dying.writes), counting.writes)).toEqual([]));
      const texts = storedConfigs(world.fake).map(({ text }) => text);
      expect(new Set(texts).size).toBe(texts.length);
      expect(await world.ask('one.local')).toBe(200);
      expect(await agent.master()).toBe(master);
    },
  );
});

/** Then this life of core has the newest artifact, and does nothing for want of one. */
const extensionIsBack = ({ log }: Daemons) => {
  const accepted = () => log.filter(({ msg }) => msg === 'artifact accepted').length;
  const before = accepted();
  return eventually(() => accepted() > before, { timeoutMs: 30_000 });
};
