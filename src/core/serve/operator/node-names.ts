/** What people call nodes. */
import type { Snapshot } from '../../../model/snapshot.ts';

/** Host names by node id; a node without one is not in it. */
export function nodeNames(snapshot: Snapshot | undefined): ReadonlyMap<string, string> {
  return new Map(
    (snapshot?.nodes ?? []).flatMap(({ id, hostname }) => (hostname === '' ? [] : [[id, hostname] as const])),
  );
}
