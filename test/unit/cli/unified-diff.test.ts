import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { unifiedDiff } from '../../../src/cli/unified-diff.ts';

const NAMES = { before: 'a', after: 'b' };
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'interlock-diff-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The lines of `before` after the hunks were applied to them, checked line by line on the way. */
function applied(before: string, diff: string): string {
  const old = before.replace(/\n$/, '').split('\n');
  const out: string[] = [];
  let at = 0;
  for (const line of diff.split('\n').slice(2, -1)) {
    const head = /^@@ -(\d+),(\d+) \+(\d+),(\d+) @@$/.exec(line);
    if (head !== null) {
      const from = Number(head[2]) === 0 ? Number(head[1]) : Number(head[1]) - 1;
      out.push(...old.slice(at, from));
      at = from;
      expect(out.length).toBe(Number(head[4]) === 0 ? Number(head[3]) : Number(head[3]) - 1);
    } else if (line.startsWith('+')) {
      out.push(line.slice(1));
    } else {
      expect(line.slice(1)).toBe(old[at]);
      at += 1;
      if (line.startsWith(' ')) {
        out.push(line.slice(1));
      }
    }
  }
  return `${[...out, ...old.slice(at)].join('\n')}\n`;
}

const texts = fc
  .array(fc.constantFrom('a', 'b', 'c', '', '}'), { minLength: 1, maxLength: 30 })
  .map((lines) => `${lines.join('\n')}\n`);

it('is empty for equal texts', () => {
  expect(unifiedDiff('x\n', 'x\n', NAMES)).toBe('');
});

it('leads from one text to the other', () => {
  fc.assert(
    fc.property(texts, texts, (before, after) => {
      fc.pre(before !== after);
      expect(applied(before, unifiedDiff(before, after, NAMES))).toBe(after);
    }),
    { numRuns: 500 },
  );
});

it('has as few changed lines as that of diff', () => {
  const changed = (diff: string) => diff.split('\n').filter((line) => /^[+-](?![+-]{2} )/.test(line)).length;
  fc.assert(
    fc.property(texts, texts, (before, after) => {
      fc.pre(before !== after);
      writeFileSync(join(folder, 'a'), before);
      writeFileSync(join(folder, 'b'), after);
      const theirs = (() => {
        try {
          return execFileSync('diff', ['-u', '--minimal', 'a', 'b'], { cwd: folder, encoding: 'utf8' });
        } catch (error) {
          return (error as { readonly stdout: string }).stdout; // 1: they differ
        }
      })();
      expect(changed(unifiedDiff(before, after, NAMES))).toBeLessThanOrEqual(changed(theirs));
    }),
    { numRuns: 40 },
  );
});

it('shows three lines around a change, and joins what is near', () => {
  const lines = Array.from({ length: 30 }, (_, at) => `line ${at}`);
  const after = lines.map((line, at) => (at === 4 || at === 10 || at === 25 ? `new ${at}` : line));
  const diff = unifiedDiff(`${lines.join('\n')}\n`, `${after.join('\n')}\n`, NAMES);
  expect(diff.match(/^@@.*$/gm)).toEqual(['@@ -2,13 +2,13 @@', '@@ -23,7 +23,7 @@']);
});

it('tells texts that have nothing in common as replaced, without a search that never ends', () => {
  const many = (mark: string) => `${Array.from({ length: 20_000 }, (_, at) => `${mark}${at}`).join('\n')}\n`;
  const diff = unifiedDiff(many('a'), many('b'), NAMES);
  expect(diff.match(/^-a/gm)).toHaveLength(20_000);
  expect(diff.match(/^\+b/gm)).toHaveLength(20_000);
}, 30_000);
