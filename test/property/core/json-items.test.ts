/** Arrays as an engine prints them, cut anywhere on their way: the items come out as they are, or the answer is refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createItemSplitter, headOf } from '../../../src/core/engine/json-items.ts';

/** Text that is hard on whoever looks for brackets and quotes. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('"', '\\', '{', '}', '[', ']', ',', 'é', '😀', '\n') }),
);
const item = fc.dictionary(text, fc.jsonValue());

describe('the items of a JSON array', () => {
  it('come out one by one, wherever the bytes are cut and however they are spaced', () => {
    fc.assert(
      fc.property(
        fc.array(item, { maxLength: 8 }),
        fc.array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 6 }),
        fc.constantFrom(undefined, 2, '\t'),
        (items, cuts, space) => {
          const bytes = Buffer.from(`${JSON.stringify(items, undefined, space)}\n`);

          expect(split(bytes, cuts)).toEqual(JSON.parse(JSON.stringify(items)));
        },
      ),
    );
  });

  it('never end quietly in an answer that was cut off', () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 4 }), fc.nat(), (items, at) => {
        const bytes = Buffer.from(JSON.stringify(items));

        expect(() => split(bytes.subarray(0, at % bytes.length), [7])).toThrow();
      }),
    );
  });

  it.each(['null', '{}', '"[]"', '[1]', '["a"]', '[[]]', '[{}] {}', '[{}]]', ''])('are refused in %j', (answer) => {
    expect(() => split(Buffer.from(answer), [3])).toThrow(/array/);
  });
});

describe('the head of an item', () => {
  it('is its id and version', () => {
    expect(headOf(Buffer.from('{"ID":"abc1","Version":{"Index":42},"CreatedAt":"x"}'))).toEqual({
      id: 'abc1',
      version: 42,
    });
  });

  it.each([
    '{"Version":{"Index":42},"ID":"abc1"}',
    '{"ID":"a\\"b","Version":{"Index":42}}',
    '{"ID":"abc1","Version":{"Index":-1}}',
    '{"ID":"abc1","Version":{"Index":4.5}}',
    '{"ID":"abc1","Version":{}}',
    '{}',
  ])('is not guessed in %s', (printed) => {
    expect(headOf(Buffer.from(printed))).toBeUndefined();
  });
});

function split(bytes: Buffer, cuts: readonly number[]): unknown[] {
  const splitter = createItemSplitter();
  const items: unknown[] = [];
  for (let from = 0, turn = 0; from < bytes.length; turn += 1) {
    const size = 1 + (cuts[turn % cuts.length] ?? 0);
    for (const found of splitter.take(bytes.subarray(from, from + size))) {
      items.push(JSON.parse(found.toString('utf8')));
    }
    from += size;
  }
  splitter.end();
  return items;
}
