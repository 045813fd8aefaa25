/**
 * The agent in this process with a real NGINX as its child, both on the machine's own paths. The binary and its
 * libraries come from the Debian root of the bed, started through that root's own loader: no chroot, so NGINX's
 * master is the agent's direct child and takes its signals itself, as in the proxy task.
 */
import { EventEmitter } from 'node:events';
import { chmod, mkdtemp, open, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentSignal } from '../../../src/agent/lifecycle.ts';
import { agentMain } from '../../../src/agent/main.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { createLogger } from '../../../src/runtime/logging.ts';
import { freePort, nginxRoot } from '../../support/nginx.ts';

export interface RunningAgent extends AsyncDisposable {
  readonly port: number;
  /** The agent's exit code. */
  readonly exitCode: Promise<number>;
  /** As if the agent's process had got it. */
  signal(name: AgentSignal): void;
  /** Resolves when the agent has said that it is in this state, at most 20 s. */
  reached(state: 'serving' | 'draining' | 'stopped'): Promise<void>;
  /** NGINX's standard error. */
  stderr(): Promise<string>;
  /** The pids of NGINX processes that run from this folder. */
  pids(): Promise<readonly number[]>;
  /** `workers`: worker processes, default 2. */
  rewrite(http: string, workers?: number): Promise<void>;
}

/** `http` is what stands in the http context; `PORT` in it is replaced by a free port. */
export function startAgent(http: string): Promise<RunningAgent> {
  return startAgentOn(mainFile, http);
}

/** A file as the extension renders it, moved to a free port and to paths of its own; `listen 80` becomes the port, the TLS port a socket. */
export function startAgentOnRendered(file: string): Promise<RunningAgent> {
  return startAgentOn(
    (home, text) => text.replaceAll('/run/', `${home}/`).replaceAll('/var/cache/nginx', home),
    file.replace(/(listen (?:\[::\]:)?)80\b/g, '$1PORT').replace(/listen 443\b/g, 'listen unix:/run/tls-port.sock'),
  );
}

async function startAgentOn(
  fileOf: (home: string, text: string, workers: number) => string,
  text: string,
): Promise<RunningAgent> {
  const home = await mkdtemp(join(tmpdir(), 'interlock-agent-'));
  await chmod(home, 0o755);
  const port = await freePort();
  const rewrite = (next: string, workers = 2) =>
    writeFile(join(home, 'nginx.conf'), fileOf(home, next.replaceAll('PORT', String(port)), workers));
  await rewrite(text);
  const options = {
    configPath: join(home, 'nginx.conf'),
    nginxBinary: await nginxScript(home, await nginxRoot()),
    nginxArgs: ['-e', 'stderr'],
  };

  const signals = new EventEmitter();
  const abort = new AbortController();
  const lines: string[] = [];
  const logger = createLogger({ level: 'debug', component: 'agent' }, { write: (line) => void lines.push(line) });
  // Files, not pipes: NGINX opens /dev/stderr again, and that fails on the sockets Node makes for pipes.
  const stderr = await open(join(home, 'stderr'), 'a');
  const exitCode = agentMain(options, {
    signal: abort.signal,
    logger,
    clock: systemClock,
    signals,
    stdio: ['ignore', 'ignore', stderr.fd],
    directories: [],
  });

  return {
    port,
    exitCode,
    rewrite,
    signal: (name) => void signals.emit(name),
    reached: (state) => eventually(() => lines.some((line) => line.includes(`"kind":"${state}"`))),
    stderr: () => readFile(join(home, 'stderr'), 'utf8'),
    pids: () => pidsOf(home),
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      signals.emit('SIGINT');
      await exitCode.catch(() => undefined);
      await stderr.close();
      await rm(home, { recursive: true, force: true });
    },
  };
}

export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  const signal = AbortSignal.timeout(20_000);
  while (!(await holds())) {
    await systemClock.sleep(10, signal);
  }
}

/**
 * A script in `home` that is the NGINX of the Debian root, run by that root's own loader. No `--argv0`: NGINX writes its titles over its
 * arguments, and needs them in one piece.
 */
export async function nginxScript(home: string, root: string): Promise<string> {
  const path = join(home, 'nginx');
  const libraries = await onlyMatch(join(root, 'usr/lib'), /-linux-gnu/);
  // The architectures have it in the one or the other.
  const loaders = ['lib64', 'lib'].map((folder) => onlyMatch(join(root, folder), /^ld-linux-.*\.so\.\d+$/));
  const loader = await Promise.any(loaders);
  await writeFile(path, `#!/bin/sh\nexec "${loader}" --library-path "${libraries}" ${root}/usr/sbin/nginx "$@"\n`);
  await chmod(path, 0o755);
  return path;
}

async function onlyMatch(folder: string, pattern: RegExp): Promise<string> {
  const name = (await readdir(folder)).find((each) => pattern.test(each));
  if (name === undefined) {
    throw new Error(`${folder} has nothing like ${pattern}`);
  }
  return join(folder, name);
}

function mainFile(home: string, http: string, workers: number): string {
  const temp = ['client_body', 'proxy', 'fastcgi', 'scgi', 'uwsgi'].map((name) => `${name}_temp_path ${home}/${name};`);
  return `worker_processes ${workers};
pid ${home}/nginx.pid;
error_log /dev/stderr notice;
${process.getuid?.() === 0 ? 'user root;' : ''}
events {}
http {
access_log off;
keepalive_min_timeout 1s;
${temp.join('\n')}
${http}
}
`;
}

/** By their standard error, which is a file of this folder's own; the master is the oldest and so the first. */
async function pidsOf(home: string): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const errors = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/fd/2`).catch(() => '')));
  return pids.filter((_pid, position) => errors[position] === join(home, 'stderr')).sort((a, b) => a - b);
}
