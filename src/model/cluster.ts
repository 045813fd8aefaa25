/**
 * The model of one Service Cluster: everything an extension needs to render its proxies' files, and nothing about other clusters.
 * Entries are small and independent (one per host, one per pool), so that a change travels as a patch of entries.
 */
import type { Balance, FailurePolicy, Redirect, UpstreamTls } from './intent.ts';
import { editBetween } from './lists.ts';
import type { Hostname, IpAddress, PathPrefix, Port, SecretName } from './names.ts';

export interface ClusterModel {
  readonly header: ClusterHeader;
  /** Sorted by `host`. */
  readonly hosts: readonly HostEntry[];
  /** Sorted by `id`. */
  readonly pools: readonly Pool[];
}

export interface ClusterHeader {
  /** `''` is the default cluster. */
  readonly serviceCluster: string;
  /** The name of the `[Extensions.<name>]` table. */
  readonly extension: string;
  readonly listen: ListenPorts;
  /** Where the proxy reads its main file: `ProxyConfigPath`, e.g. `/etc/nginx/nginx.conf`. */
  readonly configPath: string;
  /** The ports people use from outside; they fill `X-Forwarded-Port` and the targets of https redirects. `undefined`: not published. */
  readonly published: { readonly http: Port | undefined; readonly tls: Port | undefined };
  /** The extension's `Config` table as canonical JSON, passed as it is: its keys belong to the extension. */
  readonly optionsJson: string;
  /** Who answers hosts that nobody claimed. */
  readonly defaultPool: PoolId | undefined;
  /**
   * The default backend's TLS, for names that nobody claimed; `none` where there is no default backend. Its pool is `defaultPool`, which
   * speaks TLS itself where it is passed through: then plain HTTP has no default.
   */
  readonly defaultTls: HostTls;
  /**
   * The TLS port goes through a preread `stream` server. `true` from the first host that is passed through, and for as long as core
   * lives: leaving the hop would reset connections, taking it does not.
   */
  readonly tlsHop: boolean;
}

/** Ports inside the proxy's container. */
export interface ListenPorts {
  readonly http: Port;
  readonly tls: Port;
}

/** One host and all its paths. */
export interface HostEntry {
  readonly host: Hostname;
  readonly tls: HostTls;
  /** Those whose source is this host. */
  readonly redirects: readonly Redirect[];
  /** Sorted by `prefix`; empty for a host that only redirects. */
  readonly routes: readonly PathRoute[];
}

export type HostTls =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'terminate';
      readonly certificate: SecretFile;
      /** `undefined`: the key is in the certificate's file. */
      readonly key: SecretFile | undefined;
      readonly only: boolean;
    }
  | { readonly kind: 'passthrough'; readonly pool: PoolId }
  /**
   * TLS was asked for and cannot be: a secret does not exist in Swarm. The TLS port refuses the host's handshake; plain HTTP is served,
   * or answered with 308 to https when `only`.
   */
  | { readonly kind: 'lost'; readonly only: boolean };

export interface SecretFile {
  readonly secret: SecretName;
  /** Absolute path inside the proxy's container. */
  readonly path: string;
}

/** Longest prefix wins, on segment borders: `/app` matches `/app` and `/app/x`, never `/apple`. */
export interface PathRoute {
  readonly prefix: PathPrefix;
  readonly rewrite: boolean;
  readonly pool: PoolId;
  readonly websocketEndpoints: readonly PathPrefix[];
}

/** One per host and path: `<host><prefix>`. Stable while the route exists. */
export type PoolId = string;

export interface Pool {
  readonly id: PoolId;
  /** Names of the services that share it, oldest first; its options are the first one's. */
  readonly services: readonly string[];
  readonly network: PoolNetwork;
  readonly balance: Balance;
  readonly upstreamTls: UpstreamTls;
  readonly failure: FailurePolicy;
  /** Sorted by address, then port, without repeats. Empty: the route stays and answers 503. */
  readonly endpoints: readonly Endpoint[];
}

/** How a proxy reaches the endpoints. A proxy task that is not on the overlay answers 503 for the pool. */
export type PoolNetwork =
  | { readonly kind: 'overlay'; readonly id: string; readonly name: string }
  /** Node address and published host port. */
  | { readonly kind: 'host' };

export interface Endpoint {
  readonly address: IpAddress;
  readonly port: Port;
  /** Relative share within the pool, 1 or more. */
  readonly weight: number;
  readonly source: EndpointSource;
}

export type EndpointSource =
  | { readonly kind: 'task'; readonly taskId: string; readonly nodeId: string }
  | { readonly kind: 'vip'; readonly serviceId: string };

/** What a proxy task must be attached to before it can serve the model. Sorted by name. */
export interface Requirements {
  readonly networks: readonly { readonly id: string; readonly name: string }[];
  readonly secrets: readonly SecretName[];
}

/** Those of `after`, where `known` are those of `before`: the same object, if what is different in the two tells that they are the same. */
export function requirementsAfter(known: Requirements, before: ClusterModel, after: ClusterModel): Requirements {
  const hosts = editBetween(before.hosts, after.hosts);
  const pools = editBetween(before.pools, after.pools);
  const come = requirementsOf({ header: after.header, hosts: hosts.added, pools: pools.added });
  const gone = requirementsOf({ header: before.header, hosts: hosts.removed, pools: pools.removed });
  return covers(known, come) && covers(come, gone) ? known : requirementsOf(after);
}

function covers(some: Requirements, others: Requirements): boolean {
  return (
    others.networks.every(({ id, name }) =>
      some.networks.some((network) => network.id === id && network.name === name),
    ) && others.secrets.every((secret) => some.secrets.includes(secret))
  );
}

export function requirementsOf({ header, hosts, pools }: ClusterModel): Requirements {
  const networks = new Map<string, string>();
  const secrets = new Set<SecretName>();
  for (const pool of pools) {
    if (pool.network.kind === 'overlay') {
      networks.set(pool.network.id, pool.network.name);
    }
    if (pool.upstreamTls.kind === 'on' && pool.upstreamTls.verify.kind === 'required' && pool.upstreamTls.verify.ca) {
      secrets.add(pool.upstreamTls.verify.ca);
    }
  }
  for (const tls of [header.defaultTls, ...hosts.map((host) => host.tls)]) {
    if (tls.kind === 'terminate') {
      secrets.add(tls.certificate.secret);
      if (tls.key) {
        secrets.add(tls.key.secret);
      }
    }
  }
  return {
    networks: [...networks].map(([id, name]) => ({ id, name })).sort((a, b) => compareText(a.name, b.name)),
    secrets: [...secrets].sort(compareText),
  };
}

/** Order by code unit: the same on every machine and in every locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
