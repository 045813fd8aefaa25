/**
 * The agent as the process it is in a proxy task, with a real NGINX as its child: in a mount namespace of its own, so that the paths of
 * a rendered file (`/run`, `/var/cache/nginx`, `/etc/nginx`) are private to it and any number run side by side. Needs root.
 * The network is the machine's own: a rendered file must listen on a free port (TargetPort).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../support/eventually.ts';
import { nginxRoot } from '../../support/nginx.ts';
import { nginxScript } from './real-nginx.ts';

const PROGRAM = fileURLToPath(new URL('../../../src/bin/interlock.ts', import.meta.url));
const CHECKOUT = fileURLToPath(new URL('../../../', import.meta.url));

const ENTER_NAMESPACE = 'unshare';
/** $1: the folder that holds this agent's `etc`, `run` and `cache`. */
const ENTER = `
set -e
home=$1
shift
mount --make-rprivate /
mkdir -p /etc/nginx /var/cache/nginx
mount --bind "$home/etc" /etc/nginx
mount --bind "$home/cache" /var/cache/nginx
mount --bind "$home/run" /run
exec "$@"`;

export interface AgentProcess extends AsyncDisposable {
  /** Where its private `/run` is outside. */
  readonly runDir: string;
  /** Where its private `/etc/nginx` is outside. */
  readonly etcDir: string;
  /** The agent's log lines so far. */
  log(): Promise<readonly Record<string, unknown>[]>;
  /** NGINX's standard error, and the agent's. */
  stderr(): Promise<string>;
  /** NGINX's master; waits until it serves. */
  master(): Promise<number>;
  signal(name: NodeJS.Signals): void;
  readonly exitCode: Promise<number | null>;
}

export interface AgentProcessOptions {
  readonly env: Readonly<Record<string, string>>;
  /** What is mounted at /etc/nginx/nginx.conf; left out: nothing. */
  readonly mounted?: string | Uint8Array;
  /** Below /run/secrets. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** Beside the mounted file. */
  readonly etc?: Readonly<Record<string, string>>;
  /** What runs `interlock`; default: the sources. */
  readonly program?: readonly string[];
}

export async function startAgentProcess({
  env,
  mounted,
  secrets = {},
  etc = {},
  program = [process.execPath, '--import', 'tsx', PROGRAM],
}: AgentProcessOptions): Promise<AgentProcess> {
  const home = await mkdtemp(join(tmpdir(), 'interlock-agent-'));
  await chmod(home, 0o755);
  for (const name of ['etc', 'run', 'run/secrets', 'cache']) {
    await mkdir(join(home, name));
  }
  for (const [name, text] of Object.entries(secrets)) {
    await writeFile(join(home, 'run/secrets', name), text);
  }
  for (const [name, text] of Object.entries(etc)) {
    await writeFile(join(home, 'etc', name), text);
  }
  if (mounted !== undefined) {
    await writeFile(join(home, 'etc/nginx.conf'), mounted);
  }
  const nginx = await nginxScript(home, await nginxRoot());
  const stdout = await open(join(home, 'stdout'), 'a', 0o666);
  const stderr = await open(join(home, 'stderr'), 'a', 0o666);
  const command = [...program, 'agent', '-D', '--', '-e', 'stderr'];
  const child: ChildProcess = spawn(ENTER_NAMESPACE, ['--mount', 'sh', '-c', ENTER, 'sh', home, ...command], {
    cwd: CHECKOUT,
    stdio: ['ignore', stdout.fd, stderr.fd],
    env: { ...process.env, INTERLOCK_NGINX: nginx, ...env },
  });
  const exitCode = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  await Promise.all([stdout.close(), stderr.close()]);
  const read = (name: string) => readFile(join(home, name), 'utf8').catch(() => '');
  const log = async () => parseLog(await read('stdout'));

  return {
    runDir: join(home, 'run'),
    etcDir: join(home, 'etc'),
    log,
    exitCode,
    stderr: () => read('stderr'),
    signal: (name) => void child.kill(name),
    master: () =>
      eventually(
        async () => {
          const lines = await log();
          const serving = lines.some(({ state }) => (state as { kind?: string } | undefined)?.kind === 'serving');
          const pid = Number(await read('run/nginx.pid'));
          if (!serving || !(pid > 0)) {
            throw new Error(`not serving: ${await read('stderr')} ${await read('stdout')}`);
          }
          return pid;
        },
        { timeoutMs: 30_000 },
      ),
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGINT');
        const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
        await exitCode;
        clearTimeout(late);
      }
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** The last line may be half written. */
function parseLog(text: string): readonly Record<string, unknown>[] {
  return text
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
