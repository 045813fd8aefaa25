/**
 * A good citizen on a real Swarm of two nodes: rolls that cannot get on, what others write, hold, remove or damage, tables that leave
 * config.toml, application networks that come and go, a worker that does. Each part begins and ends with the one default table at rest.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { StatusReport } from '../../src/wire/status-report.ts';
import { startSwarm } from '../support/bed.ts';
import { eventually } from '../support/eventually.ts';
import { imageArchive } from '../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock, STACK, type TaskJson } from '../support/interlock.ts';
import { baseOf, runningOf, untilAtRest, versionsOf } from './cluster.ts';
import { useConfig } from './use-config.ts';

/** With a constraint of its own: its proxy stays on the worker whatever other tables ask for. */
const DEFAULT = `NetworkLinger = "5s"\n${defaultConfig({ extra: 'ProxyConstraints = ["node.role==worker"]\n' })}`;
const LINGER_MS = 5_000;
const SLOW = { timeoutMs: 180_000, everyMs: 500 };

let interlock: Interlock;
let folder: string;
let home: string;
let silentRegistry: string;
const cleanUps: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  folder = await mkdtemp(join(tmpdir(), 'interlock-citizen-'));
  cleanUps.unshift(() => rm(folder, { recursive: true, force: true }));
  const swarm = await startSwarm({ name: 'citizen', nodes: 2, insecureRegistry: true });
  cleanUps.unshift(() => swarm.down());
  silentRegistry = await startSilentRegistry(swarm.hostAddress ?? '');
  await swarm.loadImages([archive]);
  interlock = await deployInterlock(swarm, DEFAULT);
  cleanUps.unshift(() => interlock.down());
  home = await interlock.createNetwork('home');
  await interlock.createApp({ name: 'app', networks: [home], lb: { hosts: 'app.local', port: '8080' } });
  await served();
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

/** One that says that it is a registry, and nothing after that. Returns what stands before the names of its images. */
async function startSilentRegistry(address: string): Promise<string> {
  const server = createServer((request, response) => {
    if (request.url === '/v2/') {
      response.writeHead(200, { 'docker-distribution-api-version': 'registry/2.0' }).end('{}');
    }
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  cleanUps.unshift(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `${address}:${(server.address() as AddressInfo).port}`;
}

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

async function untilWritten(kind: 'create-service' | 'update-service', service: string, markMs: number): Promise<Line> {
  return eventually(async () => {
    const lines = await logSince(markMs);
    const line = lines.find(
      ({ msg, step, service: name }) => msg === 'step executed' && step === kind && name === service,
    );
    if (line === undefined) {
      throw new Error(`no ${kind} of ${service} by core`);
    }
    return line;
  }, SLOW);
}

/** `<code> <service>` of every finding that stands. */
async function standing(): Promise<readonly string[]> {
  // It exits with 1 where something is wrong.
  const text = await interlock.exec(`${STACK}_core`, ['sh', '-c', 'interlock status --json || true']);
  return (JSON.parse(text) as StatusReport).findings.map(({ code, service }) => `${code} ${service ?? ''}`);
}

async function updateNode(node: string, ...argv: readonly string[]): Promise<void> {
  // Swarm writes nodes too, and then says "update out of sequence".
  await eventually(() => interlock.cli('node', 'update', ...argv, node), { timeoutMs: 30_000 });
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

/** No roll is under way, and its proxies run, by default one. */
async function settled(service = 'interlock-proxy', count = 1): Promise<void> {
  await eventually(async () => {
    const { UpdateStatus } = await interlock.inspectService(service);
    const tasks = (await interlock.docker.listTasks({ filters: { service: [service] } })) as readonly TaskJson[];
    const wanted = tasks.filter(({ DesiredState }) => DesiredState === 'running' || DesiredState === 'ready');
    const states = wanted.map(({ Status }) => Status.State).join(' ');
    const isCompleted = (UpdateStatus?.State ?? 'completed') === 'completed';
    if (!isCompleted || states !== Array.from({ length: count }, () => 'running').join(' ')) {
      throw new Error(`${service}: ${UpdateStatus?.State ?? 'no update'}, tasks ${states}`);
    }
  }, SLOW);
}

/** The proxies are on the control network and the one of `app`, and on no other any more. */
async function untilNothingLingers(count = 1): Promise<void> {
  await eventually(
    async () => (await interlock.inspectService('interlock-proxy')).Spec.TaskTemplate.Networks?.length === 2,
    SLOW,
  );
  await settled('interlock-proxy', count);
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
  const NOWHERE = 'ProxyConstraints = ["node.labels.nowhere==true"]\n';
  const ABSENT = 'ProxyImage = "interlock/absent:1"\n';
  const stuck = () => [
    // Both want one port of the only worker.
    {
      name: 'port',
      lines: `${PROXY_IMAGE}ProxyConstraints = ["node.role==worker"]\nPublishedPort = 8080`,
      code: 'PUBLISH.ROLL_STUCK',
      words: 'host-mode port already',
    },
    { name: 'node', lines: PROXY_IMAGE + NOWHERE, code: 'PUBLISH.ROLL_STUCK', words: 'no suitable node' },
    { name: 'image', lines: ABSENT, code: 'PUBLISH.ROLL_STUCK', words: 'No such image' },
    {
      name: 'pull',
      lines: `ProxyImage = "${silentRegistry}/interlock/proxy:1"\n`,
      code: 'PUBLISH.ROLL_SLOW',
      words: 'preparing: the node pulls the image',
    },
  ];

  it('no free host port, no matching node, a missing image and a silent registry are said within 30 s; what was made goes with its table', async () => {
    const before = { names: await serviceNames(), tasks: await tasksOf('interlock-proxy') };
    const markMs = Date.now();
    await useConfig(
      interlock,
      DEFAULT +
        stuck()
          .map(({ name, lines }) => table(name, lines))
          .join(''),
    );
    for (const { name, code, words } of stuck()) {
      const made = await untilWritten('create-service', `${name}-proxy`, markMs);
      const said = await untilSaid(code, `${name}-proxy`, markMs);
      expect(said.finding.value).toContain(words);
      expect(said.time - made.time).toBeLessThan(30_000);
    }
    await untilSaid('PUBLISH.CONSTRAINT_UNMATCHED', 'node-proxy', markMs);
    await served();

    // Three tables leave; one stays, under another name of its proxy.
    await useConfig(interlock, DEFAULT + table('image', PROXY_IMAGE).replace('image-proxy', 'renamed-proxy'));
    await settled('renamed-proxy');
    await eventually(
      async () => expect(await serviceNames()).toEqual([...before.names, 'image-extension', 'renamed-proxy'].sort()),
      SLOW,
    );
    await useConfig(interlock, DEFAULT);
    await eventually(async () => {
      expect(await serviceNames()).toEqual(before.names);
      expect(await configNames()).not.toContainEqual(expect.stringMatching(/\.proxy\.(port|node|image|pull)\./));
    }, SLOW);
    expect(await tasksOf('interlock-proxy')).toEqual(before.tasks);
    await served();
  }, 600_000);

  it('the same for an update of proxies that run: it is said within 30 s of it, and one of both at least serves on', async () => {
    const TAKEN = 8099;
    const roll = (name: string, port: number, image = PROXY_IMAGE, lines = '') =>
      table(name, `${image}ProxyReplicas = 2\nPublishedPort = ${port}\n${lines}`);
    const tables = [
      { name: 'uport', port: 8091, bad: roll('uport', TAKEN), code: 'PUBLISH.ROLL_STUCK', words: 'host-mode port' },
      {
        name: 'unode',
        port: 8092,
        bad: roll('unode', 8092, PROXY_IMAGE, NOWHERE),
        code: 'PUBLISH.ROLL_STUCK',
        words: 'no suitable node',
      },
      // A task that is refused counts as failed, so Swarm rolls back.
      { name: 'uimage', port: 8093, bad: roll('uimage', 8093, ABSENT), code: 'PUBLISH.ROLL_FAILED', words: 'rolled' },
    ];
    /** How many of both proxies answer for the cluster's application. */
    const answering = async ({ name, port }: { readonly name: string; readonly port: number }) => {
      const bases = [1, 2].map((node) => baseOf(interlock.swarm, node).replace(/\d+$/, String(port)));
      const asked = await Promise.allSettled(bases.map((base) => interlock.ask(base, `${name}.local`)));
      return asked.filter((one) => one.status === 'fulfilled' && one.value.status === 200).length;
    };
    await interlock.createApp({
      name: 'taken',
      networks: [home],
      everywhere: true,
      ports: [{ Protocol: 'tcp', TargetPort: 8080, PublishedPort: TAKEN, PublishMode: 'host' }],
    });
    undo.push(() => interlock.removeService('taken'));
    await useConfig(interlock, DEFAULT + tables.map(({ name, port }) => roll(name, port)).join(''));
    for (const { name } of tables) {
      const lb = { hosts: `${name}.local`, port: '8080', service_cluster: name };
      await interlock.createApp({ name: `app-${name}`, networks: [home], lb });
      undo.push(() => interlock.removeService(`app-${name}`));
    }
    for (const one of tables) {
      await settled(`${one.name}-proxy`, 2);
      await eventually(async () => expect(await answering(one)).toBe(2), SLOW);
    }

    const markMs = Date.now();
    await useConfig(interlock, DEFAULT + tables.map(({ bad }) => bad).join(''));
    for (const one of tables) {
      const written = await untilWritten('update-service', `${one.name}-proxy`, markMs);
      const said = await untilSaid(one.code, `${one.name}-proxy`, markMs);
      expect(said.finding.value).toContain(one.words);
      expect(said.time - written.time).toBeLessThan(30_000);
      expect(await answering(one)).toBeGreaterThanOrEqual(1);
    }
    await eventually(
      async () =>
        expect(await standing()).toEqual(
          expect.arrayContaining(tables.map(({ name, code }) => `${code} ${name}-proxy`)),
        ),
      SLOW,
    );
    await eventually(async () => expect(await answering(tables[2] ?? { name: '', port: 0 })).toBe(2), SLOW);

    await useConfig(interlock, DEFAULT);
    await served();
  }, 900_000);

  it('while every worker is paused, a new table waits for one: that is said within 30 s, and what runs serves on', async () => {
    const before = await tasksOf('interlock-proxy');
    await updateNode('n2', '--availability', 'pause');
    undo.push(() => updateNode('n2', '--availability', 'active'));
    const markMs = Date.now();
    await useConfig(interlock, DEFAULT + table('paused', `${PROXY_IMAGE}PublishedPort = 8090`));
    const made = await untilWritten('create-service', 'paused-extension', markMs);
    const said = await untilSaid('PUBLISH.ROLL_STUCK', 'paused-extension', markMs);
    expect(said.finding.value).toContain('not available for new tasks');
    expect(said.time - made.time).toBeLessThan(30_000);
    await served();

    await updateNode('n2', '--availability', 'active');
    await settled('paused-extension');
    await settled('paused-proxy');
    await eventually(async () => expect(await standing()).not.toContainEqual(expect.stringContaining('paused-')), SLOW);
    expect(await tasksOf('interlock-proxy')).toEqual(before);
    await useConfig(interlock, DEFAULT);
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
    // What wakes core and is no reason to try again.
    for (let look = 0; look < 10; look += 1) {
      await updateNode('n1', '--label-add', `look=${look}`);
      await new Promise((resolve) => setTimeout(resolve, 3_000));
    }
    await served();
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
    await Promise.all(['edge-proxy', 'shop-proxy'].map((name) => settled(name)));
    for (const [edge, shop] of [
      [9_080, 9_082],
      [9_081, 9_080],
    ] as const) {
      await useConfig(interlock, withPorts(edge, shop));
      await eventually(async () => expect(await ports()).toEqual([[edge], [shop]]), { ...SLOW, timeoutMs: 55_000 });
      await Promise.all(['edge-proxy', 'shop-proxy'].map((name) => settled(name)));
    }
  }, 600_000);
});

describe('what others write, hold, remove or damage', () => {
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
    const status = await interlock.exec('second_core', ['sh', '-c', 'interlock status --json || true']);
    expect(JSON.parse(status)).toMatchObject({ clusters: [{ proxies: [] }] });
  }, 600_000);

  it("an operator's updates of the proxy service and core's rolls of it, at the same time, are all in effect in the end", async () => {
    await untilNothingLingers();
    const markMs = Date.now();
    const operators = [0, 1, 2].map((key) => ({ key, written: 0, lost: 0 }));
    const end = { isNear: false };
    const writing = operators.map(async (operator) => {
      while (!end.isNear) {
        const label = `operator${operator.key}=${operator.written + 1}`;
        try {
          const update = ['service', 'update', '--detach', '--no-resolve-image', '--label-add', label];
          await interlock.cli(...update, 'interlock-proxy');
          operator.written += 1;
        } catch (error) {
          expect(String(error)).toContain('update out of sequence');
          operator.lost += 1;
        }
      }
    });
    const lost = async () =>
      (await logSince(markMs)).filter(
        ({ msg, code, service }) =>
          msg === 'step failed' && code === 'ENGINE.OUT_OF_SEQUENCE' && service === 'interlock-proxy',
      ).length;
    const networks: string[] = [];
    try {
      // Until both have met: each new network is a roll, and so at least one write of core's.
      while ((await lost()) === 0 || networks.length < 2) {
        const name = `met${networks.length}`;
        expect(networks.length).toBeLessThan(12);
        networks.push(await interlock.createNetwork(name));
        await interlock.createApp({ name, networks: [name], lb: { hosts: `${name}.local`, port: '8080' } });
        undo.push(() => interlock.removeService(name));
        await served(`${name}.local`);
      }
    } finally {
      end.isNear = true;
      await Promise.all(writing);
    }
    process.stderr.write(
      `${operators.map(({ written, lost: theirs }) => `${written} written and ${theirs} lost`).join(', ')}; core lost ${await lost()}, ${networks.length} rolls\n`,
    );
    await settled();
    await untilAtRest(interlock);
    const { Labels, TaskTemplate } = (await interlock.inspectService('interlock-proxy')).Spec;
    for (const { key, written } of operators) {
      expect(written).toBeGreaterThan(0);
      expect(Labels[`operator${key}`]).toBe(String(written));
    }
    expect((TaskTemplate.Networks ?? []).map(({ Target }) => Target)).toEqual(expect.arrayContaining(networks));
    for (const index of networks.keys()) {
      await served(`met${index}.local`);
    }
  }, 900_000);

  it('what an operator set on a proxy service stays when config.toml changes elsewhere, and gives way where it changes there', async () => {
    const merge = (replicas: number, grace: string, label: string, more = '') =>
      DEFAULT +
      table(
        'merge',
        `${PROXY_IMAGE}ProxyReplicas = ${replicas}\nProxyConstraints = ["node.labels.${label}!=true"]\n${more}`,
      ).replace('ProxyStopGracePeriod = "1s"', `ProxyStopGracePeriod = "${grace}"`);
    const SECOND = 1_000_000_000;
    const set = async () => {
      const { Mode, TaskTemplate } = (await interlock.inspectService('merge-proxy')).Spec;
      const { Placement } = TaskTemplate as { readonly Placement?: { readonly Constraints?: readonly string[] } };
      return {
        replicas: Mode.Replicated?.Replicas,
        graceSeconds: Number(TaskTemplate.ContainerSpec['StopGracePeriod']) / SECOND,
        constraints: Placement?.Constraints,
      };
    };
    await useConfig(interlock, merge(1, '1s', 'ours'));
    undo.push(() => useConfig(interlock, DEFAULT));
    await settled('merge-proxy');
    const update = ['service', 'update', '--detach', '--no-resolve-image', '--stop-grace-period', '7s'];
    await interlock.cli('service', 'scale', '--detach', 'merge-proxy=2');
    await interlock.cli(...update, '--constraint-add', 'node.labels.theirs!=true', 'merge-proxy');
    const theirs = {
      replicas: 2,
      graceSeconds: 7,
      constraints: ['node.labels.ours!=true', 'node.labels.theirs!=true'],
    };
    expect(await set()).toEqual(theirs);
    await settled('merge-proxy', 2);

    await useConfig(interlock, merge(1, '1s', 'ours', 'ProxyContainerLabels = { mark = "elsewhere" }\n'));
    await eventually(async () => {
      const { ContainerSpec } = (await interlock.inspectService('merge-proxy')).Spec.TaskTemplate;
      expect(ContainerSpec['Labels']).toMatchObject({ mark: 'elsewhere' });
    }, SLOW);
    await settled('merge-proxy', 2);
    expect(await set()).toEqual(theirs);

    // A list is merged element by element: what the file no longer has goes, what the operator added stays.
    await useConfig(interlock, merge(3, '3s', 'new'));
    await eventually(
      async () =>
        expect(await set()).toEqual({
          replicas: 3,
          graceSeconds: 3,
          constraints: ['node.labels.new!=true', 'node.labels.theirs!=true'],
        }),
      SLOW,
    );
    await settled('merge-proxy', 3);
  }, 600_000);

  it('a foreign service with the name of a proxy is never written, and a finding says so until it is gone', async () => {
    const foreign = await interlock.createNetwork('foreign');
    await interlock.createApp({ name: 'shop-proxy', networks: [foreign] });
    undo.push(() => useConfig(interlock, DEFAULT));
    const before = await interlock.inspectService('shop-proxy');
    const markMs = Date.now();
    await useConfig(interlock, DEFAULT + table('shop', PROXY_IMAGE));
    await untilSaid('PUBLISH.NAME_TAKEN', 'shop-proxy', markMs);

    // Core has gone on with the rest: what it would do to the service, it would have done by now.
    await interlock.createApp({ name: 'late', networks: [foreign], lb: { hosts: 'late.local', port: '8080' } });
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

/** Like a balancer before the proxies, which goes on to the next where one takes no connection. */
function startBalanced(host: string) {
  const bases = [1, 2].map((node) => baseOf(interlock.swarm, node));
  const tally: { answered: number; readonly failed: string[] } = { answered: 0, failed: [] };
  const underWay = new Set<Promise<void>>();
  const NO_CONNECTION = ['ECONNREFUSED', 'EHOSTUNREACH', 'UND_ERR_CONNECT_TIMEOUT'];

  async function problemAt(base: string): Promise<{ readonly text: string; readonly goOn: boolean } | undefined> {
    try {
      const { status } = await interlock.ask(base, host);
      return status === 200 ? undefined : { text: `${base}: status ${status}`, goOn: false };
    } catch (error) {
      const code = (error as { readonly code?: string }).code ?? '';
      return { text: `${base}: ${code} ${String(error)}`, goOn: NO_CONNECTION.includes(code) };
    }
  }

  async function exchange(order: readonly string[]): Promise<void> {
    const problems: string[] = [];
    for (const base of order) {
      const problem = await problemAt(base);
      if (problem === undefined) {
        tally.answered += 1;
        return;
      }
      problems.push(problem.text);
      if (!problem.goOn) {
        break;
      }
    }
    tally.failed.push(`${new Date().toISOString()} ${problems.join('; ')}`);
  }

  let turn = 0;
  const timer = setInterval(() => {
    turn += 1;
    const one = exchange(turn % 2 === 0 ? bases : [...bases].reverse());
    underWay.add(one);
    void one.finally(() => underWay.delete(one));
  }, 100);
  return {
    tally,
    async stop() {
      clearInterval(timer);
      await Promise.all(underWay);
    },
  };
}

describe('application networks', () => {
  const PROXIES = 2;
  /** A proxy that leaves 20 networks and joins none: seconds. Both, one after the other, with Swarm's own delays: well below this. */
  const ROLL_MS = 120_000;

  beforeAll(async () => {
    const onBoth = `NetworkLinger = "${LINGER_MS / 1_000}s"\n${defaultConfig({ replicas: PROXIES })}`;
    await useConfig(interlock, onBoth);
    await settled('interlock-proxy', PROXIES);
  }, 300_000);
  afterAll(async () => {
    await useConfig(interlock, DEFAULT);
    await settled();
  }, 300_000);

  it.each([1, 5, 20])(
    '%i that come together are one roll; docker stack rm takes them within the linger time and a roll, and nobody else notices',
    async (count) => {
      await untilNothingLingers(PROXIES);
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
      await settled('interlock-proxy', PROXIES);
      expect((await tasksOf('interlock-proxy')).filter((id) => !before.includes(id))).toHaveLength(PROXIES);

      const balanced = startBalanced('app.local');
      undo.push(() => balanced.stop());
      await removeStack(stack, LINGER_MS + ROLL_MS);
      await settled('interlock-proxy', PROXIES);
      await served();
      await balanced.stop();
      process.stderr.write(`${balanced.tally.answered} requests of another application answered\n`);
      expect(balanced.tally.failed).toEqual([]);
      expect(balanced.tally.answered).toBeGreaterThan(20);
    },
    600_000,
  );

  /** As somebody at a keyboard does it: again, as long as networks are in use, and nothing else may be the matter. */
  async function removeStack(stack: string, withinMs: number): Promise<void> {
    const startedMs = Date.now();
    const said: string[] = [];
    const attempts = { count: 0 };
    const label = ['--filter', `label=com.docker.stack.namespace=${stack}`, '--format', '{{.Name}}'];
    await eventually(
      async () => {
        attempts.count += 1;
        said.push(await interlock.cliWords('stack', 'rm', stack).catch((error: unknown) => String(error)));
        expect(await interlock.cli('network', 'ls', ...label)).toBe('');
      },
      { timeoutMs: withinMs, everyMs: 1_000 },
    );
    const errors = said.flatMap((words) => words.split('\n')).filter((line) => /error|failed/i.test(line));
    expect(
      errors.filter(
        (line) => !/ in use |^Failed to remove (network|some resources)|^Error: Command failed/i.test(line),
      ),
    ).toEqual([]);
    expect(await interlock.cli('service', 'ls', ...label)).toBe('');
    process.stderr.write(
      `${stack}: gone after ${Date.now() - startedMs} ms, docker stack rm ${attempts.count} times\n`,
    );
  }
});

describe('the only worker', () => {
  const SERVICES = ['interlock-extension', 'interlock-proxy'];
  const untilOn = (node: string) =>
    eventually(async () => {
      for (const service of SERVICES) {
        expect((await runningOf(interlock, service)).map(({ hostname }) => hostname)).toEqual([node]);
      }
    }, SLOW);
  const answers = (node: number, host: string) =>
    eventually(async () => expect((await interlock.ask(baseOf(interlock.swarm, node), host)).status).toBe(200), SLOW);
  /** It takes an extension that works: a mounted file has what was there before. */
  async function changeArrives(node: number, host: string): Promise<void> {
    await interlock.updateService('app', (spec) => {
      spec.Labels['com.docker.lb.hosts'] = `app.local,${host}`;
    });
    await answers(node, host);
  }

  beforeAll(async () => {
    await useConfig(interlock, DEFAULT.replace('ProxyConstraints = ["node.role==worker"]\n', ''));
    await settled();
  }, 300_000);

  it('leaves the Swarm: extension and proxy move to the manager; joins again: they move back', async () => {
    const { swarm } = interlock;
    const [manager, worker] = swarm.nodes;
    await untilOn('n2');
    await answers(2, 'app.local');

    await swarm.exec(2, ['docker', 'swarm', 'leave']);
    await eventually(() => interlock.cli('node', 'rm', '--force', 'n2'), SLOW);
    await untilOn('n1');
    await changeArrives(1, 'alone.local');

    const token = (await interlock.cli('swarm', 'join-token', '-q', 'worker')).trim();
    const join = ['docker', 'swarm', 'join', '--token', token, '--advertise-addr', worker?.address ?? ''];
    await swarm.exec(2, [...join, `${manager?.address ?? ''}:2377`]);
    await untilOn('n2');
    await changeArrives(2, 'joined.local');
  }, 600_000);

  it('lost by power: extension and proxy move to the manager, which has no constraint of its own against them', async () => {
    await untilOn('n2');
    await interlock.swarm.killNode(2);
    await untilOn('n1');
    await changeArrives(1, 'lost.local');
  }, 600_000);
});
