/** TLS from the proxy to the service: the host that the client asked for is the name in SNI and in the certificate. */
import type { ClusterModel, Pool, PoolId } from '../../model/cluster.ts';
import type { UpstreamTls } from '../../model/intent.ts';
import { directive, expression, type Node } from './syntax.ts';

/** Debian's and Alpine's; the base images have it. */
const SYSTEM_CA = '/etc/ssl/certs/ca-certificates.crt';
/** Intermediate certificates between the service's own and a trusted one. NGINX's default of 1 refuses many private hierarchies. */
const MAX_CHAIN = 4;

/**
 * For `http`, when a pool asks for TLS: locations that set nothing of it themselves share one TLS context.
 * `$host` is the requested host without port, in lower case, also where many hosts share a server and in the default pool.
 */
export function upstreamTlsDefaults(pools: readonly Pool[]): readonly Node[] {
  return pools.some((pool) => pool.upstreamTls.kind === 'on')
    ? [directive('proxy_ssl_server_name', 'on'), directive('proxy_ssl_name', expression('$host'))]
    : [];
}

/** The pools with TLS that are asked for by more than one name: of a wildcard host, of several hosts, or the default one. */
export function poolsOfManyNames({ header, hosts, pools }: ClusterModel): ReadonlySet<PoolId> {
  const secure = new Set(pools.filter((pool) => pool.upstreamTls.kind === 'on').map((pool) => pool.id));
  if (secure.size === 0) {
    return secure;
  }
  const hostOf = new Map<PoolId, string>();
  const many = new Set<PoolId>(header.defaultPool === undefined ? [] : [header.defaultPool]);
  for (const { host, routes } of hosts) {
    for (const { pool } of routes) {
      if (host.startsWith('*') || (hostOf.get(pool) ?? host) !== host) {
        many.add(pool);
      }
      hostOf.set(pool, host);
    }
  }
  return new Set([...many].filter((pool) => secure.has(pool)));
}

/** For the location. */
export function upstreamTlsNodes(tls: UpstreamTls): readonly Node[] {
  if (tls.kind === 'off' || tls.verify.kind === 'none') {
    return [];
  }
  const { ca } = tls.verify;
  return [
    directive('proxy_ssl_verify', 'on'),
    directive('proxy_ssl_verify_depth', MAX_CHAIN),
    directive('proxy_ssl_trusted_certificate', ca === undefined ? SYSTEM_CA : `/run/secrets/${ca}`),
  ];
}
