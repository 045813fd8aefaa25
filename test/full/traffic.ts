/**
 * Constant light traffic, as somebody outside sees it: every proxy is asked on a fixed beat, whatever became of the requests before.
 * In: addresses of proxies, a host. Out: what was answered and what failed, with times.
 */
import { Agent, request } from 'undici';

export type Method = 'GET' | 'POST';

export interface Exchange {
  /** The proxy's address. */
  readonly base: string;
  readonly method: Method;
  /** On a new connection, not on a kept one. */
  readonly fresh: boolean;
  /** ms since the epoch. */
  readonly startedMs: number;
  readonly tookMs: number;
  /** Undefined: answered 200 by the application. Else the status, or what the connection ran into. */
  readonly problem: string | undefined;
}

export interface Traffic {
  readonly exchanges: readonly Exchange[];
  failed(sinceMs?: number): readonly Exchange[];
  /** Waits until every proxy has answered this many more requests. */
  answeredBy(count: number): Promise<void>;
  /** Waits for what is under way. May be called again. */
  stop(): Promise<void>;
}

export interface TrafficOptions {
  readonly bases: readonly string[];
  readonly host: string;
  /** Per proxy. Default 50: 20 requests/s; every fifth one on a connection of its own. */
  readonly everyMs?: number;
  /** In turn. A POST is to come back as it was sent. Default: GET. */
  readonly methods?: readonly Method[];
  /** For `https:` addresses: who signed the certificate of the host. */
  readonly ca?: string;
}

/** No answer within this time is a failure. */
const LIMIT_MS = 10_000;

/**
 * Who sends on a connection that has been idle for long may find it closed by a reload, and every browser then asks again. NGINX leaves
 * one alone that was used within the last second (`keepalive_min_timeout`): so do we with those that were not used for half of it.
 */
const KEPT_MS = 500;

const BODY = 'x'.repeat(2_048);

export function startTraffic({ bases, host, everyMs = 50, methods = ['GET'], ca }: TrafficOptions): Traffic {
  const tls = ca === undefined ? {} : { ca, servername: host };
  const limits = { connect: { timeout: LIMIT_MS, ...tls }, headersTimeout: LIMIT_MS, bodyTimeout: LIMIT_MS };
  const kept = new Agent({ ...limits, keepAliveTimeout: KEPT_MS, keepAliveMaxTimeout: KEPT_MS });
  const own = new Agent({ ...limits, pipelining: 0 });
  const exchanges: Exchange[] = [];
  const underWay = new Set<Promise<void>>();
  const beat = { count: 0 };
  const end: { stopped?: Promise<void> } = {};

  async function exchange(base: string, method: Method, fresh: boolean): Promise<void> {
    const startedMs = Date.now();
    const problem = await problemOf(base, method, fresh);
    exchanges.push({ base, method, fresh, startedMs, tookMs: Date.now() - startedMs, problem });
  }

  async function problemOf(base: string, method: Method, fresh: boolean): Promise<string | undefined> {
    try {
      const sent = method === 'POST' ? { body: BODY } : {};
      const options = { dispatcher: fresh ? own : kept, method, headers: { host }, ...sent };
      const { statusCode, body } = await request(`${base}/`, options);
      const text = await body.text();
      return statusCode !== 200
        ? `status ${statusCode}`
        : method === 'POST' && text !== BODY
          ? 'another body came back'
          : undefined;
    } catch (error) {
      return error instanceof Error
        ? error.cause instanceof Error
          ? error.cause.message
          : error.message
        : String(error);
    }
  }

  const timer = setInterval(() => {
    beat.count += 1;
    const method = methods[beat.count % methods.length] ?? 'GET';
    for (const base of bases) {
      const one = exchange(base, method, beat.count % 5 === 0);
      underWay.add(one);
      void one.finally(() => underWay.delete(one));
    }
  }, everyMs);

  async function finish(): Promise<void> {
    clearInterval(timer);
    await Promise.all(underWay);
    await Promise.all([kept.close(), own.close()]);
  }

  const failed = (sinceMs = 0) =>
    exchanges.filter(({ problem, startedMs }) => problem !== undefined && startedMs >= sinceMs);
  const answeredOf = (base: string) => exchanges.filter((one) => one.base === base && one.problem === undefined).length;

  return {
    exchanges,
    failed,
    async answeredBy(count) {
      const goals = bases.map((base) => ({ base, goal: answeredOf(base) + count }));
      const until = Date.now() + 60_000;
      while (goals.some(({ base, goal }) => answeredOf(base) < goal)) {
        if (Date.now() > until) {
          throw new Error(`not ${count} answers of each of ${bases.join(', ')} within 60 s`);
        }
        await new Promise((resolve) => setTimeout(resolve, everyMs));
      }
    },
    async stop() {
      end.stopped ??= finish();
      await end.stopped;
    },
  };
}

/** One line for the log of a test run. */
export function tallyOf({ exchanges, failed }: Traffic): string {
  const slowest = exchanges.reduce((most, { tookMs }) => Math.max(most, tookMs), 0);
  return `${exchanges.length} requests, ${failed().length} failed, slowest ${slowest} ms`;
}
