/** Random but lawful models for property tests: sorted, without repeats, every named pool present. */
import fc from 'fast-check';
import {
  type ClusterHeader,
  type ClusterModel,
  compareText,
  type Endpoint,
  type HostEntry,
  type HostTls,
  type PathRoute,
  type Pool,
  type PoolId,
  type PoolNetwork,
} from '../../src/model/cluster.ts';
import type { Balance, FailurePolicy, Origin, Redirect, UpstreamTls } from '../../src/model/intent.ts';
import {
  type CookieName,
  type Hostname,
  type IpAddress,
  type PathPrefix,
  type Port,
  parseCookieName,
  parseHostname,
  parseIpAddress,
  parsePathPrefix,
  parseSecretName,
  type SecretName,
  toPort,
} from '../../src/model/names.ts';

/** Keeps what the parser accepts as it stands. */
function accepted<Value>(texts: fc.Arbitrary<string>, parse: (text: string) => Value | undefined): fc.Arbitrary<Value> {
  return texts.filter((text) => parse(text) === text).map((text) => parse(text) as Value);
}

export const hostnames: fc.Arbitrary<Hostname> = accepted(
  fc.oneof(
    fc.stringMatching(/^[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){0,2}$/),
    fc.stringMatching(/^\*\.[a-z0-9]{1,8}\.[a-z]{2,3}$/),
    fc.domain().map((domain) => domain.toLowerCase()),
  ),
  parseHostname,
);

export const pathPrefixes: fc.Arbitrary<PathPrefix> = accepted(
  fc.oneof(fc.constant('/'), fc.stringMatching(/^(\/[A-Za-z0-9_~!&'()*+,=:@-]{1,6}){1,3}$/)),
  parsePathPrefix,
);

export const ports: fc.Arbitrary<Port> = fc.integer({ min: 1, max: 65_535 }).map((value) => toPort(value) as Port);

export const ipAddresses: fc.Arbitrary<IpAddress> = accepted(fc.oneof(fc.ipV4(), fc.ipV6()), parseIpAddress);

export const secretNames: fc.Arbitrary<SecretName> = accepted(
  fc.stringMatching(/^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,10}[a-zA-Z0-9])?$/),
  parseSecretName,
);

export const cookieNames: fc.Arbitrary<CookieName> = accepted(
  fc.stringMatching(/^[A-Za-z0-9!#%&*+.^_|~-]{1,12}$/),
  parseCookieName,
);

/** Any text, well-formed in Unicode. */
const words = fc.string({ unit: 'grapheme', maxLength: 20 });
const ids = fc.stringMatching(/^[a-z0-9]{1,25}$/);

const balances: fc.Arbitrary<Balance> = fc.oneof(
  fc.constant<Balance>({ kind: 'round-robin' }),
  fc.constant<Balance>({ kind: 'client-address' }),
  cookieNames.map((cookie): Balance => ({ kind: 'cookie', cookie })),
);

const upstreamTls: fc.Arbitrary<UpstreamTls> = fc.oneof(
  fc.constant<UpstreamTls>({ kind: 'off' }),
  fc.constant<UpstreamTls>({ kind: 'on', verify: { kind: 'none' } }),
  fc
    .option(secretNames, { nil: undefined })
    .map((ca): UpstreamTls => ({ kind: 'on', verify: { kind: 'required', ca } })),
);

const failurePolicies: fc.Arbitrary<FailurePolicy> = fc.record({
  maxFails: fc.nat({ max: 100 }),
  failTimeoutSeconds: fc.nat({ max: 3600 }),
});

const networks: fc.Arbitrary<PoolNetwork> = fc.oneof(
  fc.constant<PoolNetwork>({ kind: 'host' }),
  fc.record({ kind: fc.constant('overlay' as const), id: ids, name: words }),
);

const endpoints: fc.Arbitrary<Endpoint> = fc.record({
  address: ipAddresses,
  port: ports,
  weight: fc.integer({ min: 1, max: 100 }),
  source: fc.oneof(
    fc.record({ kind: fc.constant('task' as const), taskId: ids, nodeId: ids }),
    fc.record({ kind: fc.constant('vip' as const), serviceId: ids }),
  ),
});

const endpointLists: fc.Arbitrary<readonly Endpoint[]> = fc
  .uniqueArray(endpoints, { maxLength: 4, selector: ({ address, port }) => `${address} ${port}` })
  .map((list) => list.sort((a, b) => compareText(a.address, b.address) || a.port - b.port));

function poolWith(id: PoolId): fc.Arbitrary<Pool> {
  return fc.record({
    id: fc.constant(id),
    services: fc.array(words, { minLength: 1, maxLength: 3 }),
    network: networks,
    balance: balances,
    upstreamTls,
    failure: failurePolicies,
    endpoints: endpointLists,
  });
}

const poolIds: fc.Arbitrary<readonly PoolId[]> = fc
  .uniqueArray(
    fc.tuple(hostnames, pathPrefixes).map(([host, path]) => `${host}${path}`),
    { maxLength: 5 },
  )
  .map((list) => list.sort(compareText));

const origins: fc.Arbitrary<Origin> = fc.record({
  scheme: fc.constantFrom('http', 'https'),
  host: hostnames,
  port: fc.option(ports, { nil: undefined }),
});
const redirects: fc.Arbitrary<Redirect> = fc.record({ source: origins, target: origins });

const secretFiles = secretNames.map((secret) => ({ secret, path: `/run/secrets/${secret}` }));

function hostTls(pools: readonly PoolId[]): fc.Arbitrary<HostTls> {
  const terminate = fc.record({
    kind: fc.constant('terminate' as const),
    certificate: secretFiles,
    key: fc.option(secretFiles, { nil: undefined }),
    only: fc.boolean(),
  });
  const lost = fc.record({ kind: fc.constant('lost' as const), only: fc.boolean() });
  const none = fc.constant<HostTls>({ kind: 'none' });
  return pools.length === 0
    ? fc.oneof(none, terminate, lost)
    : fc.oneof(
        none,
        terminate,
        lost,
        fc.record({ kind: fc.constant('passthrough' as const), pool: fc.constantFrom(...pools) }),
      );
}

function routeLists(pools: readonly PoolId[]): fc.Arbitrary<readonly PathRoute[]> {
  if (pools.length === 0) {
    return fc.constant([]);
  }
  const route = fc.record({
    prefix: pathPrefixes,
    rewrite: fc.boolean(),
    pool: fc.constantFrom(...pools),
    websocketEndpoints: fc.array(pathPrefixes, { maxLength: 2 }),
  });
  return fc
    .uniqueArray(route, { maxLength: 3, selector: ({ prefix }) => prefix })
    .map((list) => list.sort((a, b) => compareText(a.prefix, b.prefix)));
}

function hostLists(pools: readonly PoolId[]): fc.Arbitrary<readonly HostEntry[]> {
  const entry = fc.record({
    host: hostnames,
    tls: hostTls(pools),
    redirects: fc.array(redirects, { maxLength: 2 }),
    routes: routeLists(pools),
  });
  return fc
    .uniqueArray(entry, { maxLength: 5, selector: ({ host }) => host })
    .map((list) => list.sort((a, b) => compareText(a.host, b.host)));
}

function headers(pools: readonly PoolId[]): fc.Arbitrary<ClusterHeader> {
  return fc.record({
    serviceCluster: fc.oneof(fc.constant(''), ids),
    extension: ids,
    listen: fc.record({ http: ports, tls: ports }),
    configPath: fc.constantFrom('/etc/nginx/nginx.conf', '/etc/proxy.conf'),
    published: fc.record({
      http: fc.option(ports, { nil: undefined }),
      tls: fc.option(ports, { nil: undefined }),
    }),
    optionsJson: fc
      .dictionary(ids, fc.oneof(words, fc.integer(), fc.boolean()), { maxKeys: 3 })
      .map((table) => JSON.stringify(table)),
    defaultPool: pools.length === 0 ? fc.constant(undefined) : fc.option(fc.constantFrom(...pools), { nil: undefined }),
    defaultTls: hostTls(pools),
    tlsHop: fc.boolean(),
  });
}

export const clusterModels: fc.Arbitrary<ClusterModel> = poolIds.chain((ids) =>
  fc.record({ header: headers(ids), hosts: hostLists(ids), pools: fc.tuple(...ids.map(poolWith)) }),
);
