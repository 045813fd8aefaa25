/**
 * The proxy-config agent: the child of Swarm's init in the proxy task, and the parent of NGINX.
 * Comes in: the proxy file mounted at ProxyConfigPath, and signals. Goes out: a running NGINX, and an exit code.
 *
 * Classic mode: NGINX runs from the mounted file for the life of the task; a new configuration is a new task.
 * Whether NGINX answers is the HEALTHCHECK's question, not asked here: a hung or crash-looping worker makes the
 * container unhealthy, and Swarm replaces the task.
 */
import type { StdioOptions } from 'node:child_process';
import type { Clock } from '../runtime/clock.ts';
import { OperationalError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logging.ts';
import {
  type AgentEvent,
  type AgentState,
  exitCodeOf,
  INITIAL_STATE,
  nextStep,
  type StoppedState,
  stoppedFrom,
} from './lifecycle.ts';
import { makeMissingDirectories, WRITABLE_DIRECTORIES } from './nginx/directories.ts';
import { readMountedFile } from './nginx/mounted-file.ts';
import { type NginxCommand, type NginxExit, type NginxProcess, startNginx, untilReady } from './nginx/process.ts';
import { isTooOld, type NginxVersion, OLDEST_FULLY_SUPPORTED, readNginxVersion } from './nginx/version.ts';
import { listenToSignals, type SignalSource } from './signals.ts';

export interface AgentOptions {
  /** ProxyConfigPath: the main file, as NGINX gets it with `-c`. */
  readonly configPath: string;
  /** A name on the PATH, or a path. */
  readonly nginxBinary: string;
  /** Passed on to NGINX after the agent's own arguments (ProxyArgs). */
  readonly nginxArgs: readonly string[];
}

export interface AgentContext {
  /** A first stop, as SIGTERM is. Who passes this need not handle signals: the agent does while it runs. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Default: this process. */
  readonly signals?: SignalSource;
  /** NGINX's stdin, stdout and stderr; default `inherit`. */
  readonly stdio?: StdioOptions;
  /** Folders made when they are missing; default: those the proxy's tmpfs mounts are for. */
  readonly directories?: readonly string[];
}

const READY_POLL_MS = 20;

/**
 * Runs NGINX until it ends and returns the exit code: 0 when it ended because it was told to, else NGINX's own code,
 * or 1 when a signal took it. Signal handlers are the agent's while this runs and are gone afterwards.
 * Throws AGENT.CONFIG_MISSING, AGENT.CONFIG_DAEMON, AGENT.NGINX_MISSING.
 */
export async function agentMain(options: AgentOptions, context: AgentContext): Promise<number> {
  const { logger, signal } = context;
  const agent = createAgent(logger);
  const unlisten = listenToSignals(context.signals ?? process, (name) => agent.handle({ kind: 'signal', name }));
  const onAbort = (): void => agent.handle({ kind: 'abort' });
  signal.addEventListener('abort', onAbort);
  try {
    const command = await prepare(options, context);
    if (signal.aborted || agent.state().kind !== 'starting') {
      logger.info('stopped before NGINX was started');
      return 0;
    }
    const nginx = await startNginx(command, context.stdio ?? 'inherit');
    agent.attach(nginx);
    return reportExit(await untilStopped(nginx, agent, context.clock), logger);
  } finally {
    signal.removeEventListener('abort', onAbort);
    unlisten();
  }
}

async function prepare(options: AgentOptions, { logger, directories }: AgentContext): Promise<NginxCommand> {
  const file = await readMountedFile(options.configPath);
  if (file.daemon === 'on') {
    throw new OperationalError(
      'AGENT.CONFIG_DAEMON',
      `${options.configPath} says "daemon on;", so NGINX would leave the foreground and its end would go unseen`,
    );
  }
  const version = await readNginxVersion(options.nginxBinary);
  reportVersion(version, logger);
  await makeMissingDirectories(directories ?? WRITABLE_DIRECTORIES, logger);
  logger.info({ nginx: version?.join('.'), path: options.configPath, sizeBytes: file.sizeBytes }, 'NGINX starts');
  return {
    binary: options.nginxBinary,
    configPath: options.configPath,
    globals: file.daemon === 'absent' ? ['daemon off;'] : [],
    extraArgs: options.nginxArgs,
  };
}

function reportVersion(version: NginxVersion | undefined, logger: Logger): void {
  if (version && isTooOld(version)) {
    const facts = { code: 'AGENT.NGINX_TOO_OLD', nginx: version.join('.'), oldest: OLDEST_FULLY_SUPPORTED.join('.') };
    logger.warn(
      facts,
      'this NGINX is old: it refuses a file with keepalive_min_timeout, and without that reloads lose requests',
    );
  }
}

/** Waits for the end of NGINX, and meanwhile for its being ready. Returns how it ended. */
async function untilStopped(nginx: NginxProcess, agent: Agent, clock: Clock): Promise<StoppedState> {
  const life = new AbortController();
  const ended = nginx.exited.then((exit) => {
    life.abort();
    return agent.end(exit);
  });
  const watching = untilReady(nginx, clock, READY_POLL_MS, life.signal).then(
    () => agent.handle({ kind: 'ready' }),
    (error: unknown) => {
      if (!life.signal.aborted) {
        throw error;
      }
    },
  );
  const [stopped] = await Promise.all([ended, watching]);
  return stopped;
}

function reportExit(stopped: StoppedState, logger: Logger): number {
  const { exit, asked } = stopped;
  const code = exitCodeOf(stopped);
  if (!asked) {
    logger.error({ code: 'AGENT.NGINX_EXITED', exit }, 'NGINX ended by itself; its own words are above');
  } else if (code !== 0) {
    logger.warn({ code: 'AGENT.NGINX_EXITED', exit }, 'NGINX was told to stop and did not end well');
  }
  return code;
}

interface Agent {
  state(): AgentState;
  handle(event: AgentEvent): void;
  /** From here on there is a process to tell. */
  attach(nginx: NginxProcess): void;
  /** The process is gone. */
  end(exit: NginxExit): StoppedState;
}

/** Owns the state: every change goes through `setState`, and NGINX is told what the step says. */
function createAgent(logger: Logger): Agent {
  let state: AgentState = INITIAL_STATE;
  let nginx: NginxProcess | undefined;

  return {
    state: () => state,
    handle(event) {
      // A stop that comes between two looks at a starting NGINX must find out whether there is something to drain.
      if (state.kind === 'starting' && nginx?.isReady()) {
        take({ kind: 'ready' });
      }
      take(event);
    },
    attach(started) {
      nginx = started;
      if (state.kind === 'draining') {
        // The stop came while the process was being made.
        started.send('SIGTERM');
      }
    },
    end(exit) {
      const stopped = stoppedFrom(state, exit);
      setState(stopped, 'NGINX ended');
      return stopped;
    },
  };

  function take(event: AgentEvent): void {
    const step = nextStep(state, event);
    setState(step.state, event.kind === 'signal' ? event.name : event.kind);
    for (const name of step.send) {
      nginx?.send(name);
    }
  }

  function setState(next: AgentState, cause: string): void {
    if (next !== state) {
      state = next;
      logger.info({ state: next, cause }, 'state changed');
    }
  }
}
