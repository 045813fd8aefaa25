/**
 * Core's side of the contract. Comes in: handlers in our own words. Goes out: a gRPC server.
 * A caller can break its own call and nothing else: every call has its own signal, and whatever a handler throws becomes a status.
 */
import { chmod, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerInterceptor,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { abortReason, type Clock, systemClock } from '../runtime/clock.ts';
import { OperationalError, toError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logging.ts';
import { type Authenticate, createAdmission, createConnectionRefusals, type OnCallEnd } from './admission.ts';
import { answerSession, readMessages, sendBlobs } from './agent-calls.ts';
import { decodeRefusal, decodeSubmission, encodeRefusalReply, encodeSubmitReply } from './artifact-codec.ts';
import { callerOf } from './caller.ts';
import { createLiveCalls } from './calls.ts';
import type { Caller, WireHandlers } from './contract.ts';
import { isServerBug, refusal, statusOf } from './errors.ts';
import { createHealth } from './health.ts';
import { SERVER_OPTIONS } from './limits.ts';
import { createListener } from './listener.ts';
import { METHODS, SERVICE_NAMES } from './methods.ts';
import { decodeWatchRequest, encodeModelMessage } from './model-codec.ts';
import { answerOperator, OPERATOR, OPERATOR_CALL_NAMES, type OperatorCalls } from './operator.ts';
import type { TlsMaterial } from './tls-files.ts';

export interface WireServerOptions {
  /** Port 0: any free port; `start` says which. Several hosts: each is listened on. */
  readonly listen: { readonly host: string | readonly string[]; readonly port: number };
  /** Callers over TCP must show a certificate of this CA, beside their token. Default: plain. */
  readonly tls?: TlsMaterial | undefined;
  readonly handlers: WireHandlers;
  /** Asked for callers in the role operator only. */
  readonly operator: OperatorCalls;
  /** Asked of every call except the health service's, before any message of it is read. */
  readonly authenticate: Authenticate;
  readonly onCallEnd?: OnCallEnd | undefined;
  /**
   * A unix socket for operators, mode 0600: who can open it is one, and nobody else is served there. Left out with a warning when it
   * cannot be made. Default: none.
   */
  readonly operatorSocket?: string | undefined;
  readonly logger: Logger;
  readonly clock?: Clock;
}

export interface WireServer {
  /** Throws `WIRE.LISTEN_FAILED`. Call once. */
  start(): Promise<{ readonly port: number }>;
  /** Ends the streams at once, gives unary calls `graceMs`, then cuts what is left. Resolves when every handler has ended. */
  stop(graceMs: number): Promise<void>;
}

type AnyCall = UnaryCall | StreamCall | DuplexCall;
type UnaryCall = ServerUnaryCall<Buffer, Buffer>;
type StreamCall = ServerWritableStream<Buffer, Buffer>;
type DuplexCall = ServerDuplexStream<Buffer, Buffer>;
/** What both kinds of stream have in common. */
interface Outgoing {
  write(bytes: Buffer, done: (error: Error | null | undefined) => void): unknown;
  end(): unknown;
  emit(event: 'error', status: unknown): boolean;
  getPath(): string;
  getPeer(): string;
}
type Answer = (call: UnaryCall, signal: AbortSignal) => Promise<Buffer>;
type Answers = (call: StreamCall, signal: AbortSignal) => AsyncIterable<Buffer>;

export function createWireServer(options: WireServerOptions): WireServer {
  const { listen, handlers, operator, authenticate, operatorSocket, logger, clock = systemClock } = options;
  const { tls, onCallEnd } = options;
  const server = listener(createAdmission({ authenticate, onCallEnd, logger, clock }));
  const door = createListener(server, {
    port: listen.port,
    hosts: [listen.host].flat(),
    tls,
    onRefused: createConnectionRefusals(onCallEnd, logger, clock),
  });
  // A listener of its own, because a call does not tell which one it came through.
  const operators =
    operatorSocket && listener(createAdmission({ authenticate: onlyOperators, onCallEnd, logger, clock }));
  const servers = operators ? [server, operators] : [server];
  const calls = createLiveCalls();
  const health = createHealth(SERVICE_NAMES);

  const unary = (answer: Answer) => (call: UnaryCall, reply: sendUnaryData<Buffer>) => {
    const scope = scopeOf(call);
    calls.run('unary', scope, () => serveUnary(call, reply, () => answer(call, scope.signal), logger));
  };
  const stream = (answers: Answers) => (call: StreamCall) => {
    const scope = scopeOf(call);
    calls.run('stream', scope, () => serveStream(call, () => answers(call, scope.signal), scope.signal, logger));
  };
  // What the agent sends may come to no end of its own.
  const duplex = (answers: (call: DuplexCall, signal: AbortSignal) => AsyncIterable<Buffer>) => (call: DuplexCall) => {
    const scope = scopeOf(call);
    calls.run('stream', scope, async () => {
      await serveStream(call, () => answers(call, scope.signal), scope.signal, logger);
      // Whoever still waits for a message of this call waits no longer.
      scope.abort(stopping());
    });
  };

  const implementation = {
    watchModel: stream((call, signal) => watchModel(handlers, callerOf(call.metadata), call.request, signal)),
    submitArtifact: unary((call, signal) => submitArtifact(handlers, callerOf(call.metadata), call.request, signal)),
    refuseRevision: unary((call, signal) => refuseRevision(handlers, callerOf(call.metadata), call.request, signal)),
    agentSession: duplex((call, signal) =>
      answerSession(handlers, callerOf(call.metadata), readMessages(call, signal), signal),
    ),
    fetchBlobs: stream((call, signal) => sendBlobs(handlers, callerOf(call.metadata), call.request, signal)),
    checkHealth: unary((call) => Promise.resolve().then(() => health.check(call.request))),
    watchHealth: stream((call, signal) => health.watch(call.request, signal)),
  };
  const forPeople = OPERATOR_CALL_NAMES.map((name) => {
    const answer: Answer = async (call, signal) => {
      expectOperator(callerOf(call.metadata));
      return answerOperator(operator, name, call.request, signal);
    };
    return [name, unary(answer)] as const;
  });
  for (const each of servers) {
    each.addService(METHODS, implementation);
    each.addService(
      Object.fromEntries(OPERATOR_CALL_NAMES.map((name) => [name, OPERATOR[name].method])),
      Object.fromEntries(forPeople),
    );
  }

  return {
    async start() {
      const { port } = await door.start();
      if (operators) {
        await bindSocket(operators, operatorSocket, logger);
      }
      health.set('SERVING');
      logger.info({ port }, 'serving gRPC');
      return { port };
    },
    async stop(graceMs) {
      health.set('NOT_SERVING');
      door.stop();
      calls.abort('stream', stopping());
      await Promise.all(servers.map((each) => shutDown(each, graceMs, clock)));
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

/** What core tells of every cluster is no business of one of them. */
function expectOperator({ role }: Caller): void {
  if (role !== 'operator') {
    throw refusal('permission-denied', `this call is for operators, not for the role ${role}`);
  }
}

/** Made once: each call ends with it, also one that was answered, and its stack says nothing. */
const GONE = new OperationalError('WIRE.UNREACHABLE', 'the caller went away');

/** Aborts when the caller goes away or its deadline passes. */
function scopeOf(call: { on(event: 'cancelled', listener: () => void): unknown }): AbortController {
  const scope = new AbortController();
  call.on('cancelled', () => scope.abort(GONE));
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
async function serveStream(
  call: Outgoing,
  answers: () => AsyncIterable<Buffer>,
  signal: AbortSignal,
  logger: Logger,
): Promise<void> {
  try {
    for await (const bytes of answers()) {
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
function write(call: Outgoing, bytes: Buffer, signal: AbortSignal): Promise<void> {
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

function report(error: unknown, call: Pick<AnyCall, 'getPath' | 'getPeer'>, logger: Logger): void {
  const facts = { call: call.getPath(), peer: call.getPeer(), err: toError(error) };
  if (isServerBug(error)) {
    logger.error(facts, 'a call failed');
  } else {
    logger.debug(facts, 'a call ended early');
  }
}

function listener(admission: ServerInterceptor): Server {
  return new Server({ ...SERVER_OPTIONS, interceptors: [admission] });
}

function onlyOperators({ role }: Caller): void {
  if (role !== 'operator') {
    throw refusal('unauthenticated', `this socket is for operators, not for the role ${role}`);
  }
}

/** The folder is closed before the socket is there, so that nobody gets in before its mode is set, or puts another in its place. */
async function bindSocket(server: Server, path: string, logger: Logger): Promise<void> {
  try {
    await closeFolder(path);
    await rm(path, { force: true }); // what an earlier life left behind
    await bind(server, `unix:${path}`);
    await chmod(path, 0o600);
    logger.info({ path }, 'serving operators');
  } catch (error) {
    logger.warn({ path, err: toError(error) }, 'no socket for operators: status cannot be asked for here');
  }
}

/**
 * One that is there may be open to all: a tmpfs is, by default. It is closed when it is for this socket alone.
 * @throws OperationalError WIRE.LISTEN_FAILED when others share it.
 */
async function closeFolder(path: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (((await stat(folder)).mode & 0o077) === 0) {
    return;
  }
  const others = (await readdir(folder)).filter((name) => name !== basename(path));
  if (others.length > 0) {
    const words = `others may enter the folder ${folder}, and it holds more than the operators' socket`;
    throw new OperationalError(
      'WIRE.LISTEN_FAILED',
      `${words}: give the socket a folder of its own, or chmod it to 700`,
    );
  }
  await chmod(folder, 0o700);
}

function bind(server: Server, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) => {
      if (error) {
        reject(error);
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
