/** Lists that are mostly what they were: what is different in them, and sorted ones with some items exchanged. */
import { compareText } from './cluster.ts';

export function sameItems<Item>(a: readonly Item[], b: readonly Item[]): boolean {
  return a === b || (a.length === b.length && a.every((item, at) => item === b[at]));
}

/** The old list where the new one has the very same items. */
export function keepList<Item>(before: readonly Item[] | undefined, next: readonly Item[]): readonly Item[] {
  return before !== undefined && sameItems(before, next) ? before : next;
}

/** As many differences as are worth a look of their own. */
export const FEW = 32;

export interface ListEdit<Item> {
  /** Where both begin to differ. */
  readonly at: number;
  readonly removed: readonly Item[];
  readonly added: readonly Item[];
}

/** What is between the common beginning and the common end of both: small when one item or its neighbours changed. The same is what is `===`. */
export function editBetween<Item>(before: readonly Item[], after: readonly Item[]): ListEdit<Item> {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) {
    start += 1;
  }
  let end = 0;
  while (end < shorter - start && before[before.length - 1 - end] === after[after.length - 1 - end]) {
    end += 1;
  }
  return {
    at: start,
    removed: before.slice(start, before.length - end),
    added: after.slice(start, after.length - end),
  };
}

/** Where an item of this key is in a list sorted by it, or would be. */
export function positionOf<Item>(list: readonly Item[], key: string, keyOf: (item: Item) => string): number {
  let [from, to] = [0, list.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    const item = list[middle];
    if (item !== undefined && compareText(keyOf(item), key) < 0) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  return from;
}

/** The list, sorted by key, without the removed keys and with the added items; the same object where that says the same. */
export function exchanged<Item>(
  list: readonly Item[],
  keyOf: (item: Item) => string,
  { removed, added }: { readonly removed: ReadonlySet<string>; readonly added: readonly Item[] },
): readonly Item[] {
  const next = removed.size === 0 ? [...list] : list.filter((item) => !removed.has(keyOf(item)));
  for (const item of added) {
    next.splice(positionOf(next, keyOf(item), keyOf), 0, item);
  }
  return keepList(list, next);
}
