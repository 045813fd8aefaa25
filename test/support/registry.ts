/**
 * A real registry (Debian's `docker-registry`) that asks for a name and a password, on an address of a bed's network.
 * In: where it listens. Out: names to push and pull by, and a folder for `docker --config` that holds the login.
 */
import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { request } from 'undici';
import { runBed } from './bed.ts';
import { eventually } from './eventually.ts';

const run = promisify(execFile);

const USER = 'puller';
/** The cluster's network is its own, so nobody else has the port. */
const PORT = 5_000;

export interface Registry {
  /** `10.99.10.1:5000`: what stands before the names of its images. */
  readonly host: string;
  /** For `docker --config`: a login for this registry and nothing else. Empty before `login`. */
  readonly configFolder: string;
  /** `docker login`, by way of that engine. */
  login(dockerSocket: string): Promise<void>;
  /** From now on the registry takes another one, and the login in `configFolder` opens nothing until the next `login`. */
  changePassword(): Promise<void>;
  /** Gives an image of that engine a name in the registry, pushes it with the login, and returns the name. */
  push(dockerSocket: string, image: string, path: string): Promise<string>;
  stop(): Promise<void>;
}

/** `address` is the machine's own on the cluster's network; the cluster was started with `insecureRegistry`. */
export async function startRegistry(address: string): Promise<Registry> {
  const binary = (await runBed('debian.sh', ['tool', 'docker-registry'])).stdout.trim();
  const htpasswd = (await runBed('debian.sh', ['tool', 'htpasswd'])).stdout.trim();
  const folder = await mkdtemp(join(tmpdir(), 'interlock-registry-'));
  const configFolder = join(folder, 'docker');
  let password = '';
  await changePassword();
  await writeFile(join(folder, 'config.yml'), settings(folder, `${address}:${PORT}`));
  const child = spawn(binary, ['serve', join(folder, 'config.yml')], { stdio: ['ignore', 'ignore', 'pipe'] });
  const words: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => words.push(chunk.toString()));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const host = `${address}:${PORT}`;

  /** -B: bcrypt, the only kind that the registry takes. It reads the file again when its time has changed. */
  async function changePassword(): Promise<void> {
    password = randomUUID();
    await writeFile(join(folder, 'htpasswd'), (await run(htpasswd, ['-Bbn', USER, password])).stdout);
  }

  async function docker(dockerSocket: string, ...args: readonly string[]): Promise<void> {
    await run('docker', ['--config', configFolder, '-H', `unix://${dockerSocket}`, ...args], { timeout: 300_000 });
  }

  async function stop(): Promise<void> {
    child.kill('SIGTERM');
    await ended;
    await rm(folder, { recursive: true, force: true });
  }

  try {
    // Without a login nobody gets anything.
    await eventually(async () => (await request(`http://${host}/v2/`)).statusCode === 401, { timeoutMs: 20_000 });
  } catch (error) {
    await stop();
    throw new Error(`the registry does not run: ${words.join('')}`, { cause: error });
  }
  return {
    host,
    configFolder,
    login: (dockerSocket) => docker(dockerSocket, 'login', '--username', USER, '--password', password, host),
    changePassword,
    async push(dockerSocket, image, path) {
      const name = `${host}/${path}`;
      await docker(dockerSocket, 'tag', image, name);
      await docker(dockerSocket, 'push', '--quiet', name);
      return name;
    },
    stop,
  };
}

function settings(folder: string, addr: string): string {
  return JSON.stringify({
    version: '0.1',
    log: { level: 'warn' },
    storage: { filesystem: { rootdirectory: join(folder, 'images') } },
    http: { addr, secret: 'of no use to anybody' },
    auth: { htpasswd: { realm: 'bed', path: join(folder, 'htpasswd') } },
  });
}
