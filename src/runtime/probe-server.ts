/**
 * What people, Prometheus and outer balancers ask a daemon over HTTP. It never gets in the way: a port that cannot be had is a log line
 * and another try, and the daemon goes on.
 *
 *   GET /healthz   200 while the process lives
 *   GET /readyz    200, or 503 and why not
 *   GET /metrics   Prometheus' text; only where it is offered
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createBackoff, DEFAULT_BACKOFF } from './backoff.ts';
import type { Clock } from './clock.ts';
import { toError } from './errors.ts';
import type { Logger } from './logging.ts';
import type { Component } from './supervisor.ts';

export interface Readiness {
  readonly ready: boolean;
  /** One line for people. */
  readonly words: string;
}

export interface ProbeServerOptions {
  readonly name: string;
  /** Asked again after each failure. May throw: then it is too early. */
  readonly address: (signal: AbortSignal) => Promise<{ readonly host: string; readonly port: number }>;
  readonly ready: () => Readiness;
  /** Default: no `/metrics` here. */
  readonly metrics?: (() => Promise<string>) | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
  /** For tests: hears the port that was bound. */
  readonly onListening?: ((port: number) => void) | undefined;
}

/** A scrape is one request; more than this at a time is somebody who means no good. */
const MAX_CONNECTIONS = 64;
const REQUEST_MS = 5_000;
const RETRY = { ...DEFAULT_BACKOFF, firstMs: 500 };

export function createProbeServer(options: ProbeServerOptions): Component {
  const { name, address, logger, clock, onListening } = options;
  return {
    name,
    async run(signal) {
      const pause = createBackoff(clock, RETRY);
      for (;;) {
        pause.begin();
        try {
          const where = await address(signal);
          const server = await listen(options, where);
          const bound = server.address();
          const port = typeof bound === 'object' && bound !== null ? bound.port : where.port;
          logger.info({ area: name, host: where.host, port }, 'answers probes');
          onListening?.(port);
          await closedAtAbort(server, signal);
          return;
        } catch (error) {
          if (signal.aborted) {
            return;
          }
          const level = pause.streak() === 0 ? 'warn' : 'debug';
          logger[level]({ area: name, err: toError(error) }, 'probes are not answered yet; trying again');
        }
        await pause.wait(signal);
      }
    },
  };
}

function listen(
  options: ProbeServerOptions,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<Server> {
  const server = createServer(
    { headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS, keepAliveTimeout: REQUEST_MS, maxHeaderSize: 8_192 },
    (request, response) => void answer(request, response, options),
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.maxRequestsPerSocket = 1_000;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      server.on('error', (error) => options.logger.debug({ area: options.name, err: error }, 'a connection failed'));
      resolve(server);
    });
  });
}

function closedAtAbort(server: Server, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const close = (): void => {
      server.close(() => resolve());
      server.closeAllConnections();
    };
    if (signal.aborted) {
      close();
    } else {
      signal.addEventListener('abort', close, { once: true });
    }
  });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { ready, metrics, logger, name }: ProbeServerOptions,
): Promise<void> {
  try {
    const { status, type = 'text/plain; charset=utf-8', body } = await reply(request, ready, metrics);
    // What is true now is not in a minute.
    response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
    response.end(request.method === 'HEAD' ? undefined : body);
  } catch (error) {
    logger.error({ area: name, err: toError(error) }, 'a probe could not be answered');
    if (!response.headersSent) {
      response.writeHead(500);
    }
    response.end();
  }
}

interface Reply {
  readonly status: number;
  readonly type?: string;
  readonly body: string;
}

async function reply(
  { method, url = '/' }: IncomingMessage,
  ready: ProbeServerOptions['ready'],
  metrics: ProbeServerOptions['metrics'],
): Promise<Reply> {
  if (method !== 'GET' && method !== 'HEAD') {
    return { status: 405, body: 'GET or HEAD\n' };
  }
  const [path] = url.split('?');
  if (path === '/healthz') {
    return { status: 200, body: 'ok\n' };
  }
  if (path === '/readyz') {
    const now = ready();
    return { status: now.ready ? 200 : 503, body: `${now.words}\n` };
  }
  return path === '/metrics' && metrics !== undefined
    ? { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: await metrics() }
    : { status: 404, body: 'not here\n' };
}
