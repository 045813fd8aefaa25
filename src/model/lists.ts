/**
 * Lists that are mostly what they were: what is different in them, and lists with some items exchanged. Two of them are compared in one
 * place, `editBetween`: a loop over thousands of items costs little there, because it is the one that the engine has compiled.
 */

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
  let start = before === after ? shorter : 0;
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

/** The wanted items of a list; of the next list only what is different in it is asked about. The same object while they are the same. */
export function createSelection<Item>(isWanted: (item: Item) => boolean): (list: readonly Item[]) => readonly Item[] {
  let seen: readonly Item[] = [];
  let selected: readonly Item[] = [];
  return (list) => {
    const { removed, added } = editBetween(seen, list);
    seen = list;
    selected = removed.some(isWanted) || added.some(isWanted) ? keepList(selected, list.filter(isWanted)) : selected;
    return selected;
  };
}

/** How many items are before the first one that is not; they have to be the first ones. */
export function positionOf<Item>(list: readonly Item[], isBefore: (item: Item) => boolean): number {
  let [from, to] = [0, list.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    const item = list[middle];
    if (item !== undefined && isBefore(item)) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  return from;
}

/**
 * A sorted list without the removed items and with the added ones; the same object where that says the same. An item of the list is
 * removed when it compares equal to one of `removed`; those that it does not have are passed over.
 */
export function exchanged<Key, Item extends Key>(
  list: readonly Item[],
  compare: (a: Key, b: Key) => number,
  { removed, added }: { readonly removed: readonly Key[]; readonly added: readonly Item[] },
): readonly Item[] {
  const next = [...list];
  const placeOf = (key: Key) => positionOf(next, (item) => compare(item, key) < 0);
  const gone: Item[] = [];
  for (const key of removed) {
    const at = placeOf(key);
    const item = next[at];
    gone.push(...(item !== undefined && compare(item, key) === 0 ? next.splice(at, 1) : []));
  }
  for (const item of added) {
    next.splice(placeOf(item), 0, item);
  }
  return gone.length === added.length && added.every((item) => gone.includes(item)) ? list : next;
}

/** An unsorted list without the removed items; the added ones are where the first of those was, or last. The same object if nothing is. */
export function replaced<Item>(
  list: readonly Item[],
  { removed, added }: { readonly removed: readonly Item[]; readonly added: readonly Item[] },
): readonly Item[] {
  if (sameItems(removed, added)) {
    return list;
  }
  const next = [...list];
  let place = next.length;
  for (const item of removed) {
    const at = next.indexOf(item);
    place = at === -1 ? place : Math.min(place, at);
    next.splice(at, at === -1 ? 0 : 1);
  }
  next.splice(place, 0, ...added);
  return next;
}
