/**
 * Every key of `[Extensions.<name>]` that is a part of a service's spec, on a real Swarm of two nodes: as Swarm has it when the service is
 * made and when config.toml changes, and at rest afterwards. The proxy is published in ingress mode (routing mesh emulated), so its rolls
 * are start-first; and core is dialled at EndpointOverride. Then what only a real engine shows of a roll: a proxy that starts and is never
 * healthy, and an image without our agent.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSwarm } from '../support/bed.ts';
import { eventually } from '../support/eventually.ts';
import { imageArchive } from '../support/images.ts';
import { deployInterlock, type Interlock, type TaskJson } from '../support/interlock.ts';
import { emulateRoutingMesh } from '../support/mesh.ts';
import { runningOf } from './cluster.ts';
import { useConfig } from './use-config.ts';

const SLOW = { timeoutMs: 180_000, everyMs: 500 };
const SECOND = 1_000_000_000;
const PROXY = 'all-proxy';
const ENDPOINT = 'interlock_core:8080';

interface Values {
  /** Stands in every text. */
  readonly mark: string;
  readonly constraint: string;
  readonly spread: string;
  readonly seconds: number;
  readonly signal: string;
  readonly mode: 'ingress' | 'host';
  /** The first of four ports. */
  readonly port: number;
  readonly image?: string;
  readonly args?: boolean;
}

const FIRST: Values = {
  mark: 'first',
  constraint: 'node.role==worker',
  spread: 'node.labels.zone',
  seconds: 3,
  signal: 'SIGQUIT',
  mode: 'ingress',
  port: 8085,
};
const SECOND_VALUES: Values = {
  mark: 'second',
  constraint: 'node.hostname==n2',
  spread: 'node.labels.rack',
  seconds: 4,
  signal: 'SIGTERM',
  mode: 'host',
  port: 8095,
};

const tomlOf = ({ mark, constraint, spread, seconds, signal, mode, port, image, args = true }: Values) => `
ListenAddr = ":8080"
DockerURL = "unix:///var/run/docker.sock"
EndpointOverride = "${ENDPOINT}"

[Extensions.all]
Image = "interlock/extension:dev"
Args = ["-D"]
Labels = { "mine.Label" = "${mark}" }
ContainerLabels = { "mine.Container" = "${mark}" }
Constraints = ["${constraint}"]
PlacementPreferences = ["spread=${spread}"]
ServiceName = "all-extension"
ServiceCluster = "all"
Networks = ["front"]
ProxyImage = "${image ?? 'interlock/proxy:dev'}"
${args ? 'ProxyArgs = ["-D"]' : ''}
ProxyLabels = { "mine.Label" = "${mark}" }
ProxyContainerLabels = { "mine.Container" = "${mark}" }
ProxyServiceName = "${PROXY}"
ProxyConfigPath = "/etc/nginx/own.conf"
ProxyReplicas = 1
ProxyStopSignal = "${signal}"
ProxyStopGracePeriod = "${seconds}s"
ProxyConstraints = ["${constraint}"]
ProxyPlacementPreferences = ["spread=${spread}"]
ProxyUpdateDelay = "${seconds}s"
PublishMode = "${mode}"
PublishedPort = ${port}
TargetPort = ${port + 1}
PublishedSSLPort = ${port + 2}
TargetSSLPort = ${port + 3}
`;

const placed = ({ constraint, spread }: Values) => ({
  Constraints: [constraint],
  Preferences: [{ Spread: { SpreadDescriptor: spread } }],
});

const extensionSpecOf = (values: Values) => ({
  Name: 'all-extension',
  Labels: { 'mine.Label': values.mark },
  TaskTemplate: {
    ContainerSpec: {
      Image: 'interlock/extension:dev',
      Args: ['-D'],
      Labels: { 'mine.Container': values.mark },
      Env: expect.arrayContaining([`INTERLOCK_ENDPOINT=${ENDPOINT}`]) as unknown,
    },
    Placement: placed(values),
  },
});

const proxySpecOf = (values: Values) => ({
  Name: PROXY,
  Labels: { 'mine.Label': values.mark },
  TaskTemplate: {
    ContainerSpec: {
      Image: 'interlock/proxy:dev',
      Args: ['-D'],
      Labels: { 'mine.Container': values.mark },
      Env: expect.arrayContaining([`INTERLOCK_ENDPOINT=${ENDPOINT}`]) as unknown,
      Configs: [expect.objectContaining({ File: expect.objectContaining({ Name: '/etc/nginx/own.conf' }) as unknown })],
      StopSignal: values.signal,
      StopGracePeriod: values.seconds * SECOND,
    },
    Placement: placed(values),
  },
  Mode: { Replicated: { Replicas: 1 } },
  UpdateConfig: {
    Delay: values.seconds * SECOND,
    Order: values.mode === 'ingress' ? 'start-first' : 'stop-first',
    FailureAction: 'rollback',
  },
  EndpointSpec: {
    Ports: [0, 2].map((at) => ({
      Protocol: 'tcp',
      PublishMode: values.mode,
      PublishedPort: values.port + at,
      TargetPort: values.port + at + 1,
    })),
  },
});

let interlock: Interlock;
const cleanUps: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  const swarm = await startSwarm({ name: 'keys', nodes: 2 });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  interlock = await deployInterlock(swarm, tomlOf(FIRST));
  cleanUps.unshift(() => interlock.down());
  await interlock.createNetwork('front');
  await interlock.createApp({
    name: 'app',
    networks: ['front'],
    lb: { hosts: 'app.local', port: '8080', service_cluster: 'all' },
  });
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

/** Through the mesh on both nodes, or on the worker alone in host mode. */
async function served(host: string, { mode, port }: Values): Promise<void> {
  const nodes = mode === 'ingress' ? [1, 2] : [2];
  await eventually(async () => {
    if (mode === 'ingress') {
      await emulateRoutingMesh(interlock.swarm, interlock.docker);
    }
    for (const node of nodes) {
      const base = `http://${interlock.swarm.nodes[node - 1]?.address ?? ''}:${port}`;
      const { status, body } = await interlock.ask(base, host);
      expect([node, status, body.slice(0, 3)]).toEqual([node, 200, 'app']);
    }
  }, SLOW);
}

async function rename(...hosts: readonly string[]): Promise<void> {
  await interlock.updateService('app', (spec) => {
    spec.Labels['com.docker.lb.hosts'] = ['app.local', ...hosts].join();
  });
}

const specOf = async (name: string) => (await interlock.inspectService(name)).Spec;

async function settled(values: Values): Promise<void> {
  await eventually(async () => {
    expect(await specOf('all-extension')).toMatchObject(extensionSpecOf(values));
    expect(await specOf(PROXY)).toMatchObject(proxySpecOf(values));
    expect((await interlock.inspectService(PROXY)).UpdateStatus?.State ?? 'completed').toBe('completed');
    expect(await runningOf(interlock, PROXY)).toHaveLength(1);
  }, SLOW);
}

interface Stamped extends TaskJson {
  readonly CreatedAt: string;
  readonly Status: TaskJson['Status'] & { readonly Timestamp: string };
}

async function tasks(): Promise<readonly Stamped[]> {
  // Shape: Engine API `GET /tasks`.
  const all = (await interlock.docker.listTasks({ filters: { service: [PROXY] } })) as readonly Stamped[];
  return [...all].sort((a, b) => Date.parse(a.CreatedAt) - Date.parse(b.CreatedAt));
}

async function said(code: string): Promise<void> {
  await eventually(async () => {
    const findings = (await interlock.coreLog()).filter(({ msg }) => msg === 'finding');
    expect(findings.map(({ finding }) => (finding as { readonly code: string }).code)).toContain(code);
  }, SLOW);
}

/** The proxy's image with another entry point, on every node. */
async function deriveImage(tag: string, entrypoint: readonly string[]): Promise<void> {
  for (const { index } of interlock.swarm.nodes) {
    const docker = (...argv: readonly string[]) => interlock.swarm.exec(index, ['docker', ...argv]);
    await docker('create', '--name', 'derived', 'interlock/proxy:dev');
    await docker('commit', '--change', `ENTRYPOINT ${JSON.stringify(entrypoint)}`, 'derived', tag);
    await docker('rm', 'derived');
  }
}

describe('every key of a spec', () => {
  it('is as config.toml says when the services are made, published in ingress mode (routing mesh emulated)', async () => {
    await settled(FIRST);
    await served('app.local', FIRST);
    const before = await tasks();
    await rename('heard.local');
    await served('heard.local', FIRST);
    // Hitless: the agent has found core at EndpointOverride.
    expect((await tasks()).map(({ ID }) => ID)).toEqual(before.map(({ ID }) => ID));
  }, 600_000);

  it('follows config.toml, and then neither this core nor the next one writes', async () => {
    await useConfig(interlock, tomlOf(SECOND_VALUES));
    await settled(SECOND_VALUES);
    await served('app.local', SECOND_VALUES);
    const versions = async () =>
      await Promise.all(
        ['all-extension', PROXY].map(async (name) => (await interlock.inspectService(name)).Version.Index),
      );
    const before = await versions();
    await interlock.killTask('interlock_core');
    await rename('next-core.local');
    await served('next-core.local', SECOND_VALUES);
    expect(await versions()).toEqual(before);
  }, 600_000);
});

describe('a roll in ingress mode', () => {
  it('starts the new proxy before the old one stops', async () => {
    await useConfig(interlock, tomlOf(FIRST));
    await settled(FIRST);
    const [old] = await runningOf(interlock, PROXY);
    await useConfig(interlock, tomlOf({ ...FIRST, mark: 'rolled' }));
    await settled({ ...FIRST, mark: 'rolled' });
    await eventually(async () => {
      const all = await tasks();
      const [before, after] = [all.find(({ ID }) => ID === old?.id), all.at(-1)];
      expect([before?.Status.State, after?.Status.State]).toEqual(['shutdown', 'running']);
      expect(Date.parse(before?.Status.Timestamp ?? '')).toBeGreaterThan(Date.parse(after?.Status.Timestamp ?? ''));
    }, SLOW);
    await served('app.local', FIRST);
  }, 600_000);

  it('onto a proxy that starts and is never healthy takes no task away: Swarm rolls back, core says so', async () => {
    const [old] = await runningOf(interlock, PROXY);
    await deriveImage('interlock/sick:dev', ['sleep', '3600']);
    await useConfig(interlock, tomlOf({ ...FIRST, mark: 'sick', image: 'interlock/sick:dev', args: false }));
    await said('PUBLISH.ROLL_FAILED');
    await eventually(async () => {
      expect((await interlock.inspectService(PROXY)).UpdateStatus?.State).toBe('rollback_completed');
    }, SLOW);
    const sick = (await tasks()).filter(({ Status }) => Status.State === 'failed');
    expect(sick.map(({ Status }) => Status.Err)).toContainEqual(expect.stringContaining('unhealthy'));
    expect((await runningOf(interlock, PROXY)).map(({ id }) => id)).toEqual([old?.id]);
    await rename('in-spite.local');
    await served('in-spite.local', FIRST);
  }, 600_000);
});

describe('a proxy image without our agent', () => {
  it('is served by rolling it, and a finding says why', async () => {
    await deriveImage('interlock/foreign:dev', ['nginx', '-g', 'daemon off;', '-c', '/etc/nginx/own.conf']);
    const foreign = { ...FIRST, mark: 'foreign', image: 'interlock/foreign:dev', args: false };
    await useConfig(interlock, tomlOf(foreign));
    await eventually(async () => {
      const { Spec, UpdateStatus } = await interlock.inspectService(PROXY);
      expect([Spec.TaskTemplate.ContainerSpec['Image'], UpdateStatus?.State ?? 'completed']).toEqual([
        foreign.image,
        'completed',
      ]);
    }, SLOW);
    await served('app.local', foreign);
    await said('PUBLISH.NO_AGENT_SESSION');
    const [before] = await runningOf(interlock, PROXY);
    await rename('rolled.local');
    await served('rolled.local', foreign);
    const after = await runningOf(interlock, PROXY);
    expect(after.map(({ id }) => id)).not.toContain(before?.id);
  }, 600_000);
});
