/**
 * The proxy-config agent: the child of Swarm's init in the proxy task, and the parent of NGINX.
 * Comes in: the proxy file mounted at ProxyConfigPath, core's directives, and signals. Goes out: a running NGINX, reports, an exit code.
 *
 *   first file (core's, else the mounted one) --> localise to this task --> NGINX --ready--> deliver core's orders --> drain --> end
 *
 * Without a core NGINX runs from the mounted file for the life of the task. With one it runs from a file of the agent's own, because
 * NGINX reads the same path at each reload. Core away changes nothing: NGINX serves what it has.
 * Whether NGINX answers is the HEALTHCHECK's question, not asked here: a hung or crash-looping worker makes the
 * container unhealthy, and Swarm replaces the task.
 */
import type { StdioOptions } from 'node:child_process';
import type { Clock } from '../runtime/clock.ts';
import { toError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logging.ts';
import { ownAddressTowards } from '../runtime/own-address.ts';
import { createProbeServer, type Readiness } from '../runtime/probe-server.ts';
import { readTlsFiles, type TlsMaterial, type TlsPaths } from '../wire/tls-files.ts';
import { deliverOrders } from './delivery/deliver.ts';
import { type CoreAddress, type Delivery, openDelivery } from './delivery/delivery.ts';
import {
  type AgentEvent,
  type AgentState,
  exitCodeOf,
  INITIAL_STATE,
  nextStep,
  type StoppedState,
  stoppedFrom,
} from './lifecycle.ts';
import { type AgentMetrics, agentReadiness, createAgentMetrics } from './metrics.ts';
import { makeMissingDirectories, WRITABLE_DIRECTORIES } from './nginx/directories.ts';
import { type NginxExit, type NginxProcess, startNginx, untilReady } from './nginx/process.ts';
import { reload } from './nginx/reload.ts';
import { openSyslog, type Syslog } from './nginx/syslog.ts';
import { unreachedUpstream } from './nginx/unreached.ts';
import { isTooOld, type NginxVersion, OLDEST_FULLY_SUPPORTED, readNginxVersion } from './nginx/version.ts';
import { type Prepared, prepare } from './prepare.ts';
import { listenToSignals, type SignalSource } from './signals.ts';

export interface AgentOptions {
  /** ProxyConfigPath: the main file, as core mounts it. */
  readonly configPath: string;
  /** A name on the PATH, or a path. */
  readonly nginxBinary: string;
  /** Passed on to NGINX after the agent's own arguments (ProxyArgs). */
  readonly nginxArgs: readonly string[];
  /** Core's gRPC API, `host:port`. Without it, or without an extension or a task id, the agent serves the mounted file only. */
  readonly endpoint?: string | undefined;
  readonly extension?: string | undefined;
  /** Swarm's ids. */
  readonly taskId?: string | undefined;
  readonly nodeId?: string | undefined;
  /** Where the role's token is mounted; default: no token. */
  readonly tokenFile?: string | undefined;
  /** For mutual TLS with core; default: plain. */
  readonly tls?: TlsPaths | undefined;
  /** Our own version, e.g. `0.1.0`; for status only. */
  readonly version?: string | undefined;
  /** Where probes and scrapes are answered, on the network that leads to core; default: nowhere. */
  readonly metricsPort?: number | undefined;
  /** Where `/readyz` alone is answered, on every network; default: nowhere. */
  readonly readyPort?: number | undefined;
  /** How long NGINX serves on after the first word to stop, while `/readyz` says 503 already; default 0. */
  readonly leaveDelayMs?: number | undefined;
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
  /** The agent's own folder, for the file NGINX runs from; default `/run/interlock`. */
  readonly ownDirectory?: string;
}

const READY_POLL_MS = 20;

/**
 * Runs NGINX until it ends and returns the exit code: 0 when it ended because it was told to, else NGINX's own code,
 * or 1 when a signal took it. Signal handlers are the agent's while this runs and are gone afterwards.
 * Throws AGENT.CONFIG_MISSING, AGENT.CONFIG_DAEMON, AGENT.NGINX_MISSING.
 */
export async function agentMain(options: AgentOptions, context: AgentContext): Promise<number> {
  const { logger, signal } = context;
  const metrics = createAgentMetrics(options.version ?? '', context.clock);
  const agent = createLeaving(createAgent(logger), options.leaveDelayMs ?? 0, context);
  const unlisten = listenToSignals(context.signals ?? process, (name) => agent.handle({ kind: 'signal', name }));
  const onAbort = (): void => agent.handle({ kind: 'abort' });
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) {
    onAbort();
  }
  let delivery: Delivery | undefined;
  let errors: Syslog | undefined;
  let routes: Syslog | undefined;
  try {
    const version = await readNginxVersion(options.nginxBinary);
    reportVersion(version, logger);
    await makeMissingDirectories(context.directories ?? WRITABLE_DIRECTORIES, logger);
    delivery = agent.leaving.aborted ? undefined : followIfThereIsCore(options, context, version, metrics);
    errors = delivery && (await hearErrors(delivery, metrics, logger));
    routes = await hearRoutesIfAsked(options, metrics, logger);
    const prepared = await prepareUnlessStopped(
      {
        ...options,
        version,
        inSwarm: options.taskId !== undefined,
        errorTarget: errors?.target,
        routeLog: routes?.target,
      },
      { ...context, delivery },
      agent,
    );
    if (prepared === undefined) {
      logger.info('stopped before NGINX was started');
      return 0;
    }
    const nginx = await startNginx(prepared.command, context.stdio ?? 'inherit');
    agent.attach(nginx);
    const running = { ...context, delivery, prepared, metrics, options };
    return reportExit(await untilStopped(nginx, agent, running), logger);
  } finally {
    agent.close();
    errors?.close();
    routes?.close();
    await delivery?.close();
    signal.removeEventListener('abort', onAbort);
    unlisten();
  }
}

function followIfThereIsCore(
  { endpoint, extension, taskId, nodeId, tokenFile, tls, version, configPath }: AgentOptions,
  { clock, logger }: AgentContext,
  nginx: NginxVersion | undefined,
  metrics: AgentMetrics,
): Delivery | undefined {
  if (endpoint === undefined || extension === undefined || taskId === undefined) {
    return undefined;
  }
  const material = tls && readTlsOrNot(tls, logger);
  if (material === 'unusable') {
    return undefined;
  }
  const core: CoreAddress = {
    endpoint,
    extension,
    taskId,
    nodeId: nodeId ?? '',
    tokenFile: tokenFile ?? '',
    tls: material,
    version: version ?? '',
  };
  return openDelivery(core, {
    configPath,
    proxyVersion: nginx?.join('.') ?? '',
    watcher: metrics.client,
    onUnreachedReport: metrics.onUnreachedReport,
    clock,
    logger,
  });
}

/** Who NGINX could not reach is told to core. Without this, core finds out by itself, later. */
async function hearErrors(
  { sightings }: Delivery,
  { onUnreached }: AgentMetrics,
  logger: Logger,
): Promise<Syslog | undefined> {
  const onMessage = (message: string): void => {
    // An application that is down may mean thousands of lines a second: none is read that would not be told.
    const address = sightings.hasRoom() ? unreachedUpstream(message) : undefined;
    if (address !== undefined && sightings.note(address)) {
      onUnreached();
    }
  };
  try {
    return await openSyslog({ onMessage });
  } catch (error) {
    logger.warn({ err: toError(error) }, "NGINX's errors cannot be heard: core is not told whom it did not reach");
    return undefined;
  }
}

/** The kernel gives what it allows: some thousand requests that come while the agent is busy. */
const ROUTE_BUFFER_BYTES = 4 * 1024 * 1024;

/** A file without RouteMetrics has no place for this log. */
async function hearRoutesIfAsked(
  { endpoint, metricsPort }: AgentOptions,
  { onRouteLine }: AgentMetrics,
  logger: Logger,
): Promise<Syslog | undefined> {
  if (endpoint === undefined || metricsPort === undefined) {
    return undefined; // nobody can ask for them
  }
  try {
    return await openSyslog({ onMessage: onRouteLine, bufferBytes: ROUTE_BUFFER_BYTES });
  } catch (error) {
    logger.warn({ err: toError(error) }, 'no metrics per route: there is no socket for them');
    return undefined;
  }
}

/** Traffic comes first: an agent whose certificate cannot be used serves the mounted file, and core sees no session. */
function readTlsOrNot(paths: TlsPaths, logger: Logger): TlsMaterial | 'unusable' {
  try {
    return readTlsFiles(paths);
  } catch (error) {
    logger.error({ err: toError(error) }, 'no mutual TLS with core: serving the mounted file');
    return 'unusable';
  }
}

/** `undefined`: told to stop before there was an NGINX. */
async function prepareUnlessStopped(
  options: Parameters<typeof prepare>[0],
  context: Omit<Parameters<typeof prepare>[1], 'leaving'>,
  agent: Agent,
): Promise<Prepared | undefined> {
  try {
    const prepared = await prepare(options, { ...context, leaving: agent.leaving });
    return agent.state().kind === 'starting' ? prepared : undefined;
  } catch (error) {
    if (agent.leaving.aborted) {
      return undefined;
    }
    throw error;
  }
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

interface Running extends AgentContext {
  readonly options: AgentOptions;
  readonly metrics: AgentMetrics;
  readonly delivery: Delivery | undefined;
  readonly prepared: Prepared;
}

/** Waits for the end of NGINX, and meanwhile for its being ready; then carries out what core says. Returns how it ended. */
async function untilStopped(nginx: NginxProcess, agent: LeavingAgent, running: Running): Promise<StoppedState> {
  const { clock, logger } = running;
  const life = new AbortController();
  const ended = nginx.exited.then((exit) => {
    life.abort();
    return agent.end(exit);
  });
  const working = untilReady(nginx, clock, READY_POLL_MS, life.signal).then(async () => {
    agent.handle({ kind: 'ready' });
    await deliverWhileServing(nginx, agent, running);
  });
  const probing = answerProbes(nginx, agent, running, life.signal);
  const watched = working.catch((error: unknown) => {
    if (!life.signal.aborted && !agent.leaving.aborted) {
      // Whatever is wrong with the delivery, traffic comes first: NGINX serves on, and core sees the session silent.
      logger.error({ err: toError(error) }, 'delivery has ended; NGINX serves what it has');
    }
  });
  const [stopped] = await Promise.all([ended, watched, probing]);
  return stopped;
}

/** NGINX's ports come first: the agent takes its own when NGINX has opened them. Ends with NGINX. */
async function answerProbes(
  nginx: NginxProcess,
  agent: LeavingAgent,
  { options, metrics, delivery, logger, clock }: Running,
  signal: AbortSignal,
): Promise<void> {
  const { endpoint, metricsPort, readyPort } = options;
  const ready = (): Readiness => agentReadiness(agent.state(), agent.isLeaving(), delivery);
  metrics.read({ ready, delivery, nginxPid: nginx.pid });
  const common = { ready, logger, clock };
  const servers = [
    ...(metricsPort === undefined || endpoint === undefined
      ? []
      : [
          createProbeServer({
            ...common,
            name: 'probes',
            address: async (scope) => ({ host: await ownAddressTowards(endpoint, scope), port: metricsPort }),
            metrics: metrics.text,
          }),
        ]),
    ...(readyPort === undefined
      ? []
      : [
          createProbeServer({
            ...common,
            name: 'ready',
            address: () => Promise.resolve({ host: '0.0.0.0', port: readyPort }),
          }),
        ]),
  ];
  await untilReady(nginx, clock, READY_POLL_MS, signal).catch(() => undefined); // it ended: nothing to tell
  await Promise.all(servers.map((server) => server.run(signal).catch(() => undefined)));
}

async function deliverWhileServing(nginx: NginxProcess, agent: Agent, running: Running): Promise<void> {
  const { delivery, prepared, metrics, clock, logger } = running;
  if (delivery === undefined || prepared.staged === undefined) {
    return;
  }
  const { stage, complaints } = prepared.staged;
  delivery.standing.set(prepared.standing);
  agent.leaving.addEventListener('abort', () => {
    delivery.standing.set({ ...(delivery.standing.get() ?? prepared.standing), draining: true });
  });
  const send = (): void => agent.handle({ kind: 'reload' });
  await deliverOrders(
    {
      ...delivery,
      ...metrics.watched({
        fetcher: delivery.fetcher,
        localise: prepared.localise,
        stage,
        reload: (signal) => reload({ nginx, complaints, send, clock, logger }, signal),
      }),
      clock,
      logger: logger.child({ area: 'delivery' }),
    },
    agent.leaving,
  );
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
  /** Aborts when NGINX is told to end, or has ended. */
  readonly leaving: AbortSignal;
  handle(event: AgentEvent): void;
  /** From here on there is a process to tell. */
  attach(nginx: NginxProcess): void;
  /** The process is gone. */
  end(exit: NginxExit): StoppedState;
}

interface LeavingAgent extends Agent {
  /** Told to stop, though NGINX may not be yet. */
  isLeaving(): boolean;
  /** Nothing is waited for any more. */
  close(): void;
}

/**
 * Says first that it leaves, and stops after that: a first word to stop waits `delayMs` while NGINX serves, so that an outer balancer
 * sees `/readyz` and goes elsewhere. A second word, or an end of NGINX by itself, waits for nothing.
 */
function createLeaving(agent: Agent, delayMs: number, { clock, logger }: AgentContext): LeavingAgent {
  const over = new AbortController();
  let isLeaving = false;

  async function stopLater(event: AgentEvent): Promise<void> {
    await clock.sleep(delayMs, over.signal);
    agent.handle(event);
  }

  return {
    ...agent,
    isLeaving: () => isLeaving,
    close: () => over.abort(),
    handle(event) {
      const isFirstStop = !isLeaving && isStop(event);
      isLeaving ||= isFirstStop;
      if (isFirstStop && delayMs > 0 && agent.state().kind === 'serving' && !isFast(event)) {
        logger.info({ delayMs }, 'leaving: not ready any more, NGINX serves on for a while');
        stopLater(event).catch(() => undefined); // a second word, or NGINX ended
        return;
      }
      if (event.kind === 'abort' && !isFirstStop) {
        return; // a first stop, never a second one
      }
      if (isStop(event)) {
        over.abort();
      }
      agent.handle(event);
    },
  };
}

function isStop(event: AgentEvent): boolean {
  return event.kind === 'abort' || (event.kind === 'signal' && event.name !== 'SIGHUP' && event.name !== 'SIGUSR1');
}

function isFast(event: AgentEvent): boolean {
  return event.kind === 'signal' && event.name === 'SIGINT';
}

/** Owns the state: every change goes through `setState`, and NGINX is told what the step says. */
function createAgent(logger: Logger): Agent {
  let state: AgentState = INITIAL_STATE;
  let nginx: NginxProcess | undefined;
  const leaving = new AbortController();

  return {
    state: () => state,
    leaving: leaving.signal,
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
      if (next.kind === 'draining' || next.kind === 'stopped') {
        leaving.abort(new Error(cause));
      }
    }
  }
}
