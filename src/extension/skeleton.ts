/** The smallest model that shows NGINX what changed: the file's frame with the changed hosts, their pools and the changed pools. */
import type { ClusterModel } from '../model/cluster.ts';
import { diffModels } from '../model/patch.ts';
import { restrictHeader } from './units.ts';

/** Below this many entries the whole is checked as quickly. */
const SMALL = 400;
/** A larger part of the whole is not worth checking twice. */
const LARGEST_PART = 1 / 4;

/** `undefined`: check the whole, because the frame differs, or because a part would spare too little. */
export function skeletonOf(passed: ClusterModel, next: ClusterModel): ClusterModel | undefined {
  const entries = next.hosts.length + next.pools.length;
  if (entries < SMALL) {
    return undefined;
  }
  const { header, upsertHosts, upsertPools } = diffModels(passed, next);
  if (header !== undefined || upsertHosts.length + upsertPools.length > entries * LARGEST_PART) {
    return undefined;
  }
  const pools = new Set([
    ...upsertPools.map(({ id }) => id),
    ...upsertHosts.flatMap(({ routes, tls }) => [
      ...routes.map(({ pool }) => pool),
      ...(tls.kind === 'passthrough' ? [tls.pool] : []),
    ]),
  ]);
  return {
    header: restrictHeader(next.header, pools),
    hosts: upsertHosts,
    pools: next.pools.filter(({ id }) => pools.has(id)),
  };
}
