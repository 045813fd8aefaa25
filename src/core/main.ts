/** Core's composition root, in the order of the flow: engine -> observe -> revise -> serve -> publish. */
import { randomUUID } from 'node:crypto';
import type { Finding } from '../model/finding.ts';
import { createFinding, findingKey } from '../model/finding.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import { isOperational, OperationalError, toError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logging.ts';
import { createProbeServer, type Readiness } from '../runtime/probe-server.ts';
import { type Component, runComponents } from '../runtime/supervisor.ts';
import type { CoreSettings } from '../settings/core-settings.ts';
import { CONTROL_SOCKET, watchSwarm } from '../swarmkit/watch-client.ts';
import { createWireServer, type WireServer } from '../wire/server.ts';
import { readTlsFiles, type TlsMaterial, whyOutOfTime } from '../wire/tls-files.ts';
import { readToken } from '../wire/token-file.ts';
import { createAccess } from './access/access.ts';
import { type Board, createBoard } from './board.ts';
import { createDockerodeEngine } from './engine/dockerode-engine.ts';
import type { EngineApi } from './engine/engine-api.ts';
import { readEngineTls } from './engine/tls-files.ts';
import { findHome, listenHosts } from './home.ts';
import { createConvergence } from './metrics/convergence.ts';
import { type CoreMetrics, coreReadiness, createCoreMetrics } from './metrics/core-metrics.ts';
import { createFeedChoice } from './observe/feed-choice.ts';
import { createObserver } from './observe/observer.ts';
import { createPollFeed } from './observe/poll-feed.ts';
import type { FeedChoice, FeedStatus } from './observe/task-feed.ts';
import { createWatchFeed } from './observe/watch-feed.ts';
import type { Home } from './publish/desired.ts';
import { createPublisher } from './publish/publisher.ts';
import { createReviser } from './revise.ts';
import { createHistory } from './routes/history.ts';
import { createPins } from './routes/pins.ts';
import { createHandlers } from './serve/handlers.ts';
import { createOperatorCalls } from './serve/operator/operator.ts';

export interface CoreOptions {
  readonly settings: CoreSettings;
  /** What parsing config.toml had to say. */
  readonly findings: readonly Finding[];
  readonly version: string;
  /** The unix socket for operators, e.g. `/run/interlock/operator.sock`; default none. */
  readonly operatorSocket?: string;
  /** For tests: another engine than the one at `DockerURL`. */
  readonly engine?: EngineApi;
  /** For tests: hears the port that was bound when `ListenAddr` says 0. */
  readonly onListening?: (port: number) => void;
  /** For tests: the same of `MetricsListenAddr`. */
  readonly onProbing?: (port: number) => void;
  /** For tests: another path than that of the mounted control socket. */
  readonly controlSocket?: string;
}

export interface DaemonTools {
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** A full list of everything at least this often (design: the task feed). */
const RESYNC_MS = 60_000;
/** Between two looks at tasks on the move. */
const CONVERGING_MS = 250;
/** How long open calls may finish at a stop. */
const STOP_GRACE_MS = 2_000;

/** Runs until the signal aborts. Rejects with what made it impossible to go on. */
export async function coreMain(options: CoreOptions, { signal, logger, clock }: DaemonTools): Promise<void> {
  const { settings, version } = options;
  const startedAtMs = clock.now();
  const metrics = createCoreMetrics(version, clock);
  const engine = metrics.engine(
    options.engine ?? createDockerodeEngine({ dockerUrl: settings.dockerUrl, tls: readEngineTls(settings.dockerTls) }),
  );
  const home = await settle(engine, settings, { signal, logger, clock });
  logger.info(
    { version, endpoint: home.endpoint, stack: home.stack, extensions: settings.extensions.map(({ name }) => name) },
    'core starts',
  );

  const board = createBoard(settings.extensions, findingKey, findingLog(logger));
  const feed = chooseFeed(options, engine, metrics, { clock, logger });
  const { onLooked } = metrics;
  const observer = createObserver(engine, feed, { clock, logger }, { resyncMs: RESYNC_MS, onLooked });
  const taskFeed = () => feed.status.get() ?? ({ kind: 'poll', reason: 'core is starting' } as const);
  const { reloadsPerMinute } = settings;
  const { lookAt } = observer;
  const facts = { version, epoch: randomUUID(), taskFeed, clock, reloadsPerMinute, lookAt };
  const handlers = createHandlers(board, facts, logger);
  const operatorToken = await readOperatorToken(settings);
  const access = createAccess({ engine, clock, logger }, home, board, observer.snapshots, operatorToken);
  const { authenticate } = access;
  const pins = createPins({ engine, clock, logger }, home, board);
  const histories = new Map(
    [...board.extensions].map(([name, extension]) => [name, createHistory({ engine, clock, logger }, home, extension)]),
  );
  const { operatorSocket } = options;
  const { snapshots } = observer;
  const operator = createOperatorCalls({
    board,
    handlers,
    facts,
    snapshots,
    engine,
    clock,
    startedAtMs,
    histories,
    pins,
    access,
  });
  const { grpcTls } = settings;
  const tls = grpcTls && readTlsFiles(grpcTls);
  board.setFindings('settings', [...options.findings, ...(tls ? certificateFindings(tls, clock) : [])]);
  const listen = { host: listenHosts(settings, home), port: settings.listen.port };
  const { onCallEnd } = metrics;
  const counted = metrics.handlers(handlers, board);
  const wire = { listen, tls, handlers: counted, operator, authenticate, operatorSocket, onCallEnd, logger, clock };
  const server = createWireServer(wire);
  metrics.readBoard({ board, clusters: () => handlers.clusters(), feed: taskFeed });

  await runComponents(
    [
      ...answerProbes(options, board, metrics, { clock, logger }),
      createConvergence({ board, snapshots, clock, ...metrics.convergence }),
      ...observer.components,
      tellOfFeed(settings, feed, board),
      pins.component,
      createReviser(observer.snapshots, board, { clock, logger: logger.child({ area: 'revise' }) }),
      ...[...histories.values()].map(({ component }) => component),
      ...access.components,
      ...handlers.components,
      serveUntilStopped(server, logger, options.onListening),
      ...createPublisher({ engine, clock, logger }, home, board, observer.snapshots, settings),
    ],
    signal,
    logger,
  );
  logger.info('core stopped');
}

/** @throws OperationalError SETTINGS.UNREADABLE when config.toml names a file that holds no token. */
async function readOperatorToken({ operatorTokenPath: path }: CoreSettings): Promise<string | undefined> {
  const token = path === undefined ? undefined : await readToken(path);
  if (path !== undefined && token === undefined) {
    const words = `${path} (OperatorTokenFile in [GRPC]) holds no token: 16 to 256 of the characters A-Z a-z 0-9 _ and -`;
    throw new OperationalError('SETTINGS.UNREADABLE', words);
  }
  return token;
}

function chooseFeed(
  { settings, controlSocket = CONTROL_SOCKET }: CoreOptions,
  engine: EngineApi,
  { watch: counted, onRepairs }: Pick<CoreMetrics, 'watch' | 'onRepairs'>,
  tools: Pick<DaemonTools, 'clock' | 'logger'>,
): FeedChoice {
  const { pollIntervalMs: pollMs, taskFeed } = settings;
  const poll = createPollFeed(engine, tools.clock, { pollMs, convergingMs: CONVERGING_MS });
  const watchOptions = { socketPath: controlSocket, driftMs: RESYNC_MS, onRepairs };
  const watch = createWatchFeed(engine, counted(watchSwarm), tools, watchOptions);
  return createFeedChoice(taskFeed, { poll, watch }, tools);
}

function answerProbes(
  { settings: { metricsListen }, onProbing }: CoreOptions,
  board: Board,
  { text }: Pick<CoreMetrics, 'text'>,
  tools: Pick<DaemonTools, 'clock' | 'logger'>,
): readonly Component[] {
  const address = metricsListen && (() => Promise.resolve(metricsListen));
  const ready = (): Readiness => coreReadiness(board);
  return address === undefined
    ? []
    : [createProbeServer({ name: 'probes', address, ready, metrics: text, onListening: onProbing, ...tools })];
}

/** An operator who asked for the watch hears that it is not there; the others find it in the status. */
function tellOfFeed({ taskFeed }: CoreSettings, { status }: FeedChoice, board: Board): Component {
  const findingOf = ({ kind, reason }: FeedStatus): readonly Finding[] =>
    taskFeed === 'watch' && kind === 'poll'
      ? [createFinding('FEED.NOT_WATCHING', notWatching(reason), { subject: 'TaskFeed', value: taskFeed })]
      : [];
  return {
    name: 'tell-of-feed',
    async run(signal) {
      for await (const now of status.watch(signal)) {
        board.setFindings('feed', findingOf(now));
      }
    },
  };
}

function notWatching(reason: string): string {
  return `Core polls meanwhile, because ${reason}. Mount the directory /var/run/docker/swarm of a manager into core (docker/stack.yml has the line), or write TaskFeed = "auto".`;
}

function certificateFindings(tls: TlsMaterial, clock: Clock): readonly Finding[] {
  const why = whyOutOfTime(tls, clock);
  const advice = `Extensions and proxies refuse core's certificate: ${why ?? ''}. Put a new one into a new secret and name it in the stack file.`;
  return why === undefined
    ? []
    : [createFinding('SETTINGS.CERTIFICATE_OUT_OF_TIME', advice, { subject: 'GRPC.TLSCert' })];
}

/** Waits for an engine that answers as a manager: core may start before the engine has a leader. */
async function settle(
  engine: EngineApi,
  settings: CoreSettings,
  { signal, logger, clock }: DaemonTools,
): Promise<Home> {
  const backoff = createBackoff(clock);
  for (;;) {
    backoff.begin();
    try {
      const info = await engine.info(signal);
      const home = await findHome(engine, settings, signal);
      logger.info({ engine: info.engineVersion, api: info.apiVersion, node: info.nodeId }, 'engine found');
      return home;
    } catch (error) {
      if (!isOperational(error) || error.class === 'permanent') {
        throw error;
      }
      logger[backoff.streak() === 0 ? 'warn' : 'debug']({ err: toError(error), code: error.code }, 'engine not ready');
    }
    await backoff.wait(signal);
  }
}

function serveUntilStopped(server: WireServer, logger: Logger, onListening?: (port: number) => void): Component {
  return {
    name: 'serve',
    async run(signal) {
      const { port } = await server.start();
      logger.info({ port, area: 'serve' }, 'listening');
      onListening?.(port);
      try {
        await new Promise<void>((resolve) => {
          if (signal.aborted) {
            resolve();
          }
          signal.addEventListener('abort', () => resolve(), { once: true });
        });
      } finally {
        await server.stop(STOP_GRACE_MS);
      }
    },
  };
}

function findingLog(logger: Logger): Parameters<typeof createBoard>[2] {
  const levels = { info: 'info', warn: 'warn', error: 'error' } as const;
  return {
    onNew: (finding) => logger[levels[finding.severity]]({ finding }, 'finding'),
    onGone: ({ code, service, subject }) => logger.info({ finding: { code, service, subject } }, 'finding settled'),
  };
}
