/** The adapter over a socket, against the fake Engine and what goes wrong there. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createDockerodeEngine } from '../../../../src/core/engine/dockerode-engine.ts';
import type { EngineApi, EngineEvent } from '../../../../src/core/engine/engine-api.ts';
import { createFakeEngine, type FakeEngine } from '../../../fakes/engine/fake-engine.ts';
import { containerIdOf } from '../../../fakes/engine/orchestrator.ts';
import { eventually } from '../../../support/eventually.ts';

const NOWHERE = { mountinfo: () => Promise.resolve(''), hostname: () => 'somewhere' };

describe('the dockerode adapter', () => {
  let fake: FakeEngine;
  let engine: EngineApi;
  let signal: AbortSignal;

  beforeEach(async () => {
    fake = await createFakeEngine();
    engine = createDockerodeEngine({ dockerUrl: fake.dockerUrl, callTimeoutMs: 300, surroundings: NOWHERE });
    signal = new AbortController().signal;
  });
  afterEach(async () => {
    await fake.close();
  });

  it('asks for the version once, then pins nothing else', async () => {
    await engine.listNodes(signal);
    await engine.listNodes(signal);

    expect(fake.count('GET /version')).toBe(1);
    expect(fake.count('GET /nodes')).toBe(2);
  });

  it.each(['before', 'inside', 'after'] as const)(
    'is UNREACHABLE at once when the connection breaks %s the answer',
    async (when) => {
      await engine.info(signal);
      fake.fault({ match: 'GET /services', action: { kind: 'hangup', when } });

      const startedMs = performance.now();
      await expect(engine.listServices(signal)).rejects.toMatchObject({ code: 'ENGINE.UNREACHABLE' });
      expect(performance.now() - startedMs).toBeLessThan(250);
      await expect(engine.listServices(signal)).resolves.toEqual([]);
    },
  );

  it('is UNREACHABLE when the answer takes longer than the deadline', async () => {
    await engine.info(signal);
    fake.fault({ match: 'GET /services', action: { kind: 'delay', ms: 2_000 } });

    await expect(engine.listServices(signal)).rejects.toMatchObject({
      code: 'ENGINE.UNREACHABLE',
      message: expect.stringContaining('no answer within 300 ms') as unknown,
    });
  });

  it('takes from a list as it is what is known in that version, and reads what is new', async () => {
    const same = fake.swarm.addService({ Name: 'same' });
    const other = fake.swarm.addService({ Name: 'other' });
    const first = await engine.listServices(signal);
    const known = (id: string, version: number) => first.find((part) => part.id === id && part.version === version);
    fake.swarm.store.touch(fake.swarm.service('other'));

    const second = await engine.listServices(signal, { known });

    const named = (list: typeof first, id: string) => list.find((part) => part.id === id);
    expect(named(second, same)).toBe(named(first, same));
    expect(named(second, other)).not.toBe(named(first, other));
    expect(named(second, other)).toMatchObject({ name: 'other' });
  });

  it.each(['{"message":"?"}', '[{"ID":5}]', '[{"ID":"x"},', '[nonsense]', 'null'])(
    'calls a list broken that reads %s',
    async (text) => {
      await engine.info(signal);
      fake.fault({ match: 'GET /tasks', action: { kind: 'body', text } });

      await expect(engine.listTasks(signal)).rejects.toMatchObject({ code: 'ENGINE.BROKEN_ANSWER' });
    },
  );

  it('keeps the registry login of a service that it updates', async () => {
    const id = fake.swarm.addService({ Name: 'web' });
    const { spec, version } = (await engine.inspectService(id, signal)) ?? { spec: {}, version: 0 };
    await engine.updateService(id, version, spec, signal);

    const [call] = fake.calls.filter(({ asked }) => asked.endsWith('/update'));
    expect(new URLSearchParams(call?.query).get('registryAuthFrom')).toBe('spec');
    expect(call?.status).toBe(200);
  });

  it("ends with the signal's reason", async () => {
    const ending = new AbortController();
    fake.fault({ match: 'GET /services', action: { kind: 'delay', ms: 2_000 } });
    const listing = engine.listServices(ending.signal);

    ending.abort(new Error('stop'));

    await expect(listing).rejects.toThrow('stop');
    await expect(engine.listServices(ending.signal)).rejects.toThrow('stop');
  });

  it.each([
    ['a socket that is not there', 'unix:///nowhere/docker.sock'],
    ['a port where nobody listens', 'tcp://127.0.0.1:1'],
  ])('is UNREACHABLE over %s', async (_, dockerUrl) => {
    const lost = createDockerodeEngine({ dockerUrl });

    await expect(lost.info(signal)).rejects.toMatchObject({ code: 'ENGINE.UNREACHABLE' });
  });

  it('speaks TCP too', async () => {
    const overTcp = await createFakeEngine({ listen: 'tcp' });
    const engineOverTcp = createDockerodeEngine({ dockerUrl: overTcp.dockerUrl });

    await expect(engineOverTcp.info(signal)).resolves.toMatchObject({ isManager: true });
    await engineOverTcp.listConfigs(['a=b c', 'ü'], signal);

    expect(overTcp.calls.at(-1)?.query).toBe(`?filters=${encodeURIComponent('{"label":["a=b c","ü"]}')}`);
    await overTcp.close();
  });

  it('negotiates again after the engine was exchanged', async () => {
    expect((await engine.info(signal)).apiVersion).toBe('1.51');

    fake.upgrade({ apiVersion: '1.45', engineVersion: '26.1.5' });

    await eventually(async () => (await engine.info(signal)).apiVersion === '1.45');
    await expect(engine.listServices(signal)).resolves.toEqual([]);
  });

  it('is NOT_A_MANAGER on a worker', async () => {
    fake.swarm.setManager(false);

    await expect(engine.listServices(signal)).rejects.toMatchObject({ code: 'ENGINE.NOT_A_MANAGER' });
    await expect(engine.info(signal)).resolves.toMatchObject({ isManager: false });
  });

  it('does not take a broken answer for an empty one', async () => {
    fake.swarm.addNode({ hostname: 'w', role: 'janitor' as 'worker' });

    await expect(engine.listNodes(signal)).rejects.toMatchObject({
      code: 'ENGINE.BROKEN_ANSWER',
      facts: { object: 'node', at: 'Spec.Role' },
    });
  });

  it('still finds the stopping tasks of a service that is gone', async () => {
    const slow = await createFakeEngine({ stopMs: 60_000 });
    const id = slow.swarm.addService({ Name: 'web' });
    const other = slow.swarm.addService({ Name: 'other' });
    await eventually(() => slow.swarm.runningTasksOf(id).length === 1 && slow.swarm.runningTasksOf(other).length === 1);
    slow.swarm.api.removeService(id);

    const tasks = await createDockerodeEngine({ dockerUrl: slow.dockerUrl }).listTasks(signal, { serviceIds: [id] });

    expect(tasks).toMatchObject([{ serviceId: id, state: 'running', desiredState: 'remove' }]);
    await slow.close();
  });

  describe('self', () => {
    const inside = (mountinfo: string, hostname: string) =>
      createDockerodeEngine({
        dockerUrl: fake.dockerUrl,
        surroundings: { mountinfo: () => Promise.resolve(mountinfo), hostname: () => hostname },
        selfWithinMs: 1_000,
      });
    const runningTask = async () => {
      const id = fake.swarm.addService({ Name: 'interlock_core' });
      return eventually(() => {
        const [task] = fake.swarm.runningTasksOf(id);
        if (task === undefined) {
          throw new Error('not running yet');
        }
        return task;
      });
    };

    it.each(['mountinfo', 'hostname'])('is found by %s, with what Swarm wrote on it', async (by) => {
      const task = await runningTask();
      const id = containerIdOf(task);
      const mount = `1234 1200 8:1 /var/lib/docker/containers/${id}/hostname /etc/hostname rw,relatime - ext4 /dev/sda1 rw\n`;

      const self = await (by === 'mountinfo' ? inside(mount, 'chosen-name') : inside('', id.slice(0, 12))).self(signal);

      expect(self).toEqual({
        containerId: id,
        serviceId: task.ServiceID,
        serviceName: 'interlock_core',
        taskId: task.ID,
        addresses: [],
      });
    });

    it('is found by the list of tasks where another engine of the Swarm runs the container', async () => {
      const task = await runningTask();
      const id = containerIdOf(task);
      fake.fault({ match: 'GET /containers/*', action: { kind: 'status', status: 404, message: 'No such container' } });

      const self = await inside('', id.slice(0, 12)).self(signal);

      const addresses = (task.NetworksAttachments ?? []).flatMap(({ Network, Addresses }) =>
        Addresses.map((address) => ({ networkId: Network.ID, address: address.split('/')[0] })),
      );
      expect(self).toEqual({
        containerId: id,
        serviceId: task.ServiceID,
        serviceName: undefined,
        taskId: task.ID,
        addresses,
      });
    });

    it('is asked for again where the manager has not heard of the container yet', async () => {
      const task = await runningTask();
      const id = containerIdOf(task);
      fake.fault({ match: 'GET /containers/*', action: { kind: 'status', status: 404, message: 'No such container' } });
      const { Status } = task;
      const told = Status.ContainerStatus;
      delete Status.ContainerStatus;

      const self = inside('', id.slice(0, 12)).self(signal);
      await eventually(() => fake.count(/^GET \/tasks/) > 0);
      Object.assign(Status, { ContainerStatus: told });

      await expect(self).resolves.toMatchObject({ taskId: task.ID });
    });

    it('is undefined in a container of another Swarm', async () => {
      await expect(inside('', 'abcdefabcdef').self(signal)).resolves.toBeUndefined();
    });
  });

  describe('events', () => {
    it('say so when they are connected, and survive chunk borders', async () => {
      const events = engine.events(signal)[Symbol.asyncIterator]();
      expect((await events.next()).value).toEqual({ kind: 'connected' });

      const id = fake.swarm.addNode({ hostname: 'größe', role: 'worker' });

      expect(await nextOf('node', events)).toEqual({
        kind: 'node',
        action: 'create',
        id,
        attributes: { name: 'größe' },
      });
      await events.return?.();
      await eventually(() => fake.eventStreams() === 0);
    });

    it('outlive the deadline for calls', async () => {
      const events = engine.events(signal)[Symbol.asyncIterator]();
      await events.next();
      await new Promise((resolve) => setTimeout(resolve, 400)); // longer than callTimeoutMs: that is the claim

      fake.swarm.addNetwork('n');

      expect(await nextOf('network', events)).toMatchObject({ attributes: { name: 'n' } });
      await events.return?.();
    });

    it('are UNREACHABLE when the stream breaks', async () => {
      const events = engine.events(signal)[Symbol.asyncIterator]();
      await events.next();
      const next = events.next();

      fake.cutEvents();

      await expect(next).rejects.toMatchObject({ code: 'ENGINE.UNREACHABLE' });
    });

    it("end with the signal's reason", async () => {
      const ending = new AbortController();
      const seen: EngineEvent[] = [];
      const reading = (async () => {
        for await (const event of engine.events(ending.signal)) {
          seen.push(event);
        }
      })();
      await eventually(() => seen.length > 0);

      ending.abort(new Error('stop'));

      await expect(reading).rejects.toThrow('stop');
      await eventually(() => fake.eventStreams() === 0);
    });
  });
});

/** A new Swarm has events of its own: the ingress network is allocated a moment after its start. */
async function nextOf(kind: EngineEvent['kind'], events: AsyncIterator<EngineEvent>): Promise<EngineEvent> {
  for (;;) {
    const next = await events.next();
    if (next.done === true) {
      throw new Error('the stream ended');
    }
    const event = next.value;
    if (event.kind === kind && !('attributes' in event && event.attributes['name'] === 'ingress')) {
      return event;
    }
  }
}
