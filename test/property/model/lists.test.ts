import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createSelection, exchanged, replaced } from '../../../src/model/lists.ts';
import { createLines } from '../../../src/model/revision.ts';
import type { Service } from '../../../src/model/snapshot.ts';
import { indexSnapshot } from '../../../src/model/snapshot-index.ts';
import { service, snapshot } from '../../support/snapshots.ts';

interface Item {
  readonly key: string;
  readonly value: number;
}

const byKey = (a: { readonly key: string }, b: { readonly key: string }) =>
  a.key < b.key ? -1 : a.key > b.key ? 1 : 0;

/** Lists one after the other, sorted and with unique keys, each with a few items of the one before exchanged; up to several blocks of lines. */
const histories = fc
  .tuple(
    fc.integer({ min: 0, max: 700 }),
    fc.array(
      fc.array(fc.record({ key: fc.nat(999).map(String), value: fc.nat(3), goes: fc.boolean() }), { maxLength: 4 }),
      { minLength: 1, maxLength: 40 },
    ),
  )
  .map(([size, steps]) => {
    let list: readonly Item[] = Array.from({ length: size }, (_, at) => ({ key: String(at), value: 0 })).sort(byKey);
    return steps.map((edits) => {
      const before = list;
      for (const { key, value, goes } of edits) {
        list = [...list.filter((item) => item.key !== key), ...(goes ? [] : [{ key, value }])].sort(byKey);
      }
      return { before, after: list };
    });
  });

describe('of lists that follow each other', () => {
  it('the exchange leads from one to the next, and to the same object where both say the same', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        for (const { before, after } of steps) {
          const removed = before.filter((item) => !after.includes(item));
          const added = after.filter((item) => !before.includes(item));
          expect(exchanged(before, byKey, { removed, added })).toEqual(after);
          expect([...replaced(before, { removed, added })].sort(byKey)).toEqual(after);
          const some = before.filter((_, at) => at % 97 === 0);
          expect(exchanged(before, byKey, { removed: some, added: some })).toBe(before);
          expect(exchanged(before, byKey, { removed: [{ key: 'nobody' }], added: [] })).toBe(before);
          expect(replaced(before, { removed: some, added: some })).toBe(before);
        }
      }),
    );
  });

  it('the lines are those of each item, one behind the other', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        const lineOf = ({ key, value }: Item) => `${key} ${value}\n`;
        const linesOf = createLines(lineOf);
        for (const { after } of steps) {
          expect(linesOf(after).join('')).toBe(after.map(lineOf).join(''));
        }
      }),
    );
  });

  it('the selection is what a look at each item selects', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        const isWanted = ({ value }: Item) => value === 1;
        const select = createSelection(isWanted);
        for (const { after } of steps) {
          expect(select(after)).toEqual(after.filter(isWanted));
          expect(select([...after])).toBe(select(after));
        }
      }),
    );
  });

  it('the services by id are those of the list', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        const services = new Map<Item, Service>();
        const serviceOf = (item: Item): Service => {
          const made = services.get(item) ?? service({ id: item.key, version: item.value });
          services.set(item, made);
          return made;
        };
        let last: Parameters<typeof indexSnapshot>[1];
        for (const { before, after } of steps) {
          const next = snapshot({ services: after.map(serviceOf) });
          const index = indexSnapshot(next, last);
          expect(after.every((item) => index.services.get(item.key) === serviceOf(item))).toBe(true);
          const gone = before.filter(({ key }) => !after.some((item) => item.key === key));
          expect(gone.map(({ key }) => index.services.get(key))).toEqual(gone.map(() => undefined));
          last = { snapshot: next, index };
        }
      }),
    );
  });
});
