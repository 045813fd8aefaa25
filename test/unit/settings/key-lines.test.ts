import { describe, expect, it } from 'vitest';
import { locateKeys, positionOf } from '../../../src/settings/key-lines.ts';

const TEXT = `# comment = 1
Text = """a
[no.table]
Key = 1
"""
dotted . inner = { d = 1, "e f" = [ { g = 'x = 1' }, 2 ] } # = z
[Extensions]
  [Extensions."my site"] # [Other]
  List = [
    "a = b", # [q]
    "c"
  ]
  [Extensions . "my site" . 'Labels']
  "com.\\u0064ocker.x" = "1"
Date = 2026-01-01 10:00:00
Last = 1`;

describe('the places of keys', () => {
  const places = locateKeys(TEXT);

  it.each([
    ['Text', 2, 1],
    ['dotted', 6, 1],
    ['dotted.inner', 6, 10],
    ['dotted.inner.d', 6, 20],
    ['dotted.inner."e f"', 6, 27],
    ['dotted.inner."e f".g', 6, 39],
    ['Extensions', 7, 2],
    ['Extensions."my site"', 8, 15],
    ['Extensions."my site".List', 9, 3],
    ['Extensions."my site".Labels', 13, 29],
    ['Extensions."my site".Labels."com.docker.x"', 14, 3],
    ['Extensions."my site".Labels.Date', 15, 1],
    ['Extensions."my site".Labels.Last', 16, 1],
  ])('%s is at line %i, column %i', (path, line, column) => {
    expect(positionOf(places, path)).toEqual({ line, column });
  });

  it('are no more than the keys: nothing in a text, a list or a comment is one', () => {
    expect(places.size).toBe(13);
  });

  it.each([
    ['a key that is missing', 'Extensions."my site".Config.Port', { line: 8, column: 15 }],
    ['a table that is missing', 'Nothing.Here', undefined],
    ['the file', '', undefined],
  ])('fall back to the table around: %s', (_, path, place) => {
    expect(positionOf(places, path)).toEqual(place);
  });

  it.each([
    ['nested lists', `a = ${'['.repeat(200_000)}`],
    ['headers', '['.repeat(200_000)],
    ['a text without an end', `a = """${'"x'.repeat(100_000)}`],
    ['white space', ' \n'.repeat(500_000)],
    ['inline tables', 'a = {b = '.repeat(20_000)],
    ['words', `a = ${'b '.repeat(200_000)}`],
  ])('of hostile text are found without a fault: %s', (_, text) => {
    expect(locateKeys(text).size).toBeLessThan(100);
  });
});
