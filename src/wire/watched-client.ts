/** The caller's side with each failure told of. What core answers is passed on as it is. */
import { isOperational } from '../runtime/errors.ts';
import type { WireClient } from './client.ts';

/** `code`: one of docs/codes.md, or `other` for a bug of ours. A call that was given up is none. */
export type OnCallFailure = (call: string, code: string) => void;

export interface ClientWatcher {
  readonly onFailure: OnCallFailure;
  /** Core answers on the stream that is always open, or does so no more. */
  readonly onConnected: (connected: boolean) => void;
}

type Daemons = Pick<WireClient, 'watchModel' | 'submitArtifact' | 'refuseRevision' | 'agentSession' | 'fetchBlobs'>;

export function watchedClient(client: Daemons, { onFailure, onConnected }: ClientWatcher): Daemons {
  const fail = (call: string, error: unknown, signal: AbortSignal): void => {
    if (!signal.aborted) {
      onFailure(call, isOperational(error) ? error.code : 'other');
    }
  };
  async function watched<Answer>(call: string, signal: AbortSignal, answer: Promise<Answer>): Promise<Answer> {
    try {
      return await answer;
    } catch (error) {
      fail(call, error, signal);
      throw error;
    }
  }
  async function* watchedStream<Message>(
    call: string,
    signal: AbortSignal,
    messages: AsyncIterable<Message>,
  ): AsyncIterable<Message> {
    try {
      for await (const message of messages) {
        onConnected(true);
        yield message;
      }
    } catch (error) {
      fail(call, error, signal);
      throw error;
    } finally {
      onConnected(false);
    }
  }
  return {
    watchModel: (have, signal) => watchedStream('watchModel', signal, client.watchModel(have, signal)),
    submitArtifact: (submission, signal) =>
      watched('submitArtifact', signal, client.submitArtifact(submission, signal)),
    refuseRevision: (refusal, signal) => watched('refuseRevision', signal, client.refuseRevision(refusal, signal)),
    agentSession: (hello, reports, signal) =>
      watchedStream('agentSession', signal, client.agentSession(hello, reports, signal)),
    fetchBlobs: (digests, signal) => watched('fetchBlobs', signal, client.fetchBlobs(digests, signal)),
  };
}
