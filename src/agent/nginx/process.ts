/**
 * NGINX's master as a child process: how it is started, when it is ready, what it is told and how it ended.
 *
 * It inherits the agent's stdio: a Node pipe is a socket, and `open("/dev/stdout")` in a proxy file fails on one.
 * So its words are not read from here. What a reload refuses can be read from an extra log given in `globals`
 * (`error_log /run/... emerg;` stands beside the file's own).
 *
 * If the agent is killed (SIGKILL), Node has no way to take NGINX along. Swarm's init ends when the agent, its
 * only direct child, ends; the container's pid namespace ends with it, and NGINX too.
 */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import type { Clock } from '../../runtime/clock.ts';
import { OperationalError } from '../../runtime/errors.ts';

export interface NginxCommand {
  readonly binary: string;
  readonly configPath: string;
  /** Directives for the main context, each with its semicolon, read before the file. */
  readonly globals: readonly string[];
  /** Passed on after ours; the values of `-g` among them are joined with `globals`, because NGINX heeds only the last `-g`. */
  readonly extraArgs: readonly string[];
}

/** SIGQUIT: finish what is in flight. SIGTERM: end now. SIGHUP: read the file again. SIGUSR1: open the log files again. */
export type NginxSignal = 'SIGQUIT' | 'SIGTERM' | 'SIGHUP' | 'SIGUSR1';

export type NginxExit =
  | { readonly kind: 'code'; readonly code: number }
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals };

export interface NginxProcess {
  readonly pid: number;
  /** Resolves when the master has ended; never rejects. */
  readonly exited: Promise<NginxExit>;
  /** True once the master has read its file, opened its listeners, made its workers and waits for signals. */
  isReady(): boolean;
  /** A process that has ended already is not an error. */
  send(name: NginxSignal): void;
}

/** Starts the master. Throws AGENT.NGINX_MISSING when the binary cannot be run. */
export async function startNginx(command: NginxCommand, stdio: StdioOptions): Promise<NginxProcess> {
  const child = spawn(command.binary, nginxArguments(command), { stdio });
  const exited = new Promise<NginxExit>((resolve) => {
    child.once('exit', (code, signal) => resolve(exitOf(code, signal)));
  });
  const pid = await pidOf(child, command.binary);
  return { pid, exited, isReady: () => waitsForSignals(pid), send: (name) => void child.kill(name) };
}

/** Resolves when `isReady()` first holds; rejects with the signal's reason. It looks again every `everyMs`. */
export async function untilReady(
  nginx: NginxProcess,
  clock: Clock,
  everyMs: number,
  signal: AbortSignal,
): Promise<void> {
  while (!nginx.isReady()) {
    await clock.sleep(everyMs, signal);
  }
}

/** The argument list, with every main-context directive in one `-g`. */
export function nginxArguments(command: Omit<NginxCommand, 'binary'>): readonly string[] {
  const { values, others } = splitGlobals(command.extraArgs);
  // `-g "daemon off;"` is what people copy from other set-ups; said twice it is an error to NGINX.
  const ours = values.some((value) => /\bdaemon\s/.test(value))
    ? command.globals.filter((directive) => !directive.startsWith('daemon '))
    : command.globals;
  const globals = [...ours, ...values].join(' ');
  return ['-c', command.configPath, ...(globals === '' ? [] : ['-g', globals]), ...others];
}

/** Takes the values of `-g VALUE` and `-gVALUE` out of an argument list. */
function splitGlobals(args: readonly string[]): {
  readonly values: readonly string[];
  readonly others: readonly string[];
} {
  const values: string[] = [];
  const others: string[] = [];
  for (let index = 0; index < args.length; index += 1) {
    const arg = args[index] ?? '';
    if (arg === '-g') {
      index += 1;
      values.push(args[index] ?? '');
    } else if (arg.startsWith('-g')) {
      values.push(arg.slice(2));
    } else {
      others.push(arg);
    }
  }
  return { values, others };
}

function pidOf(child: ChildProcess, binary: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('spawn', () => resolve(child.pid ?? 0));
    child.once('error', (cause) => {
      reject(
        new OperationalError('AGENT.NGINX_MISSING', `NGINX cannot be run as ${binary}`, { cause, facts: { binary } }),
      );
    });
  });
}

function exitOf(code: number | null, signal: NodeJS.Signals | null): NginxExit {
  return signal === null ? { kind: 'code', code: code ?? 1 } : { kind: 'signal', signal };
}

/**
 * NGINX installs its handlers after it has read the file and opened its listeners, then writes its pid file, makes
 * its workers and sleeps in sigsuspend() (src/core/nginx.c, src/os/unix/ngx_process_cycle.c). A signal between
 * handler and sleep would set a flag that nobody looks at until the next signal, so both are asked for: that SIGHUP
 * is caught (bit 0 of SigCgt, proc(5)) and that the process sleeps. Where there is no /proc it counts as ready.
 */
function waitsForSignals(pid: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
    return (BigInt(`0x${caught}`) & 1n) === 1n && /^State:\s*S/m.test(status);
  } catch {
    return !existsSync('/proc/self/status');
  }
}
