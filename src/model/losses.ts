/** Whether a newer model no longer lists what an older one sent requests to. */
import type { ClusterModel, Endpoint, Pool } from './cluster.ts';

/** True when some endpoint, or a whole pool that had one, is gone. A pool that is the same object costs one comparison. */
export function losesEndpoints(before: ClusterModel, after: ClusterModel): boolean {
  let byId: ReadonlyMap<string, Pool> | undefined;
  const counterpart = (pool: Pool, at: number): Pool | undefined => {
    const there = after.pools[at];
    if (there === pool || there?.id === pool.id) {
      return there;
    }
    byId ??= new Map(after.pools.map((each) => [each.id, each]));
    return byId.get(pool.id);
  };
  return before.pools.some((pool, at) => poolLoses(pool, counterpart(pool, at)));
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
