/**
 * What we believe about the Engine, claimed of the fake and of a real dockerd alike: what fails only on the real one is a lie of the fake,
 * what fails on both is a bug of the adapter. The real one is a Swarm of one node on the bed (root or passwordless sudo;
 * INTERLOCK_SKIP_REAL=1 leaves it out; INTERLOCK_CONTRACT_ENGINE=forky|trixie|host chooses it, see test/support/bed.ts).
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDockerodeEngine } from '../../src/core/engine/dockerode-engine.ts';
import type { EngineApi, EngineEvent, ServiceSpecJson } from '../../src/core/engine/engine-api.ts';
import type { Task } from '../../src/model/snapshot.ts';
import { createFakeEngine } from '../fakes/engine/fake-engine.ts';
import { type BedEngine, startSwarm } from '../support/bed.ts';
import { createAuthority } from '../support/certificates.ts';
import { callEngine } from '../support/engine-call.ts';
import { eventually } from '../support/eventually.ts';
import { buildTinyImage, TINY_COMMAND } from '../support/tiny-image.ts';
import { openTlsDoor } from '../support/tls-door.ts';

const IMAGE = 'tiny:1';
/** No node has it, and there is no registry. */
const ABSENT_IMAGE = 'absent:1';

interface Bench {
  readonly dockerUrl: string;
  close(): Promise<void>;
}

async function fakeBench(): Promise<Bench> {
  const fake = await createFakeEngine();
  fake.swarm.setOutcome((task) => (task.Spec.ContainerSpec?.Image === ABSENT_IMAGE ? 'reject' : 'run'));
  return { dockerUrl: fake.dockerUrl, close: fake.close };
}

async function realBench(): Promise<Bench> {
  const tiny = await buildTinyImage();
  const swarm = await startSwarm({ name: `contract-${process.pid}`, nodes: 1, hostLink: false, engine: bedEngine() });
  await swarm.importImage(tiny.archive, IMAGE);
  await tiny.remove();
  return { dockerUrl: `unix://${swarm.managerSocket}`, close: swarm.down };
}

function bedEngine(): BedEngine {
  const wanted = process.env['INTERLOCK_CONTRACT_ENGINE'] ?? 'forky';
  const engine = (['forky', 'trixie', 'host'] as const).find((known) => known === wanted);
  if (engine === undefined) {
    throw new Error(`INTERLOCK_CONTRACT_ENGINE is "${wanted}"; it can be forky, trixie or host`);
  }
  return engine;
}

const noReal = reasonToSkipReal();
if (noReal !== undefined) {
  process.stderr.write(`engine contract: the real engine is left out: ${noReal}\n`);
}

function reasonToSkipReal(): string | undefined {
  if (process.env['INTERLOCK_SKIP_REAL'] === '1') {
    return 'INTERLOCK_SKIP_REAL=1';
  }
  if (process.platform !== 'linux') {
    return 'the bed needs Linux';
  }
  if (process.getuid?.() !== 0) {
    try {
      execFileSync('sudo', ['-n', 'true'], { stdio: 'ignore' });
    } catch {
      return 'neither root nor passwordless sudo';
    }
  }
  return undefined;
}

describe.each([
  { name: 'the fake engine', start: fakeBench, skip: false },
  { name: 'a real engine', start: realBench, skip: noReal !== undefined },
])('$name', ({ start, skip }) => {
  describe.skipIf(skip)('behaves as the Engine port says', () => {
    let bench: Bench | undefined;
    let engine: EngineApi;
    let url: string;
    const { signal } = new AbortController();

    beforeAll(async () => {
      bench = await start();
      url = bench.dockerUrl;
      engine = createDockerodeEngine({ dockerUrl: url });
    });
    afterAll(async () => {
      await bench?.close();
    });

    const newName = (what: string) => `${what}-${randomBytes(4).toString('hex')}`;
    const specOf = (name: string, more: Record<string, unknown> = {}, template: Record<string, unknown> = {}) => ({
      Name: name,
      TaskTemplate: {
        ContainerSpec: { Image: IMAGE, Command: TINY_COMMAND, Init: true, StopGracePeriod: 1_000_000_000 },
        RestartPolicy: { Condition: 'any', Delay: 100_000_000 },
        ...template,
      },
      EndpointSpec: { Mode: 'dnsrr' },
      ...more,
    });
    const inspect = async (id: string) => {
      const found = await engine.inspectService(id, signal);
      if (found === undefined) {
        throw new Error(`there is no service ${id}`);
      }
      return found;
    };
    /** Reads and writes until no other writer comes between: Swarm's allocator writes services too. */
    const update = (id: string, change: (spec: Record<string, unknown>) => ServiceSpecJson) =>
      eventually(async () => {
        const { version, spec } = await inspect(id);
        await engine.updateService(id, version, change(structuredClone(spec)), signal);
      });
    const tasksOf = (id: string) => engine.listTasks(signal, { serviceIds: [id] });
    const usable = (task: Task) => task.state === 'running' && task.desiredState === 'running';
    const untilRunning = (id: string, count: number) =>
      eventually(
        async () => {
          const tasks = (await tasksOf(id)).filter((task) => task.desiredState === 'running');
          expect(tasks.map(usable)).toEqual(Array.from({ length: count }, () => true));
          return tasks;
        },
        { timeoutMs: 40_000 },
      );
    const newNetwork = async () => {
      const name = newName('net');
      const { body } = await callEngine(url, 'POST', '/networks/create', {
        Name: name,
        Driver: 'overlay',
        Labels: { n: '1' },
      });
      return { name, id: (body as { Id: string }).Id };
    };
    const newConfig = (bytes = new Uint8Array([1]), labels: Record<string, string> = {}, name = newName('config')) =>
      engine.createConfig({ name, labels, bytes }, signal);

    describe('the engine itself', () => {
      it('is an active manager, with a negotiated API version', async () => {
        const info = await engine.info(signal);

        expect(info).toMatchObject({ swarm: 'active', isManager: true });
        expect(info.apiVersion).toMatch(/^1\.\d+$/);
        expect((await engine.listNodes(signal)).map((node) => node.id)).toContain(info.nodeId);
      });

      it('knows no container for a process outside of one', async () => {
        expect(await engine.self(signal)).toBeUndefined();
      });

      it('lists its manager with an address, ready', async () => {
        const [node] = await engine.listNodes(signal);

        expect(node).toMatchObject({ role: 'manager', availability: 'active', state: 'ready' });
        expect(node?.address).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
      });

      it('refuses an API version it does not know', async () => {
        const { status, body } = await callEngine(url, 'GET', '/v1.99/services');

        expect(status).toBe(400);
        expect(JSON.stringify(body)).toMatch(/client version 1\.99 is too new/);
      });
    });

    describe('over TCP with TLS', () => {
      it('lists, writes and tells of it to who has a client certificate, and to nobody else', async () => {
        const authority = createAuthority();
        await using door = await openTlsDoor(url, authority.issue(['127.0.0.1']), authority.certificate);
        const { certificate: cert, key } = authority.issue(['core']);
        const dockerUrl = `tcp://127.0.0.1:${door.port}`;
        const tls = { ca: authority.certificate, cert: undefined, key: undefined, allowInsecure: false };
        const secure = createDockerodeEngine({
          dockerUrl,
          tls: { ...tls, cert, key },
        });

        expect(await secure.listNodes(signal)).toEqual(await engine.listNodes(signal));
        const stop = new AbortController();
        const events = secure.events(stop.signal)[Symbol.asyncIterator]();
        expect(await events.next()).toMatchObject({ value: { kind: 'connected' } });
        const name = newName('tls');
        const id = await secure.createConfig({ name, labels: {}, bytes: new Uint8Array([1]) }, signal);
        expect(await events.next()).toMatchObject({ value: { kind: 'config', action: 'create' } });
        await secure.removeConfig(id, signal);
        stop.abort();
        await expect(events.next()).rejects.toThrow();

        const stranger = createDockerodeEngine({ dockerUrl, tls });
        await expect(stranger.info(signal)).rejects.toMatchObject({ code: 'ENGINE.UNREACHABLE' });
      });
    });

    describe('configs', () => {
      it('give back the bytes they were made of', async () => {
        const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => (index * 31) % 256);
        const name = newName('config');
        const id = await newConfig(bytes, {}, name);

        expect(Buffer.from((await engine.readConfig(id, signal)) ?? []).equals(bytes)).toBe(true);
        expect(await engine.readConfig(name, signal)).toBeDefined();
      });

      it('are found by all their labels, by key or by key and value', async () => {
        const mark = newName('mark');
        const id = await newConfig(new Uint8Array([1]), { [mark]: 'a=b', type: 'x' });
        await newConfig(new Uint8Array([1]), { [mark]: 'other', type: 'x' });
        const found = async (...labels: readonly string[]) =>
          (await engine.listConfigs(labels, signal)).map((one) => one.id);

        expect(await found(`${mark}=a=b`)).toEqual([id]);
        expect(await found(mark)).toHaveLength(2);
        expect(await found('type=x', `${mark}=a=b`)).toEqual([id]);
        expect(await found(mark, 'type=y')).toEqual([]);
      });

      it('are listed with what was given at creation', async () => {
        const name = newName('config');
        const id = await newConfig(new Uint8Array([1]), { [name]: '' }, name);

        const [config] = await engine.listConfigs([name], signal);

        expect(config).toMatchObject({ id, name, labels: { [name]: '' } });
        expect(config?.createdAt).toMatch(/^\d{4}-.*\.\d{9}Z$/);
      });

      it('refuse a name that is taken', async () => {
        const name = newName('config');
        await newConfig(new Uint8Array([1]), {}, name);

        await expect(newConfig(new Uint8Array([2]), {}, name)).rejects.toMatchObject({ code: 'ENGINE.NAME_TAKEN' });
      });

      it('refuse a name with other characters', async () => {
        await expect(newConfig(new Uint8Array([1]), {}, '-x')).rejects.toMatchObject({ code: 'ENGINE.REFUSED' });
      });

      it('take 1,023,999 bytes and refuse 1,024,000, and none', async () => {
        await expect(newConfig(new Uint8Array(1_023_999))).resolves.toBeTypeOf('string');
        for (const size of [0, 1_024_000]) {
          await expect(newConfig(new Uint8Array(size))).rejects.toMatchObject({
            code: 'ENGINE.REFUSED',
            message: expect.stringContaining(
              'config data must be larger than 0 and less than 1024000 bytes',
            ) as unknown,
          });
        }
      });

      it('are gone once removed, and removing them again finds nothing', async () => {
        const id = await newConfig();
        await engine.removeConfig(id, signal);

        expect(await engine.readConfig(id, signal)).toBeUndefined();
        await expect(engine.removeConfig(id, signal)).rejects.toMatchObject({ code: 'ENGINE.NOT_FOUND' });
      });

      it('stay while a service uses them, and no longer', async () => {
        const [name, serviceName] = [newName('config'), newName('user')];
        const id = await newConfig(new Uint8Array([1]), {}, name);
        const file = { Name: '/c', UID: '0', GID: '0', Mode: 0o444 };
        const container = {
          Image: IMAGE,
          Command: TINY_COMMAND,
          Configs: [{ File: file, ConfigID: id, ConfigName: name }],
        };
        const mode = { Mode: { Replicated: { Replicas: 0 } } };
        const service = await engine.createService(specOf(serviceName, mode, { ContainerSpec: container }), signal);

        await expect(engine.removeConfig(id, signal)).rejects.toMatchObject({ code: 'ENGINE.IN_USE' });

        await update(service, () => specOf(serviceName, mode)); // now only the previous spec names it
        await engine.removeConfig(id, signal);
        await engine.removeService(service, signal);
      });
    });

    describe('secrets', () => {
      it('are listed by name and labels, never with bytes', async () => {
        const name = newName('secret');
        await callEngine(url, 'POST', '/secrets/create', { Name: name, Labels: { a: 'b' }, Data: 'c2VjcmV0' });

        const secret = (await engine.listSecrets(signal)).find((one) => one.name === name);

        expect(secret).toMatchObject({ name, labels: { a: 'b' } });
        expect(JSON.stringify((await callEngine(url, 'GET', '/secrets')).body)).not.toContain('c2VjcmV0');
      });
    });

    describe('secrets that we make', () => {
      const newSecret = (name = newName('secret'), labels: Record<string, string> = {}, bytes = Buffer.from('hush')) =>
        engine.createSecret({ name, labels, bytes }, signal);
      const off = { Mode: { Replicated: { Replicas: 0 } } };
      const using = (id: string, secretName: string) => {
        const file = { Name: 'token', UID: '0', GID: '0', Mode: 0o444 };
        const secrets = [{ File: file, SecretID: id, SecretName: secretName }];
        return {
          ContainerSpec: {
            Image: IMAGE,
            Command: TINY_COMMAND,
            Init: true,
            StopGracePeriod: 1_000_000_000,
            Secrets: secrets,
          },
        };
      };

      it('are listed with what was given at creation, and give their bytes to nobody', async () => {
        const name = newName('secret');
        const id = await newSecret(name, { a: 'b' });

        expect((await engine.listSecrets(signal)).find((one) => one.id === id)).toMatchObject({
          name,
          labels: { a: 'b' },
        });
        for (const path of ['/secrets', `/secrets/${id}`]) {
          const { status, body } = await callEngine(url, 'GET', path);
          expect(status).toBe(200);
          expect(JSON.stringify(body)).toContain(id);
          expect(JSON.stringify(body)).not.toContain(Buffer.from('hush').toString('base64'));
        }
      });

      it.each([
        ['a name that is taken', 'ENGINE.NAME_TAKEN', (taken: string) => newSecret(taken)],
        ['a name of 65 characters', 'ENGINE.REFUSED', () => newSecret('a'.repeat(65))],
        ['a name that ends in a dot', 'ENGINE.REFUSED', () => newSecret('a.')],
        ['no bytes', 'ENGINE.REFUSED', () => newSecret(newName('secret'), {}, Buffer.alloc(0))],
      ])('refuse %s with %s', async (_, code, make) => {
        const taken = newName('secret');
        await newSecret(taken);

        await expect(make(taken)).rejects.toMatchObject({ code });
      });

      it('take a name of 64 characters', async () => {
        await expect(newSecret(newName('a').padEnd(64, '9'))).resolves.toBeTypeOf('string');
      });

      it('are gone once removed, and removing them again finds nothing', async () => {
        const id = await newSecret();
        await engine.removeSecret(id, signal);

        expect((await engine.listSecrets(signal)).map((one) => one.id)).not.toContain(id);
        await expect(engine.removeSecret(id, signal)).rejects.toMatchObject({ code: 'ENGINE.NOT_FOUND' });
      });

      it('stay while the spec of a service names them', async () => {
        const [name, serviceName] = [newName('secret'), newName('user')];
        const id = await newSecret(name);
        const service = await engine.createService(specOf(serviceName, off, using(id, name)), signal);

        await expect(engine.removeSecret(id, signal)).rejects.toMatchObject({ code: 'ENGINE.IN_USE' });

        await update(service, () => specOf(serviceName, off));
        await engine.removeSecret(id, signal);
        await engine.removeService(service, signal);
      });

      it('are known of tasks for as long as these run, whatever their service says meanwhile', async () => {
        const [first, second] = [newName('secret'), newName('secret')];
        const [old, next] = [await newSecret(first), await newSecret(second)];
        const serviceName = newName('user');
        const service = await engine.createService(specOf(serviceName, {}, using(old, first)), signal);
        await untilRunning(service, 1);

        expect(await engine.secretsOfTasks(signal)).toContain(old);
        expect(await engine.secretsOfTasks(signal)).not.toContain(next);

        await update(service, () => specOf(serviceName, {}, using(next, second)));
        expect(await engine.secretsOfTasks(signal)).toContain(old); // its task has yet to be stopped
        await eventually(
          async () => {
            const held = await engine.secretsOfTasks(signal);
            expect(held).toContain(next);
            expect(held).not.toContain(old);
          },
          { timeoutMs: 40_000 },
        );
        await engine.removeSecret(old, signal);
        await engine.removeService(service, signal);
      });
    });

    describe('networks', () => {
      it('are listed, the ingress network marked', async () => {
        const { name, id } = await newNetwork();
        const networks = await eventually(async () => {
          const listed = await engine.listNetworks(signal);
          expect(listed.find((one) => one.id === id)?.driver).toBe('overlay'); // it is '' until Swarm's allocator has seen it
          return listed;
        });

        expect(networks.find((one) => one.id === id)).toEqual({
          id,
          name,
          driver: 'overlay',
          scope: 'swarm',
          ingress: false,
          labels: { n: '1' },
        });
        expect(networks.filter((one) => one.ingress)).toHaveLength(1);
      });

      it('refuse a name that is taken with 409, and to go while a service is attached', async () => {
        const { name, id } = await newNetwork();
        const service = await engine.createService(
          specOf(newName('attached'), { Mode: { Replicated: { Replicas: 0 } } }, { Networks: [{ Target: name }] }),
          signal,
        );

        const again = await callEngine(url, 'POST', '/networks/create', { Name: name, Driver: 'overlay' });
        const removal = await callEngine(url, 'DELETE', `/networks/${id}`);

        expect(again).toMatchObject({ status: 409, body: { message: `network with name ${name} already exists` } });
        expect(removal.status).toBe(400);
        expect(JSON.stringify(removal.body)).toContain(`network ${id} is in use by service ${service}`);
        await engine.removeService(service, signal);
      });
    });

    describe('services', () => {
      it('are read back with their spec, fields that nobody here names included', async () => {
        const name = newName('service');
        const spec = specOf(
          name,
          { Labels: { a: 'b' }, Mode: { Replicated: { Replicas: 0 } } },
          { LogDriver: { Name: 'none' } },
        );
        const id = await engine.createService(spec, signal);

        const found = await inspect(name);

        expect(found).toMatchObject({ id, name, labels: { a: 'b' }, previousSpec: undefined, updateState: 'none' });
        expect(found.spec).toMatchObject(spec);
        expect(await engine.inspectService(id.slice(0, 10), signal)).toBeUndefined();
        await engine.removeService(id, signal);
      });

      it('survive a write of what was read unchanged', async () => {
        const spec = specOf(
          newName('service'),
          { Mode: { Replicated: { Replicas: 0 } } },
          { LogDriver: { Name: 'none' } },
        );
        const id = await engine.createService(spec, signal);
        const before = (await inspect(id)).spec;

        await update(id, (read) => read);

        const after = await inspect(id);
        expect(after.spec).toEqual(before);
        expect(after.previousSpec).toEqual(before);
        await engine.removeService(id, signal);
      });

      it('are found by labels', async () => {
        const mark = newName('mark');
        const off = { Mode: { Replicated: { Replicas: 0 } } };
        const id = await engine.createService(specOf(newName('service'), { ...off, Labels: { [mark]: '1' } }), signal);

        expect((await engine.listServiceObjects([`${mark}=1`], signal)).map((one) => one.id)).toEqual([id]);
        expect(await engine.listServiceObjects([`${mark}=2`], signal)).toEqual([]);
        await engine.removeService(id, signal);
      });

      it('name their networks by id, whatever was written', async () => {
        const network = await newNetwork();
        const off = { Mode: { Replicated: { Replicas: 0 } }, EndpointSpec: { Mode: 'vip' } };
        const spec = specOf(newName('service'), off, { Networks: [{ Target: network.name, Aliases: ['x'] }] });
        const id = await engine.createService(spec, signal);

        const service = await eventually(async () => {
          const found = (await engine.listServices(signal)).find((one) => one.id === id);
          if (found?.virtualIps.length !== 1) {
            throw new Error('no virtual address yet');
          }
          return found;
        });

        expect(service.networkIds).toEqual([network.id]);
        expect(service.virtualIps[0]).toMatchObject({ networkId: network.id });
        expect(service).toMatchObject({ endpointMode: 'vip', mode: { kind: 'replicated', replicas: 0 } });
        await engine.removeService(id, signal);
      });

      it.each([
        ['a name that is taken', 'ENGINE.NAME_TAKEN', (taken: string) => specOf(taken)],
        ['no image', 'ENGINE.REFUSED', () => specOf(newName('x'), {}, { ContainerSpec: {} })],
        ['a name of 64 characters', 'ENGINE.REFUSED', () => specOf('a'.repeat(64))],
        ['a name with a dot', 'ENGINE.REFUSED', () => specOf('a.b')],
        [
          'a network that is not there',
          'ENGINE.NOT_FOUND',
          () => specOf(newName('x'), {}, { Networks: [{ Target: 'nowhere' }] }),
        ],
        [
          'a config that is not there',
          'ENGINE.NOT_FOUND',
          () => {
            const lost = { File: { Name: '/c' }, ConfigID: 'lost', ConfigName: 'lost' };
            return specOf(newName('x'), {}, { ContainerSpec: { Image: IMAGE, Configs: [lost] } });
          },
        ],
        [
          'a constraint with a single =',
          'ENGINE.REFUSED',
          () => specOf(newName('x'), {}, { Placement: { Constraints: ['node.role=manager'] } }),
        ],
      ])('refuse %s with %s', async (_, code, specFor) => {
        const taken = newName('taken');
        const id = await engine.createService(specOf(taken, { Mode: { Replicated: { Replicas: 0 } } }), signal);

        await expect(engine.createService(specFor(taken), signal)).rejects.toMatchObject({ code });
        await engine.removeService(id, signal);
      });

      it('take a write with the version that was read, and refuse a stale one', async () => {
        const name = newName('service');
        const id = await engine.createService(specOf(name, { Mode: { Replicated: { Replicas: 0 } } }), signal);
        const labelled = specOf(name, { Labels: { now: 'this' }, Mode: { Replicated: { Replicas: 0 } } });

        // Swarm's allocator writes a new service once more (its VIPs) a moment after it was made: read again until nobody was faster.
        const version = await eventually(async () => {
          const read = await inspect(id);
          await engine.updateService(id, read.version, labelled, signal);
          return read.version;
        });

        const after = await inspect(id);
        expect(after.labels).toEqual({ now: 'this' });
        expect(after.version).toBeGreaterThan(version);
        await expect(engine.updateService(id, version, labelled, signal)).rejects.toMatchObject({
          code: 'ENGINE.OUT_OF_SEQUENCE',
          class: 'conflict',
        });
        await engine.removeService(id, signal);
      });

      it('publish a port through the routing mesh that no other has, and may have it once that one let go', async () => {
        const idle = { Mode: { Replicated: { Replicas: 0 } } };
        const publishing = (name: string, ...ports: readonly number[]) => {
          const Ports = ports.map((PublishedPort) => ({ Protocol: 'tcp', TargetPort: 80, PublishedPort }));
          return specOf(name, { ...idle, EndpointSpec: { Mode: 'vip', Ports } });
        };
        const names = { holder: newName('holder'), other: newName('other') };
        const holder = await engine.createService(publishing(names.holder, 7_801), signal);
        const refused = { code: 'ENGINE.REFUSED', class: 'permanent' };
        const words = new RegExp(`port '7801' is already in use by service '${names.holder}' \\(${holder}\\)`);
        const create = engine.createService(publishing(names.other, 7_801), signal);
        await expect(create).rejects.toMatchObject({ ...refused, message: expect.stringMatching(words) as string });
        const other = await engine.createService(publishing(names.other, 7_802), signal);
        await eventually(async () => {
          const { version } = await inspect(other);
          const move = engine.updateService(other, version, publishing(names.other, 7_801), signal);
          await expect(move).rejects.toMatchObject(refused);
        });

        const [first, second] = (['ingress', 'host'] as const).map((PublishMode, at) => {
          const Ports = [{ Protocol: 'tcp', TargetPort: 80, PublishedPort: 7_811, PublishMode }];
          return specOf(newName(`mode${at}`), { ...idle, EndpointSpec: { Mode: 'vip', Ports } });
        });
        for (const [taker, beside] of [
          [first, second],
          [second, first],
        ]) {
          const id = await engine.createService(taker ?? specOf(''), signal);
          await expect(engine.createService(beside ?? specOf(''), signal)).rejects.toMatchObject(refused);
          await engine.removeService(id, signal);
        }

        await update(holder, () => publishing(names.holder, 7_803));
        await update(other, () => publishing(names.other, 7_801));
        await Promise.all([holder, other].map((id) => engine.removeService(id, signal)));
      });

      it('cannot be renamed', async () => {
        const id = await engine.createService(
          specOf(newName('service'), { Mode: { Replicated: { Replicas: 0 } } }),
          signal,
        );

        await eventually(async () => {
          const { version } = await inspect(id);
          await expect(engine.updateService(id, version, specOf(newName('other')), signal)).rejects.toMatchObject({
            code: 'ENGINE.REFUSED',
          });
        });
        await engine.removeService(id, signal);
      });

      it('that are not there are undefined to read, not found to change', async () => {
        expect(await engine.inspectService('nowhere', signal)).toBeUndefined();
        await expect(engine.updateService('nowhere', 1, specOf('nowhere'), signal)).rejects.toMatchObject({
          code: 'ENGINE.NOT_FOUND',
        });
        await expect(engine.removeService('nowhere', signal)).rejects.toMatchObject({ code: 'ENGINE.NOT_FOUND' });
      });
    });

    describe('tasks', () => {
      it('run with an address on their network; scale up and down; leave running before they go', async () => {
        const network = await newNetwork();
        const name = newName('service');
        const id = await engine.createService(
          specOf(name, { Mode: { Replicated: { Replicas: 2 } } }, { Networks: [{ Target: network.id }] }),
          signal,
        );

        const two = await untilRunning(id, 2);
        for (const task of two) {
          expect(task.serviceId).toBe(id);
          expect(task.nodeId).toBeDefined();
          expect(task.attachments.map((one) => one.networkId)).toEqual([network.id]);
          expect(task.attachments[0]?.addresses[0]).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
        }

        await update(id, (spec) => ({ ...spec, Mode: { Replicated: { Replicas: 3 } } }));
        const three = await untilRunning(id, 3);
        expect(three.map((task) => task.id)).toEqual(expect.arrayContaining(two.map((task) => task.id)));

        await update(id, (spec) => ({ ...spec, Mode: { Replicated: { Replicas: 1 } } }));
        await untilRunning(id, 1);

        const [last] = await untilRunning(id, 1);
        await engine.removeService(id, signal);
        const stopping = (await tasksOf(id)).find((task) => task.id === last?.id);
        expect(stopping).toMatchObject({ desiredState: 'remove' }); // its service is gone, its container has yet to stop
        await eventually(async () => (await tasksOf(id)).length === 0, { timeoutMs: 30_000 });
      });

      it('are replaced by a rolling update that ends as completed', async () => {
        const name = newName('service');
        const roll = { UpdateConfig: { Parallelism: 1, Order: 'start-first', Monitor: 500_000_000 } };
        const id = await engine.createService(specOf(name, { Mode: { Replicated: { Replicas: 2 } }, ...roll }), signal);
        const before = await untilRunning(id, 2);

        await update(id, () => {
          const changed = {
            Image: IMAGE,
            Command: ['/bin/sleep', '200000'],
            Init: true,
            StopGracePeriod: 1_000_000_000,
          };
          return specOf(name, { Mode: { Replicated: { Replicas: 2 } }, ...roll }, { ContainerSpec: changed });
        });

        await eventually(async () => (await inspect(id)).updateState === 'completed', { timeoutMs: 40_000 });
        const after = await untilRunning(id, 2);
        expect(after.map((task) => task.id)).not.toEqual(expect.arrayContaining(before.map((task) => task.id)));
        await engine.removeService(id, signal);
      });

      it('of a service that fails its update are rolled back to the previous spec', async () => {
        const name = newName('service');
        const roll = { UpdateConfig: { Parallelism: 1, FailureAction: 'rollback', Monitor: 2_000_000_000 } };
        const id = await engine.createService(specOf(name, roll), signal);
        await untilRunning(id, 1);
        const good = (await inspect(id)).spec;

        await update(id, () => specOf(name, roll, { ContainerSpec: { Image: ABSENT_IMAGE } }));

        await eventually(async () => (await inspect(id)).updateState === 'rollback_completed', { timeoutMs: 40_000 });
        expect((await inspect(id)).spec).toEqual(good);
        await engine.removeService(id, signal);
      });

      it('of nobody are not asked for', async () => {
        expect(await engine.listTasks(signal, { serviceIds: [] })).toEqual([]);
      });
    });

    describe('events', () => {
      it('tell of services, networks and configs, and never of tasks', async () => {
        const ending = new AbortController();
        const events: EngineEvent[] = [];
        const reading = (async () => {
          for await (const event of engine.events(ending.signal)) {
            events.push(event);
          }
        })().catch((error: unknown) => error);
        await eventually(() => events[0]?.kind === 'connected');

        const network = await newNetwork();
        const config = await newConfig();
        const id = await engine.createService(
          specOf(newName('service'), {}, { Networks: [{ Target: network.id }] }),
          signal,
        );
        await untilRunning(id, 1);
        await engine.removeService(id, signal);
        await engine.removeConfig(config, signal);
        const said = () =>
          events.flatMap((event) => (event.kind === 'connected' ? [] : [`${event.kind} ${event.action} ${event.id}`]));
        await eventually(() => said().includes(`config remove ${config}`));

        expect(said()).toEqual(
          expect.arrayContaining([
            `network create ${network.id}`,
            `config create ${config}`,
            `service create ${id}`,
            `service remove ${id}`,
          ]),
        );
        expect(events.map((event) => event.kind).filter((kind) => !KINDS.has(kind))).toEqual([]);
        expect(said().filter((text) => / (?:connect|disconnect) /.test(text))).toEqual([]);
        ending.abort(new Error('enough'));
        expect(await reading).toMatchObject({ message: 'enough' });
      });
    });
  });
});

const KINDS = new Set(['connected', 'service', 'node', 'network', 'config', 'secret']);
