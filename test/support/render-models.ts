/** Small models for the renderer's tests: what is not named is the plainest. */
import type { ClusterHeader, ClusterModel, Endpoint, HostEntry, PathRoute, Pool } from '../../src/model/cluster.ts';
import {
  type Hostname,
  type IpAddress,
  type PathPrefix,
  type Port,
  parseHostname,
  parseIpAddress,
  parsePathPrefix,
  toPort,
} from '../../src/model/names.ts';

export const SERVER_INFO = 'interlock/test';

export function port(value: number): Port {
  return must(toPort(value), value);
}

export function endpoint(address: string, portNumber: number, weight = 1): Endpoint {
  return {
    address: must<IpAddress>(parseIpAddress(address), address),
    port: port(portNumber),
    weight,
    source: { kind: 'task', taskId: `task-${address}-${portNumber}`, nodeId: 'node-1' },
  };
}

/** `local(8001, 8002)`: endpoints on loopback. */
export function local(...ports: readonly number[]): readonly Endpoint[] {
  return ports.map((value) => endpoint('127.0.0.1', value));
}

export function pool(id: string, endpoints: readonly Endpoint[], options: Partial<Pool> = {}): Pool {
  return {
    id,
    services: ['app'],
    network: { kind: 'overlay', id: 'net1', name: 'apps' },
    balance: { kind: 'round-robin' },
    upstreamTls: { kind: 'off' },
    failure: { maxFails: 3, failTimeoutSeconds: 10 },
    endpoints,
    ...options,
  };
}

export function route(prefix: string, poolId: string): PathRoute {
  return {
    prefix: must<PathPrefix>(parsePathPrefix(prefix), prefix),
    rewrite: false,
    pool: poolId,
    websocketEndpoints: [],
  };
}

export function host(name: string, routes: readonly PathRoute[]): HostEntry {
  return { host: must<Hostname>(parseHostname(name), name), tls: { kind: 'none' }, redirects: [], routes };
}

/** Host by host, path by path, the endpoints of its pool: `model({ 'a.local': { '/': local(8001) } })`. */
export function model(
  routes: Readonly<Record<string, Readonly<Record<string, readonly Endpoint[]>>>>,
  header: Partial<ClusterHeader> = {},
): ClusterModel {
  const paths = Object.entries(routes).map(([name, byPath]) => ({ name, byPath: Object.entries(byPath) }));
  return {
    header: {
      serviceCluster: '',
      extension: 'default',
      listen: { http: port(80), tls: port(443) },
      configPath: '/etc/nginx/nginx.conf',
      published: { http: port(8080), tls: undefined },
      optionsJson: '{}',
      defaultPool: undefined,
      defaultTls: { kind: 'none' },
      tlsHop: false,
      ...header,
    },
    hosts: paths.map(({ name, byPath }) =>
      host(
        name,
        byPath.map(([prefix]) => route(prefix, `${name}${prefix}`)),
      ),
    ),
    pools: paths.flatMap(({ name, byPath }) => byPath.map(([prefix, list]) => pool(`${name}${prefix}`, list))),
  };
}

function must<Value>(value: Value | undefined, text: unknown): Value {
  if (value === undefined) {
    throw new Error(`not acceptable in a model: ${String(text)}`);
  }
  return value;
}
