/**
 * Core's side of the contract. Comes in: handlers in our own words. Goes out: a gRPC server.
 * A caller can break its own call and nothing else: every call has its own signal, and whatever a handler throws becomes a status.
 */
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { abortReason, type Clock, systemClock } from '../runtime/clock.ts';
import { OperationalError, toError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logging.ts';
import { decodeRefusal, decodeSubmission, encodeRefusalReply, encodeSubmitReply } from './artifact-codec.ts';
import { callerOf } from './caller.ts';
import { createLiveCalls } from './calls.ts';
import type { Caller, WireHandlers } from './contract.ts';
import { isServerBug, statusOf } from './errors.ts';
import { createHealth } from './health.ts';
import { SERVER_OPTIONS } from './limits.ts';
import { METHODS, SERVICE_NAMES } from './methods.ts';
import { decodeWatchRequest, encodeModelMessage } from './model-codec.ts';
import { encodeStatusReport } from './status-codec.ts';

export interface WireServerOptions {
  /** Port 0: any free port; `start` says which. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly handlers: WireHandlers;
  readonly logger: Logger;
  readonly clock?: Clock;
}

export interface WireServer {
  /** Throws `WIRE.LISTEN_FAILED`. Call once. */
  start(): Promise<{ readonly port: number }>;
  /** Ends the streams at once, gives unary calls `graceMs`, then cuts what is left. Resolves when every handler has ended. */
  stop(graceMs: number): Promise<void>;
}

type AnyCall = UnaryCall | StreamCall;
type UnaryCall = ServerUnaryCall<Buffer, Buffer>;
type StreamCall = ServerWritableStream<Buffer, Buffer>;
type Answer = (call: UnaryCall, signal: AbortSignal) => Promise<Buffer>;
type Answers = (call: StreamCall, signal: AbortSignal) => AsyncIterable<Buffer>;

export function createWireServer({ listen, handlers, logger, clock = systemClock }: WireServerOptions): WireServer {
  const server = new Server(SERVER_OPTIONS);
  const calls = createLiveCalls();
  const health = createHealth(SERVICE_NAMES);

  const unary = (answer: Answer) => (call: UnaryCall, reply: sendUnaryData<Buffer>) => {
    const scope = scopeOf(call);
    calls.run('unary', scope, () => serveUnary(call, reply, () => answer(call, scope.signal), logger));
  };
  const stream = (answers: Answers) => (call: StreamCall) => {
    const scope = scopeOf(call);
    calls.run('stream', scope, () => serveStream(call, answers, scope.signal, logger));
  };

  server.addService(METHODS, {
    watchModel: stream((call, signal) => watchModel(handlers, callerOf(call.metadata), call.request, signal)),
    submitArtifact: unary((call, signal) => submitArtifact(handlers, callerOf(call.metadata), call.request, signal)),
    refuseRevision: unary((call, signal) => refuseRevision(handlers, callerOf(call.metadata), call.request, signal)),
    getStatus: unary((call, signal) => getStatus(handlers, callerOf(call.metadata), signal)),
    checkHealth: unary((call) => Promise.resolve().then(() => health.check(call.request))),
    watchHealth: stream((call, signal) => health.watch(call.request, signal)),
  });

  return {
    async start() {
      const port = await bind(server, listen);
      health.set('SERVING');
      logger.info({ port }, 'serving gRPC');
      return { port };
    },
    async stop(graceMs) {
      health.set('NOT_SERVING');
      calls.abort('stream', stopping());
      await shutDown(server, graceMs, clock);
      calls.abort('unary', stopping());
      await calls.settled();
    },
  };
}

function stopping(): OperationalError {
  return new OperationalError('WIRE.UNREACHABLE', 'core stops');
}

async function* watchModel(
  handlers: WireHandlers,
  caller: Caller,
  request: Buffer,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  for await (const message of handlers.watchModel(caller, decodeWatchRequest(request), signal)) {
    yield encodeModelMessage(message);
  }
}

async function submitArtifact(
  handlers: WireHandlers,
  caller: Caller,
  request: Buffer,
  signal: AbortSignal,
): Promise<Buffer> {
  const submission = decodeSubmission(request);
  return encodeSubmitReply(await handlers.submitArtifact(caller, submission, signal), submission.revision);
}

async function refuseRevision(
  handlers: WireHandlers,
  caller: Caller,
  request: Buffer,
  signal: AbortSignal,
): Promise<Buffer> {
  await handlers.refuseRevision(caller, decodeRefusal(request), signal);
  return encodeRefusalReply();
}

async function getStatus(handlers: WireHandlers, caller: Caller, signal: AbortSignal): Promise<Buffer> {
  return encodeStatusReport(await handlers.status(caller, signal));
}

/** Aborts when the caller goes away or its deadline passes. */
function scopeOf(call: AnyCall): AbortController {
  const scope = new AbortController();
  call.on('cancelled', () => scope.abort(new OperationalError('WIRE.UNREACHABLE', 'the caller went away')));
  return scope;
}

async function serveUnary(
  call: UnaryCall,
  reply: sendUnaryData<Buffer>,
  answer: () => Promise<Buffer>,
  logger: Logger,
): Promise<void> {
  try {
    reply(null, await answer());
  } catch (error) {
    report(error, call, logger);
    reply(statusOf(error));
  }
}

/**
 * The next message is asked for when the last one has been handed to the connection under its flow control, so a slow reader holds
 * one message here, and gets the newest next.
 */
async function serveStream(call: StreamCall, answers: Answers, signal: AbortSignal, logger: Logger): Promise<void> {
  try {
    for await (const bytes of answers(call, signal)) {
      await write(call, bytes, signal);
    }
    call.end();
  } catch (error) {
    const failure = signal.aborted ? abortReason(signal) : error;
    report(failure, call, logger);
    // The way grpc-js ends a stream with a status; without a connection it does nothing.
    call.emit('error', statusOf(failure));
  }
}

/** grpc-js never calls back for a write on a call that was cancelled meanwhile: the signal ends the wait. */
function write(call: StreamCall, bytes: Buffer, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    signal.addEventListener('abort', cancel, { once: true });
    call.write(bytes, (error: Error | null | undefined) => {
      signal.removeEventListener('abort', cancel);
      if (error) {
        reject(error);
      } else {
        resolve();
      }
    });

    function cancel(): void {
      reject(abortReason(signal));
    }
  });
}

function report(error: unknown, call: AnyCall, logger: Logger): void {
  const facts = { call: call.getPath(), peer: call.getPeer(), err: toError(error) };
  if (isServerBug(error)) {
    logger.error(facts, 'a call failed');
  } else {
    logger.debug(facts, 'a call ended early');
  }
}

function bind(server: Server, { host, port }: WireServerOptions['listen']): Promise<number> {
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) => {
      if (error) {
        reject(new OperationalError('WIRE.LISTEN_FAILED', `cannot listen on ${address}`, { cause: error }));
      } else {
        resolve(bound);
      }
    });
  });
}

async function shutDown(server: Server, graceMs: number, clock: Clock): Promise<void> {
  const over = new AbortController();
  const closed = new Promise<void>((resolve) => {
    server.tryShutdown(() => {
      over.abort();
      resolve();
    });
  });
  try {
    await clock.sleep(graceMs, over.signal);
    server.forceShutdown();
  } catch {
    // Every connection closed before the grace was over.
  }
  await closed;
}
