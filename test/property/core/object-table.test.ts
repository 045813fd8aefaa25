/** Lists that are asked for and answered at any time, between events of the same log that come late or twice: never a wrong end. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createObjectTable } from '../../../src/core/observe/object-table.ts';

interface Part {
  readonly id: string;
  readonly version: number;
}

type Step = 'write' | 'remove' | 'deliver' | 'repeat' | 'ask' | 'answer';

const steps = fc.array(
  fc.record({
    step: fc.constantFrom<Step>('write', 'write', 'remove', 'deliver', 'deliver', 'repeat', 'ask', 'answer'),
    pick: fc.nat({ max: 5 }),
  }),
  { maxLength: 60 },
);

describe('a table of objects', () => {
  it('never goes back to an older object, and ends with the truth', () => {
    fc.assert(
      fc.property(steps, (script) => {
        const table = createObjectTable<Part>({ idOf: ({ id }) => id, versionOf: ({ version }) => version });
        const truth = new Map<string, Part>();
        const log: (Part & { readonly removed: boolean })[] = [];
        const lists: { readonly since: number; readonly parts: readonly Part[] }[] = [];
        const at = { version: 0, delivered: 0, mark: 0, lives: 0 };

        const mark = (): number => {
          at.mark += 1;
          return at.mark;
        };
        const tell = (event: (typeof log)[number] | undefined): void => {
          if (event?.removed === true) {
            table.remove(event.id, mark());
          } else if (event !== undefined) {
            table.upsert(event.id, event.version, { id: event.id, version: event.version }, mark());
          }
        };
        const write = (id: string): void => {
          at.version += 1;
          truth.set(id, { id, version: at.version });
          log.push({ id, version: at.version, removed: false });
        };
        const answer = (): void => {
          const list = lists.shift();
          if (list !== undefined) {
            table.merge(list.parts, list.since);
          }
        };
        const act: Record<Step, (pick: number) => void> = {
          write(pick) {
            const known = [...truth.keys()][pick];
            at.lives += known === undefined ? 1 : 0;
            write(known ?? `id${at.lives}`);
          },
          remove(pick) {
            const known = [...truth.values()][pick];
            if (known !== undefined) {
              truth.delete(known.id);
              at.version += 1;
              log.push({ ...known, removed: true });
            }
          },
          deliver() {
            tell(log[at.delivered]);
            at.delivered = Math.min(at.delivered + 1, log.length);
          },
          // What a new stream replays: the last write again, and all that follows.
          repeat() {
            at.delivered = Math.max(0, at.delivered - 1);
          },
          ask() {
            lists.push({ since: mark(), parts: [...truth.values()].map((part) => ({ ...part })) });
          },
          answer,
        };

        const highest = new Map<string, number>();
        const expectNothingOlder = (): void => {
          for (const { id, version } of table.values()) {
            expect(version).toBeGreaterThanOrEqual(highest.get(id) ?? 0);
            highest.set(id, version);
          }
        };

        table.merge([], mark());
        for (const { step, pick } of script) {
          act[step](pick);
          expectNothingOlder();
        }
        while (lists.length > 0) {
          answer();
        }
        while (at.delivered < log.length) {
          act.deliver(0);
        }

        const byId = (a: Part, b: Part): number => (a.id < b.id ? -1 : 1);
        expect([...table.values()].sort(byId)).toEqual([...truth.values()].sort(byId));
      }),
      { numRuns: 2_000 },
    );
  });

  it('hands back the same object when a list says nothing new', () => {
    const table = createObjectTable<Part>({ idOf: ({ id }) => id, versionOf: ({ version }) => version });
    table.upsert('a', 3, { id: 'a', version: 3 }, 1);
    const before = table.get('a');
    expect(table.merge([{ id: 'a', version: 3 }], 2)).toEqual([]);
    expect(table.get('a')).toBe(before);
  });

  it('believes a lower version when a second list says so too', () => {
    const table = createObjectTable<Part>({ idOf: ({ id }) => id, versionOf: ({ version }) => version });
    table.merge([{ id: 'a', version: 9 }], 1);
    table.merge([{ id: 'a', version: 4 }], 2);
    expect(table.get('a')?.version).toBe(9);
    table.merge([{ id: 'a', version: 4 }], 3);
    expect(table.get('a')?.version).toBe(4);
  });
});
