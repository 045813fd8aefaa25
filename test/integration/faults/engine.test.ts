/**
 * Faults between core and its engine. Each test makes the same claim: the last good configuration serves, and the newest one arrives by
 * itself.
 */
import { mkdtemp, rm, symlink, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import type { EventMessage } from '../../../src/swarmkit/messages.ts';
import { type ControlSocket, openControlSocket } from '../../fakes/control-socket.ts';
import type { FakeEngine } from '../../fakes/engine/fake-engine.ts';
import { eventually } from '../../support/eventually.ts';
import { dyingEngine } from './dying-engine.ts';
import { createFaultWorld, type FaultWorld, type FaultWorldOptions, storedConfigs } from './world.ts';

const cleanUps: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) {
    await cleanUp();
  }
});

async function openWorld(options: FaultWorldOptions = {}): Promise<FaultWorld> {
  const world = await createFaultWorld(options);
  cleanUps.unshift(() => world.close());
  return world;
}

/** A control socket under a path that comes and goes. */
async function openMount(): Promise<{ readonly control: ControlSocket; readonly socketPath: string }> {
  const control = await openControlSocket();
  const folder = await mkdtemp(path.join(tmpdir(), 'mounted-'));
  cleanUps.push(
    () => control.close(),
    () => rm(folder, { recursive: true, force: true }),
  );
  const socketPath = path.join(folder, 'control.sock');
  await symlink(control.socketPath, socketPath);
  return { control, socketPath };
}

/** What the manager says when this service was written. */
function writtenService(fake: FakeEngine, name: string): EventMessage {
  const { ID, Version, Spec, Endpoint } = fake.swarm.service(name);
  const time = { seconds: 0, nanos: 0 };
  return {
    action: 'WATCH_ACTION_UPDATE',
    object: {
      service: {
        id: ID,
        meta: { version: { index: Version.Index }, createdAt: time, updatedAt: time },
        spec: {
          annotations: { name, labels: Spec.Labels },
          task: { runtime: 'container', container: { labels: {} }, networks: [] },
          mode: 'replicated',
          replicated: { replicas: 1 },
          networks: [],
          endpoint: { mode: 'VIP' },
        },
        endpoint: {
          spec: { mode: 'VIP' },
          ports: (Endpoint.Ports ?? []).map((port) => ({
            protocol: 'TCP',
            targetPort: port.TargetPort,
            publishedPort: port.PublishedPort ?? 0,
            publishMode: 'HOST',
          })),
          virtualIps: [],
        },
        updateStatus: null,
      },
    },
  };
}

const feedsOf = ({ daemons }: FaultWorld) =>
  daemons.log.filter(({ msg }) => msg === 'task feed chosen').map(({ taskFeed }) => taskFeed);
const reasonsOf = ({ daemons }: FaultWorld) =>
  daemons.log.filter(({ msg }) => msg === 'task feed chosen').map(({ reason }) => String(reason));

describe('the task feed under a running core', { timeout: 120_000 }, () => {
  it('is cut at each step: the log says which one is in use and why, and changes still arrive', async () => {
    const { control, socketPath } = await openMount();
    const world = await openWorld({ engine: { trustRoot: control.trustRoot }, controlSocket: socketPath });
    const { fake } = world;
    /** Written to the Swarm, and told of by the watch. */
    const heard = (hosts: string): void => {
      world.setHosts(hosts);
      control.send({ events: [writtenService(fake, 'app')] });
    };
    const now = () => feedsOf(world).at(-1);
    /** Else a stream that is on its way would open behind the next fault. */
    const anotherStream = (before: number) => eventually(() => control.requests.length > before, { timeoutMs: 20_000 });
    world.setHosts('start.local');
    world.daemons.startCore();
    world.daemons.startExtension();
    await eventually(() => now() === 'watch', { timeoutMs: 20_000 });
    await using agent = await world.startProxy();
    const master = await agent.master();
    await world.serves('start.local');

    heard('watched.local');
    await world.serves('watched.local');

    // The stream breaks, and the next one opens.
    const beforeCut = control.requests.length;
    control.end(status.UNAVAILABLE, 'cut');
    heard('again.local');
    await world.serves('again.local');
    await anotherStream(beforeCut);

    // The socket goes, as when the engine restarts.
    await unlink(socketPath);
    control.end(status.UNAVAILABLE, 'shutting down');
    await eventually(() => now() === 'poll');
    await eventually(() => expect(reasonsOf(world).at(-1)).toContain('no control.sock'));
    world.setHosts('polled.local');
    await world.serves('polled.local');

    // It is back.
    await symlink(control.socketPath, socketPath);
    await eventually(() => now() === 'watch', { timeoutMs: 20_000 });
    heard('back.local');
    await world.serves('back.local');

    // Something that cannot be read: everything is listed anew.
    const beforeNoise = control.requests.length;
    control.sendBytes(Buffer.from('no message'));
    world.setHosts('unread.local');
    await world.serves('unread.local');
    await anotherStream(beforeNoise);

    // The manager is demoted.
    const requests = control.requests.length;
    await unlink(socketPath);
    control.end(status.PERMISSION_DENIED, 'no manager any more');
    await eventually(() => now() === 'poll');
    world.setHosts('demoted.local');
    await world.serves('demoted.local');
    expect(control.requests.length).toBe(requests);
    await world.leaves('unread.local');
    expect(await agent.master()).toBe(master);
  });
});

describe('an engine that restarts under core', { timeout: 120_000 }, () => {
  it('costs nothing: proxies serve on, and what changed meanwhile arrives', async () => {
    const world = await openWorld();
    world.setHosts('one.local');
    world.daemons.startCore();
    world.daemons.startExtension();
    await using agent = await world.startProxy();
    const master = await agent.master();
    await world.serves('one.local');
    world.fake.setReachable(false);
    world.setHosts('two.local');
    await eventually(() => world.daemons.log.some(({ level }) => level === 'warn' || level === 40));
    expect(await world.ask('one.local')).toBe(200);
    world.fake.setReachable(true);
    await world.serves('two.local');
    world.fake.upgrade({ apiVersion: '1.50', engineVersion: '28.0.0' });
    world.setHosts('three.local');
    await world.serves('three.local');
    await world.leaves('two.local');
    expect(await agent.master()).toBe(master);
  });
});

/** Names of what core made, without the parts that count up. */
function objectsOf({ fake }: FaultWorld): Readonly<Record<string, readonly string[]>> {
  const { services, configs, secrets } = fake.swarm.store;
  const names = (parts: ReadonlyMap<string, { readonly Spec: { readonly Name: string } }>) =>
    [...parts.values()].map(({ Spec }) => Spec.Name.replace(/[0-9a-f]{8,}/g, '*')).sort();
  return { services: names(services), configs: names(configs), secrets: names(secrets) };
}

/** In the order that core takes them; another order or another step has to be added here, and is killed after then. */
const FIRST_PUBLISH = ['createSecret', 'createSecret', 'createService', 'createConfig', 'createService'];

describe('a core that is killed after each step of its first publish', { timeout: 120_000 }, () => {
  it.each([1, 2, 3, 4, 5])('step %i of 5: the next one comes to the same objects, none of them twice', async (step) => {
    const world = await openWorld();
    world.setHosts('one.local');
    const { engine, writes, end } = dyingEngine(world.fake.dockerUrl, step);
    const first = world.daemons.startCore(engine);
    world.daemons.startExtension();
    const whole = () => world.daemons.served()?.includes('one.local') === true;
    await eventually(() => expect(writes).toEqual(FIRST_PUBLISH.slice(0, step)), { timeoutMs: 20_000 });
    end();
    await first.stop();
    world.daemons.startCore();
    await eventually(whole, { timeoutMs: 20_000 });
    await using agent = await world.startProxy();
    await agent.master();
    await world.serves('one.local');
    const { services, secrets } = objectsOf(world);
    expect(services).toEqual(['app', 'interlock-extension', 'interlock-proxy']);
    expect(secrets).toHaveLength(2);
    const texts = storedConfigs(world.fake).map(({ text }) => text);
    expect(new Set(texts).size).toBe(texts.length);
    world.setHosts('one.local,two.local');
    await world.serves('two.local');
  });
});
