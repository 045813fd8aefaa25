/**
 * The commands of the pages, in the order in which somebody meets them: images pushed to a registry, an old Interlock replaced, nodes
 * labelled, an upgrade, applications by the how-tos, trouble, and all of it gone again. One real Swarm of two nodes with the files of
 * docker/; what differs from the pages is in test/support/docs-commands.ts.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256Hex } from '../../src/model/revision.ts';
import { type Swarm, startSwarm } from '../support/bed.ts';
import { createAuthority } from '../support/certificates.ts';
import { blocksIn, CHECKOUT, readPage } from '../support/docs-pages.ts';
import { docsRunner, type RunOptions } from '../support/docs-runner.ts';
import { eventually } from '../support/eventually.ts';
import { imageArchive } from '../support/images.ts';
import { type Registry, startRegistry } from '../support/registry.ts';

const PATIENCE = { timeoutMs: 120_000, everyMs: 500 };
const UNTIL = { untilMs: PATIENCE.timeoutMs };
const CORE = 'core=$(docker ps -qf name=interlock_core)';
const authority = createAuthority();
const docs = docsRunner('test/full/docs-pages.test.ts');
let swarm: Swarm;
let registry: Registry;
let folder: string;
let node: string;
const cleanUps: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const archive = await imageArchive();
  folder = await mkdtemp(join(tmpdir(), 'interlock-docs-'));
  cleanUps.unshift(() => rm(folder, { recursive: true, force: true }));
  swarm = await startSwarm({ name: 'docs', nodes: 2, insecureRegistry: true });
  cleanUps.unshift(() => swarm.down());
  node = swarm.nodes[0]?.address ?? '';
  await swarm.loadImages([archive]);
  registry = await startRegistry(swarm.hostAddress ?? '');
  cleanUps.unshift(() => registry.stop());
  await registry.login(swarm.managerSocket);
  await writeFile(join(folder, 'ca.pem'), authority.certificate);
  await cp(`${CHECKOUT}docker`, join(folder, 'docker'), { recursive: true });
  // The command `interlock` of this machine: the program of this checkout.
  const program = `exec ${CHECKOUT}node_modules/.bin/tsx ${CHECKOUT}src/bin/interlock.ts "$@"\n`;
  await mkdir(join(folder, 'bin'));
  await writeFile(join(folder, 'bin/interlock'), `#!/bin/sh\n${program}`, { mode: 0o755 });
});

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

/** Runs a block in the folder, on the manager's engine. */
function block(page: string, name: string, options: Partial<RunOptions> = {}): Promise<string> {
  const values = { registry: registry.host, node, ...options.values };
  return docs.run(page, name, { cwd: folder, env: environment(), ...options, values });
}

function environment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const PATH = `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}`;
  return { ...process.env, PATH, DOCKER_HOST: `unix://${swarm.managerSocket}`, ...more };
}

/** A shell on the manager itself: what `docker run -v` names is there, and no other engine. */
async function onTheManager(files: Readonly<Record<string, string>>): Promise<Pick<RunOptions, 'through'>> {
  const work = join(dirname(swarm.managerSocket), 'work');
  await rm(work, { recursive: true, force: true });
  await write(work, files);
  return { through: ['bash', `${CHECKOUT}docker/bed/swarm.sh`, 'exec', swarm.name, '1', 'env', '-C', '/bed/work'] };
}

async function write(where: string, files: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(where, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(where, name), text);
  }
}

async function docker(...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('docker', args, { env: environment(), timeout: 120_000 });
  return stdout;
}

async function names(kind: 'service' | 'config' | 'secret'): Promise<readonly string[]> {
  return (await docker(kind, 'ls', '--format', '{{.Name}}')).split('\n').filter(Boolean).sort();
}

/** What curl is answered. */
async function ask(host: string, ...args: readonly string[]): Promise<string> {
  return (await promisify(execFile)('curl', ['-sS', '--max-time', '5', '-H', `Host: ${host}`, ...args])).stdout;
}

/** Deploys the stack file that a page shows. */
async function deployFrom(page: string, file: string, stack: string): Promise<void> {
  await writeStack(page, file);
  await docker('stack', 'deploy', '--resolve-image', 'never', '-c', join(folder, file), stack);
}

async function writeStack(page: string, file: string): Promise<void> {
  const shown = blocksIn(page, readPage(page)).find((each) => each.file === file);
  await writeFile(join(folder, file), shown?.text ?? '');
}

/**
 * docker/config.toml with what its own comments and the pages say to write into it. One proxy, which is rolled in half the time of two: here
 * it is the commands that are tried.
 */
async function editConfig(version: string, ports: { readonly http: number; readonly tls: number }): Promise<void> {
  const text = await readFile(`${CHECKOUT}docker/config.toml`, 'utf8');
  const edited = text
    .replace(/^Image = .*$/m, `Image = "${registry.host}/interlock/extension:${version}"`)
    .replace(/^ProxyImage = .*$/m, `ProxyImage = "${registry.host}/interlock/proxy:${version}"`)
    .replace(/^PublishedPort = .*$/m, `PublishedPort = ${ports.http}`)
    .replace(/^PublishedSSLPort = .*$/m, `PublishedSSLPort = ${ports.tls}`)
    .replace(/^ProxyReplicas = .*$/m, 'ProxyReplicas = 1')
    .replace(/^ProxyConstraints = .*$/m, 'ProxyConstraints = ["node.labels.lb==true", "node.hostname==n1"]');
  await writeFile(join(folder, 'docker/config.toml'), edited);
}

/** The extension goes to the worker, which has it from the registry: core hands no login on. */
async function pullOnWorker(version: string): Promise<void> {
  const socket = `unix://${swarm.nodes[1]?.dockerSocket ?? ''}`;
  const image = `${registry.host}/interlock/extension:${version}`;
  await docker('--config', registry.configFolder, '-H', socket, 'pull', '-q', image);
}

const LABELLED = {
  image: 'interlock/demo:dev',
  network: 'front',
  options: ['--quiet', '--detach', '--no-resolve-image', '--endpoint-mode', 'dnsrr'],
} as const;

async function createShop(): Promise<void> {
  const { certificate, key } = authority.issue(['shop.example.com']);
  await write(folder, { 'shop.pem': `${certificate}${key}` });
  await docker('secret', 'create', 'shop.pem', join(folder, 'shop.pem'));
  await docker('network', 'create', '--driver', 'overlay', LABELLED.network);
  await createService('shop', { hosts: 'shop.example.com', port: '8080', ssl_cert: 'shop.pem' });
}

async function createService(name: string, labels: Readonly<Record<string, string>>): Promise<void> {
  const { image, network, options } = LABELLED;
  const said = Object.entries(labels).flatMap(([key, value]) => ['--label', `com.docker.lb.${key}=${value}`]);
  const env = ['--env', `DEMO_NAME=${name}`];
  await docker('service', 'create', '--name', name, '--network', network, ...options, ...env, ...said, image);
}

describe('run it for real', () => {
  it('the images of this checkout, if they are there already, are tagged and pushed to a registry', async () => {
    const env = environment({ DOCKER_CONFIG: registry.configFolder, INTERLOCK_STATE: join(folder, 'kept') });
    const printed = await block('README.md', 'npm run images', { cwd: CHECKOUT, env, timeoutMs: 240_000 });

    expect(printed.match(/^0\.1\.0: digest: sha256:/gm)).toHaveLength(3);
    await pullOnWorker('0.1.0');
  });

  it('nodes are labelled', async () => {
    await block('docs/howto/production.md', 'docker node update --label-add lb=true lb1');
    for (const name of ['n1', 'n2']) {
      expect(await docker('node', 'inspect', '--format', '{{.Spec.Labels}}', name)).toBe('map[lb:true]\n');
    }
  });
});

describe('coming from an old Interlock', () => {
  const PAGE = 'docs/migration.md';
  const old = readFile(`${CHECKOUT}test/golden/check/original/config.toml`, 'utf8');
  const OLD_SERVICES = ['ucp-interlock', 'ucp-interlock-extension', 'ucp-interlock-proxy'];

  it("the old one's configuration is saved and read, and what this Swarm would come to is rendered", async () => {
    await write(folder, { 'old.toml': await old });
    await docker('config', 'create', 'com.docker.ucp.interlock.conf-1', join(folder, 'old.toml'));
    for (const name of OLD_SERVICES) {
      const config = ['--config', 'source=com.docker.ucp.interlock.conf-1,target=/config.toml'];
      const none = ['--quiet', '--detach', '--no-resolve-image', '--replicas', '0'];
      await docker('service', 'create', '--name', name, ...none, ...config, LABELLED.image);
    }
    await createShop();
    const save =
      "name=$(docker service inspect --format '{{ (index .Spec.TaskTemplate.ContainerSpec.Configs 0).ConfigName }}' ucp-interlock)";
    await block(PAGE, save);
    expect(await readFile(join(folder, 'config.toml'), 'utf8')).toBe(`${await old}\n`);

    await write(folder, { 'docker-stack.yml': await readFile(`${CHECKOUT}docker/demo/demo.yml`, 'utf8') });
    expect(await block(PAGE, 'interlock check config.toml docker-stack.yml')).toContain(
      'docker/ucp-interlock-extension',
    );
    await block(PAGE, 'interlock snapshot --out state');
    expect(await readFile(join(folder, 'files/default/nginx.conf'), 'utf8')).toContain('shop.example.com');
  });

  it('both run side by side, the new one answers at its ports, and the old one goes', async () => {
    await editConfig('0.1.0', { http: 8080, tls: 8443 });
    await deployFrom('docs/howto/canary.md', 'canary.yml', 'canary');
    await deployFrom('docs/howto/redirects.md', 'redirects.yml', 'redirects');
    await block(PAGE, 'export INTERLOCK_CORE_IMAGE=registry.example.com/interlock/core:0.1.0');
    const env = environment({ CURL_CA_BUNDLE: join(folder, 'ca.pem') });
    await eventually(async () => {
      const printed = await block(PAGE, "curl -H 'Host: shop.example.com' http://10.0.0.11:8080/", { env });
      expect(printed.match(/^shop$/gm)).toHaveLength(2);
      expect(printed.match(/^ {2}n1 +\S{12} +running +newest/gm)).toHaveLength(1);
    }, PATIENCE);

    await block(PAGE, 'docker service rm ucp-interlock ucp-interlock-extension ucp-interlock-proxy');
    expect((await names('service')).filter((name) => OLD_SERVICES.includes(name))).toEqual([]);
    expect((await ask('shop.example.com', `http://${node}:8080/`)).split('\n')[0]).toBe('shop');
  });
});

describe('the next version', () => {
  const PAGE = 'docs/upgrade.md';
  const UPDATE =
    'docker service update --update-failure-action rollback --config-rm OLD --config-add source=NEW,target=/config.toml interlock_core';

  async function configOfCore(): Promise<string> {
    const format = '{{ (index .Spec.TaskTemplate.ContainerSpec.Configs 0).ConfigName }}';
    return (await docker('service', 'inspect', '--format', format, 'interlock_core')).trim();
  }

  it('is rolled out by the same deployment, with the images and the ports that config.toml names now', async () => {
    for (const part of ['core', 'extension', 'proxy']) {
      await registry.push(swarm.managerSocket, `interlock/${part}:dev`, `interlock/${part}:0.2.0`);
    }
    await pullOnWorker('0.2.0');
    await editConfig('0.2.0', { http: 80, tls: 443 });
    await block(PAGE, 'export INTERLOCK_CORE_IMAGE=registry.example.com/interlock/core:0.2.0');
    await eventually(async () => {
      expect((await ask('shop.example.com', `http://${node}/`)).split('\n')[0]).toBe('shop');
      const images = await docker(
        'service',
        'inspect',
        '--format',
        '{{.Spec.TaskTemplate.ContainerSpec.Image}}',
        'interlock_core',
        'interlock-extension',
        'interlock-proxy',
      );
      expect(images.match(/:0\.2\.0/g)).toHaveLength(3);
    }, PATIENCE);
  });

  it('services are given the login of the registry, and go on running', async () => {
    const digest = sha256Hex(await readFile(join(folder, 'docker/config.toml'))).slice(0, 12);
    const env = environment({
      DOCKER_CONFIG: registry.configFolder,
      INTERLOCK_CORE_IMAGE: `${registry.host}/interlock/core:0.2.0`,
      INTERLOCK_CONFIG_DIGEST: digest,
    });
    await block('docs/howto/production.md', 'docker login registry.example.com', { env });

    expect((await ask('shop.example.com', `http://${node}/`)).split('\n')[0]).toBe('shop');
  });

  it('a config.toml that cannot be used is rolled back by Swarm, and the log names its problems', async () => {
    const old = await configOfCore();
    await write(folder, { 'bad.toml': 'PollInterval = "soon"\n[Extensions.default]\nPublishMode = "everywhere"\n' });
    await docker('config', 'create', 'bad', join(folder, 'bad.toml'));
    const printed = await block(PAGE, UPDATE, { values: { old, new: 'bad' } });

    expect(printed).toContain('rolling back update');
    expect(await configOfCore()).toBe(old);
    await eventually(async () => {
      const log = await docker('service', 'logs', '--raw', 'interlock_core');
      // As JSON has them.
      expect(log).toContain(String.raw`PollInterval: found \"soon\" (string), expected a duration`);
      expect(log).toContain(
        String.raw`Extensions.default.PublishMode: found \"everywhere\" (string), expected \"ingress\" or \"host\"`,
      );
    }, PATIENCE);
  });
});

describe('offline', () => {
  it("what core sees is saved on the manager, and rendered anywhere: by this machine's command, and by core's image", async () => {
    const PAGE = 'docs/render.md';
    const config = await readFile(join(folder, 'docker/config.toml'), 'utf8');
    const here = join(folder, 'render');
    await write(here, { 'config.toml': config });
    await block(PAGE, 'interlock snapshot --out state', { cwd: here });
    const rendered = await readFile(join(here, 'out/default/nginx.conf'), 'utf8');
    expect(rendered).toContain('shop.example.com');

    await block(PAGE, CORE, await onTheManager({ 'config.toml': config }));
    const there = join(dirname(swarm.managerSocket), 'work');
    expect(await readFile(join(there, 'out/default/nginx.conf'), 'utf8')).toContain('shop.example.com');
    expect(await readFile(join(there, 'out/findings.json'), 'utf8')).toContain('[');
  });

  it('a stack file is checked, with the words of the page, and in CI', async () => {
    const PAGE = 'docs/howto/check.md';
    const labels = '      com.docker.lb.hosts: web.example.org\n      com.docker.lb.port: "8080"\n';
    const web = 'version: "3.8"\nservices:\n  web:\n    image: example/web\n    ';
    const config = await readFile(join(folder, 'docker/config.toml'), 'utf8');
    const here = join(folder, 'check');
    await write(here, { 'config.toml': config, 'docker-stack.yml': `${web}labels:\n${labels}` });
    const printed = await block(PAGE, 'interlock check config.toml docker-stack.yml', { cwd: here });
    const [, shown] = blocksIn(PAGE, readPage(PAGE));
    expect(printed).toContain(shown?.text);

    const good = `${web}deploy:\n      labels:\n${labels.replace(/^/gm, '  ').trimEnd()}\n`;
    const gate =
      'docker run --rm -v "$PWD:/work:ro" -w /work interlock/core:0.1.0 check --strict config.toml docker-stack.yml';
    const manager = await onTheManager({ 'config.toml': config, 'docker-stack.yml': good });
    expect(await block(PAGE, gate, manager)).toContain('docker-stack.yml: ok');
  });
});

// They wait, for tasks and for a roll, and are of different applications.
describe.concurrent('the how-tos', () => {
  it('redirects', async () => {
    const printed = await block(
      'docs/howto/redirects.md',
      "curl -si -H 'Host: old.local' http://NODE/a?b | grep -i location",
      UNTIL,
    );
    expect(printed).toMatch(/^Location: http:\/\/new\.local\/a\?b\r?$/m);
  });

  it('canary: switched over, and back', async () => {
    await block('docs/howto/canary.md', 'docker service scale canary_v2=4');
    await eventually(async () => {
      const answers = await Promise.all(Array.from({ length: 8 }, () => ask('canary.local', `http://${node}/`)));
      expect(new Set(answers.map((answer) => answer.split('\n')[0]))).toEqual(new Set(['canary-v1']));
    }, PATIENCE);
  });

  it('TLS: with a certificate made for it, and with the next one', async () => {
    const PAGE = 'docs/howto/tls.md';
    await writeStack(PAGE, 'tls.yml');
    await block(
      PAGE,
      'openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=app.example.org -addext subjectAltName=DNS:app.example.org',
    );
    const env = environment({ CURL_CA_BUNDLE: join(folder, 'app.example.org.cert') });
    expect(await block(PAGE, 'docker stack deploy -c tls.yml tls', { env, ...UNTIL })).toMatch(/^tls$/m);

    const { certificate, key } = authority.issue(['app.example.org']);
    await write(folder, { 'chain.pem': certificate, 'key.pem': key });
    await block(PAGE, 'cat chain.pem key.pem | docker secret create app-2027 -');
    const trusted = ['--cacert', join(folder, 'ca.pem'), '--resolve', `app.example.org:443:${node}`];
    await eventually(async () => {
      expect(await ask('app.example.org', ...trusted, 'https://app.example.org/')).toMatch(/^tls$/m);
    }, PATIENCE);
  });
});

describe('trouble', () => {
  const PAGE = 'docs/troubleshooting.md';

  it('three commands answer most of it, and a report takes three more', async () => {
    const printed = await block(PAGE, CORE, UNTIL);
    expect(printed).toContain('http://shop.example.com/  served');
    expect(printed).toMatch(/^ok +engine\.version/m);

    await block(PAGE, 'docker exec $core interlock snapshot --out /dev/shm/state');
    const { stdout: files } = await promisify(execFile)('tar', ['-tf', join(folder, 'state.tar')]);
    expect(files).toContain('state/services.json');
    expect(await readFile(join(folder, 'core.log'), 'utf8')).toContain('PollInterval');
  });

  it('a label that cannot be used is in the log', async () => {
    await createService('portless', { hosts: 'portless.local' });
    await eventually(async () => {
      const printed = await block(
        'docs/labels.md',
        'docker service logs --raw interlock_core 2>&1 | grep \'"finding"\'',
      );
      expect(printed).toMatch(/"LABEL\.PORT_MISSING".*portless/);
    }, PATIENCE);
  });
});

describe('a filter before the Docker socket', () => {
  it('is deployed beside core, which goes on by it', async () => {
    const config = await readFile(join(folder, 'docker/config.toml'), 'utf8');
    // As the page's first command does it, which test/e2e/security runs.
    const filtered = config.replace('/var/run/docker.sock', '/run/docker-filter/docker.sock');
    await write(join(folder, 'docker/socket-proxy'), { 'config.toml': filtered });
    const deploy = 'export INTERLOCK_CORE_IMAGE=registry.example.com/interlock/core:0.1.0';
    await block('docs/howto/socket-proxy.md', deploy);
    await createService('filtered', { hosts: 'filtered.local', port: '8080' });
    await eventually(async () => {
      const mounts = '{{json .Spec.TaskTemplate.ContainerSpec.Mounts}}';
      expect(await docker('service', 'inspect', '--format', mounts, 'interlock_core')).not.toContain('docker.sock');
      expect((await ask('filtered.local', `http://${node}/`)).split('\n')[0]).toBe('filtered');
    }, PATIENCE);
  });
});

describe('gone again', () => {
  it('core removed alone, and what it left by interlock uninstall, which asks', async () => {
    const ours = ['interlock-extension', 'interlock-proxy', 'interlock_core'];
    const before = await names('service');
    expect(before).toEqual(expect.arrayContaining(ours));
    expect((await swarm.lookThroughLogs()).secrets).toBeGreaterThan(0);
    const typed = { after: 'Remove it? [y/N]', line: 'y' };
    const printed = await block('docs/howto/uninstall.md', 'docker service rm interlock_core', { typed });

    expect(printed).toContain('interlock-proxy');
    expect(await names('service')).toEqual(before.filter((name) => !ours.includes(name)));
    expect((await names('secret')).filter((name) => name.startsWith('com.docker.interlock'))).toEqual([]);
    expect((await names('config')).filter((name) => name.startsWith('com.docker.interlock'))).toEqual([]);
  });

  it('every block of the pages that is to be run here was', () => {
    expect(docs.left()).toEqual([]);
  });
});
