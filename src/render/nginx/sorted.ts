/** The list itself when it is in order. */
export function sorted<Item>(list: readonly Item[], compare: (a: Item, b: Item) => number): readonly Item[] {
  const inOrder = list.every((item, at) => {
    const next = list[at + 1];
    return next === undefined || compare(item, next) <= 0;
  });
  return inOrder ? list : list.toSorted(compare);
}
