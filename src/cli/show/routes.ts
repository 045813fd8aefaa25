/** `interlock routes` as people and scripts read it. Pure: a RoutesReport in, rows out. */
import type { Endpoint, HostEntry, HostTls, Pool } from '../../model/cluster.ts';
import type { ClusterRoutes, NodeView, RoutesReport } from '../../wire/swarm-view.ts';
import { type Cell, clusterName, type Paint, plain, plural, shortId, table } from './text.ts';

/** One route of `interlock routes --json`. Times and counts are numbers, absent things are left out. */
export interface RouteRow {
  readonly serviceCluster: string;
  readonly extension: string;
  /** `*` for hosts that nobody claimed. */
  readonly host: string;
  /** `undefined`: the host is passed through, or only redirects. */
  readonly path: string | undefined;
  readonly tls: HostTls['kind'];
  /** Plain HTTP is sent to https. */
  readonly tlsOnly: boolean;
  readonly certificate: string | undefined;
  /** Targets of `redirects`, e.g. `http -> https://new.example.com`. */
  readonly redirects: readonly string[];
  readonly services: readonly string[];
  readonly network: string | undefined;
  readonly endpoints: readonly EndpointRow[];
  /** What differs from the plainest route: `rewrite`, `cookie NAME`, `client address`, `https to the service`, ... */
  readonly options: readonly string[];
}

export interface EndpointRow {
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  /** `undefined` for a virtual IP. */
  readonly task: string | undefined;
  /** Host name, or the node's id. */
  readonly node: string | undefined;
  /** Swarm's word for the node: `ready`, `down`, ... */
  readonly nodeState: string | undefined;
}

export function routeRows({ clusters, nodes }: RoutesReport): readonly RouteRow[] {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  return clusters.flatMap((cluster) => rowsOf(cluster, byId));
}

type Nodes = ReadonlyMap<string, NodeView>;

function rowsOf({ model }: ClusterRoutes, nodes: Nodes): readonly RouteRow[] {
  const { serviceCluster, extension, defaultPool, defaultTls } = model.header;
  const pools = new Map(model.pools.map((pool) => [pool.id, pool]));
  const row = (part: RowPart): RouteRow => ({ serviceCluster, extension, ...rowOf(part, nodes) });
  const fallback = defaultPool === undefined ? undefined : pools.get(defaultPool);
  return [
    ...model.hosts.flatMap((host) => partsOf(host, pools).map(row)),
    ...(fallback === undefined ? [] : [row({ host: '*', path: '/', tls: defaultTls, redirects: [], pool: fallback })]),
  ];
}

interface RowPart {
  readonly host: string;
  readonly path: string | undefined;
  readonly tls: HostTls;
  readonly redirects: readonly string[];
  readonly pool: Pool | undefined;
  readonly rewrite?: boolean;
}

function partsOf({ host, tls, redirects, routes }: HostEntry, pools: ReadonlyMap<string, Pool>): readonly RowPart[] {
  const shared = {
    host,
    tls,
    redirects: redirects.map(
      ({ source, target }) =>
        `${source.scheme} -> ${target.scheme}://${target.host}${target.port === undefined ? '' : `:${target.port}`}`,
    ),
  };
  if (tls.kind === 'passthrough') {
    return [{ ...shared, path: undefined, pool: pools.get(tls.pool) }];
  }
  return routes.length === 0
    ? [{ ...shared, path: undefined, pool: undefined }]
    : routes.map(({ prefix, pool, rewrite }) => ({ ...shared, path: prefix, pool: pools.get(pool), rewrite }));
}

function rowOf({ host, path, tls, redirects, pool, rewrite = false }: RowPart, nodes: Nodes) {
  return {
    host,
    path,
    tls: tls.kind,
    tlsOnly: (tls.kind === 'terminate' || tls.kind === 'lost') && tls.only,
    certificate: tls.kind === 'terminate' ? tls.certificate.secret : undefined,
    redirects,
    services: pool?.services ?? [],
    network: pool?.network.kind === 'overlay' ? pool.network.name : undefined,
    endpoints: (pool?.endpoints ?? []).map((endpoint) => endpointRow(endpoint, nodes)),
    options: pool === undefined ? [] : optionsOf(pool, rewrite),
  };
}

export function endpointRow({ address, port, weight, source }: Endpoint, nodes: Nodes): EndpointRow {
  if (source.kind === 'vip') {
    return { address, port, weight, task: undefined, node: undefined, nodeState: undefined };
  }
  const node = nodes.get(source.nodeId);
  const hostname = node === undefined || node.hostname === '' ? source.nodeId : node.hostname;
  return { address, port, weight, task: source.taskId, node: hostname, nodeState: node?.state };
}

function optionsOf({ network, balance, upstreamTls, failure, endpoints }: Pool, rewrite: boolean): readonly string[] {
  return [
    ...(rewrite ? ['rewrite'] : []),
    ...(balance.kind === 'cookie' ? [`cookie ${balance.cookie}`] : []),
    ...(balance.kind === 'client-address' ? ['client address'] : []),
    ...(upstreamTls.kind === 'on'
      ? [`https to the service${upstreamTls.verify.kind === 'required' ? ', verified' : ''}`]
      : []),
    ...(endpoints.some(({ source }) => source.kind === 'vip') ? ['virtual IP'] : []),
    ...(network.kind === 'host' ? ['node addresses'] : []),
    ...(failure.maxFails === 3 && failure.failTimeoutSeconds === 10
      ? []
      : [`max_fails ${failure.maxFails} in ${failure.failTimeoutSeconds}s`]),
  ];
}

export function routesLines(rows: readonly RouteRow[], paint: Paint): readonly string[] {
  if (rows.length === 0) {
    return [
      'no routes: no service has labels of ours that can be used. See interlock status, interlock explain --service NAME.',
    ];
  }
  const clusters = [...new Set(rows.map(({ serviceCluster }) => serviceCluster))];
  return clusters.flatMap((cluster, at) => {
    const own = rows.filter(({ serviceCluster }) => serviceCluster === cluster);
    return [
      ...(at === 0 ? [] : ['']),
      `${paint('strong', 'cluster')}  ${clusterName(cluster)}  ${plural(own.length, 'route')}`,
      ...table([['HOST', 'PATH', 'SERVICE', 'ENDPOINTS', 'TLS', 'OPTIONS'], ...own.flatMap(tableRows)], paint).map(
        (line) => `  ${line}`,
      ),
    ];
  });
}

/** The first endpoint beside the route, the others below it. */
function tableRows(row: RouteRow): readonly (readonly (string | Cell)[])[] {
  const [first, ...more] = row.endpoints.slice(0, MAX_ENDPOINTS).map(endpointText);
  const left = row.endpoints.length - MAX_ENDPOINTS;
  const last = left > 0 ? [...more, `and ${left} more`] : more;
  return [
    [
      row.host,
      row.path ?? '',
      row.services.join(', '),
      first ?? endpointless(row),
      tlsText(row),
      [...row.options, ...row.redirects].join('; '),
    ],
    ...last.map((text) => ['', '', '', text, '', '']),
  ];
}

const MAX_ENDPOINTS = 20;

function endpointless({ services, redirects }: RouteRow): Cell {
  return services.length === 0 && redirects.length > 0 ? { text: 'redirect' } : { text: 'none: 503', tone: 'bad' };
}

function endpointText({ address, port, node, nodeState, weight, task }: EndpointRow): string {
  const host = address.includes(':') ? `[${address}]` : address;
  const where =
    node === undefined ? '' : ` on ${plain(node)}${nodeState === 'ready' ? '' : ` (${nodeState ?? 'unknown'})`}`;
  return `${host}:${port}${where}${task === undefined ? '' : ` ${shortId(task)}`}${weight === 1 ? '' : ` x${weight}`}`;
}

function tlsText({ tls, tlsOnly, certificate }: RouteRow): string | Cell {
  switch (tls) {
    case 'none':
      return '';
    case 'terminate':
      return `${certificate ?? ''}${tlsOnly ? ', only' : ''}`;
    case 'passthrough':
      return 'passthrough';
    case 'lost':
      return { text: 'lost: no such secret', tone: 'bad' };
  }
}
