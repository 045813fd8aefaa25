/**
 * A constant, bounded load on one lane (a list of addresses that answer for the same hosts), counted by kind.
 *
 * What counts as a failure, decided before anything was measured:
 *   - a request that gets no answer, or not the whole answer: refused, reset, cut off, or later than LATE_MS;
 *   - an answer other than 200 (the application always says 200), or an echo that is not what was sent;
 *   - also on a kept connection that closed under the request, although browsers would silently try again;
 *   - a WebSocket that closes before we close it, or whose message is not back within LATE_MS;
 *   - a download that ends short.
 * A WebSocket or download that failed is opened again a second later; each further try that fails counts too.
 */
import { request as httpRequest } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { echoed, openWebSocket } from '../../support/web-socket.ts';

export const KINDS = ['get-kept', 'get-fresh', 'post-kept', 'post-fresh', 'websocket', 'download'] as const;
export type Kind = (typeof KINDS)[number];

export interface Counts {
  /** Answered or failed; a WebSocket message and a download count as one each. */
  readonly requests: number;
  readonly failed: number;
  readonly byKind: Readonly<Partial<Record<Kind, number>>>;
  /** When those that failed were begun, in ms since the epoch. */
  readonly failedBegunMs: readonly number[];
  /** The first few, for people: begun and ended, kind, address, what happened. */
  readonly examples: readonly string[];
  /** Of GET and POST requests that were answered. */
  readonly p99Ms: number;
}

export interface Target {
  /** `http://address:port`, one or more. */
  readonly bases: readonly string[];
  /** Host of an application that answers GET / and POST with an echo. */
  readonly host: string;
  /** Host of one that is never touched: WebSockets and downloads go there. */
  readonly steadyHost: string;
}

export interface LoadOptions {
  /** Requests per second of each kind at each address. Default 10. */
  readonly perSecond?: number;
  /** Over all addresses. Defaults 20 and 5. */
  readonly websockets?: number;
  readonly downloads?: number;
}

export interface Load {
  /** What was counted since the start or the last call. Requests that are under way count when they end. */
  cut(): Counts;
  /** Ends all of it; what is in flight is waited for. */
  stop(): Promise<Counts>;
}

const LATE_MS = 10_000;
const EXAMPLES = 8;
const BODY = 'x'.repeat(2_048);
/** A line every 500 ms, 40 of them: 20 s. */
const DOWNLOAD = { path: '/stream?n=40&ms=500', lines: 40 };

export function startLoad(target: Target, options: LoadOptions = {}): Load {
  const { perSecond = 10, websockets = 20, downloads = 5 } = options;
  const stopped = new AbortController();
  const { signal } = stopped;
  const tally = createTally();
  const kept = new Agent({
    connections: 4,
    connect: { timeout: 2_000 },
    headersTimeout: LATE_MS,
    bodyTimeout: LATE_MS,
  });
  // pipelining 0: a connection for each request.
  const fresh = new Agent({
    pipelining: 0,
    connect: { timeout: 2_000 },
    headersTimeout: LATE_MS,
    bodyTimeout: LATE_MS,
  });
  const baseOf = (index: number) => target.bases[index % target.bases.length] ?? '';
  const running = [
    ...target.bases.flatMap((base) => [
      steadily(perSecond, signal, () => get('get-kept', base, target.host, kept, tally)),
      steadily(perSecond, signal, () => get('get-fresh', base, target.host, fresh, tally)),
      steadily(perSecond / 2, signal, () => post('post-kept', base, target.host, kept, tally)),
      steadily(perSecond / 2, signal, () => post('post-fresh', base, target.host, fresh, tally)),
    ]),
    ...range(websockets).map((index) =>
      repeat(signal, () => webSocket(baseOf(index), target.steadyHost, tally, signal)),
    ),
    ...range(downloads).map((index) => repeat(signal, () => download(baseOf(index), target.steadyHost, tally, signal))),
  ];
  return {
    cut: () => tally.cut(),
    async stop() {
      stopped.abort();
      await Promise.all(running);
      await Promise.all([kept.destroy(), fresh.destroy()]);
      return tally.cut();
    },
  };
}

/** `work` at a steady rate, never waiting for the one before; returns when the signal aborts and all have ended. */
async function steadily(perSecond: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  const pending = new Set<Promise<void>>();
  const startedAt = performance.now();
  for (let count = 1; !signal.aborted; count += 1) {
    const one = work().finally(() => pending.delete(one));
    pending.add(one);
    await pause(Math.max(1, startedAt + (count * 1_000) / perSecond - performance.now()));
  }
  await Promise.all(pending);
}

/** `work` again and again, at most once a second after a failure. */
async function repeat(signal: AbortSignal, work: () => Promise<boolean>): Promise<void> {
  while (!signal.aborted) {
    if (!(await work())) {
      await pause(1_000);
    }
  }
}

async function get(kind: Kind, base: string, host: string, agent: Agent, tally: Tally): Promise<void> {
  const asked = tally.begin(kind);
  try {
    const { statusCode, headers, body } = await request(base, { dispatcher: agent, headers: { host }, signal: late() });
    await body.dump();
    asked.answered(
      statusCode === 200
        ? undefined
        : `${base} ${statusCode} from ${String(headers['x-proxy-id'])}, which asked ${String(headers['x-upstream-addr'])}`,
    );
  } catch (error) {
    asked.failed(`${base} ${wordsOf(error)}`);
  }
}

async function post(kind: Kind, base: string, host: string, agent: Agent, tally: Tally): Promise<void> {
  const asked = tally.begin(kind);
  try {
    const { statusCode, body } = await request(`${base}/echo`, {
      dispatcher: agent,
      method: 'POST',
      headers: { host, 'content-type': 'text/plain' },
      body: BODY,
      signal: late(),
    });
    const same = (await body.text()) === BODY;
    asked.answered(statusCode === 200 && same ? undefined : `${base} ${statusCode}`);
  } catch (error) {
    asked.failed(`${base} ${wordsOf(error)}`);
  }
}

function late(): AbortSignal {
  return AbortSignal.timeout(LATE_MS);
}

/** One connection until it fails or the load stops; a message a second. Resolves to whether it ended because it was told to. */
async function webSocket(base: string, host: string, tally: Tally, signal: AbortSignal): Promise<boolean> {
  let socket: Socket | undefined;
  // A message is as old as its connection: what broke that is noticed up to a second later.
  const begunMs = Date.now();
  let asked = tally.begin('websocket', begunMs);
  try {
    socket = await openWebSocket(base, host, '/ws', late());
    for (let count = 0; !signal.aborted; count += 1) {
      asked = tally.begin('websocket', begunMs);
      await echoed(socket, `message ${count}`, late());
      asked.answered(undefined);
      await pause(1_000);
    }
    return true;
  } catch (error) {
    asked.failed(`${base} ${wordsOf(error)}`);
    return false;
  } finally {
    socket?.destroy();
  }
}

async function download(base: string, host: string, tally: Tally, signal: AbortSignal): Promise<boolean> {
  const asked = tally.begin('download');
  try {
    const lines = await linesOf(`${base}${DOWNLOAD.path}`, host, signal);
    if (lines !== undefined) {
      asked.answered(lines === DOWNLOAD.lines ? undefined : `${base} ${lines} lines`);
    }
    return lines === DOWNLOAD.lines || signal.aborted;
  } catch (error) {
    asked.failed(`${base} ${wordsOf(error)}`);
    return false;
  }
}

/** `undefined` when the load was stopped before its end. */
function linesOf(url: string, host: string, signal: AbortSignal): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asking = httpRequest(url, { headers: { host } }, (response) => {
      let lines = 0;
      response.on('data', (chunk: Buffer) => {
        lines += chunk.toString().split('\n').length - 1;
      });
      response.once('end', () => done(response.complete ? undefined : new Error('cut off'), lines));
      response.once('error', (error) => done(error, lines));
    });
    const done = (error: Error | undefined, lines: number) => {
      signal.removeEventListener('abort', onAbort);
      if (signal.aborted) {
        resolve(undefined);
      } else if (error === undefined) {
        resolve(lines);
      } else {
        reject(error);
      }
    };
    const onAbort = () => {
      asking.destroy();
      done(undefined, 0);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    asking.once('error', (error) => done(error, 0));
    asking.end();
  });
}

interface Tally {
  /** A request, a WebSocket's message or a download, which ends in one of two ways, or is not counted. `begunMs`: default now. */
  begin(kind: Kind, begunMs?: number): Asked;
  cut(): Counts;
}

interface Asked {
  /** `wrong` undefined: a good answer. */
  answered(wrong: string | undefined): void;
  failed(words: string): void;
}

function createTally(): Tally {
  let requests = 0;
  let byKind = new Map<Kind, number>();
  let failedBegunMs: number[] = [];
  let examples: string[] = [];
  let durations: number[] = [];
  return {
    begin(kind, begunMs = Date.now()) {
      const startedAt = performance.now();
      const fail = (words: string): void => {
        byKind.set(kind, (byKind.get(kind) ?? 0) + 1);
        failedBegunMs.push(begunMs);
        if (examples.length < EXAMPLES) {
          examples.push(`${timeOfDay(begunMs)} to ${timeOfDay(Date.now())} ${kind} ${words}`);
        }
      };
      return {
        answered(wrong) {
          requests += 1;
          if (wrong !== undefined) {
            fail(wrong);
          } else if (kind !== 'websocket' && kind !== 'download') {
            durations.push(performance.now() - startedAt);
          }
        },
        failed(words) {
          requests += 1;
          fail(words);
        },
      };
    },
    cut() {
      const sorted = durations.sort((a, b) => a - b);
      const p99 = sorted[Math.max(0, Math.ceil(sorted.length * 0.99) - 1)] ?? 0;
      const counts = {
        requests,
        failed: failedBegunMs.length,
        byKind: Object.fromEntries(byKind),
        failedBegunMs,
        examples,
        p99Ms: Math.round(p99 * 10) / 10,
      };
      requests = 0;
      byKind = new Map();
      failedBegunMs = [];
      examples = [];
      durations = [];
      return counts;
    },
  };
}

export function timeOfDay(ms: number): string {
  return new Date(ms).toISOString().slice(11, 23);
}

function wordsOf(error: unknown): string {
  if (error instanceof Error) {
    const code = 'code' in error && typeof error.code === 'string' ? `${error.code} ` : '';
    return `${code}${error.message}`;
  }
  return String(error);
}

function range(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index);
}
