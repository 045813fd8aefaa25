/**
 * One stream of the manager's watch API over its control socket. It does not reconnect: whoever calls knows whether to go on from the
 * last version or to list everything again.
 */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import {
  type ChannelOptions,
  Client,
  type ClientReadableStream,
  credentials,
  logVerbosity,
  type ServiceError,
  setLogVerbosity,
  status,
} from '@grpc/grpc-js';
import { abortReason } from '../runtime/clock.ts';
import { OperationalError, toError } from '../runtime/errors.ts';
import { type Change, changesOf } from './changes.ts';
import { decodeWatchMessage, encodeWatchRequest, WATCH_PATH } from './messages.ts';

// grpc-js prints to stderr past our log; all it has to say also reaches us as an error. GRPC_VERBOSITY brings it back.
if (process.env['GRPC_VERBOSITY'] === undefined) {
  setLogVerbosity(logVerbosity.NONE);
}

/** Where a manager's engine has it by default, and so where core's container is to have it. */
export const CONTROL_SOCKET = '/var/run/docker/swarm/control.sock';

/** Every manager's certificate names it. */
const SERVER_NAME = 'swarm-manager';

const CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.ssl_target_name_override': SERVER_NAME,
  'grpc.default_authority': SERVER_NAME,
  // One transaction may touch all tasks of a large service: no limit, as in the engine's own client.
  'grpc.max_receive_message_length': -1,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_channelz': 0,
  // No keepalive: the manager closes connections that ping more often than every 5 minutes.
};

export interface WatchOptions {
  readonly socketPath: string;
  /** PEM of the Swarm's certificate authority; asked for once the socket is there. */
  readonly trustRoot: (signal: AbortSignal) => Promise<string>;
  /** Replay what came after this version index first; asked with the trust root, because versions are of one Swarm. */
  readonly resumeFrom: (trustRoot: string) => number | undefined;
}

export interface WatchListener {
  /** The stream is established: from now on no change is missed. */
  onReady(): void;
  /** All changes of one transaction. Called as fast as the manager sends; it must not wait. */
  onChanges(changes: readonly Change[]): void;
}

/** Why a stream could not be, or ended; in the facts of the error as `why`. */
export type WatchFailure =
  /** The directory of the socket is not there: nobody mounted it. */
  | 'not-mounted'
  /** The directory is there, the socket is not: no manager, or its engine is starting. */
  | 'no-socket'
  /** The socket does not let us in. */
  | 'refused'
  /** The other side is not a manager of this Swarm. */
  | 'untrusted'
  /** The stream ended. */
  | 'ended'
  /** The manager cannot replay from `resumeFrom`: list everything again. */
  | 'cannot-resume'
  /** The same, because it has never reached that version: another Swarm, or one restored from a backup. */
  | 'other-history'
  /** It sent something that cannot be read. */
  | 'broken';

export type WatchSwarm = (options: WatchOptions, listener: WatchListener, signal: AbortSignal) => Promise<never>;

/** Never resolves. Rejects with OperationalError FEED.LOST, `facts.why` a WatchFailure; with the signal's reason once it has aborted. */
export const watchSwarm: WatchSwarm = async (options, listener, signal) => {
  signal.throwIfAborted();
  await checkSocket(options.socketPath);
  const trustRoot = await options.trustRoot(signal);
  const client = new Client(`unix:${options.socketPath}`, trusted(trustRoot), CHANNEL_OPTIONS);
  try {
    return await readStream(client, encodeWatchRequest(options.resumeFrom(trustRoot)), listener, signal);
  } finally {
    client.close();
  }
};

function trusted(trustRoot: string) {
  try {
    return credentials.createSsl(Buffer.from(trustRoot));
  } catch (error) {
    throw watchFailure('untrusted', "the Swarm's trust root cannot be read", error);
  }
}

/** Says what is missing; grpc-js would only say that it cannot connect. */
async function checkSocket(socketPath: string): Promise<void> {
  const folder = path.dirname(socketPath);
  if (!(await exists(folder))) {
    throw watchFailure('not-mounted', `${folder} is not mounted`);
  }
  if (!(await exists(socketPath))) {
    throw watchFailure('no-socket', `${folder} has no control.sock: this engine is no manager, or it is starting`);
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      return false;
    }
    throw watchFailure('refused', `${file} cannot be opened (${code ?? 'unknown'}): core must run as uid 0`, error);
  }
}

function readStream(client: Client, request: Buffer, listener: WatchListener, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) {
      reject(abortReason(signal));
      return;
    }
    const call = client.makeServerStreamRequest(WATCH_PATH, asIs, asIs, request);
    const cancel = (): void => end(abortReason(signal));
    signal.addEventListener('abort', cancel, { once: true });
    const state = { ready: false, ended: false };

    // Flowing: read as fast as it comes, because the manager queues without limit what we do not take.
    call.on('data', (bytes: Buffer) => {
      if (!state.ended) {
        try {
          accept(bytes);
        } catch (error) {
          end(watchFailure('broken', `a message that cannot be read: ${toError(error).message}`, error));
        }
      }
    });
    call.on('error', (error) => end(failureOf(toServiceError(error), state.ready)));
    call.on('end', () => end(watchFailure('ended', 'the manager ended the stream')));

    function accept(bytes: Buffer): void {
      const changes = changesOf(decodeWatchMessage(bytes));
      if (!state.ready) {
        state.ready = true;
        listener.onReady();
      }
      if (changes.length > 0) {
        listener.onChanges(changes);
      }
    }

    /** The first reason counts: grpc-js emits `error`, which says why, before `end`. */
    function end(error: Error): void {
      if (state.ended) {
        return;
      }
      state.ended = true;
      signal.removeEventListener('abort', cancel);
      stopCall(call);
      reject(error);
    }
  });
}

/** Cancelling makes one more error event, which nobody waits for any more. */
function stopCall(call: ClientReadableStream<Buffer>): void {
  call.on('error', () => undefined);
  call.cancel();
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

function toServiceError(error: unknown): Partial<ServiceError> {
  return toError(error);
}

function failureOf({ code, details, message }: Partial<ServiceError>, ready: boolean): OperationalError {
  const words = details ?? message ?? 'no reason given';
  const cause = { code: code === undefined ? undefined : status[code], words };
  if (/versions are out of order/i.test(words)) {
    return watchFailure('other-history', words, cause);
  }
  if (/unavailable due to compaction/i.test(words)) {
    return watchFailure('cannot-resume', words, cause);
  }
  if (/certificate|altname|self.signed|SSL|TLS|EPROTO/i.test(words)) {
    return watchFailure('untrusted', `the control socket is not a manager's of this Swarm: ${words}`, cause);
  }
  return ready ? watchFailure('ended', `the stream ended: ${words}`, cause) : watchFailure('refused', words, cause);
}

export function watchFailure(why: WatchFailure, words: string, cause?: unknown): OperationalError {
  return new OperationalError('FEED.LOST', words, { facts: { why }, ...(cause === undefined ? {} : { cause }) });
}

/** What ended a watch; `undefined` for any other error. */
export function whyLost(error: unknown): WatchFailure | undefined {
  return error instanceof OperationalError && error.code === 'FEED.LOST'
    ? (error.facts['why'] as WatchFailure)
    : undefined;
}
