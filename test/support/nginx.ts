/**
 * A real NGINX (1.30 or newer, from Debian) for tests and benches: it runs in a mount namespace of its own, so that the paths
 * of a rendered file (`/etc/nginx`, `/run`, `/var/cache/nginx`) are private to each instance and any number run side by side.
 * Needs root or passwordless sudo. Processes are ended by pid, and end by themselves when the caller dies.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createCheckCertificate } from '../../src/extension/check-certificate.ts';
import type { ArtifactFile } from '../../src/model/artifact.ts';

const run = promisify(execFile);
const DEBIAN = fileURLToPath(new URL('../../docker/bed/debian.sh', import.meta.url));
const AS_ROOT = process.getuid?.() === 0 ? [] : ['sudo', '-n'];

/** The proxy's user in our images. */
const PROXY_UID = '101';

/** Debian has `stream` as a module, and loads it from a folder that the instance's own `/etc/nginx` hides. */
const LOAD_STREAM = 'load_module modules/ngx_stream_module.so;\n';

const SECRET_PATH = /\/run\/secrets\/([^\s;"]+)/g;

/** Enters a private view of the root file system: the instance's own `/etc/nginx`, `/run` and temp paths. */
const ENTER = `
set -e
root=$1 home=$2
shift 2
mount --make-rprivate /
mount --bind "$home/etc" "$root/etc/nginx"
mount --bind "$home/run" "$root/run"
mount -t tmpfs -o mode=1777 cache "$root/var/cache"
mkdir -m 1777 "$root/var/cache/nginx"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
exec chroot "$root" "$@"`;

const memo = new Map<'root', Promise<string>>();

/** The unpacked Debian root with NGINX; made on first use (about half a minute), then taken from the cache. */
export function nginxRoot(): Promise<string> {
  const root = memo.get('root') ?? run(DEBIAN, ['nginx-root']).then(({ stdout }) => stdout.trim());
  memo.set('root', root);
  return root;
}

export interface NginxCheck {
  readonly ok: boolean;
  /** NGINX's own words. */
  readonly output: string;
}

/** The text of each file below `/run/secrets`, by its name. */
export type Secrets = Readonly<Record<string, string>>;

/**
 * `nginx -t` on an artifact's files; the file that is checked is the first one below `/etc/nginx`. Nothing listens outside.
 * A throw-away certificate with its key stands in for every secret that the files name.
 */
export async function checkNginx(files: readonly ArtifactFile[]): Promise<NginxCheck> {
  const root = await nginxRoot();
  const home = await createHome(files, standIns(files));
  try {
    const command = ['nginx', '-t', '-e', 'stderr', '-c', mainFile(files)];
    const { exited } = await spawnInto(home, sandbox(root, home, ['--net'], command));
    const exitCode = await exited;
    const { stdout, stderr } = await readOutput(home);
    return { ok: exitCode === 0, output: stdout + stderr };
  } finally {
    await removeHome(home);
  }
}

export interface RunningNginx extends AsyncDisposable {
  /** The master's pid. */
  readonly pid: number;
  /** Writes the files in place of the old ones, for a SIGHUP to come. */
  replace(files: readonly ArtifactFile[]): Promise<void>;
  /** `replace`, then SIGHUP; does not wait. */
  reload(files: readonly ArtifactFile[]): Promise<void>;
  /** Where the private `/run` is outside: sockets that the file opens below `/run` are here. */
  readonly runDir: string;
  /** What was written to standard output and standard error. */
  output(): Promise<{ readonly stdout: string; readonly stderr: string }>;
  signal(name: 'SIGTERM' | 'SIGQUIT' | 'SIGHUP' | 'SIGKILL'): Promise<void>;
  /** Ends it (SIGTERM, after 5 s SIGKILL) and removes its folder. */
  stop(): Promise<void>;
}

/** Starts NGINX as the proxy's user on the machine's own loopback and waits until its pid file is there, at most 20 s. */
export async function startNginx(files: readonly ArtifactFile[], secrets: Secrets = {}): Promise<RunningNginx> {
  const root = await nginxRoot();
  const home = await createHome(files, secrets);
  const drop = ['setpriv', '--reuid', PROXY_UID, '--regid', PROXY_UID, '--clear-groups', '--pdeathsig', 'TERM'];
  const args = sandbox(
    root,
    home,
    [],
    [...drop, ...['nginx', '-e', 'stderr', '-c', mainFile(files), '-g', 'daemon off;']],
  );
  const { child, exited } = await spawnInto(home, args);
  const pid = await waitForPid(home, child).catch(async (error: unknown) => {
    child.kill('SIGTERM');
    await removeHome(home);
    throw error;
  });
  const signal = (name: string) => sendSignal(pid, name);
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      await signal('SIGTERM');
      const late = setTimeout(() => void signal('SIGKILL'), 5_000);
      await exited;
      clearTimeout(late);
    }
    await removeHome(home);
  };
  return {
    pid,
    runDir: join(home, 'run'),
    signal,
    stop,
    [Symbol.asyncDispose]: stop,
    output: () => readOutput(home),
    replace: (next) => writeFiles(home, next),
    reload: async (next) => {
      await writeFiles(home, next);
      await signal('SIGHUP');
    },
  };
}

/** A TCP port that was free on loopback a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') {
    throw new Error('no port');
  }
  return address.port;
}

function sandbox(root: string, home: string, unshare: readonly string[], command: readonly string[]): string[] {
  return [...AS_ROOT, 'unshare', '--mount', ...unshare, 'sh', '-c', ENTER, 'sh', root, home, ...command];
}

function mainFile(files: readonly ArtifactFile[]): string {
  const main = files.find((file) => file.path.startsWith('/etc/nginx/'));
  if (main === undefined) {
    throw new Error('no file below /etc/nginx');
  }
  return main.path;
}

function standIns(files: readonly ArtifactFile[]): Secrets {
  const names = files.flatMap(({ bytes }) => [...Buffer.from(bytes).toString().matchAll(SECRET_PATH)]);
  const pem = names.length === 0 ? '' : createCheckCertificate();
  return Object.fromEntries(names.map(([, name = '']) => [name, pem]));
}

async function createHome(files: readonly ArtifactFile[], secrets: Secrets): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'interlock-nginx-'));
  await chmod(home, 0o755);
  await mkdir(join(home, 'etc'));
  await mkdir(join(home, 'run'));
  await chmod(join(home, 'run'), 0o1777);
  await mkdir(join(home, 'run/secrets'));
  for (const [name, text] of Object.entries(secrets)) {
    await writeFile(join(home, 'run/secrets', name), text);
  }
  await mkdir(join(home, 'etc/modules-enabled'));
  await writeFile(join(home, 'etc/modules-enabled/stream.conf'), LOAD_STREAM);
  await writeFiles(home, files);
  return home;
}

async function writeFiles(home: string, files: readonly ArtifactFile[]): Promise<void> {
  for (const file of files) {
    const path = join(home, 'etc', file.path.slice('/etc/nginx/'.length));
    await mkdir(dirname(path), { recursive: true });
    await rm(path, { force: true });
    await writeFile(path, file.bytes, { mode: file.mode | 0o444 });
  }
}

interface Spawned {
  readonly child: ChildProcess;
  /** Listens from the start: a short run can be over before the next await. */
  readonly exited: Promise<number | null>;
}

/** Files, not pipes: NGINX opens `/dev/stdout` again, and that fails on the sockets Node makes for pipes. */
async function spawnInto(home: string, args: readonly string[]): Promise<Spawned> {
  const stdout = await open(join(home, 'stdout'), 'a', 0o666);
  const stderr = await open(join(home, 'stderr'), 'a', 0o666);
  await stdout.chmod(0o666);
  await stderr.chmod(0o666);
  const [command = '', ...rest] = args;
  const child = spawn(command, rest, { stdio: ['ignore', stdout.fd, stderr.fd] });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      resolve(code);
    });
  });
  await Promise.all([stdout.close(), stderr.close()]);
  return { child, exited };
}

async function waitForPid(home: string, child: ChildProcess): Promise<number> {
  const until = Date.now() + 20_000;
  while (Date.now() < until && child.exitCode === null) {
    const pid = Number(await readFile(join(home, 'run/nginx.pid'), 'utf8').catch(() => ''));
    if (pid > 0) {
      return pid;
    }
    await sleep(5);
  }
  throw new Error(`NGINX did not start: ${(await readOutput(home)).stderr}`);
}

async function readOutput(home: string): Promise<{ stdout: string; stderr: string }> {
  const read = (name: string) => readFile(join(home, name), 'utf8').catch(() => '');
  return { stdout: await read('stdout'), stderr: await read('stderr') };
}

async function sendSignal(pid: number, name: string): Promise<void> {
  await runFirst([...AS_ROOT, 'kill', '-s', name.replace(/^SIG/, ''), String(pid)]);
}

async function removeHome(home: string): Promise<void> {
  await runFirst([...AS_ROOT, 'rm', '-rf', '--one-file-system', home]);
}

async function runFirst(line: readonly string[]): Promise<void> {
  const [command = '', ...args] = line;
  await run(command, args);
}
