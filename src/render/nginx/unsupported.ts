/** What the model can say and this version does not render. Labels never ask for it, so meeting it is a bug: better loud than unserved. */
import type { ClusterModel, HostEntry, Pool } from '../../model/cluster.ts';
import { InvariantError } from '../../runtime/errors.ts';

/** @throws InvariantError that names the feature and the host or pool. */
export function refuseUnsupported(model: ClusterModel): void {
  for (const host of model.hosts) {
    refuse(unsupportedOfHost(host), host.host);
  }
  for (const pool of model.pools) {
    refuse(unsupportedOfPool(pool), pool.id);
  }
}

function unsupportedOfHost(host: HostEntry): string | undefined {
  if (host.tls.kind !== 'none') {
    return `TLS (${host.tls.kind})`;
  }
  if (host.redirects.length > 0) {
    return 'a redirect';
  }
  return host.routes.some((route) => route.rewrite) ? 'a context root that is rewritten' : undefined;
}

function unsupportedOfPool(pool: Pool): string | undefined {
  if (pool.balance.kind !== 'round-robin') {
    return `sticky sessions (${pool.balance.kind})`;
  }
  return pool.upstreamTls.kind === 'on' ? 'TLS to the service' : undefined;
}

function refuse(feature: string | undefined, subject: string): void {
  if (feature !== undefined) {
    throw new InvariantError(`this version cannot render ${feature}, asked for by ${subject}`);
  }
}
