/** The caller's side of the contract: extensions, agents and people. Comes in: an endpoint and who we are. Goes out: calls in our own words. */
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { abortReason } from '../runtime/clock.ts';
import { OperationalError, toError } from '../runtime/errors.ts';
import {
  type AgentMessage,
  decodeBlobPiece,
  decodeDirective,
  encodeAgentMessage,
  encodeFetchRequest,
} from './agent-codec.ts';
import { decodeSubmitReply, encodeRefusal, encodeSubmission } from './artifact-codec.ts';
import { assembleBlobs } from './blobs.ts';
import { callerMetadata } from './caller.ts';
import type {
  AgentDirective,
  AgentHello,
  AgentWord,
  CallerIdentity,
  ModelMessage,
  Refusal,
  RevisionRef,
  Submission,
  SubmitOutcome,
} from './contract.ts';
import { errorOfStatus } from './errors.ts';
import { CLIENT_OPTIONS, CONNECT_TIMEOUT_MS, FETCH_TIMEOUT_MS, UNARY_TIMEOUT_MS } from './limits.ts';
import { METHODS } from './methods.ts';
import { decodeModelMessage, encodeWatchRequest } from './model-codec.ts';
import { askOperator, type OperatorCalls } from './operator.ts';
import type { BytesMethod } from './proto.ts';
import type { TlsMaterial } from './tls-files.ts';

export interface WireClientOptions {
  /** `host:port`, e.g. `tasks.interlock_core:8080`; or `unix:/path`. */
  readonly endpoint: string;
  readonly identity: CallerIdentity;
  /** Asked anew before each call, unless the identity has a token: the file that holds it may come later. */
  readonly token?: (() => Promise<string | undefined>) | undefined;
  /** Core must show a certificate of this CA for the host in `endpoint`, and is shown ours. Default: plain. */
  readonly tls?: TlsMaterial | undefined;
  /** Deadline of unary calls, default 10,000. */
  readonly unaryTimeoutMs?: number;
}

/**
 * Every call throws `WIRE.UNREACHABLE` (come back later), `WIRE.REFUSED` (core said no; `facts.reason`), `WIRE.MALFORMED` (its answer
 * makes no sense), or the signal's reason once it has aborted.
 */
export interface WireClient {
  /** One stream: it does not reconnect (`followModel` does). Ends without an error when core ends it. */
  watchModel(have: RevisionRef | undefined, signal: AbortSignal): AsyncIterable<ModelMessage>;
  submitArtifact(submission: Submission, signal: AbortSignal): Promise<SubmitOutcome>;
  refuseRevision(refusal: Refusal, signal: AbortSignal): Promise<void>;
  /**
   * One agent's session: it does not reconnect. Says `hello`, then each word as it comes; yields core's directives. Ends without an
   * error when core ends it; leaving it early ends it too. `words` gets a signal that aborts when the session is over.
   */
  agentSession(
    hello: AgentHello,
    words: (signal: AbortSignal) => AsyncIterable<AgentWord>,
    signal: AbortSignal,
  ): AsyncIterable<AgentDirective>;
  /** The bytes under their digests, each checked. */
  fetchBlobs(digests: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, Uint8Array>>;
  /** For people. */
  readonly operator: OperatorCalls;
  /** Closes the connection. Abort what is under way first. */
  close(): void;
}

/** Opens no connection before the first call. */
export function createWireClient(options: WireClientOptions): WireClient {
  const { endpoint, identity, unaryTimeoutMs = UNARY_TIMEOUT_MS } = options;
  const link = createLink(endpoint, options.tls, {
    ...CLIENT_OPTIONS,
    'grpc.primary_user_agent': `interlock-${identity.role}/${identity.version}`,
  });
  const ownMetadata = async (): Promise<Metadata> =>
    callerMetadata({ ...identity, token: identity.token ?? (await options.token?.()) });
  const unary = async (method: BytesMethod, request: Buffer, signal: AbortSignal): Promise<Buffer> => {
    const metadata = await ownMetadata();
    return callUnary(link.client(), method, request, { metadata, timeoutMs: unaryTimeoutMs, signal });
  };

  return {
    async *watchModel(have, signal) {
      signal.throwIfAborted();
      const { path, requestSerialize, responseDeserialize } = METHODS.watchModel;
      const request = encodeWatchRequest(have);
      const metadata = await ownMetadata();
      const client = await link.connected(signal);
      const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, metadata);
      for await (const bytes of streamOf(call, path, signal)) {
        yield decodeModelMessage(bytes);
      }
    },
    async submitArtifact(submission, signal) {
      const reply = decodeSubmitReply(await unary(METHODS.submitArtifact, encodeSubmission(submission), signal));
      if (reply.revision?.digest !== submission.revision.digest) {
        throw new OperationalError('WIRE.MALFORMED', "core's answer is about another revision");
      }
      return reply.outcome;
    },
    async refuseRevision(refusal, signal) {
      await unary(METHODS.refuseRevision, encodeRefusal(refusal), signal);
    },
    async *agentSession(hello, words, signal) {
      signal.throwIfAborted();
      const { path, requestSerialize, responseDeserialize } = METHODS.agentSession;
      const client = await link.connected(signal);
      const metadata = await ownMetadata();
      const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
      const over = new AbortController();
      const sending = sendAll(call, messagesOf(hello, words(over.signal)), over.signal);
      try {
        for await (const bytes of streamOf(call, path, signal)) {
          yield decodeDirective(bytes);
        }
      } finally {
        over.abort();
        await sending;
      }
    },
    async fetchBlobs(digests, signal) {
      signal.throwIfAborted();
      const { path, requestSerialize, responseDeserialize } = METHODS.fetchBlobs;
      const client = await link.connected(signal);
      const request = encodeFetchRequest(digests);
      const metadata = await ownMetadata();
      // A wall-clock time, because that is what grpc-js takes.
      const options = { deadline: Date.now() + FETCH_TIMEOUT_MS };
      const call = client.makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        options,
      );
      const assembly = assembleBlobs(digests);
      for await (const bytes of streamOf(call, path, signal)) {
        assembly.add(decodeBlobPiece(bytes));
      }
      return assembly.finish();
    },
    operator: askOperator(unary),
    close: () => link.client().close(),
  };
}

/** The connection, exchanged for a fresh one when core does not accept it in time. */
interface Link {
  client(): Client;
  /** Waits for a connection that core accepted; throws WIRE.UNREACHABLE after CONNECT_TIMEOUT_MS. */
  connected(signal: AbortSignal): Promise<Client>;
}

function createLink(endpoint: string, tls: TlsMaterial | undefined, options: ChannelOptions): Link {
  const open = (): Client => new Client(targetOf(endpoint), credentialsOf(tls), options);
  let client = open();
  return {
    client: () => client,
    async connected(signal) {
      try {
        await whenReady(client, signal);
        return client;
      } catch (cause) {
        signal.throwIfAborted();
        client.close();
        client = open();
        const seconds = CONNECT_TIMEOUT_MS / 1_000;
        throw new OperationalError('WIRE.UNREACHABLE', `${endpoint} accepts no connection within ${seconds} s`, {
          cause,
        });
      }
    },
  };
}

function credentialsOf(tls: TlsMaterial | undefined): ChannelCredentials {
  return tls === undefined
    ? credentials.createInsecure()
    : credentials.createSsl(Buffer.from(tls.ca), Buffer.from(tls.key), Buffer.from(tls.cert));
}

function whenReady(client: Client, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stop = (): void => reject(abortReason(signal));
    signal.addEventListener('abort', stop, { once: true });
    // A wall-clock time, because that is what grpc-js takes.
    client.waitForReady(Date.now() + CONNECT_TIMEOUT_MS, (failure) => {
      signal.removeEventListener('abort', stop);
      if (failure) {
        reject(failure);
      } else {
        resolve();
      }
    });
  });
}

/** With its scheme: `core:8080` alone could be read as a scheme named `core`. */
function targetOf(endpoint: string): string {
  return endpoint.startsWith('unix:') ? endpoint : `dns:${endpoint}`;
}

interface UnaryOptions {
  readonly metadata: Metadata;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

function callUnary(
  client: Client,
  method: BytesMethod,
  request: Buffer,
  { metadata, timeoutMs, signal }: UnaryOptions,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const { path, requestSerialize, responseDeserialize } = method;
    // A wall-clock time, because that is what grpc-js takes.
    const deadline = Date.now() + timeoutMs;
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
      { deadline },
      done,
    );
    const unlink = cancelOnAbort(call, signal);

    function done(failure: ServiceError | null, reply?: Buffer): void {
      unlink();
      if (failure !== null) {
        reject(signal.aborted ? abortReason(signal) : errorOfStatus(failure, path));
      } else {
        resolve(reply ?? Buffer.alloc(0));
      }
    }
  });
}

async function* messagesOf(hello: AgentHello, words: AsyncIterable<AgentWord>): AsyncIterable<AgentMessage> {
  yield { kind: 'hello', hello };
  for await (const word of words) {
    yield 'unreached' in word ? { kind: 'unreached', report: word } : { kind: 'report', report: word };
  }
}

/** Never rejects: what makes sending impossible ends the call, and its reader hears why. A bug in `messages` cancels the call. */
async function sendAll(
  call: ClientDuplexStream<Buffer, Buffer>,
  messages: AsyncIterable<AgentMessage>,
  over: AbortSignal,
): Promise<void> {
  try {
    for await (const message of messages) {
      await written(call, encodeAgentMessage(message), over);
    }
    call.end();
  } catch (error) {
    if (!over.aborted) {
      call.destroy(toError(error));
    }
  }
}

/** Waits until the connection has taken it, so that a slow core holds one report here. */
function written(call: ClientDuplexStream<Buffer, Buffer>, bytes: Buffer, over: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    over.throwIfAborted();
    const stop = (): void => reject(abortReason(over));
    over.addEventListener('abort', stop, { once: true });
    call.write(bytes, () => {
      over.removeEventListener('abort', stop);
      resolve();
    });
  });
}

/** The stream as an async iterable; leaving it early cancels the call. */
async function* streamOf(
  call: ClientReadableStream<Buffer> | ClientDuplexStream<Buffer, Buffer>,
  path: string,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  const unlink = cancelOnAbort(call, signal);
  // `cancel` below ends the call with one more error event, after the loop has stopped listening.
  call.on('error', () => undefined);
  try {
    for await (const bytes of call) {
      yield bytes as Buffer;
    }
  } catch (error) {
    signal.throwIfAborted();
    throw errorOfStatus(toServiceError(error), path);
  } finally {
    unlink();
    call.cancel();
  }
}

/** A Readable rejects with what grpc-js emitted; anything else would be a bug of ours. */
function toServiceError(error: unknown): ServiceError {
  if (error instanceof Error && 'code' in error && 'details' in error) {
    return error as ServiceError;
  }
  throw toError(error);
}

function cancelOnAbort(call: { cancel(): void }, signal: AbortSignal): () => void {
  const cancel = (): void => call.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  return () => signal.removeEventListener('abort', cancel);
}
