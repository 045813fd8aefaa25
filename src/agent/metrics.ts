/**
 * The agent's metrics: its own work, and what NGINX tells of itself. Open NGINX counts connections and requests as a whole (stub_status).
 * Numbers per route come out of an access log, which costs something with every request: only where the operator asks (route-metrics.ts).
 */
import { request } from 'node:http';
import type { Clock } from '../runtime/clock.ts';
import { createMetrics, type MetricTable, STAGE_METRIC } from '../runtime/metrics.ts';
import type { Readiness } from '../runtime/probe-server.ts';
import { PROCESS_METRICS, readProcess } from '../runtime/process-metrics.ts';
import type { ClientWatcher } from '../wire/watched-client.ts';
import type { DeliverParts } from './delivery/deliver.ts';
import type { Delivery } from './delivery/delivery.ts';
import type { AgentState } from './lifecycle.ts';
import { acceptingWorkers, workers } from './nginx/workers.ts';
import { createRouteCounts, ROUTE_METRICS } from './route-metrics.ts';

export const AGENT_METRICS = {
  ...STAGE_METRIC,
  interlock_agent_ready: { kind: 'gauge', help: '1 while this proxy should get new connections, as /readyz says' },
  interlock_agent_core_connected: { kind: 'gauge', help: '1 while the session with core is open' },
  interlock_agent_serves_newest: {
    kind: 'gauge',
    help: '1 while NGINX serves the newest configuration that core told of',
  },
  interlock_agent_reloads_total: {
    kind: 'counter',
    help: 'Reloads of NGINX for a new configuration, by outcome',
    labels: ['outcome'],
  },
  interlock_agent_findings: {
    kind: 'gauge',
    help: 'What this proxy lacks for what it serves: secrets, networks',
    labels: ['code'],
  },
  interlock_agent_core_errors_total: {
    kind: 'counter',
    help: 'Calls to core that failed, by code (docs/codes.md)',
    labels: ['call', 'code'],
  },
  interlock_agent_unreached_total: {
    kind: 'counter',
    help: 'Times that NGINX could not connect to an endpoint, or lost it before it answered; not all are heard when there are many',
  },
  interlock_agent_unreached_reports_total: {
    kind: 'counter',
    help: 'Reports to core of endpoints that NGINX did not reach, so that core looks at them',
  },
  interlock_nginx_up: { kind: 'gauge', help: '1 when NGINX answers on its status socket' },
  interlock_nginx_connections: {
    kind: 'gauge',
    help: 'Open connections of clients, by what they do',
    labels: ['state'],
  },
  interlock_nginx_connections_accepted_total: { kind: 'counter', help: 'Connections accepted' },
  interlock_nginx_connections_handled_total: {
    kind: 'counter',
    help: 'Connections handled; fewer than accepted when MaxConnections was reached',
  },
  interlock_nginx_requests_total: { kind: 'counter', help: 'Requests of clients; those of the agent are among them' },
  interlock_nginx_workers: {
    kind: 'gauge',
    help: 'Worker processes; those that drain finish what they had before a reload',
    labels: ['state'],
  },
  ...ROUTE_METRICS,
  ...PROCESS_METRICS,
} as const satisfies MetricTable;

/** The stages that an agent measures by its own clock. */
export const AGENT_STAGES = {
  fetch: 'agent: getting the pieces it does not have',
  fit: 'agent: fitting the file to this task',
  write: 'agent: writing the file',
  reload: 'agent: from SIGHUP until no worker with the old file accepts',
} as const;

type Work = Pick<DeliverParts, 'fetcher' | 'localise' | 'stage' | 'reload'>;

export interface AgentMetrics {
  readonly text: () => Promise<string>;
  readonly client: ClientWatcher;
  /** NGINX did not reach an endpoint. */
  readonly onUnreached: () => void;
  /** Core was told of some. */
  readonly onUnreachedReport: () => void;
  /** NGINX told of a request. */
  readonly onRouteLine: (message: string) => void;
  /** The same, counted and timed. */
  watched(work: Work): Work;
  /** Says where to look when somebody asks. */
  read(parts: ReadParts): void;
}

export interface ReadParts {
  readonly ready: () => Readiness;
  readonly delivery: Pick<Delivery, 'orders' | 'standing'> | undefined;
  readonly nginxPid: number;
  /** Default: where our own file has it. */
  readonly statusSocket?: string | undefined;
}

/** render/nginx/status.ts has it there. */
const STATUS_SOCKET = '/run/interlock-status.sock';
const STATUS_LIMIT_MS = 1_000;

export function createAgentMetrics(version: string, clock: Pick<Clock, 'monotonic'>): AgentMetrics {
  const metrics = createMetrics(AGENT_METRICS);
  readProcess(metrics, { component: 'agent', version });
  const routes = createRouteCounts(metrics, clock);
  metrics.onScrape(() => routes.forgetIdle());

  async function timed<Value>(stage: keyof typeof AGENT_STAGES, act: () => Promise<Value>): Promise<Value> {
    const begunAt = clock.monotonic();
    const value = await act();
    metrics.observe('interlock_convergence_stage_seconds', { stage }, clock.monotonic() - begunAt);
    return value;
  }

  function readDelivery({ ready, delivery }: ReadParts): void {
    const standing = delivery?.standing.get();
    const order = delivery?.orders.get();
    const newest = order?.kind === 'serve' ? order.manifest.digest : standing?.serving?.digest;
    metrics.set('interlock_agent_ready', {}, ready().ready);
    metrics.set('interlock_agent_serves_newest', {}, newest === standing?.serving?.digest);
    const counts = new Map<string, number>();
    for (const { code } of standing?.serving?.findings ?? []) {
      counts.set(code, (counts.get(code) ?? 0) + 1);
    }
    for (const [code, count] of counts) {
      metrics.set('interlock_agent_findings', { code }, count);
    }
  }

  async function readNginx({ nginxPid, statusSocket = STATUS_SOCKET }: ReadParts): Promise<void> {
    const accepting = acceptingWorkers(nginxPid).length;
    metrics.set('interlock_nginx_workers', { state: 'accepting' }, accepting);
    metrics.set('interlock_nginx_workers', { state: 'draining' }, workers(nginxPid).length - accepting);
    const status = parseStubStatus(await ask(statusSocket).catch(() => ''));
    metrics.set('interlock_nginx_up', {}, status !== undefined);
    if (status !== undefined) {
      const { accepted, handled, requests, ...states } = status;
      metrics.total('interlock_nginx_connections_accepted_total', {}, accepted);
      metrics.total('interlock_nginx_connections_handled_total', {}, handled);
      metrics.total('interlock_nginx_requests_total', {}, requests);
      for (const state of ['reading', 'writing', 'waiting'] as const) {
        metrics.set('interlock_nginx_connections', { state }, states[state]);
      }
    }
  }

  return {
    text: () => metrics.text(),
    client: {
      onFailure: (call, code) => metrics.add('interlock_agent_core_errors_total', { call, code }),
      onConnected: (connected) => metrics.set('interlock_agent_core_connected', {}, connected),
    },
    onUnreached: () => metrics.add('interlock_agent_unreached_total', {}),
    onUnreachedReport: () => metrics.add('interlock_agent_unreached_reports_total', {}),
    onRouteLine: (message) => routes.take(message),
    watched: ({ fetcher, localise, stage, reload }) => ({
      fetcher: { ...fetcher, fetch: (ordered, signal) => timed('fetch', () => fetcher.fetch(ordered, signal)) },
      localise(file) {
        const begunAt = clock.monotonic();
        const fitted = localise(file);
        metrics.observe('interlock_convergence_stage_seconds', { stage: 'fit' }, clock.monotonic() - begunAt);
        return fitted;
      },
      stage: { ...stage, put: (bytes) => timed('write', () => stage.put(bytes)) },
      async reload(signal) {
        const outcome = await timed('reload', () => reload(signal));
        metrics.add('interlock_agent_reloads_total', { outcome: outcome.kind });
        return outcome;
      },
    }),
    read(parts) {
      metrics.onScrape(() => readDelivery(parts));
      metrics.onScrape(() => readNginx(parts));
    },
  };
}

/**
 * For an outer balancer: whether this proxy should get new connections. A newer file that is under way or was refused is no reason to
 * leave: NGINX serves the one before, and a file that every proxy refuses must not take all of them away at once.
 */
export function agentReadiness(
  state: AgentState,
  isLeaving: boolean,
  delivery: Pick<Delivery, 'orders' | 'standing'> | undefined,
): Readiness {
  if (state.kind !== 'serving' || isLeaving) {
    return { ready: false, words: state.kind === 'starting' ? 'NGINX starts' : 'this proxy stops' };
  }
  const standing = delivery?.standing.get();
  const order = delivery?.orders.get();
  if (order?.kind !== 'serve' || order.manifest.digest === standing?.serving?.digest) {
    return { ready: true, words: 'ready' };
  }
  return standing?.refused?.digest === order.manifest.digest
    ? { ready: true, words: 'ready: NGINX refused the newest configuration and serves the one before' }
    : { ready: true, words: 'ready: a newer configuration is under way' };
}

export interface StubStatus {
  readonly accepted: number;
  readonly handled: number;
  readonly requests: number;
  readonly reading: number;
  readonly writing: number;
  readonly waiting: number;
}

/** The answer of ngx_http_stub_status_module; `undefined` for anything else. */
export function parseStubStatus(text: string): StubStatus | undefined {
  const found =
    /^\s*(?<accepted>\d+) (?<handled>\d+) (?<requests>\d+)\s*$[\s\S]*Reading: (?<reading>\d+) Writing: (?<writing>\d+) Waiting: (?<waiting>\d+)/m.exec(
      text,
    )?.groups;
  return found === undefined
    ? undefined
    : {
        accepted: Number(found['accepted']),
        handled: Number(found['handled']),
        requests: Number(found['requests']),
        reading: Number(found['reading']),
        writing: Number(found['writing']),
        waiting: Number(found['waiting']),
      };
}

function ask(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: '/status', agent: false, timeout: STATUS_LIMIT_MS }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => resolve(Buffer.concat(parts).toString('latin1')));
      response.on('error', reject);
    });
    asked.on('timeout', () => asked.destroy(new Error('NGINX does not answer')));
    asked.on('error', reject);
    asked.end();
  });
}
