/** "Did you mean": the known name nearest to a mistyped one. */

/**
 * The known name at the smallest edit distance (insert, delete, replace, swap of neighbours; case does not count), or `undefined` when
 * none is near: at most one edit for names up to 4 characters, two up to 9, three beyond. The first of equals wins.
 */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  // A name of hundreds of characters is not a typing mistake, and the distance costs length times length.
  if (name.length > 64) {
    return undefined;
  }
  const limit = name.length <= 4 ? 1 : name.length <= 9 ? 2 : 3;
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance <= limit && distance < (best?.distance ?? Number.POSITIVE_INFINITY)) {
      best = { name: candidate, distance };
    }
  }
  return best?.name;
}

/** Optimal string alignment distance, over three rolling rows. */
function editDistance(a: string, b: string): number {
  let beforeLast: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1];
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      current.push(
        Math.min(
          at(last, column) + 1,
          at(current, column - 1) + 1,
          at(last, column - 1) + (same ? 0 : 1),
          swapped ? at(beforeLast, column - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
    beforeLast = last;
    last = current;
  }
  return at(last, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
