/** Whether a newer model no longer lists what an older one sent requests to. */
import type { ClusterModel, Endpoint, Pool } from './cluster.ts';

/** True when some endpoint, or a whole pool that had one, is gone. A pool that is the same object costs one comparison. */
export function losesEndpoints(before: ClusterModel, after: ClusterModel): boolean {
  const left = new Map(after.pools.map((pool) => [pool.id, pool]));
  return before.pools.some((pool) => poolLoses(pool, left.get(pool.id)));
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
