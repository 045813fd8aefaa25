/** Core's side of an agent's calls: its session and the blobs it fetches. Comes in: bytes. Goes out: bytes. */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { createTrigger } from '../runtime/cell.ts';
import { decodeAgentMessage, decodeFetchRequest, encodeBlobPiece, encodeDirective } from './agent-codec.ts';
import { piecesOf } from './blobs.ts';
import type { AgentHello, AgentWord, Caller, WireHandlers } from './contract.ts';
import { refusal } from './errors.ts';

export async function* answerSession(
  handlers: WireHandlers,
  caller: Caller,
  messages: AsyncIterator<Buffer>,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  const hello = await readHello(messages);
  if (hello !== undefined) {
    for await (const directive of handlers.agentSession(caller, hello, readWords(messages), signal)) {
      yield encodeDirective({ ...directive, takesUnreached: true });
    }
  }
}

export async function* sendBlobs(
  handlers: WireHandlers,
  caller: Caller,
  request: Buffer,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  for (const piece of piecesOf(await handlers.fetchBlobs(caller, decodeFetchRequest(request), signal))) {
    yield encodeBlobPiece(piece);
  }
}

/** `undefined`: the agent ended before it said anything. */
async function readHello(messages: AsyncIterator<Buffer>): Promise<AgentHello | undefined> {
  const first = await messages.next();
  if (first.done === true) {
    return undefined;
  }
  const message = decodeAgentMessage(first.value);
  if (message.kind !== 'hello') {
    throw refusal('malformed', 'a session opens with hello');
  }
  return message.hello;
}

async function* readWords(messages: AsyncIterator<Buffer>): AsyncIterable<AgentWord> {
  for (;;) {
    const next = await messages.next();
    if (next.done === true) {
      return;
    }
    const message = decodeAgentMessage(next.value);
    if (message.kind === 'hello') {
      throw refusal('malformed', 'hello comes once');
    }
    yield message.report;
  }
}

/**
 * What the agent sends, one message at a time; ends when the agent ends its side. A `for await` over the call itself would destroy it
 * at that moment, with what we still have to say.
 */
export async function* readMessages(
  call: ServerDuplexStream<Buffer, Buffer>,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  const arrived = createTrigger();
  const waiting: Buffer[] = [];
  const state = { ended: false };
  call.on('data', (bytes: Buffer) => {
    waiting.push(bytes);
    call.pause();
    arrived.fire();
  });
  call.on('end', () => {
    state.ended = true;
    arrived.fire();
  });
  for (;;) {
    const next = waiting.shift();
    if (next !== undefined) {
      yield next;
    } else if (state.ended) {
      return;
    } else {
      call.resume();
      await arrived.wait(signal);
    }
  }
}
