/** Whether a newer model no longer lists what an older one sent requests to. */
import type { ClusterModel, Endpoint, Pool } from './cluster.ts';
import { editBetween } from './lists.ts';

/** True when some endpoint, or a whole pool that had one, is gone. Only what is different in the pools is looked at. */
export function losesEndpoints(before: ClusterModel, after: ClusterModel): boolean {
  // Both are sorted: who is in both is on the same side of the edit's borders.
  const { removed, added } = editBetween(before.pools, after.pools);
  const byId = new Map(added.map((pool) => [pool.id, pool]));
  return removed.some((pool) => poolLoses(pool, byId.get(pool.id)));
}

function poolLoses(before: Pool, after: Pool | undefined): boolean {
  if (before === after || before.endpoints.length === 0) {
    return false;
  }
  const left = new Set(after?.endpoints.map(addressOf));
  return before.endpoints.some((endpoint) => !left.has(addressOf(endpoint)));
}

function addressOf({ address, port }: Endpoint): string {
  return `${address} ${port}`;
}
