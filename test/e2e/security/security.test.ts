/**
 * The closed house on a real Swarm of one node: core behind the filter of docker/socket-proxy, mutual TLS on the gRPC API. What the main job
 * takes works, nothing that core asks for is refused, and what the containers may do is as little as docs/security.md says.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Swarm, startSwarm } from '../../support/bed.ts';
import { createAuthority } from '../../support/certificates.ts';
import { CHECKOUT } from '../../support/docs-pages.ts';
import { docsRunner } from '../../support/docs-runner.ts';
import { eventually } from '../../support/eventually.ts';
import { imageArchive } from '../../support/images.ts';
import { defaultConfig, deployInterlock, type Interlock } from '../../support/interlock.ts';

const FILTER_PAGE = 'docs/howto/socket-proxy.md';
const FILTER_SED =
  'sed \'s#^DockerURL = .*#DockerURL = "unix:///run/docker-filter/docker.sock"#\' docker/config.toml > docker/socket-proxy/config.toml';
const docs = docsRunner('test/e2e/security/security.test.ts');

let swarm: Swarm;
let interlock: Interlock;
const cleanUps: (() => Promise<void>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  swarm = await startSwarm({ name: 'security', nodes: 1, fastHeartbeat: true });
  cleanUps.unshift(() => swarm.down());
  await swarm.loadImages([archive]);
  await deployGeneration(1);
  await interlock.createNetwork('app');
  await interlock.createNetwork('more');
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

/** Certificates of a CA of their own in secrets of their own names, and core deployed with them. */
async function deployGeneration(generation: number): Promise<void> {
  const authority = createAuthority(`control network ${generation}`);
  const core = authority.issue(['tasks.interlock_core']);
  const client = authority.issue(['interlock-client']);
  const secrets = {
    'core-cert': core.certificate,
    'core-key': core.key,
    'client-cert': client.certificate,
    'client-key': client.key,
    ca: authority.certificate,
  };
  const docker = new Docker({ socketPath: swarm.managerSocket });
  for (const [name, text] of Object.entries(secrets)) {
    const Data = Buffer.from(text).toString('base64');
    await docker.createSecret({ Name: `grpc-${name}-${generation}`, Data, Labels: {} });
  }
  const config = `${await throughTheFilter(defaultConfig())}
[GRPC]
TLSCert = "/run/secrets/core-cert"
TLSKey = "/run/secrets/core-key"
TLSCACert = "/run/secrets/ca"
ClientTLSCert = "grpc-client-cert-${generation}"
ClientTLSKey = "grpc-client-key-${generation}"
ClientTLSCACert = "grpc-ca-${generation}"
`;
  interlock = await deployInterlock(swarm, config, {
    filtered: true,
    controlSocket: false,
    overlay: overlay(generation),
  });
  const deployed = interlock;
  cleanUps.unshift(() => deployed.down());
}

/** config.toml as the page's command makes it of docker/config.toml: the name of the filter's socket. */
async function throughTheFilter(config: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'interlock-filter-'));
  await mkdir(join(folder, 'docker/socket-proxy'), { recursive: true });
  await writeFile(join(folder, 'docker/config.toml'), config);
  await docs.run(FILTER_PAGE, FILTER_SED, { cwd: folder, env: process.env });
  const made = await readFile(join(folder, 'docker/socket-proxy/config.toml'), 'utf8');
  await rm(folder, { recursive: true });
  return made;
}

function overlay(generation: number): string {
  const files = ['core-cert', 'core-key', 'ca'];
  return `version: "3.8"
services:
  core:
    secrets:
${files.map((name) => `      - { source: ${name}, target: ${name}, mode: 0400 }`).join('\n')}
secrets:
${files.map((name) => `  ${name}: { external: true, name: grpc-${name}-${generation} }`).join('\n')}
`;
}

const answeredBy = (name: string) => (answer: { status: number; body: string }) =>
  answer.status === 200 && answer.body.startsWith(name);

/** What the filter refused so far: its access log has nothing else. */
async function refused(): Promise<readonly string[]> {
  const log = await interlock.cli('service', 'logs', '--raw', 'interlock_docker-filter');
  return log.split('\n').filter((line) => line.startsWith('refused: '));
}

/** A command in the container of a service. */
async function inContainer(service: string, ...argv: readonly string[]): Promise<string> {
  const { Id } = await interlock.inspectContainer(service);
  return interlock.cli('exec', Id, ...argv);
}

describe('behind a filter, and over mutual TLS', () => {
  it('a labelled service is reached', async () => {
    await interlock.createApp({ name: 'demo', networks: ['app'], lb: { hosts: 'demo.local', port: '8080' } });
    await interlock.untilAll('demo.local', answeredBy('demo'), { timeoutMs: 120_000 });
  });

  it('a changed label, more replicas and a network that the proxy has yet to join arrive', async () => {
    await interlock.updateService('demo', (spec) => {
      spec.Labels['com.docker.lb.hosts'] = 'renamed.local';
      spec.Mode.Replicated = { Replicas: 2 };
    });
    await interlock.untilAll('renamed.local', answeredBy('demo'));
    await interlock.createApp({ name: 'other', networks: ['more'], lb: { hosts: 'other.local', port: '8080' } });
    await interlock.untilAll('other.local', answeredBy('other'), { timeoutMs: 120_000 });
  });

  it('a core that is killed comes back and goes on', async () => {
    await interlock.killTask('interlock_core');
    await interlock.createApp({ name: 'later', networks: ['app'], lb: { hosts: 'later.local', port: '8080' } });
    await interlock.untilAll('later.local', answeredBy('later'), { timeoutMs: 120_000 });
  });

  it('extension and proxy speak to core over mutual TLS, and go on over an exchange of all certificates', async () => {
    const names = async (service: string) => {
      const { Spec } = await interlock.inspectService(service);
      const secrets = Spec.TaskTemplate.ContainerSpec['Secrets'] as readonly { readonly SecretName: string }[];
      return secrets.map(({ SecretName }) => SecretName).filter((name) => name.startsWith('grpc-'));
    };
    const generation = (n: number) => [`grpc-client-cert-${n}`, `grpc-client-key-${n}`, `grpc-ca-${n}`];
    expect(await names('interlock-proxy')).toEqual(generation(1));

    await deployGeneration(2);
    await eventually(
      async () => {
        const all = await Promise.all(['interlock-extension', 'interlock-proxy'].map(names));
        expect(all).toEqual([generation(2), generation(2)]);
      },
      { timeoutMs: 120_000, everyMs: 500 },
    );
    await interlock.createApp({ name: 'last', networks: ['app'], lb: { hosts: 'last.local', port: '8080' } });
    await interlock.untilAll('last.local', answeredBy('last'), { timeoutMs: 120_000 });
  });

  it('nothing that core asked for was refused; what it never asks for is, and leaves a line', async () => {
    expect(await refused()).toEqual([]);
    const env = { ...process.env, DOCKER_HOST: `unix://${swarm.managerSocket}` };
    const log = await docs.run(FILTER_PAGE, 'docker service logs interlock_docker-filter', { cwd: CHECKOUT, env });
    expect(log).toBe('');
    expect(docs.left()).toEqual([]);
    const forbidden = [
      ['POST', '/containers/create'],
      ['GET', '/containers/json'],
      ['GET', '/swarm'],
      ['POST', '/services/../containers/create'],
      ['GET', '/services/x%2F..%2F..%2Fcontainers%2Fjson'],
      ['GET', '//containers/json'],
      ['PUT', '/services'],
      ['GET', '/v1.41/secretsx'],
      ['POST', '/v9.9/services/create'],
    ] as const;
    for (const [method, path] of forbidden) {
      const code = await inContainer(
        'interlock_docker-filter',
        ...['curl', '--silent', '--path-as-is', '--output', '/dev/null', '--write-out', '%{http_code}'],
        ...['--unix-socket', '/run/docker-filter/docker.sock', '--request', method, `http://docker${path}`],
      );
      expect([method, path, code]).toEqual([method, path, '403']);
    }
    await eventually(async () => {
      expect(await refused()).toEqual(forbidden.map(([method, path]) => `refused: ${method} ${path}`));
    });
  });
});

describe('what the containers may do', () => {
  it.each([
    ['interlock-extension', '101:101', ['/run', '/tmp']],
    ['interlock-proxy', '101:101', ['/run', '/var/cache/nginx']],
    ['interlock_core', '0:0', ['/run/docker-filter', '/run/interlock']],
    ['interlock_docker-filter', '0:0', ['/run', '/run/docker-filter', '/var/run/docker.sock']],
  ])('%s: no capability, no way to write but its mounts', async (service, user, mounts) => {
    const { Config, HostConfig, Mounts } = await interlock.inspectContainer(service);
    expect(Config.User).toBe(user);
    expect(HostConfig).toMatchObject({ CapDrop: ['ALL'], ReadonlyRootfs: true, Init: true, Privileged: false });
    expect([HostConfig.CapAdd ?? [], HostConfig.SecurityOpt ?? [], HostConfig.Devices ?? []]).toEqual([[], [], []]);
    expect([HostConfig.PidMode, HostConfig.UTSMode, HostConfig.UsernsMode]).toEqual(['', '', '']);
    expect([HostConfig.NetworkMode, HostConfig.IpcMode]).not.toContain('host');
    // Secrets and configs, which Swarm mounts itself, are no mounts of the service.
    const own = Mounts.map(({ Destination }) => Destination).filter(
      (path) => !/^\/run\/secrets|^\/config|\.conf$/.test(path),
    );
    expect(own.sort()).toEqual(mounts);

    const status = await inContainer(service, 'cat', '/proc/1/status');
    expect(status).toMatch(/^CapEff:\s+0{16}$/m);
    expect(status).toMatch(/^CapBnd:\s+0{16}$/m);
    expect(status).toMatch(/^Seccomp:\s+2$/m);
  });

  it("core is given a folder with the filter's socket, read-only, and no socket of the engine", async () => {
    const { Mounts } = await interlock.inspectContainer('interlock_core');
    expect(Mounts.find(({ Destination }) => Destination === '/run/docker-filter')).toMatchObject({ RW: false });
    expect(JSON.stringify(Mounts)).not.toContain('/var/run/docker');
  });

  it.each(['interlock_core', 'interlock-extension', 'interlock_docker-filter'])(
    '%s publishes no port',
    async (name) => {
      const { Spec } = await interlock.inspectService(name);
      expect((Spec['EndpointSpec'] as { Ports?: unknown } | undefined)?.Ports ?? []).toEqual([]);
    },
  );

  it('core serves gRPC on its control network and on loopback, not on docker_gwbridge', async () => {
    const listening = (await inContainer('interlock_core', 'cat', '/proc/net/tcp', '/proc/net/tcp6'))
      .split('\n')
      .flatMap((line) => /^\s*\d+: ([0-9A-F]+):1F90 \S+ 0A /.exec(line)?.[1] ?? [])
      .map(addressOf);
    const { NetworkSettings } = await interlock.inspectContainer('interlock_core');
    const control = Object.values(NetworkSettings.Networks).map(({ IPAddress }) => IPAddress);
    expect(control).toHaveLength(1);
    expect(listening.sort()).toEqual([...control, '127.0.0.1'].sort());
  });
});

/** `/proc/net/tcp` has the bytes of an IPv4 address backwards. */
function addressOf(hex: string): string {
  return [6, 4, 2, 0].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join('.');
}
