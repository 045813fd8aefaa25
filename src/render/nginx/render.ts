/**
 * Model -> NGINX's file. Pure: equal models, options and context give equal bytes on any machine.
 * One file per concern, in the order of the file: main, http, headers, layout (upstreams, servers, locations), status.
 * tls.ts and redirects.ts say what a host is on the two ports; passthrough.ts is the `stream` block.
 */
import { type ConfigArtifact, createArtifact } from '../../model/artifact.ts';
import { type ClusterModel, compareText, type HostEntry, type Pool, type PoolId } from '../../model/cluster.ts';
import type { Finding } from '../../model/finding.ts';
import { canonicalJson } from '../../model/revision.ts';
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { headerNodes, infoHeaders } from './headers.ts';
import { httpNodes } from './http.ts';
import { layoutNodes } from './layout.ts';
import { mainNodes } from './main.ts';
import { moduleNodes, passedPools, streamNodes } from './passthrough.ts';
import { overridable } from './raw-lines.ts';
import { httpsPortMaps, isTlsOnly } from './redirects.ts';
import { hasRewrite, rewriteMaps, rewriteVariable } from './rewrite.ts';
import { sorted } from './sorted.ts';
import { statusServer, unavailableServer } from './status.ts';
import { hasCookiePool, stickyMaps, stickyVariable } from './sticky.ts';
import { block, comment, cutPieces, type Line, type Node, printLines, raw } from './syntax.ts';
import { terminatesTls, tlsNodes } from './tls.ts';
import { poolsOfManyNames, upstreamTlsDefaults } from './upstream-tls.ts';
import { buildUpstream, buildUpstreams, type IdleConnections, idleConnectionsOf } from './upstreams.ts';

export interface RenderContext {
  /** Printed in `x-server-info` unless the options name a version, e.g. `interlock/0.1.0`. */
  readonly serverInfo: string;
}

export interface RenderOutcome {
  readonly artifact: ConfigArtifact;
  readonly findings: readonly Finding[];
}

/**
 * One file at `header.configPath`, mode 0o444. The order of hosts, pools, routes and endpoints in the model does not matter.
 * @throws InvariantError for a model that is not whole (a route to a pool that is missing).
 */
export function renderNginx(model: ClusterModel, options: NginxOptions, context: RenderContext): RenderOutcome {
  const asked = { model, options, context };
  const known = wholes.get(model.hosts);
  const whole = (known && withOtherEndpoints(known, asked)) ?? renderWhole(asked);
  wholes.set(model.hosts, whole);
  const file = { path: model.header.configPath, mode: 0o444, pieces: cutPieces(whole.lines) };
  return { artifact: createArtifact([file]), findings: [] };
}

interface Asked {
  readonly model: ClusterModel;
  readonly options: NginxOptions;
  readonly context: RenderContext;
}

/** What came of a model. */
interface Whole {
  readonly asked: Asked;
  readonly lines: readonly Line[];
  readonly idle: IdleConnections;
  /** Where the upstreams of `http` stand in `lines`. */
  readonly places: ReadonlyMap<PoolId, number>;
}

/** By the list of hosts: most changes are of endpoints, and leave it the same object. */
const wholes = new WeakMap<readonly HostEntry[], Whole>();

function renderWhole(asked: Asked): Whole {
  const model = sortModel(asked.model);
  const idle = idleConnectionsOf(model.pools.length, poolsOfManyNames(model));
  const lines = printLines(fileNodes(model, asked.options, asked.context, idle));
  const passed = passedPools(model);
  const printed = new Map(lines.flatMap((line, at) => (typeof line === 'string' ? [] : [[line, at] as const])));
  const places = new Map<PoolId, number>();
  for (const pool of model.pools) {
    const upstream = buildUpstream(pool, asked.options, idle);
    const at = upstream.kind === 'named' ? printed.get(upstream.node) : undefined;
    if (at !== undefined && !passed.has(pool.id)) {
      places.set(pool.id, at);
    }
  }
  return { asked: { ...asked, model }, lines, idle, places };
}

/**
 * The same file where only endpoints are others, at the cost of their pools and a walk over the list. `undefined`: more is another, or a
 * pool had no endpoint, has none now, or stands in `stream` too.
 */
function withOtherEndpoints({ asked: last, lines, idle, places }: Whole, asked: Asked): Whole | undefined {
  const { model, options, context } = asked;
  const before = last.model.pools;
  if (
    model.header !== last.model.header ||
    options !== last.options ||
    context.serverInfo !== last.context.serverInfo ||
    model.pools.length !== before.length
  ) {
    return undefined;
  }
  const next = [...lines];
  for (const [at, pool] of model.pools.entries()) {
    const old = before[at];
    if (old === pool) {
      continue;
    }
    const place = places.get(pool.id);
    if (old === undefined || place === undefined || !hasOtherEndpoints(old, pool)) {
      return undefined;
    }
    const upstream = buildUpstream(pool, options, idle);
    if (upstream.kind === 'empty') {
      return undefined;
    }
    next[place] = upstream.node;
  }
  return { asked: { ...asked, model: { ...model, hosts: last.model.hosts } }, lines: next, idle, places };
}

/** Nothing else is another; both have some. */
function hasOtherEndpoints(before: Pool, after: Pool): boolean {
  return (
    before.id === after.id &&
    before.endpoints.length > 0 &&
    after.endpoints.length > 0 &&
    canonicalJson({ ...before, endpoints: [] }) === canonicalJson({ ...after, endpoints: [] })
  );
}

function fileNodes(
  model: ClusterModel,
  options: NginxOptions,
  context: RenderContext,
  idle: IdleConnections,
): readonly Node[] {
  const stream = streamNodes(model, options);
  return [
    comment('Written by Interlock for Docker Swarm from service labels. Changes made here are lost.'),
    ...(stream.length === 0 ? [] : moduleNodes(options)),
    ...mainNodes(options, model.pools.length),
    block('http', [], httpChildren(model, options, context, idle)),
    ...(stream.length === 0 ? [] : [block('stream', [], stream)]),
  ];
}

function httpChildren(
  model: ClusterModel,
  options: NginxOptions,
  { serverInfo }: RenderContext,
  idle: IdleConnections,
): readonly Node[] {
  const { header, hosts, pools } = model;
  const names = hosts.map((entry) => entry.host);
  const own = [
    ...httpNodes(options, names),
    ...headerNodes(options, serverInfo),
    ...(hasRewrite(hosts) ? rewriteMaps() : []),
    ...(hasCookiePool(pools) ? stickyMaps() : []),
    ...upstreamTlsDefaults(pools),
    ...(terminatesTls(model) ? tlsNodes(options) : []),
    ...(asksForHttps(model) ? httpsPortMaps(header, options) : []),
  ];
  const info = infoHeaders(options, serverInfo);
  const upstreams = buildUpstreams(pools, options, idle);
  return [
    ...overridable(own, options.httpOptions),
    ...options.httpOptions.map(raw),
    ...layoutNodes(hosts, { header, options, upstreams, infoHeaders: info }),
    statusServer(),
    unavailableServer({ infoHeaders: info }, [
      ...(hasRewrite(hosts) ? [rewriteVariable()] : []),
      ...(hasCookiePool(pools) ? [stickyVariable()] : []),
    ]),
  ];
}

function asksForHttps({ header, hosts }: ClusterModel): boolean {
  return isTlsOnly(header.defaultTls) || hosts.some(({ tls }) => isTlsOnly(tls));
}

/**
 * The model is sorted by contract; looking again costs little and makes equal bytes independent of it (routes and endpoints are looked at
 * where they are printed). A list in order stays the same object, because what was made of it is known by its object.
 */
function sortModel(model: ClusterModel): ClusterModel {
  return {
    ...model,
    hosts: sorted(model.hosts, (a, b) => compareText(a.host, b.host)),
    pools: sorted(model.pools, (a, b) => compareText(a.id, b.id)),
  };
}
