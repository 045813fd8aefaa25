/** Requests per route, out of the lines that NGINX sends for each (`RouteMetrics`). Bounded, whatever is sent. */
import type { Clock } from '../runtime/clock.ts';
import type { Metrics, MetricTable } from '../runtime/metrics.ts';
import { parseRouteLine, type Route } from './nginx/route-line.ts';

const ROUTE = ['host', 'path'] as const;

export const ROUTE_METRICS = {
  interlock_route_requests_total: {
    kind: 'counter',
    help: 'Requests per route, by class of the status; only with `RouteMetrics`. Some may be missing under pressure: `interlock_route_lines_total`',
    labels: [...ROUTE, 'code'],
  },
  interlock_route_request_seconds: {
    kind: 'histogram',
    help: 'From the first byte of a request to the last of its answer; only with `RouteMetrics`',
    labels: ROUTE,
    buckets: [0.01, 0.05, 0.1, 0.25, 1, 5, 30],
  },
  interlock_route_sent_bytes_total: {
    kind: 'counter',
    help: 'Bytes of answers, heads included; only with `RouteMetrics`',
    labels: ROUTE,
  },
  interlock_route_lines_total: {
    kind: 'counter',
    help: 'Requests that NGINX told of. It never waits for the agent: what this lacks against `interlock_nginx_requests_total`, beyond the requests of the agent itself and of health checks, was dropped under pressure',
  },
  interlock_route_unreadable_total: {
    kind: 'counter',
    help: 'Datagrams for these metrics that were no line of ours',
  },
} as const satisfies MetricTable;

export interface RouteCounts {
  /** As it comes from `openSyslog`. */
  take(message: string): void;
  /** Drops routes without a request for a day: they have left the file, or nobody misses them. */
  forgetIdle(): void;
}

/** Some 16 series each. */
const MAX_ROUTES = 1_000;
const IDLE_MS = 24 * 60 * 60 * 1_000;
const OTHER: Route = { host: '(other)', path: '(other)' };
const CODES = ['1xx', '2xx', '3xx', '4xx', '5xx', '(other)'];

export function createRouteCounts(
  metrics: Pick<Metrics<typeof ROUTE_METRICS>, 'add' | 'observe' | 'forget'>,
  clock: Pick<Clock, 'monotonic'>,
): RouteCounts {
  const known = new Map<string, { readonly route: Route; lastAtMs: number }>();

  /** Those that came first keep their names. */
  function routeOf({ host, path }: Route): Route {
    const key = `${host} ${path}`;
    const found = known.get(key);
    if (found !== undefined) {
      found.lastAtMs = clock.monotonic();
      return found.route;
    }
    if (known.size >= MAX_ROUTES) {
      return OTHER;
    }
    const route = { host, path };
    known.set(key, { route, lastAtMs: clock.monotonic() });
    return route;
  }

  return {
    take(message) {
      const line = parseRouteLine(message);
      if (line === undefined) {
        metrics.add('interlock_route_unreadable_total', {});
        return;
      }
      const { code, durationMs, sentBytes } = line;
      const route = routeOf(line);
      metrics.add('interlock_route_lines_total', {});
      metrics.add('interlock_route_requests_total', { ...route, code });
      metrics.add('interlock_route_sent_bytes_total', { ...route }, sentBytes);
      metrics.observe('interlock_route_request_seconds', { ...route }, durationMs);
    },
    forgetIdle() {
      const before = clock.monotonic() - IDLE_MS;
      for (const [key, { route, lastAtMs }] of known) {
        if (lastAtMs < before) {
          known.delete(key);
          for (const code of CODES) {
            metrics.forget('interlock_route_requests_total', { ...route, code });
          }
          metrics.forget('interlock_route_sent_bytes_total', { ...route });
          metrics.forget('interlock_route_request_seconds', { ...route });
        }
      }
    },
  };
}
