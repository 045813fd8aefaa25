/** Core and extension together, over loopback gRPC, against the fake Engine. Quiet periods between steps are random, so that timing assumptions surface. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFakeEngine, type FakeEngine } from '../../fakes/engine/fake-engine.ts';
import { type Daemons, prepareDaemons } from '../../support/daemons.ts';
import { eventually } from '../../support/eventually.ts';

let fake: FakeEngine;
let daemons: Daemons;
let network: string;

beforeEach(async () => {
  fake = await createFakeEngine({
    nodes: [
      { hostname: 'm1', role: 'manager' },
      { hostname: 'w1', role: 'worker' },
    ],
  });
  network = fake.swarm.addNetwork('app');
  daemons = await prepareDaemons(fake);
});

afterEach(async () => {
  await daemons.stopAll();
  await fake.close();
});

function addApp(name: string, labels: Readonly<Record<string, string>> = {}, replicas = 1): string {
  const lb = { hosts: `${name}.local`, port: '8080', ...labels };
  return fake.swarm.addService({
    Name: name,
    Labels: Object.fromEntries(Object.entries(lb).map(([key, value]) => [`com.docker.lb.${key}`, value])),
    Mode: { Replicated: { Replicas: replicas } },
    TaskTemplate: { ContainerSpec: { Image: 'app:1' }, Networks: [{ Target: network }] },
  });
}

function rename(name: string, hosts: string): void {
  fake.swarm.updateService(name, (spec) => {
    spec.Labels['com.docker.lb.hosts'] = hosts;
  });
}

/** No write of anybody for a while: rolls have ended, and with them the version indexes stand still. */
async function untilCalm(): Promise<void> {
  const seen = { index: -1, since: 0 };
  await eventually(
    () => {
      const index = fake.swarm.versionIndex();
      if (index !== seen.index) {
        Object.assign(seen, { index, since: Date.now() });
      }
      return Date.now() - seen.since > 500;
    },
    { timeoutMs: 20_000 },
  );
}

const addressesOf = (name: string) =>
  fake.swarm
    .runningTasksOf(name)
    .flatMap((task) => task.NetworksAttachments ?? [])
    .flatMap(({ Addresses }) => Addresses.map((address) => `${address.split('/')[0] ?? ''}:8080`));

/** The proxies' file holds exactly the present addresses of these services, and no other app's. */
async function untilServed(names: readonly string[]): Promise<void> {
  await eventually(
    () => {
      const file = daemons.served() ?? '';
      const served = new Set(file.match(/\d+\.\d+\.\d+\.\d+:8080/g) ?? []);
      const wanted = new Set(names.flatMap(addressesOf));
      expect(served).toEqual(wanted);
      for (const name of names) {
        expect(file).toContain(`${name}.local`);
      }
    },
    { timeoutMs: 20_000 },
  );
}

/** Up to 300 ms of nothing. */
const quiet = () => new Promise((resolve) => setTimeout(resolve, Math.random() * 300));

const writes = () =>
  fake.calls.filter(({ asked, status }) => /^(POST|DELETE) \/(services|configs)/.test(asked) && status < 400).length;

describe('the main job', () => {
  it('makes the extension at once, and the proxy with the first file', async () => {
    daemons.startCore();
    await eventually(() => fake.swarm.service('interlock-extension'));
    expect(daemons.served()).toBeUndefined();
    daemons.startExtension();
    await eventually(() => daemons.served() !== undefined);
  });

  it('follows services as they come, scale, move, change and go', async () => {
    daemons.startCore();
    daemons.startExtension();
    addApp('one');
    await untilServed(['one']);
    await quiet();
    addApp('two', {}, 3);
    await untilServed(['one', 'two']);
    await quiet();
    fake.swarm.updateService('two', (spec) => {
      spec.Mode = { Replicated: { Replicas: 1 } };
    });
    await untilServed(['one', 'two']);
    await quiet();
    const [task] = fake.swarm.runningTasksOf('one');
    fake.swarm.killTask(task?.ID ?? '');
    await eventually(() => fake.swarm.runningTasksOf('one').some(({ ID }) => ID !== task?.ID));
    await untilServed(['one', 'two']);
    await quiet();
    fake.swarm.api.removeService(fake.swarm.service('one').ID);
    await untilServed(['two']);
  });

  it('joins the networks of what it routes', async () => {
    daemons.startCore();
    daemons.startExtension();
    addApp('one');
    await untilServed(['one']);
    expect(fake.swarm.service('interlock-proxy').Spec.TaskTemplate.Networks).toEqual([{ Target: network }]);
  });

  it('lets a hostile service harm nobody', async () => {
    daemons.startCore();
    daemons.startExtension();
    addApp('good');
    addApp('evil', { hosts: 'evil.local; } server { listen 81;', port: '80;', network: '$x' });
    addApp('lost', { network: 'nowhere' });
    await untilServed(['good']);
    expect(daemons.served()).not.toContain('listen 81');
    const codes = daemons.log.flatMap((line) =>
      line['msg'] === 'finding' ? [(line['finding'] as { code: string }).code] : [],
    );
    expect(codes).toContain('LABEL.NETWORK_UNKNOWN');
  });

  it('writes nothing after a restart of core when nothing changed', async () => {
    const core = daemons.startCore();
    daemons.startExtension();
    addApp('one');
    await untilServed(['one']);
    await untilCalm();
    await core.stop();
    const before = fake.swarm.versionIndex();
    const writesBefore = writes();
    await quiet();
    daemons.startCore();
    await eventually(() => daemons.log.filter(({ msg }) => msg === 'artifact accepted').length >= 2, {
      timeoutMs: 20_000,
    });
    await untilCalm();
    expect(writes()).toBe(writesBefore);
    expect(fake.swarm.versionIndex()).toBe(before);
    addApp('two');
    await untilServed(['one', 'two']);
  });

  it('keeps the proxies while the extension is away, and takes the newest when it is back', async () => {
    daemons.startCore();
    const extension = daemons.startExtension();
    addApp('one');
    await untilServed(['one']);
    await extension.stop();
    const file = daemons.served();
    addApp('two');
    await quiet();
    expect(daemons.served()).toBe(file);
    daemons.startExtension();
    await untilServed(['one', 'two']);
  });

  it('makes a service of ours again that somebody removed, but not at once: docker stack rm takes them one by one', async () => {
    daemons.startCore();
    daemons.startExtension();
    addApp('one');
    await untilServed(['one']);
    fake.swarm.api.removeService(fake.swarm.service('interlock-proxy').ID);
    const removedAt = Date.now();
    await eventually(() => daemons.served() !== undefined, { timeoutMs: 20_000 });
    expect(Date.now() - removedAt).toBeGreaterThan(4_000);
    await untilServed(['one']);
  });

  it('never overwrites a foreign service that has its name, and says so', async () => {
    fake.swarm.addService({ Name: 'interlock-proxy', Labels: { mine: 'yes' } });
    daemons.startCore();
    daemons.startExtension();
    addApp('one');
    await eventually(() =>
      daemons.log.some(
        ({ msg, finding }) => msg === 'finding' && (finding as { code: string }).code === 'PUBLISH.NAME_TAKEN',
      ),
    );
    expect(fake.swarm.service('interlock-proxy').Spec.Labels).toEqual({ mine: 'yes' });
  });

  it('does not try an artifact again that Swarm rolled back, until something changes', async () => {
    daemons.startCore();
    daemons.startExtension();
    addApp('one');
    await untilServed(['one']);
    await untilCalm();
    const good = daemons.served();
    fake.swarm.setOutcome((_task, service) => (service.Spec.Name === 'interlock-proxy' ? 'fail' : 'run'));
    rename('one', 'renamed.local');
    await eventually(
      () =>
        daemons.log.some(({ finding }) => (finding as { code?: string } | undefined)?.code === 'PUBLISH.ROLL_FAILED'),
      {
        timeoutMs: 20_000,
      },
    );
    await eventually(() => daemons.served() === good);
    fake.swarm.setOutcome(() => 'run');
    const writesBefore = writes();
    await untilCalm();
    expect(writes()).toBe(writesBefore);
    expect(daemons.served()).toBe(good);
    addApp('two');
    await eventually(() => ['renamed.local', 'two.local'].every((host) => daemons.served()?.includes(host) ?? false));
  });
});

describe('when the Engine misbehaves', () => {
  it('finds a change whose event was lost', async () => {
    daemons.startCore();
    daemons.startExtension();
    addApp('one');
    await untilServed(['one']);
    fake.cutEvents();
    addApp('two');
    await untilServed(['one', 'two']);
  });

  it('keeps everything while the Engine is away and goes on when it is back', async () => {
    daemons.startCore();
    daemons.startExtension();
    addApp('one');
    await untilServed(['one']);
    const file = daemons.served();
    fake.setReachable(false);
    addApp('two');
    await quiet();
    expect(daemons.served()).toBe(file);
    fake.setReachable(true);
    await untilServed(['one', 'two']);
  });

  it('starts before the Engine has a leader', async () => {
    fake.swarm.setManager(false);
    daemons.startCore();
    daemons.startExtension();
    await quiet();
    fake.swarm.setManager(true);
    addApp('one');
    await untilServed(['one']);
  });

  it.each([
    ['POST /configs/create', { kind: 'hangup', when: 'before' }],
    ['POST /configs/create', { kind: 'hangup', when: 'after' }],
    [
      'POST /configs/create',
      { kind: 'status', status: 500, message: 'rpc error: code = Unavailable desc = transport is closing' },
    ],
    ['POST /services/create', { kind: 'hangup', when: 'after' }],
    ['POST /services/*/update', { kind: 'stale' }],
    ['POST /services/*/update', { kind: 'hangup', when: 'after' }],
    ['GET /tasks', { kind: 'status', status: 500, message: 'rpc error: code = DeadlineExceeded' }],
    ['GET /services', { kind: 'hangup', when: 'inside' }],
    ['GET /services', { kind: 'stale' }],
  ] as const)('survives %s with %j', async (match, action) => {
    fake.fault({ match, action, times: 2 });
    daemons.startCore();
    daemons.startExtension();
    addApp('one');
    await untilServed(['one']);
    fake.fault({ match, action, times: 2 });
    addApp('two');
    await untilServed(['one', 'two']);
    const configs = [...fake.swarm.store.configs.values()].flatMap(
      ({ Spec }) => Spec.Labels['com.docker.interlock.digest'] ?? [],
    );
    expect(new Set(configs).size).toBe(configs.length);
  });
});
