/** `GET /events`: newline-delimited JSON whose lines, and characters, may be cut anywhere between two chunks. */

import { toError } from '../../runtime/errors.ts';
import { parseEngineEvent } from '../../snapshot/engine-objects.ts';
import type { EngineEvent, EngineEventKind } from './engine-api.ts';
import { type Asked, brokenAnswer, readAnswer, unreachable } from './engine-errors.ts';

export const EVENT_KINDS: readonly EngineEventKind[] = ['service', 'node', 'network', 'config', 'secret'];

/**
 * Events of the five kinds, in the Engine's order, until the stream breaks.
 * @throws OperationalError ENGINE.UNREACHABLE when it ends or breaks, ENGINE.BROKEN_ANSWER for a line that is no event:
 * in both cases changes may have been missed, so the reader lists everything again.
 */
export async function* readEvents(asked: Asked, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<EngineEvent> {
  const lines = splitLines(chunks);
  for (;;) {
    const next = await nextLine(asked, lines);
    if (next.done === true) {
      throw unreachable(asked, 'the engine ended the event stream');
    }
    const event = parseLine(asked, next.value);
    if (event !== undefined) {
      yield event;
    }
  }
}

async function nextLine(asked: Asked, lines: AsyncIterator<string>): Promise<IteratorResult<string>> {
  try {
    return await lines.next();
  } catch (error) {
    throw unreachable(asked, error);
  }
}

function parseLine(asked: Asked, line: string): EngineEvent | undefined {
  const { type, action, id, attributes } = readAnswer(asked, parseEngineEvent, parseJson(asked, line));
  const kind = EVENT_KINDS.find((known) => known === type);
  return kind === undefined ? undefined : { kind, action, id, attributes };
}

function parseJson(asked: Asked, line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch (error) {
    throw brokenAnswer(asked, toError(error), { line: line.slice(0, 200) });
  }
}

/** Complete, non-empty lines; what follows the last newline is dropped, because a cut line is no event. */
export async function* splitLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8');
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.trim() !== '') {
        yield line;
      }
    }
  }
}
