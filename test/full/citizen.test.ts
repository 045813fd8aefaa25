/**
 * A good citizen on a real Swarm of two nodes: rolls that cannot get on, what others hold, remove or damage, tables that leave
 * config.toml, application networks that come and go. Each part begins and ends with the one default table at rest.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startSwarm } from '../support/bed.ts';
import { eventually } from '../support/eventually.ts';
import { imageArchive } from '../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock, STACK, type TaskJson } from '../support/interlock.ts';
import { untilAtRest, versionsOf } from './cluster.ts';
import { useConfig } from './use-config.ts';

/** With a constraint of its own: its proxy stays on the worker whatever other tables ask for. */
const DEFAULT = `NetworkLinger = "5s"\n${defaultConfig({ extra: 'ProxyConstraints = ["node.role==worker"]\n' })}`;
const SLOW = { timeoutMs: 180_000, everyMs: 500 };

let interlock: Interlock;
let folder: string;
const cleanUps: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  folder = await mkdtemp(join(tmpdir(), 'interlock-citizen-'));
  cleanUps.unshift(() => rm(folder, { recursive: true, force: true }));
  const swarm = await startSwarm({ name: 'citizen', nodes: 2 });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  interlock = await deployInterlock(swarm, DEFAULT);
  cleanUps.unshift(() => interlock.down());
  const home = await interlock.createNetwork('home');
  await interlock.createApp({ name: 'app', networks: [home], lb: { hosts: 'app.local', port: '8080' } });
  await served();
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

/** What else a part used has ended with it. */
const undo: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0)) {
    await step();
  }
});

const served = (host = 'app.local') => interlock.untilAll(host, ({ status }) => status === 200, SLOW);

interface Said {
  readonly code: string;
  readonly service?: string;
  readonly value?: string;
}

interface Line {
  readonly time: number;
  readonly msg?: unknown;
  readonly [key: string]: unknown;
}

/** Core's log since a mark; times are core's own. */
async function logSince(markMs: number): Promise<readonly Line[]> {
  const lines = (await interlock.coreLog()).map((line) => ({ ...line, time: timeOf(line['time']) }));
  return lines.filter(({ time }) => time >= markMs);
}

function timeOf(time: unknown): number {
  return typeof time === 'number' ? time : Date.parse(String(time));
}

/** When core said it of this service, by its own clock. */
async function untilSaid(code: string, service: string, markMs: number): Promise<Line & { readonly finding: Said }> {
  return eventually(async () => {
    const lines = (await logSince(markMs)) as readonly (Line & { readonly finding?: Said })[];
    const line = lines.find(
      ({ msg, finding }) => msg === 'finding' && finding?.code === code && finding.service === service,
    );
    if (line?.finding === undefined) {
      throw new Error(`core has not said ${code} of ${service}`);
    }
    return { ...line, finding: line.finding };
  }, SLOW);
}

async function untilMade(service: string, markMs: number): Promise<Line> {
  return eventually(async () => {
    const lines = await logSince(markMs);
    const line = lines.find(
      ({ msg, step, service: name }) => msg === 'step executed' && step === 'create-service' && name === service,
    );
    if (line === undefined) {
      throw new Error(`core has not made ${service}`);
    }
    return line;
  }, SLOW);
}

async function serviceNames(): Promise<readonly string[]> {
  return (await interlock.cli('service', 'ls', '--format', '{{.Name}}')).trim().split('\n').sort();
}

async function configNames(): Promise<readonly string[]> {
  return (await interlock.cli('config', 'ls', '--format', '{{.Name}}')).trim().split('\n');
}

async function tasksOf(service: string): Promise<readonly string[]> {
  // Shape: Engine API `GET /tasks`.
  const tasks = (await interlock.docker.listTasks({ filters: { service: [service] } })) as readonly TaskJson[];
  return tasks.map(({ ID }) => ID);
}

/** No roll is under way, and its one proxy runs. */
async function settled(service = 'interlock-proxy'): Promise<void> {
  await eventually(async () => {
    const { UpdateStatus } = await interlock.inspectService(service);
    const tasks = (await interlock.docker.listTasks({ filters: { service: [service] } })) as readonly TaskJson[];
    const wanted = tasks.filter(({ DesiredState }) => DesiredState === 'running' || DesiredState === 'ready');
    const states = wanted.map(({ Status }) => Status.State).join(' ');
    if ((UpdateStatus?.State ?? 'completed') !== 'completed' || states !== 'running') {
      throw new Error(`${service}: ${UpdateStatus?.State ?? 'no update'}, tasks ${states}`);
    }
  }, SLOW);
}

/** The proxy is on the control network and the one of `app`, and on no other any more. */
async function untilNothingLingers(): Promise<void> {
  await eventually(
    async () => (await interlock.inspectService('interlock-proxy')).Spec.TaskTemplate.Networks?.length === 2,
    SLOW,
  );
  await settled();
}

function table(name: string, lines: string): string {
  return `
[Extensions.${name}]
Image = "interlock/extension:dev"
ServiceName = "${name}-extension"
ServiceCluster = "${name}"
ProxyServiceName = "${name}-proxy"
ProxyStopGracePeriod = "1s"
PublishMode = "host"
${lines}
`;
}

/** docker/stack.yml with the same config.toml, for another stack. Returns its path. */
async function secondStack(): Promise<string> {
  const text = await readFile(fileURLToPath(new URL('../../docker/stack.yml', import.meta.url)), 'utf8');
  await writeFile(join(folder, 'config.toml'), DEFAULT);
  const path = join(folder, 'second.yml');
  await writeFile(path, text.replace(/\$\{INTERLOCK_CONFIG_DIGEST[^}]*\}/, 'second'));
  return path;
}

const PROXY_IMAGE = 'ProxyImage = "interlock/proxy:dev"\n';

describe('rolls that cannot get on, and tables that leave config.toml', () => {
  const STUCK = [
    // Both want one port of the only worker.
    ['port', `${PROXY_IMAGE}ProxyConstraints = ["node.role==worker"]\nPublishedPort = 8080`, 'host-mode port already'],
    ['node', `${PROXY_IMAGE}ProxyConstraints = ["node.labels.nowhere==true"]`, 'no suitable node'],
    ['image', 'ProxyImage = "interlock/absent:1"', 'No such image'],
  ] as const;

  it('no free host port, no matching node and a missing image are said within 30 s; what was made goes with its table', async () => {
    const before = { names: await serviceNames(), tasks: await tasksOf('interlock-proxy') };
    const markMs = Date.now();
    await useConfig(interlock, DEFAULT + STUCK.map(([name, lines]) => table(name, lines)).join(''));
    for (const [name, , words] of STUCK) {
      const made = await untilMade(`${name}-proxy`, markMs);
      const said = await untilSaid('PUBLISH.ROLL_STUCK', `${name}-proxy`, markMs);
      expect(said.finding.value).toContain(words);
      expect(said.time - made.time).toBeLessThan(30_000);
    }
    await untilSaid('PUBLISH.CONSTRAINT_UNMATCHED', 'node-proxy', markMs);
    await served();

    // Two tables leave; one stays, under another name of its proxy.
    await useConfig(interlock, DEFAULT + table('image', PROXY_IMAGE).replace('image-proxy', 'renamed-proxy'));
    await settled('renamed-proxy');
    await eventually(
      async () => expect(await serviceNames()).toEqual([...before.names, 'image-extension', 'renamed-proxy'].sort()),
      SLOW,
    );
    await useConfig(interlock, DEFAULT);
    await eventually(async () => {
      expect(await serviceNames()).toEqual(before.names);
      expect(await configNames()).not.toContainEqual(expect.stringMatching(/\.proxy\.(port|node|image)\./));
    }, SLOW);
    expect(await tasksOf('interlock-proxy')).toEqual(before.tasks);
    await served();
  }, 600_000);

  it('one that Swarm rolled back is not tried again, not by another core either, until something changes', async () => {
    const [good, bad] = ['', 'ProxyArgs = ["no-such-command"]\n'].map(
      (args) => DEFAULT + table('classic', `${PROXY_IMAGE}${args}HitlessServiceUpdate = false\nPublishedPort = 8090`),
    ) as [string, string];
    await useConfig(interlock, good);
    await settled('classic-proxy');
    let markMs = Date.now();
    await useConfig(interlock, bad);
    await untilSaid('PUBLISH.ROLL_FAILED', 'classic-proxy', markMs);
    await eventually(
      async () => (await interlock.inspectService('classic-proxy')).UpdateStatus?.State === 'rollback_completed',
      SLOW,
    );
    const { Version } = await interlock.inspectService('classic-proxy');

    markMs = Date.now();
    await interlock.killTask('interlock_core');
    await untilSaid('PUBLISH.ROLL_FAILED', 'classic-proxy', markMs);
    expect((await interlock.inspectService('classic-proxy')).Version.Index).toBe(Version.Index);

    await useConfig(interlock, good.replace('8090', '8091'));
    await settled('classic-proxy');
    expect(JSON.stringify((await interlock.inspectService('classic-proxy')).Spec)).toContain('8091');
    await useConfig(interlock, DEFAULT);
    await served();
  }, 600_000);
});

describe('a port of the routing mesh', () => {
  const withPorts = (edge: number, shop: number) =>
    DEFAULT +
    Object.entries({ edge, shop })
      .map(([name, port]) => table(name, `${PROXY_IMAGE}PublishedPort = ${port}`).replace('"host"', '"ingress"'))
      .join('');
  const ports = async () =>
    Promise.all(
      ['edge-proxy', 'shop-proxy'].map(async (name) => {
        const { Ports } = (await interlock.inspectService(name)).Spec['EndpointSpec'] as {
          readonly Ports?: readonly { readonly PublishedPort: number }[];
        };
        return Ports?.map(({ PublishedPort }) => PublishedPort);
      }),
    );

  it('goes from one table to another in one edit, there and back', async () => {
    undo.push(() => useConfig(interlock, DEFAULT));
    await useConfig(interlock, withPorts(9_081, 9_080));
    await Promise.all(['edge-proxy', 'shop-proxy'].map(settled));
    for (const [edge, shop] of [
      [9_080, 9_082],
      [9_081, 9_080],
    ] as const) {
      await useConfig(interlock, withPorts(edge, shop));
      await eventually(async () => expect(await ports()).toEqual([[edge], [shop]]), { ...SLOW, timeoutMs: 30_000 });
      await Promise.all(['edge-proxy', 'shop-proxy'].map(settled));
    }
  }, 600_000);
});

describe('what others hold, remove or damage', () => {
  it('another stack with the same table finds the names taken and says by whom; nothing of the first is written', async () => {
    const second = await secondStack();
    const before = await untilAtRest(interlock);
    undo.push(() => interlock.cli('stack', 'rm', 'second'));
    await interlock.cli('stack', 'deploy', '--resolve-image', 'never', '-c', second, 'second');
    await eventually(async () => {
      const lines = (await interlock.cli('service', 'logs', '--raw', 'second_core')).split('\n');
      const said = lines
        .filter((line) => line.includes('PUBLISH.NAME_TAKEN'))
        .map((line) => JSON.parse(line) as unknown);
      const finding = { code: 'PUBLISH.NAME_TAKEN', value: `made by the Interlock of the stack ${STACK}` };
      for (const service of ['interlock-extension', 'interlock-proxy']) {
        expect(said).toContainEqual(
          expect.objectContaining({ finding: expect.objectContaining({ ...finding, service }) as unknown }),
        );
      }
    }, SLOW);
    // Both cores have gone on meanwhile.
    await interlock.updateService('app', (spec) => {
      spec.Labels['com.docker.lb.hosts'] = 'app.local,beside.local';
    });
    await served('beside.local');
    const after = await versionsOf(interlock);
    for (const name of ['service interlock-extension', 'service interlock-proxy']) {
      expect(after[name]).toBe(before[name]);
    }
    expect(Object.keys(after)).toEqual(expect.arrayContaining(Object.keys(before)));
    expect(await interlock.cli('service', 'ls', '--format', '{{.Name}}')).toContain('second_core');
  }, 600_000);

  it('a foreign service with the name of a proxy is never written, and a finding says so until it is gone', async () => {
    const home = await interlock.createNetwork('foreign');
    await interlock.createApp({ name: 'shop-proxy', networks: [home] });
    undo.push(() => useConfig(interlock, DEFAULT));
    const before = await interlock.inspectService('shop-proxy');
    const markMs = Date.now();
    await useConfig(interlock, DEFAULT + table('shop', PROXY_IMAGE));
    await untilSaid('PUBLISH.NAME_TAKEN', 'shop-proxy', markMs);

    // Core has gone on with the rest: what it would do to the service, it would have done by now.
    await interlock.createApp({ name: 'late', networks: [home], lb: { hosts: 'late.local', port: '8080' } });
    undo.push(() => interlock.removeService('late'));
    await served('late.local');
    expect(await interlock.inspectService('shop-proxy')).toEqual(before);

    await interlock.removeService('shop-proxy');
    await settled('shop-proxy');
    expect((await interlock.inspectService('shop-proxy')).Spec.Labels).toMatchObject({
      'com.docker.interlock.extension': 'shop',
    });
  }, 600_000);

  it.each(['interlock-proxy', 'interlock-extension'])(
    '%s comes back when somebody removes it',
    async (name) => {
      await untilNothingLingers();
      const { ID, Spec } = await interlock.inspectService(name);
      await interlock.removeService(name);
      await eventually(async () => (await interlock.inspectService(name)).ID !== ID, SLOW);
      await settled(name);
      const again = (await interlock.inspectService(name)).Spec;
      expect(again.TaskTemplate.Networks).toEqual(Spec.TaskTemplate.Networks);
      // All three work together again: a change arrives.
      const host = `after-${name}.local`;
      await interlock.updateService('app', (spec) => {
        spec.Labels['com.docker.lb.hosts'] = `app.local,${host}`;
      });
      await served(host);
    },
    300_000,
  );

  it('what a proxy cannot do without is put back; what an operator added beside it stays', async () => {
    await untilNothingLingers();
    const vital = async () => {
      const { Labels, TaskTemplate } = (await interlock.inspectService('interlock-proxy')).Spec;
      const networks = (TaskTemplate.Networks ?? []).map(({ Target }) => Target).sort();
      return { type: Labels['type'], networks, secrets: TaskTemplate.ContainerSpec['Secrets'] };
    };
    const before = await vital();
    // Without its networks and its token the proxy still runs, so Swarm finds nothing to roll back.
    await interlock.updateService('interlock-proxy', (spec) => {
      delete spec.Labels['type'];
      spec.Labels['own'] = 'yes';
      delete spec.TaskTemplate.Networks;
      delete spec.TaskTemplate.ContainerSpec['Secrets'];
      spec.TaskTemplate.ContainerSpec['Hostname'] = 'own';
    });
    await eventually(async () => expect(await vital()).toEqual(before), SLOW);
    await settled();
    await served();
    const { Labels, TaskTemplate } = (await interlock.inspectService('interlock-proxy')).Spec;
    expect(Labels['own']).toBe('yes');
    expect(TaskTemplate.ContainerSpec['Hostname']).toBe('own');
  }, 300_000);
});

describe('application networks', () => {
  it.each([1, 5, 20])(
    '%i that come together are one roll; docker stack rm takes them within the linger time',
    async (count) => {
      await untilNothingLingers();
      const names = Array.from({ length: count }, (_, at) => `n${count}x${at}`);
      const stack = `many${count}`;
      await writeFile(
        join(folder, 'networks.yml'),
        JSON.stringify({
          version: '3.8',
          services: { idle: { image: 'interlock/demo:dev', networks: names, deploy: { replicas: 0 } } },
          networks: Object.fromEntries(names.map((name) => [name, { driver: 'overlay' }])),
        }),
      );
      await interlock.cli('stack', 'deploy', '--resolve-image', 'never', '-c', join(folder, 'networks.yml'), stack);
      const before = await tasksOf('interlock-proxy');
      const markMs = Date.now();
      await Promise.all(
        names.map((name) =>
          interlock.createApp({
            name: `${stack}_${name}`,
            networks: [`${stack}_${name}`],
            lb: { hosts: `${name}.local`, port: '8080' },
            labels: { 'com.docker.stack.namespace': stack },
          }),
        ),
      );
      for (const name of names) {
        await served(`${name}.local`);
      }
      process.stderr.write(`${count} networks: all served after ${Date.now() - markMs} ms\n`);
      await settled();
      expect((await tasksOf('interlock-proxy')).filter((id) => !before.includes(id))).toHaveLength(1);

      const removedMs = Date.now();
      await interlock.cli('stack', 'rm', stack).catch(() => undefined); // the services go at once
      await eventually(
        async () => {
          await interlock.cli('stack', 'rm', stack).catch(() => undefined);
          expect(await interlock.cli('network', 'ls', '--format', '{{.Name}}')).not.toContain(`${stack}_`);
        },
        { timeoutMs: 180_000, everyMs: 1_000 },
      );
      process.stderr.write(`${count} networks: all gone after ${Date.now() - removedMs} ms\n`);
      await settled();
      await served();
    },
    600_000,
  );
});

describe('the only worker', () => {
  it('lost by power: extension and proxy move to the manager, which has no constraint of its own against them', async () => {
    await useConfig(interlock, DEFAULT.replace('ProxyConstraints = ["node.role==worker"]\n', ''));
    await settled();
    await interlock.swarm.killNode(2);
    await eventually(async () => {
      const { TaskTemplate } = (await interlock.inspectService('interlock-proxy')).Spec;
      expect(JSON.stringify(TaskTemplate)).not.toContain('node.role');
    }, SLOW);
    const manager = `http://${interlock.swarm.nodes[0]?.address ?? ''}:8080`;
    await eventually(async () => expect((await interlock.ask(manager, 'app.local')).status).toBe(200), SLOW);
  }, 600_000);
});
