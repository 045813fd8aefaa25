/** What core tells Prometheus. `extension` is the name of a table of config.toml: there are a handful. */
import type { MetricTable } from '../../runtime/metrics.ts';
import { SECONDS, STAGE_METRIC } from '../../runtime/metrics.ts';
import { PROCESS_METRICS } from '../../runtime/process-metrics.ts';

const PER_EXTENSION = ['extension'] as const;

export const CORE_METRICS = {
  ...STAGE_METRIC,
  interlock_core_ready: { kind: 'gauge', help: '1 when every cluster was published, as /readyz says' },
  interlock_core_revisions_total: {
    kind: 'counter',
    help: "Revisions of a cluster's model since core started",
    labels: PER_EXTENSION,
  },
  interlock_core_hosts: {
    kind: 'gauge',
    help: "Hosts in the newest revision of a cluster's model",
    labels: PER_EXTENSION,
  },
  interlock_core_endpoints: {
    kind: 'gauge',
    help: "Endpoints in the newest revision of a cluster's model",
    labels: PER_EXTENSION,
  },
  interlock_core_pinned: {
    kind: 'gauge',
    help: '1 while an operator holds the routes at an older revision',
    labels: PER_EXTENSION,
  },
  interlock_core_extension_connected: {
    kind: 'gauge',
    help: '1 while an extension follows the model of its cluster',
    labels: PER_EXTENSION,
  },
  interlock_core_artifacts_total: {
    kind: 'counter',
    help: 'Configurations that extensions handed in, by what became of them',
    labels: ['extension', 'outcome'],
  },
  interlock_core_revisions_refused_total: {
    kind: 'counter',
    help: 'Revisions that could not be rendered or that NGINX refused in the check',
    labels: PER_EXTENSION,
  },
  interlock_core_revision_refused: {
    kind: 'gauge',
    help: '1 while the newest revision is refused and proxies keep an older one',
    labels: PER_EXTENSION,
  },
  interlock_core_agent_sessions: { kind: 'gauge', help: 'Proxies that are connected', labels: PER_EXTENSION },
  interlock_core_agents_behind: {
    kind: 'gauge',
    help: 'Connected proxies that do not serve the newest configuration yet',
    labels: PER_EXTENSION,
  },
  interlock_core_agent_reports_total: {
    kind: 'counter',
    help: 'What proxies said of a configuration, and `unreached`: of endpoints that they could not connect to',
    labels: ['extension', 'outcome'],
  },
  interlock_core_hitless: {
    kind: 'gauge',
    help: '1 while configurations go to running proxies, 0 while the service is rolled instead',
    labels: PER_EXTENSION,
  },
  interlock_core_rolling: { kind: 'gauge', help: '1 while Swarm updates the proxy service', labels: PER_EXTENSION },
  interlock_core_pending: {
    kind: 'gauge',
    help: 'What proxies need and get with the next roll only',
    labels: ['extension', 'kind'],
  },
  interlock_core_findings: {
    kind: 'gauge',
    help: 'Problems in labels and settings, by code',
    labels: ['code', 'severity'],
  },
  interlock_core_task_feed: { kind: 'gauge', help: '1 for the task feed in use', labels: ['kind'] },
  interlock_core_feed_repairs_total: {
    kind: 'counter',
    help: 'Changes that the watch left out and the drift check found',
  },
  interlock_core_looks_total: {
    kind: 'counter',
    help: 'Services looked at because a proxy could not reach them, by whether their tasks had changed',
    labels: ['outcome'],
  },
  interlock_core_events_total: {
    kind: 'counter',
    help: 'Changes that core was told of, by who told and the kind of object',
    labels: ['source', 'kind'],
  },
  interlock_core_grpc_calls_total: {
    kind: 'counter',
    help: 'gRPC calls that have ended, by method and status',
    labels: ['call', 'code'],
  },
  interlock_core_docker_call_seconds: {
    kind: 'histogram',
    help: 'Answer times of the Docker API',
    labels: ['call'],
    buckets: SECONDS.filter((bound) => bound >= 0.005),
  },
  interlock_core_docker_errors_total: {
    kind: 'counter',
    help: 'Calls of the Docker API that failed, by code (docs/codes.md)',
    labels: ['call', 'code'],
  },
  ...PROCESS_METRICS,
} as const satisfies MetricTable;

/** The stages that core measures by its own clock. */
export const CORE_STAGES = {
  build: 'core: from a new picture of the Swarm to the revised model',
  answer: "core: from the revised model to the extension's checked configuration (wire, render, check, wire)",
  store: 'core: writing a Docker Config',
  deliver: 'core: from the configuration to the report of the last connected proxy that it serves it',
  whole: 'core: from a new picture of the Swarm to that report',
} as const;
