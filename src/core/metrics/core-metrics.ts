/** Core's metrics: what its rooms tell of as it happens, and what stands on the board when somebody asks. */
import type { Clock } from '../../runtime/clock.ts';
import { createMetrics, type Metrics } from '../../runtime/metrics.ts';
import type { Readiness } from '../../runtime/probe-server.ts';
import { readProcess } from '../../runtime/process-metrics.ts';
import type { WatchSwarm } from '../../swarmkit/watch-client.ts';
import type { OnCallEnd } from '../../wire/admission.ts';
import type { AgentWord, Caller, WireHandlers } from '../../wire/contract.ts';
import type { ClusterStatus } from '../../wire/status-report.ts';
import type { Board, ExtensionBoard } from '../board.ts';
import type { EngineApi } from '../engine/engine-api.ts';
import type { FeedStatus } from '../observe/task-feed.ts';
import type { ConvergenceParts } from './convergence.ts';
import { CORE_METRICS } from './definitions.ts';
import { watchedEngine } from './engine.ts';

type Table = typeof CORE_METRICS;

export interface CoreMetrics {
  readonly text: () => Promise<string>;
  /** The same, counted. */
  engine(engine: EngineApi): EngineApi;
  watch(watch: WatchSwarm): WatchSwarm;
  handlers(handlers: WireHandlers, board: Pick<Board, 'extensions'>): WireHandlers;
  readonly onCallEnd: OnCallEnd;
  readonly onRepairs: (repairs: number) => void;
  readonly onLooked: (outcome: 'changed' | 'unchanged') => void;
  readonly convergence: Pick<ConvergenceParts, 'onStage' | 'onRevision'>;
  /** Says where to look when somebody asks. */
  readBoard(parts: BoardParts): void;
}

export interface BoardParts {
  readonly board: Board;
  readonly clusters: () => readonly Pick<ClusterStatus, 'extension' | 'extensionConnected' | 'refusedReason'>[];
  readonly feed: () => FeedStatus;
}

export function createCoreMetrics(version: string, clock: Pick<Clock, 'monotonic'>): CoreMetrics {
  const metrics = createMetrics(CORE_METRICS);
  readProcess(metrics, { component: 'core', version });
  return {
    text: () => metrics.text(),
    engine: (engine) =>
      watchedEngine(engine, clock, {
        onCall(call, ms) {
          metrics.observe('interlock_core_docker_call_seconds', { call }, ms);
          if (call === 'createConfig') {
            metrics.observe('interlock_convergence_stage_seconds', { stage: 'store' }, ms);
          }
        },
        onFailure: (call, code) => metrics.add('interlock_core_docker_errors_total', { call, code }),
        onEvent: (kind) => metrics.add('interlock_core_events_total', { source: 'engine', kind }),
      }),
    watch: (watch) => (options, listener, signal) => {
      const onChanges: typeof listener.onChanges = (changes) => {
        for (const { kind } of changes) {
          metrics.add('interlock_core_events_total', { source: 'watch', kind });
        }
        listener.onChanges(changes);
      };
      return watch(options, { onReady: () => listener.onReady(), onChanges }, signal);
    },
    handlers: (handlers, board) => watchedHandlers(handlers, board, metrics),
    onCallEnd: (call, code) => metrics.add('interlock_core_grpc_calls_total', { call, code }),
    onRepairs: (repairs) => metrics.add('interlock_core_feed_repairs_total', {}, repairs),
    onLooked: (outcome) => metrics.add('interlock_core_looks_total', { outcome }),
    convergence: {
      onStage: (stage, ms) => metrics.observe('interlock_convergence_stage_seconds', { stage }, ms),
      onRevision: (extension) => metrics.add('interlock_core_revisions_total', { extension }),
    },
    readBoard: (parts) => metrics.onScrape(() => readBoard(metrics, parts)),
  };
}

/** Ready: each cluster has a configuration that its proxies were told to serve. */
export function coreReadiness(board: Pick<Board, 'extensions'>): Readiness {
  const missing = [...board.extensions.values()].filter(({ published }) => published.get() === undefined);
  return missing.length === 0
    ? { ready: true, words: 'ready: every cluster is published' }
    : { ready: false, words: `not published yet: ${missing.map(({ settings }) => settings.name).join(', ')}` };
}

function readBoard(metrics: Metrics<Table>, { board, clusters, feed }: BoardParts): void {
  metrics.set('interlock_core_ready', {}, coreReadiness(board).ready);
  for (const kind of ['watch', 'poll'] as const) {
    metrics.set('interlock_core_task_feed', { kind }, feed().kind === kind);
  }
  for (const [extension, one] of board.extensions) {
    readExtension(metrics, extension, one);
  }
  for (const { extension, extensionConnected, refusedReason } of clusters()) {
    metrics.set('interlock_core_extension_connected', { extension }, extensionConnected);
    metrics.set('interlock_core_revision_refused', { extension }, refusedReason !== undefined);
  }
  const counts = new Map<string, { readonly code: string; readonly severity: string; count: number }>();
  for (const { code, severity } of board.findings()) {
    const entry = counts.get(code) ?? { code, severity, count: 0 };
    entry.count += 1;
    counts.set(code, entry);
  }
  for (const { code, severity, count } of counts.values()) {
    metrics.set('interlock_core_findings', { code, severity }, count);
  }
}

function readExtension(metrics: Metrics<Table>, extension: string, one: ExtensionBoard): void {
  const { hosts, pools } = one.model.get()?.model ?? { hosts: [], pools: [] };
  const sessions = one.agents.get()?.sessions ?? [];
  const newest = one.rendered.get()?.artifact.digest;
  const delivery = one.delivery.get();
  const endpoints = pools.reduce((sum, pool) => sum + pool.endpoints.length, 0);
  metrics.set('interlock_core_hosts', { extension }, hosts.length);
  metrics.set('interlock_core_endpoints', { extension }, endpoints);
  metrics.set('interlock_core_pinned', { extension }, one.pin.get() != null);
  metrics.set('interlock_core_agent_sessions', { extension }, sessions.length);
  // In classic mode proxies serve what Swarm mounted, and nobody is behind before the roll.
  const behind = sessions.filter(({ artifactDigest }) => artifactDigest !== newest).length;
  metrics.set('interlock_core_agents_behind', { extension }, delivery?.mode === 'hitless' ? behind : 0);
  metrics.set('interlock_core_hitless', { extension }, delivery?.mode === 'hitless');
  metrics.set('interlock_core_rolling', { extension }, delivery?.rolling === true);
  for (const kind of ['networks', 'secrets'] as const) {
    metrics.set('interlock_core_pending', { extension, kind }, delivery?.pending[kind].length ?? 0);
  }
}

function watchedHandlers(
  handlers: WireHandlers,
  board: Pick<Board, 'extensions'>,
  metrics: Metrics<Table>,
): WireHandlers {
  /** Names that callers make up are not counted. */
  const known = ({ extension = '' }: Caller): string | undefined =>
    board.extensions.has(extension) ? extension : undefined;

  async function* counted(words: AsyncIterable<AgentWord>, extension: string): AsyncIterable<AgentWord> {
    for await (const word of words) {
      const outcome = 'unreached' in word ? 'unreached' : word.outcome.kind;
      metrics.add('interlock_core_agent_reports_total', { extension, outcome });
      yield word;
    }
  }

  return {
    watchModel: (caller, have, signal) => handlers.watchModel(caller, have, signal),
    fetchBlobs: (caller, digests, signal) => handlers.fetchBlobs(caller, digests, signal),
    async submitArtifact(caller, submission, signal) {
      const outcome = await handlers.submitArtifact(caller, submission, signal);
      const extension = known(caller);
      if (extension !== undefined) {
        metrics.add('interlock_core_artifacts_total', { extension, outcome: outcome.kind });
      }
      return outcome;
    },
    async refuseRevision(caller, refusal, signal) {
      await handlers.refuseRevision(caller, refusal, signal);
      const extension = known(caller);
      if (extension !== undefined) {
        metrics.add('interlock_core_revisions_refused_total', { extension });
      }
    },
    agentSession(caller, hello, words, signal) {
      const extension = known(caller);
      const heard = extension === undefined ? words : counted(words, extension);
      return handlers.agentSession(caller, hello, heard, signal);
    },
  };
}
