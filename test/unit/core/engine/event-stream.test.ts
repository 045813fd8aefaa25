import { describe, expect, it } from 'vitest';
import { readEvents, splitLines } from '../../../../src/core/engine/event-stream.ts';

const ASKED = { method: 'GET', path: '/events' };

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.subarray(at, at + size));
  }
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<{ items: Item[]; error: unknown }> {
  const collected: Item[] = [];
  try {
    for await (const item of items) {
      collected.push(item);
    }
    return { items: collected, error: undefined };
  } catch (error) {
    return { items: collected, error };
  }
}

const line = (Type: string, name: string) =>
  `${JSON.stringify({ Type, Action: 'update', Actor: { ID: 'x', Attributes: { name } }, scope: 'swarm' })}\n`;

describe('splitLines', () => {
  it.each([1, 2, 3, 7, 1000])(
    'puts lines together again from pieces of %i bytes, inside of characters too',
    async (size) => {
      const text = 'äöü€🙂\n\nsecond\r\n{"third":"ß"}\ncut off';

      const { items } = await collect(splitLines(pieces(Buffer.from(text), size)));

      expect(items).toEqual(['äöü€🙂', 'second\r', '{"third":"ß"}']);
    },
  );
});

describe('readEvents', () => {
  it('yields the five kinds and passes over others', async () => {
    const text = line('service', 'café') + line('container', 'c') + line('config', 'k');

    const { items, error } = await collect(readEvents(ASKED, pieces(Buffer.from(text), 5)));

    expect(items).toEqual([
      { kind: 'service', action: 'update', id: 'x', attributes: { name: 'café' } },
      { kind: 'config', action: 'update', id: 'x', attributes: { name: 'k' } },
    ]);
    expect(error).toMatchObject({ code: 'ENGINE.UNREACHABLE' });
  });

  it.each(['not json\n', '{"Type":"service"}\n'])('refuses a line that is no event: %j', async (text) => {
    const { error } = await collect(readEvents(ASKED, pieces(Buffer.from(text), 100)));

    expect(error).toMatchObject({ code: 'ENGINE.BROKEN_ANSWER' });
  });
});
