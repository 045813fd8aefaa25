/**
 * Every key of `[Extensions.<name>]` that is a part of a service's spec, and those of the top level that reach it, on a real Swarm of two
 * nodes: as Swarm has it when the services are made and when config.toml changes, and at rest afterwards; what core says of a file that it
 * reads in its own way, and of one that it cannot use. The proxy is published in ingress mode (routing mesh emulated), so its rolls are
 * start-first; and core is dialled at EndpointOverride. Core at engines that listen on TCP with TLS. Then what only a real engine shows of a
 * roll: a proxy that starts and is never healthy, and an image without our agent.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSwarm } from '../support/bed.ts';
import { createAuthority } from '../support/certificates.ts';
import { listenOverTls } from '../support/engine-tls.ts';
import { eventually } from '../support/eventually.ts';
import { imageArchive } from '../support/images.ts';
import { deployInterlock, type Interlock, STACK, type TaskJson } from '../support/interlock.ts';
import { emulateRoutingMesh } from '../support/mesh.ts';
import { runningOf } from './cluster.ts';
import { useConfig } from './use-config.ts';

const SLOW = { timeoutMs: 180_000, everyMs: 500 };
const SECOND = 1_000_000_000;

interface Values {
  /** Stands in every text. */
  readonly mark: string;
  /** The service cluster, and the beginning of both services' names. */
  readonly name: string;
  /** Of the gRPC API. */
  readonly listenPort: number;
  readonly endpoint: string;
  /** As config.toml has them. */
  readonly image: string;
  readonly proxyImage: string;
  readonly args: readonly string[];
  readonly proxyArgs: readonly string[];
  readonly configPath: string;
  readonly network: string;
  readonly replicas: number;
  readonly constraint: string;
  readonly spread: string;
  readonly seconds: number;
  readonly signal: string;
  readonly mode: 'ingress' | 'host';
  /** The first of four ports. */
  readonly port: number;
}

/** With the original's names of images, and its single `=`. */
const FIRST: Values = {
  mark: 'first',
  name: 'all',
  listenPort: 8080,
  endpoint: 'interlock_core:8080',
  image: 'docker/ucp-interlock-extension:3.2.1',
  proxyImage: 'docker/ucp-interlock-proxy:3.2.1',
  args: ['-D'],
  proxyArgs: ['-D'],
  configPath: '/etc/nginx/own.conf',
  network: 'front',
  replicas: 1,
  constraint: 'node.role=worker',
  spread: 'node.labels.zone',
  seconds: 3,
  signal: 'SIGQUIT',
  mode: 'ingress',
  port: 8085,
};
/** Every value is another one. */
const SECOND_VALUES: Values = {
  mark: 'second',
  name: 'every',
  listenPort: 8081,
  endpoint: 'tasks.interlock_core:8081',
  image: 'interlock/extension:second',
  proxyImage: 'interlock/proxy:second',
  args: ['--debug'],
  proxyArgs: ['--debug'],
  configPath: '/etc/nginx/second.conf',
  network: 'back',
  replicas: 2,
  constraint: 'node.hostname!=n9',
  spread: 'node.labels.rack',
  seconds: 4,
  signal: 'SIGTERM',
  mode: 'host',
  port: 8095,
};

/** What config.toml has says otherwise than a spec. */
const READ_AS: Readonly<Record<string, string>> = {
  [FIRST.image]: 'interlock/extension:dev',
  [FIRST.proxyImage]: 'interlock/proxy:dev',
  [FIRST.constraint]: 'node.role==worker',
};
const readAs = (written: string) => READ_AS[written] ?? written;

const UNIX = 'DockerURL = "unix:///var/run/docker.sock"';

/** With a typing error, a key of the HAProxy extension, and a network that no service can share. */
const tomlOf = (values: Values, dockerLines = UNIX) => `
ListenAddr = ":${values.listenPort}"
${dockerLines}
EndpointOverride = "${values.endpoint}"

[Extensions.all]
Image = "${values.image}"
Args = ${JSON.stringify(values.args)}
Labels = { "mine.Label" = "${values.mark}" }
ContainerLabels = { "mine.Container" = "${values.mark}" }
Constraints = ["${values.constraint}"]
PlacementPreferences = ["spread=${values.spread}"]
ServiceName = "${values.name}-extension"
ServiceCluster = "${values.name}"
Networks = ["${values.network}", "bridge"]
ProxyImage = "${values.proxyImage}"
ProxyArgs = ${JSON.stringify(values.proxyArgs)}
ProxyLabels = { "mine.Label" = "${values.mark}" }
ProxyContainerLabels = { "mine.Container" = "${values.mark}" }
ProxyServiceName = "${values.name}-proxy"
ProxyConfigPath = "${values.configPath}"
ProxyReplica = 7
ProxyReplicas = ${values.replicas}
ProxyStopSignal = "${values.signal}"
ProxyStopGracePeriod = "${values.seconds}s"
ProxyConstraints = ["${values.constraint}"]
ProxyPlacementPreferences = ["spread=${values.spread}"]
ProxyUpdateDelay = "${values.seconds}s"
PublishMode = "${values.mode}"
PublishedPort = ${values.port}
TargetPort = ${values.port + 1}
PublishedSSLPort = ${values.port + 2}
TargetSSLPort = ${values.port + 3}
Config = { ClientTimeout = "1s" }
`;

const placed = ({ constraint, spread }: Values) => ({
  Constraints: [readAs(constraint)],
  Preferences: [{ Spread: { SpreadDescriptor: spread } }],
});

const environmentOf = ({ endpoint }: Values) => expect.arrayContaining([`INTERLOCK_ENDPOINT=${endpoint}`]) as unknown;

const extensionSpecOf = (values: Values) => ({
  Name: `${values.name}-extension`,
  Labels: { 'mine.Label': values.mark },
  TaskTemplate: {
    ContainerSpec: {
      Image: readAs(values.image),
      Args: values.args,
      Labels: { 'mine.Container': values.mark },
      Env: environmentOf(values),
    },
    Placement: placed(values),
  },
});

const proxySpecOf = (values: Values) => ({
  Name: `${values.name}-proxy`,
  Labels: { 'mine.Label': values.mark },
  TaskTemplate: {
    ContainerSpec: {
      Image: readAs(values.proxyImage),
      ...(values.proxyArgs.length === 0 ? {} : { Args: values.proxyArgs }),
      Labels: { 'mine.Container': values.mark },
      Env: environmentOf(values),
      Configs: [expect.objectContaining({ File: expect.objectContaining({ Name: values.configPath }) as unknown })],
      StopSignal: values.signal,
      StopGracePeriod: values.seconds * SECOND,
    },
    Placement: placed(values),
  },
  Mode: { Replicated: { Replicas: values.replicas } },
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

const PROXY = `${FIRST.name}-proxy`;

/** Of the engines' certificates. */
const authority = createAuthority();
let engineUrls: readonly string[];
let interlock: Interlock;
const cleanUps: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  const swarm = await startSwarm({ name: 'keys', nodes: 2 });
  cleanUps.unshift(() => swarm.down());
  engineUrls = await listenOverTls(swarm, authority);
  await swarm.loadImages([archive]);
  for (const { index } of swarm.nodes) {
    for (const part of ['extension', 'proxy']) {
      await swarm.exec(index, ['docker', 'tag', `interlock/${part}:dev`, `interlock/${part}:second`]);
    }
  }
  interlock = await deployInterlock(swarm, tomlOf(FIRST));
  cleanUps.unshift(() => interlock.down());
  const networks = ['front', 'back', 'side'];
  for (const name of networks) {
    await interlock.createNetwork(name);
  }
  await interlock.createApp({
    name: 'app',
    networks,
    lb: { hosts: 'app.local', port: '8080', service_cluster: 'all' },
  });
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

/** Through the mesh, or at both nodes' own proxies in host mode. */
async function served(host: string, { mode, port }: Values): Promise<void> {
  await eventually(async () => {
    if (mode === 'ingress') {
      await emulateRoutingMesh(interlock.swarm, interlock.docker);
    }
    for (const { index, address } of interlock.swarm.nodes) {
      const { status, body } = await interlock.ask(`http://${address}:${port}`, host);
      expect([index, status, body.slice(0, 3)]).toEqual([index, 200, 'app']);
    }
  }, SLOW);
}

/** The application's hosts, besides app.local; and its service cluster. */
async function label({ name }: Values, ...hosts: readonly string[]): Promise<void> {
  await interlock.updateService('app', (spec) => {
    spec.Labels['com.docker.lb.hosts'] = ['app.local', ...hosts].join();
    spec.Labels['com.docker.lb.service_cluster'] = name;
  });
}

const specOf = async (name: string) => (await interlock.inspectService(name)).Spec;

async function networkId(name: string): Promise<string> {
  return (await interlock.cli('network', 'inspect', '--format', '{{.ID}}', name)).trim();
}

async function settled(values: Values): Promise<void> {
  const networks = await Promise.all([`${STACK}_control`, values.network].map(networkId));
  const proxy = `${values.name}-proxy`;
  await eventually(async () => {
    expect(await specOf(`${values.name}-extension`)).toMatchObject(extensionSpecOf(values));
    const spec = await specOf(proxy);
    expect(spec).toMatchObject(proxySpecOf(values));
    // These and no other: not those of the application beside it, and none that a node has for itself.
    expect(spec.TaskTemplate.Networks?.map(({ Target }) => Target)).toEqual(networks);
    expect((await interlock.inspectService(proxy)).UpdateStatus?.State ?? 'completed').toBe('completed');
    expect(await runningOf(interlock, proxy)).toHaveLength(values.replicas);
    expect(await runningOf(interlock, `${values.name}-extension`)).toHaveLength(1);
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

interface Said {
  readonly code: string;
  readonly subject?: string;
  readonly value?: string;
  readonly advice?: string;
}

async function said(...findings: readonly Said[]): Promise<void> {
  await eventually(async () => {
    const all = (await interlock.coreLog()).filter(({ msg }) => msg === 'finding').map(({ finding }) => finding);
    for (const finding of findings) {
      expect(all).toContainEqual(expect.objectContaining(finding));
    }
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

/** Every rejection of a config.toml by every core so far, its words as they are. */
async function rejections(): Promise<readonly unknown[]> {
  return (await interlock.coreLog()).filter(({ code }) => code === 'SETTINGS.INVALID').map(({ msg }) => msg);
}

describe('every key of a spec', () => {
  it('is as config.toml says when the services are made, published in ingress mode (routing mesh emulated)', async () => {
    await settled(FIRST);
    await served('app.local', FIRST);
    const before = await tasks();
    await label(FIRST, 'heard.local');
    await served('heard.local', FIRST);
    // Hitless: the agent has found core at EndpointOverride.
    expect((await tasks()).map(({ ID }) => ID)).toEqual(before.map(({ ID }) => ID));
  }, 600_000);

  it('that is read in another way than it is written, ignored or of no use here is a finding, with what to write', async () => {
    const of = (key: string) => `Extensions.all.${key}`;
    await said(
      { code: 'SETTINGS.IMAGE_MAPPED', subject: of('Image'), value: FIRST.image },
      { code: 'SETTINGS.IMAGE_MAPPED', subject: of('ProxyImage'), value: FIRST.proxyImage },
      { code: 'SETTINGS.CONSTRAINT_REWRITTEN', subject: of('Constraints'), advice: 'Read as node.role==worker.' },
      { code: 'SETTINGS.CONSTRAINT_REWRITTEN', subject: of('ProxyConstraints'), advice: 'Read as node.role==worker.' },
      { code: 'PUBLISH.PREFERENCE_UNMATCHED', subject: of('PlacementPreferences'), value: FIRST.spread },
      { code: 'PUBLISH.PREFERENCE_UNMATCHED', subject: of('ProxyPlacementPreferences'), value: FIRST.spread },
      { code: 'PUBLISH.NETWORK_UNKNOWN', subject: of('Networks'), value: 'bridge' },
      {
        code: 'SETTINGS.KEY_UNKNOWN',
        subject: of('ProxyReplica'),
        advice: 'There is no such key here. Did you mean ProxyReplicas?',
      },
      { code: 'SETTINGS.KEY_UNKNOWN', subject: of('Config.ClientTimeout') },
      { code: 'SETTINGS.NO_SUCH_EXTENSION', subject: 'Extensions.all', value: 'ClientTimeout' },
    );
  }, 600_000);

  it('follows config.toml, and then neither this core nor the next one writes', async () => {
    await useConfig(interlock, tomlOf(SECOND_VALUES));
    await label(SECOND_VALUES);
    await settled(SECOND_VALUES);
    await served('app.local', SECOND_VALUES);
    const names = ['extension', 'proxy'].map((role) => `${SECOND_VALUES.name}-${role}`);
    const made = (await interlock.docker.listServices()).map(({ Spec }) => Spec?.Name);
    expect(made.sort()).toEqual(['app', ...names, `${STACK}_core`]);
    const versions = async () =>
      await Promise.all(names.map(async (name) => (await interlock.inspectService(name)).Version.Index));
    const before = await versions();
    await interlock.killTask('interlock_core');
    await label(SECOND_VALUES, 'next-core.local');
    await served('next-core.local', SECOND_VALUES);
    expect(await versions()).toEqual(before);
  }, 600_000);
});

describe('tables that claim the same', () => {
  it('stop the start: one message names each key, what stands there and whose it is, and Swarm rolls core back', async () => {
    const clashing = `${tomlOf({ ...SECOND_VALUES, mode: 'ingress' })}
[Extensions.one]
ServiceCluster = "every"
ProxyServiceName = "every-proxy"
PublishedPort = 8095
[Extensions.two]
ServiceCluster = "two"
PublishMode = "host"
PublishedPort = 8097
`;
    await useConfig(interlock, clashing, { until: 'rollback_completed' });
    const messages = await rejections();
    expect([...new Set(messages)]).toEqual([
      [
        '/config.toml cannot be used:',
        'Extensions.one.ServiceCluster: found "every" (string), expected another service cluster than that of Extensions.all.ServiceCluster',
        'Extensions.one.ProxyServiceName: found "every-proxy" (string), expected another service name than that of Extensions.all.ProxyServiceName',
        'Extensions.one.PublishedPort: found 8095 (whole number), expected another published port than that of Extensions.all.PublishedPort',
        'Extensions.two.PublishedPort: found 8097 (whole number), expected another published port than that of Extensions.all.PublishedSSLPort',
        'Extensions.all.ProxyReplica: There is no such key here. Did you mean ProxyReplicas?',
        'Extensions.all.Config.ClientTimeout: There is no such key here; it is ignored.',
      ].join('\n'),
    ]);
    await label(SECOND_VALUES, 'after-all.local');
    await served('after-all.local', SECOND_VALUES);
  }, 600_000);

  it.each([
    ['ingress', 'host'],
    ['host', 'ingress'],
  ])('would be refused by Swarm: a port in %s mode, and then in %s mode', async (first, second) => {
    const publish = (mode: string, name: string) => {
      const port = `published=9999,target=80,mode=${mode}`;
      const options = ['--name', name, '--replicas', '0', '--no-resolve-image', '--detach', '--publish', port];
      return interlock.cli('service', 'create', ...options, 'interlock/demo:dev');
    };
    await publish(first, 'first');
    await expect(publish(second, 'second')).rejects.toThrow("port '9999' is already in use by service 'first'");
    await interlock.cli('service', 'rm', 'first');
  });
});

/** What config.toml says of an engine over TLS, and the secrets that core has for it. */
const overTls = (url: string | undefined, authoritySecret: string, more = '') => `DockerURL = "${url ?? ''}"
TLSCACert = "/run/secrets/${authoritySecret}"
TLSCert = "/run/secrets/engine-cert"
TLSKey = "/run/secrets/engine-key"
${more}`;

describe('an engine that listens on TCP and asks for a certificate', () => {
  afterAll(async () => {
    await useConfig(interlock, tomlOf(SECOND_VALUES));
    await interlock.cli('node', 'demote', 'n2');
    await eventually(async () => {
      expect(await interlock.cli('node', 'ls', '--format', '{{.Hostname}}={{.ManagerStatus}}')).toMatch(/^n2=$/m);
    }, SLOW);
    // Not before: Swarm would end a core on n2 when that is a manager no longer, in the middle of what comes next.
    await useConfig(interlock, tomlOf(SECOND_VALUES), { also: ['--constraint-rm', 'node.hostname==n1'] });
  });

  it('is spoken with by the files of TLSCACert, TLSCert and TLSKey', async () => {
    const { certificate, key } = authority.issue(['core']);
    const secrets = {
      'engine-ca': authority.certificate,
      'engine-cert': certificate,
      'engine-key': key,
      'another-ca': createAuthority('somebody else').certificate,
    };
    for (const [Name, text] of Object.entries(secrets)) {
      await interlock.docker.createSecret({ Name, Data: Buffer.from(text).toString('base64'), Labels: {} });
    }
    const also = Object.keys(secrets).flatMap((name) => ['--secret-add', name]);
    await useConfig(interlock, tomlOf(SECOND_VALUES, overTls(engineUrls[0], 'engine-ca')), { also });
    await label(SECOND_VALUES, 'over-tls.local');
    await served('over-tls.local', SECOND_VALUES);
  }, 600_000);

  it('and shows one of another CA is not: core says why; with AllowInsecure it is', async () => {
    await useConfig(interlock, tomlOf(SECOND_VALUES, overTls(engineUrls[0], 'another-ca')), { until: 'updating' });
    await eventually(async () => {
      const lines = (await interlock.coreLog()).filter(({ msg }) => msg === 'engine not ready');
      expect(lines.map(({ code }) => code)).toContain('ENGINE.UNREACHABLE');
      expect(JSON.stringify(lines)).toMatch(/certificate/i);
    }, SLOW);
    const insecure = overTls(engineUrls[0], 'another-ca', 'AllowInsecure = true');
    await useConfig(interlock, tomlOf(SECOND_VALUES, insecure));
    await label(SECOND_VALUES, 'insecure.local');
    await served('insecure.local', SECOND_VALUES);
  }, 600_000);

  it("may be another manager's than that of core's own node: core finds its service, and nothing is rolled", async () => {
    const running = async () => (await runningOf(interlock, 'every-proxy')).map(({ id }) => id).sort();
    const before = await running();
    await interlock.cli('node', 'promote', 'n2');
    await useConfig(
      interlock,
      // Without EndpointOverride core has to know its own name.
      tomlOf(SECOND_VALUES, overTls(engineUrls[1], 'engine-ca')).replace(/^EndpointOverride.*$/m, ''),
      { also: ['--constraint-add', 'node.hostname==n1'] },
    );
    await label(SECOND_VALUES, 'elsewhere.local');
    await served('elsewhere.local', SECOND_VALUES);
    expect(await running()).toEqual(before);
  }, 600_000);
});

describe('a roll in ingress mode', () => {
  it('starts the new proxy before the old one stops', async () => {
    await useConfig(interlock, tomlOf(FIRST));
    await label(FIRST);
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
    await useConfig(interlock, tomlOf({ ...FIRST, mark: 'sick', proxyImage: 'interlock/sick:dev', proxyArgs: [] }));
    await said({ code: 'PUBLISH.ROLL_FAILED' });
    await eventually(async () => {
      expect((await interlock.inspectService(PROXY)).UpdateStatus?.State).toBe('rollback_completed');
    }, SLOW);
    const sick = (await tasks()).filter(({ Status }) => Status.State === 'failed');
    expect(sick.map(({ Status }) => Status.Err)).toContainEqual(expect.stringContaining('unhealthy'));
    expect((await runningOf(interlock, PROXY)).map(({ id }) => id)).toEqual([old?.id]);
    await label(FIRST, 'in-spite.local');
    await served('in-spite.local', FIRST);
  }, 600_000);
});

describe('a proxy image without our agent', () => {
  it('is served by rolling it, and a finding says why', async () => {
    await deriveImage('interlock/foreign:dev', ['nginx', '-g', 'daemon off;', '-c', '/etc/nginx/own.conf']);
    const foreign = { ...FIRST, mark: 'foreign', proxyImage: 'interlock/foreign:dev', proxyArgs: [] };
    await useConfig(interlock, tomlOf(foreign));
    await eventually(async () => {
      const { Spec, UpdateStatus } = await interlock.inspectService(PROXY);
      expect([Spec.TaskTemplate.ContainerSpec['Image'], UpdateStatus?.State ?? 'completed']).toEqual([
        foreign.proxyImage,
        'completed',
      ]);
    }, SLOW);
    await served('app.local', foreign);
    await said({ code: 'PUBLISH.NO_AGENT_SESSION' });
    const [before] = await runningOf(interlock, PROXY);
    await label(FIRST, 'rolled.local');
    await served('rolled.local', foreign);
    const after = await runningOf(interlock, PROXY);
    expect(after.map(({ id }) => id)).not.toContain(before?.id);
  }, 600_000);
});
