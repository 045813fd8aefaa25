/** `npm run up` and `npm run down` as a user calls them: on a private engine, on a Swarm that is there, on an engine without a Swarm. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { copyFile, cp, link, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../../docker/dev/command.ts';
import { findArchive, imageNames } from '../../../docker/dev/images.ts';
import { findPlaces, type Places } from '../../../docker/dev/state.ts';
import { type Swarm, startSwarm } from '../../support/bed.ts';
import { type Look, lookThroughLogs } from '../../support/container-logs.ts';
import { blocksIn, firstCommand, readPage } from '../../support/docs-pages.ts';
import { docsRunner } from '../../support/docs-runner.ts';
import { eventually } from '../../support/eventually.ts';
import { imageArchive } from '../../support/images.ts';

const CHECKOUT = fileURLToPath(new URL('../../..', import.meta.url));
const BED = join(CHECKOUT, 'docker/bed/swarm.sh');
const DEMO_CURL = "curl -H 'Host: demo.local' http://127.0.0.1:8080/";

interface Ended {
  readonly code: number | null;
  /** stdout and stderr as they came. */
  readonly said: string;
}

/**
 * A checkout and a state folder of their own: the `up` of whoever runs the tests is not touched, and an edit made meanwhile changes
 * no image under our feet.
 */
interface Home {
  /** The checkout. */
  readonly root: string;
  readonly state: string;
  readonly env: NodeJS.ProcessEnv;
  /** Runs docker/dev/run; interrupts it (Ctrl-C) once it has said `interruptAt`. */
  readonly call: (args: readonly string[], env?: Record<string, string>, interruptAt?: string) => Promise<Ended>;
  readonly remove: () => Promise<void>;
}

async function makeHome(): Promise<Home> {
  const folder = await mkdtemp('/tmp/il-up-');
  const places = { ...findPlaces({ INTERLOCK_STATE: join(folder, 'state') }), root: join(folder, 'checkout') };
  await copyWithImages(places);
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    INTERLOCK_CACHE: process.env['INTERLOCK_CACHE'] ?? join(CHECKOUT, '.interlock/cache'),
    INTERLOCK_STATE: places.state,
  };
  delete env['DOCKER_HOST'];
  const script = join(places.root, 'docker/dev/run');
  return {
    root: places.root,
    state: places.state,
    env,
    call: (args, more = {}, interruptAt) => call([script, ...args], { ...env, ...more }, interruptAt),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Copies what images are built from, and the archive of images built from that very copy: engines of the bed cannot build. */
async function copyWithImages(places: Places): Promise<void> {
  await mkdir(places.images, { recursive: true });
  for (let tries = 0; tries < 4; tries += 1) {
    const archive = await imageArchive();
    for (const entry of [
      'package.json',
      'package-lock.json',
      'tsconfig.json',
      'proto',
      'src',
      'docker',
      'compose.dev.yml',
      '.dockerignore',
    ]) {
      await cp(join(CHECKOUT, entry), join(places.root, entry), { recursive: true });
    }
    await symlink(join(CHECKOUT, 'node_modules'), join(places.root, 'node_modules')).catch(() => undefined);
    const copy = join(places.images, basename(archive));
    await link(archive, copy).catch(() => copyFile(archive, copy));
    if ((await findArchive(places, await imageNames({ places, env: process.env }))) !== undefined) return;
  }
  throw new Error('the sources change faster than images can be built');
}

async function call(
  command: readonly string[],
  env: NodeJS.ProcessEnv,
  interruptAt: string | undefined,
): Promise<Ended> {
  // A process group of its own: a terminal's Ctrl-C reaches all of it.
  const child = spawn('bash', [...command], { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const said: string[] = [];
  const hear = (chunk: Buffer) => {
    said.push(String(chunk));
    if (interruptAt !== undefined && child.pid !== undefined && String(chunk).includes(interruptAt)) {
      process.kill(-child.pid, 'SIGINT');
    }
  };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', hear);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, said: said.join('') };
}

/** Asks for demo.local; the answering replica's host name. */
async function askDemo(url: string): Promise<string> {
  const text = await run(['curl', '-sS', '--fail', '--max-time', '5', '-H', 'Host: demo.local', url]);
  return /^hostname: (.*)$/m.exec(text)?.[1] ?? `not the demo: ${text}`;
}

const docker = (host: string, ...args: readonly string[]) => run(['docker', '-H', host, ...args]);
const names = async (host: string, ...list: readonly string[]) =>
  (await docker(host, ...list)).split('\n').filter(Boolean).sort();

/** Everything a second `up` must leave as it is: version indexes and containers. */
async function fingerprint(host: string): Promise<readonly string[]> {
  const services = await names(host, 'service', 'ls', '--quiet');
  const versions = await docker(
    host,
    'service',
    'inspect',
    '--format',
    '{{.Spec.Name}} {{.Version.Index}}',
    ...services,
  );
  const containers = await names(host, 'ps', '--no-trunc', '--quiet');
  return [...versions.split('\n').sort(), ...containers];
}

async function swarmOf(host: string) {
  const [services, configs, secrets] = await Promise.all([
    names(host, 'service', 'ls', '--format', '{{.Name}}'),
    names(host, 'config', 'ls', '--format', '{{.Name}}'),
    names(host, 'secret', 'ls', '--format', '{{.Name}}'),
  ]);
  return { services, configs, secrets };
}
async function engineOf(host: string) {
  const [networks, containers, images] = await Promise.all([
    names(host, 'network', 'ls', '--format', '{{.Name}}'),
    names(host, 'ps', '--all', '--format', '{{.Names}}'),
    names(host, 'image', 'ls', '--format', '{{.Repository}}:{{.Tag}}'),
  ]);
  return { networks, containers, images };
}

/** Command lines and mount points in which `word` occurs, of processes other than the tests' own. */
function tracesOf(word: string): readonly string[] {
  const commands = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .map((pid) => readOr(`/proc/${pid}/cmdline`).replaceAll('\0', ' '));
  return [...commands, ...readFileSync('/proc/self/mountinfo', 'utf8').split('\n')].filter((line) =>
    line.includes(word),
  );
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it has just ended
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // a TCP server has no other kind of address
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('a private engine', () => {
  let home: Home;
  let port: number;

  beforeAll(async () => {
    home = await makeHome();
    port = await freePort();
  });
  afterAll(async () => {
    await home.call(['down']);
    await home.remove();
  });

  it('does not start when the port is taken, and says which', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
    const { code, said } = await home.call(['up', '--private', '--port', String(port)]);
    await new Promise((resolve) => other.close(resolve));

    expect(code).toBe(1);
    expect(said).toContain(`port ${port} is taken`);
    expect(said).toContain('what to do:');
    expect(existsSync(join(home.state, 'swarm'))).toBe(false);
  });

  it('brings the demo to 127.0.0.1, changes nothing the second time, and leaves nothing', async () => {
    const first = await home.call(['up', '--private', '--port', String(port)]);
    expect(first.code, first.said).toBe(0);
    expect(first.said).toContain('npm run down');
    const url = `http://127.0.0.1:${port}/`;
    expect(await askDemo(url)).toMatch(/^[0-9a-f]{12}$/);

    const host = `unix://${join(home.state, 'swarm/dev/n1/docker.sock')}`;
    const before = [...(await fingerprint(host)), ...forwarderPids(home)];
    const second = await home.call(['up']);
    expect(second.code, second.said).toBe(0);
    expect([...(await fingerprint(host)), ...forwarderPids(home)]).toEqual(before);

    const { nodes } = JSON.parse(
      await run(['bash', BED, 'env', '--json', 'dev'], { env: { ...process.env, INTERLOCK_STATE: home.state } }),
    ) as { nodes: { netns: string }[] };
    const netns = nodes[0]?.netns ?? '';
    expect(existsSync(netns)).toBe(true);
    expect((await lookThrough(home)).secrets).toBeGreaterThan(0);
    const down = await home.call(['down']);
    expect(down.code, down.said).toBe(0);
    expect(existsSync(netns)).toBe(false);
    expect(tracesOf(home.state)).toEqual([]);
    await expect(askDemo(url)).rejects.toThrow();
    expect((await home.call(['down'])).said).toContain('nothing to remove');
  });

  it('runs the quick start, block by block as the page has it, and what other pages say of npm run up', async () => {
    const docs = docsRunner('test/e2e/up/up.test.ts');
    const page = 'docs/quick-start.md';
    const blocks = blocksIn(page, readPage(page)).filter(({ language }) => language === 'sh');
    const names = blocks.map(firstCommand);
    const options = { cwd: home.root, env: home.env, values: { port: String(port) }, timeoutMs: 240_000 };
    const answers = [await docs.run(page, names[0] ?? '', options)];
    const [, DOCKER_HOST = ''] = /export DOCKER_HOST=(\S+)/.exec(answers[0] ?? '') ?? [];

    const inside = { ...options, env: { ...home.env, DOCKER_HOST } };
    for (const name of names.slice(1, -1)) {
      // What only looks is repeated while the proxies roll: the page says that it exits with 1 then.
      answers.push(await docs.run(page, name, name.startsWith('core=') ? { ...inside, untilMs: 60_000 } : inside));
    }
    expect(answers.filter((answer) => answer.includes('Host: hello.local:8443'))).toHaveLength(1);
    expect(answers.at(-1)).toContain('served');

    const net =
      'docker/bed/swarm.sh net-exec dev 1 curl --resolve app.example.org:8443:127.0.0.1 https://app.example.org:8443/';
    expect(await docs.run('docs/howto/README.md', net, inside)).toContain('Host: hello.local:8443');
    expect(await docs.run('README.md', 'npm run up', options)).toContain(`127.0.0.1:${port}`);
    expect(await docs.run('README.md', DEMO_CURL, options)).toMatch(/^hostname: /m);

    expect((await lookThrough(home)).secrets).toBeGreaterThan(0);
    await docs.run(page, names.at(-1) ?? '', inside);
    expect(existsSync(join(home.state, 'up'))).toBe(false);
    expect(docs.left()).toEqual([]);
  }, 500_000);

  it('comes back after a power loss; what is left of it goes even when parts have died', async () => {
    expect((await home.call(['up', '--private', '--port', String(port)])).code).toBe(0);
    await run(['bash', BED, 'node-kill', 'dev', '1'], { env: { ...process.env, INTERLOCK_STATE: home.state } });
    process.kill(pidOf(home, 'outside'), 'SIGKILL');
    const again = await home.call(['up']);
    expect(again.code, again.said).toBe(0);
    expect(await askDemo(`http://127.0.0.1:${port}/`)).toMatch(/^[0-9a-f]{12}$/);

    process.kill(pidOf(home, 'inside'), 'SIGKILL');
    const down = await home.call(['down']);
    expect(down.code, down.said).toBe(0);
    await eventually(() => expect(tracesOf(home.state)).toEqual([]));
  });
});

/** The logs of all containers of the private engine, for the secrets mounted in them. */
function lookThrough({ state }: Home): Promise<Look> {
  const exec = (index: number, argv: readonly string[]) =>
    run(['bash', BED, 'exec', 'dev', String(index), ...argv], { env: { ...process.env, INTERLOCK_STATE: state } });
  return lookThroughLogs([{ index: 1, log: join(state, 'swarm/dev/n1/dockerd.log') }], { exec, secrets: new Set() });
}

function pidOf(home: Home, half: 'inside' | 'outside'): number {
  const text = readFileSync(join(home.state, 'up/forward', `${half}.pid`), 'utf8');
  return (JSON.parse(text) as { pid: number }).pid;
}

function forwarderPids(home: Home): readonly string[] {
  return (['inside', 'outside'] as const).map((half) => `${half} ${pidOf(home, half)}`);
}

describe('an engine that is there', () => {
  let home: Home;
  let swarm: Swarm;
  let manager: string;
  let other: string;

  beforeAll(async () => {
    home = await makeHome();
    swarm = await startSwarm({ name: 'up-there', nodes: 2 });
    manager = `unix://${swarm.managerSocket}`;
    other = `unix://${swarm.nodes[1]?.dockerSocket}`;
    await docker(manager, 'network', 'create', '--driver', 'overlay', 'foreign');
    await docker(
      manager,
      'service',
      'create',
      '--quiet',
      '--no-resolve-image',
      '--replicas',
      '0',
      '--name',
      'foreign',
      '--network',
      'foreign',
      'none',
    );
  });
  afterAll(async () => {
    await home.call(['down']);
    await swarm.down();
    await home.remove();
  });

  it('is used when it is a Swarm manager; its own things are left alone', async () => {
    const before = [await swarmOf(manager), await engineOf(manager)];
    const first = await home.call(['up'], { DOCKER_HOST: manager });
    expect(first.code, first.said).toBe(0);
    expect(first.said).toContain('a Swarm manager');
    const url = `http://${swarm.nodes[0]?.address}:8080/`;
    expect(first.said).toContain(url);
    expect(await askDemo(url)).toMatch(/^[0-9a-f]{12}$/);

    const running = await fingerprint(manager);
    const second = await home.call(['up'], { DOCKER_HOST: manager });
    expect(second.code, second.said).toBe(0);
    expect(await fingerprint(manager)).toEqual(running);

    // Without DOCKER_HOST: it is written down where it all is.
    const down = await home.call(['down']);
    expect(down.code, down.said).toBe(0);
    expect([await swarmOf(manager), await engineOf(manager)]).toEqual(before);
    expect(existsSync(join(home.state, 'up'))).toBe(false);
  });

  it('a stack of that name which up did not make stops it', async () => {
    await docker(
      manager,
      'network',
      'create',
      '--driver',
      'overlay',
      '--label',
      'com.docker.stack.namespace=demo',
      'demo_other',
    );
    const { code, said } = await home.call(['up'], { DOCKER_HOST: manager });
    await docker(manager, 'network', 'rm', 'demo_other');

    expect(code).toBe(1);
    expect(said).toContain("there is a stack 'demo'");
    expect(await names(manager, 'service', 'ls', '--format', '{{.Name}}')).toEqual(['foreign']);
  });

  it('a worker is refused, with words', async () => {
    const { code, said } = await home.call(['up'], { DOCKER_HOST: other });

    expect(code).toBe(1);
    expect(said).toContain('is a Swarm worker');
    expect(said).toContain('--private');
  });

  it('one without a Swarm becomes one only when asked to; an interrupted up is taken away like a whole one', async () => {
    await docker(other, 'swarm', 'leave', '--force');
    await docker(other, 'network', 'rm', 'docker_gwbridge').catch(() => undefined);
    const before = await engineOf(other);
    const refused = await home.call(['up'], { DOCKER_HOST: other });
    expect(refused.code).toBe(1);
    expect(refused.said).toContain('--init-swarm');

    const interrupted = await home.call(['up', '--init-swarm'], { DOCKER_HOST: other }, 'waiting for the demo');
    expect(interrupted.code).not.toBe(0);
    expect(interrupted.said).toContain('stopped half-way');
    expect(await docker(other, 'info', '--format', '{{.Swarm.LocalNodeState}}')).toBe('active');
    const down = await home.call(['down'], { DOCKER_HOST: other });
    expect(down.code, down.said).toBe(0);
    expect(await docker(other, 'info', '--format', '{{.Swarm.LocalNodeState}}')).toBe('inactive');
    expect(await engineOf(other)).toEqual(before);
  });
});
