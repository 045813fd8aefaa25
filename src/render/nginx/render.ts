/**
 * Model -> NGINX's file. Pure: equal models, options and context give equal bytes on any machine.
 * One file per concern, in the order of the file: main, http, headers, layout (upstreams, servers, locations), status.
 * tls.ts and redirects.ts say what a host is on the two ports; passthrough.ts is the `stream` block.
 */
import { type ConfigArtifact, createArtifact } from '../../model/artifact.ts';
import { type ClusterModel, compareText } from '../../model/cluster.ts';
import type { Finding } from '../../model/finding.ts';
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { headerNodes, infoHeaders } from './headers.ts';
import { httpNodes } from './http.ts';
import { layoutNodes } from './layout.ts';
import { mainNodes } from './main.ts';
import { moduleNodes, streamNodes } from './passthrough.ts';
import { overridable } from './raw-lines.ts';
import { httpsPortMaps, isTlsOnly } from './redirects.ts';
import { hasRewrite, rewriteMaps, rewriteVariable } from './rewrite.ts';
import { sorted } from './sorted.ts';
import { statusServer, unavailableServer } from './status.ts';
import { hasCookiePool, stickyMaps, stickyVariable } from './sticky.ts';
import { block, comment, type Node, printPieces, raw } from './syntax.ts';
import { terminatesTls, tlsNodes } from './tls.ts';
import { poolsOfManyNames, upstreamTlsDefaults } from './upstream-tls.ts';
import { buildUpstreams } from './upstreams.ts';

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
  const pieces = printPieces(fileNodes(sortModel(model), options, context));
  const file = { path: model.header.configPath, mode: 0o444, pieces };
  return { artifact: createArtifact([file]), findings: [] };
}

function fileNodes(model: ClusterModel, options: NginxOptions, context: RenderContext): readonly Node[] {
  const stream = streamNodes(model, options);
  return [
    comment('Written by Interlock for Docker Swarm from service labels. Changes made here are lost.'),
    ...(stream.length === 0 ? [] : moduleNodes(options)),
    ...mainNodes(options, model.pools.length),
    block('http', [], httpChildren(model, options, context)),
    ...(stream.length === 0 ? [] : [block('stream', [], stream)]),
  ];
}

function httpChildren(model: ClusterModel, options: NginxOptions, { serverInfo }: RenderContext): readonly Node[] {
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
  const upstreams = buildUpstreams(pools, options, poolsOfManyNames(model));
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
