/** Core against the fake Engine when things end in the middle, are done twice, or are refused. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createDockerodeEngine } from '../../../src/core/engine/dockerode-engine.ts';
import type { EngineApi } from '../../../src/core/engine/engine-api.ts';
import { createFakeEngine, type FakeEngine } from '../../fakes/engine/fake-engine.ts';
import { type Daemons, prepareDaemons } from '../../support/daemons.ts';
import { eventually } from '../../support/eventually.ts';

let fake: FakeEngine;
let network: string;
const parties: Daemons[] = [];

beforeEach(async () => {
  fake = await createFakeEngine();
  network = fake.swarm.addNetwork('app');
});

afterEach(async () => {
  await Promise.all(parties.splice(0).map((party) => party.stopAll()));
  await fake.close();
});

async function prepare(extraLines = ''): Promise<Daemons> {
  const party = await prepareDaemons(fake, EXTENSION + extraLines);
  parties.push(party);
  return party;
}

const EXTENSION = `
[Extensions.default]
ServiceName = "interlock-extension"
ProxyServiceName = "interlock-proxy"
ProxyConfigPath = "/etc/nginx/nginx.conf"
HitlessServiceUpdate = false
`;

function addApp(name: string): void {
  fake.swarm.addService({
    Name: name,
    Labels: { 'com.docker.lb.hosts': `${name}.local`, 'com.docker.lb.port': '8080' },
    TaskTemplate: { ContainerSpec: { Image: 'app:1' }, Networks: [{ Target: network }] },
  });
}

const serves = (party: Daemons, ...names: readonly string[]) =>
  eventually(() => names.every((name) => party.served()?.includes(`${name}.local`) ?? false), { timeoutMs: 20_000 });

const writes = () =>
  fake.calls.filter(({ asked, status }) => /^(POST|DELETE) \/(services|configs)/.test(asked) && status < 400);

const findings = (party: Daemons) =>
  party.log.flatMap(({ msg, finding }) => (msg === 'finding' ? [(finding as { readonly code: string }).code] : []));

const digests = () =>
  [...fake.swarm.store.configs.values()].flatMap(({ Spec }) => Spec.Labels['com.docker.interlock.digest'] ?? []);

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const ours = () => [...fake.swarm.store.services.values()].filter(({ Spec }) => Spec.Name.startsWith('interlock'));

/** The `count`th write is carried out, and core is stopped before it hears of it: all that it knew is lost there. */
function cutAfter(count: number, onCut: () => void): EngineApi {
  const engine = createDockerodeEngine({ dockerUrl: fake.dockerUrl });
  let done = 0;
  const hear = async <Answer>(answer: Promise<Answer>, signal: AbortSignal): Promise<Answer> => {
    const heard = await answer;
    done += 1;
    if (done < count) {
      return heard;
    }
    onCut();
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
  };
  return {
    ...engine,
    createService: (spec, signal) => hear(engine.createService(spec, signal), signal),
    updateService: (id, version, spec, signal) => hear(engine.updateService(id, version, spec, signal), signal),
    createConfig: (config, signal) => hear(engine.createConfig(config, signal), signal),
    removeConfig: (id, signal) => hear(engine.removeConfig(id, signal), signal),
  };
}

describe('a core that is cut off', () => {
  it.each([1, 2, 3, 4, 5])('after step %i leaves nothing that the next one does not find', async (step) => {
    addApp('one');
    const party = await prepare();
    party.startExtension();
    const seen = { cut: false };
    const first = party.startCore(
      cutAfter(step, () => {
        seen.cut = true;
      }),
    );
    if (step > 3) {
      await serves(party, 'one');
      addApp('two');
    }
    await eventually(() => seen.cut, { timeoutMs: 20_000 });
    await first.stop();
    party.startCore();
    await serves(party, 'one', ...(step > 3 ? ['two'] : []));
    expect(new Set(digests()).size).toBe(digests().length);
    expect(ours()).toHaveLength(2);
  });
});

/** Comes to rest at all: a fight would go on for ever. */
async function untilNoWritesFor(ms: number): Promise<void> {
  const last = { count: -1, at: 0 };
  await eventually(
    () => {
      const count = writes().length;
      if (count !== last.count) {
        Object.assign(last, { count, at: Date.now() });
      }
      return Date.now() - last.at > ms;
    },
    { timeoutMs: 30_000 },
  );
}

describe('two cores', () => {
  it('with one config.toml come to the same, and to rest', async () => {
    const [left, right] = [await prepare(''), await prepare('')];
    for (const party of [left, right]) {
      party.startCore();
      party.startExtension();
    }
    for (const name of ['one', 'two', 'three']) {
      addApp(name);
      await serves(left, name);
    }
    await untilNoWritesFor(1_500);
    expect(new Set(digests()).size).toBe(digests().length);
  });

  it('that want different things do not write against each other at full speed', async () => {
    const [left, right] = [await prepare('ProxyReplicas = 1\n'), await prepare('ProxyReplicas = 2\n')];
    addApp('one');
    for (const party of [left, right]) {
      party.startCore();
      party.startExtension();
    }
    await serves(left, 'one');
    await pause(1_000);
    const before = writes().length;
    await pause(6_000);
    expect(writes().length - before).toBeLessThanOrEqual(6);
  });
});

describe('what the Engine refuses', () => {
  it('for one service keeps the other moving, becomes a finding, and costs few calls', async () => {
    const party = await prepare();
    party.startCore();
    party.startExtension();
    addApp('one');
    await serves(party, 'one');
    await party.stopAll();
    // The extension's service stands; the new settings for it are refused.
    const picky = await prepare('Constraints = ["node.role==worker"]\n');
    const extension = fake.swarm.service('interlock-extension').ID;
    const refusal = { kind: 'status', status: 400, message: 'rpc error: code = InvalidArgument desc = no' } as const;
    fake.fault({ match: `POST /services/${extension}/update`, action: refusal, times: 1_000 });
    picky.startCore();
    picky.startExtension();
    addApp('two');
    await serves(picky, 'two');
    expect(findings(picky)).toContain('PUBLISH.REFUSED');
    await pause(1_000);
    fake.forgetCalls();
    await pause(2_000);
    expect(fake.count(/^POST \/services/)).toBeLessThanOrEqual(2);
  });

  it('because a foreign config has the name is made under the next one', async () => {
    const party = await prepare();
    party.startExtension();
    const taken = {
      kind: 'status',
      status: 409,
      message: 'rpc error: code = AlreadyExists desc = config already exists',
    } as const;
    fake.fault({ match: 'POST /configs/create', action: taken, times: 2 });
    party.startCore();
    addApp('one');
    await serves(party, 'one');
    const [name] = [...fake.swarm.store.configs.values()].map(({ Spec }) => Spec.Name);
    expect(name).toMatch(/\.default\.3-/);
  });

  it('does not let configs pile up while every roll fails', async () => {
    const party = await prepare();
    party.startCore();
    party.startExtension();
    addApp('app0');
    await serves(party, 'app0');
    fake.swarm.setOutcome((_task, service) => (service.Spec.Name === 'interlock-proxy' ? 'fail' : 'run'));
    for (let round = 1; round <= 16; round += 1) {
      const before = digests().length;
      const last = digests().at(-1);
      addApp(`app${round}`);
      await eventually(() => digests().length !== before || digests().at(-1) !== last, { timeoutMs: 20_000 });
      await pause(100);
    }
    await eventually(() => digests().length <= 13, { timeoutMs: 20_000 });
  });
});

describe('writes of others', () => {
  it('between reading and writing are read again and kept', async () => {
    const party = await prepare();
    party.startCore();
    party.startExtension();
    addApp('one');
    await serves(party, 'one');
    fake.fault({ match: 'POST /services/*/update', action: { kind: 'delay', ms: 150 }, times: 1 });
    addApp('two');
    await eventually(() => digests().length >= 2);
    fake.swarm.updateService('interlock-proxy', (spec) => {
      spec.Labels['operator'] = 'was here';
    });
    await serves(party, 'two');
    expect(fake.swarm.service('interlock-proxy').Spec.Labels['operator']).toBe('was here');
  });

  it('conflicts of the past do not slow the present down', async () => {
    const party = await prepare();
    party.startCore();
    party.startExtension();
    for (let round = 0; round < 8; round += 1) {
      fake.fault({ match: 'POST /configs/create', action: { kind: 'hangup', when: 'before' }, times: 1 });
      addApp(`app${round}`);
      await serves(party, `app${round}`);
    }
    fake.fault({ match: 'POST /configs/create', action: { kind: 'hangup', when: 'before' }, times: 1 });
    const startedAt = Date.now();
    addApp('last');
    await serves(party, 'last');
    expect(Date.now() - startedAt).toBeLessThan(3_000);
  });
});

describe('docker stack rm', () => {
  it.each([
    ['core last', ['interlock-extension', 'interlock-proxy', 'interlock_core']],
    ['core first', ['interlock_core', 'interlock-extension', 'interlock-proxy']],
  ])('with %s leaves nothing, although an app changes meanwhile', async (_, order) => {
    const core = fake.swarm.addService({
      Name: 'interlock_core',
      Labels: { 'com.docker.stack.namespace': 'interlock' },
      TaskTemplate: { ContainerSpec: { Image: 'interlock/core:dev' }, Networks: [{ Target: network }] },
    });
    const party = await prepare();
    const engine = createDockerodeEngine({ dockerUrl: fake.dockerUrl });
    const self = { containerId: 'c', serviceId: core, serviceName: 'interlock_core', taskId: 't' };
    party.startCore({ ...engine, self: () => Promise.resolve(self) });
    party.startExtension();
    addApp('one');
    await serves(party, 'one');
    const configs = [...fake.swarm.store.configs.keys()]; // the client lists everything before it removes the first service
    for (const name of order) {
      fake.swarm.api.removeService(fake.swarm.service(name).ID);
      addApp(`during-${name.replace(/.*[_-]/, '')}`);
      await pause(400);
    }
    for (const id of configs) {
      fake.swarm.api.removeBlob('config', id);
    }
    await pause(6_000);
    expect(ours()).toEqual([]);
    expect(digests()).toEqual([]);
  });
});
