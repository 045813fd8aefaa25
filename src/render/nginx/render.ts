/**
 * Model -> NGINX's file. Pure: equal models, options and context give equal bytes on any machine.
 * One file per concern, in the order of the file: main, http, headers, layout (upstreams, servers, locations), status.
 * To come, each with a file of its own: tls.ts (certificates, passthrough in `stream`), redirects.ts, sticky.ts, rewrite.ts.
 */
import { type ConfigArtifact, createArtifact } from '../../model/artifact.ts';
import { type ClusterModel, compareText } from '../../model/cluster.ts';
import type { Finding } from '../../model/finding.ts';
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { headerNodes, infoHeaders } from './headers.ts';
import { httpNodes } from './http.ts';
import { layoutNodes } from './layout.ts';
import { mainNodes } from './main.ts';
import { overridable } from './raw-lines.ts';
import { statusServer } from './status.ts';
import { block, comment, type Node, printNodes, raw } from './syntax.ts';
import { refuseUnsupported } from './unsupported.ts';
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
 * @throws InvariantError for a model that is not whole (a route to a pool that is missing) or asks for what this version cannot render.
 */
export function renderNginx(model: ClusterModel, options: NginxOptions, context: RenderContext): RenderOutcome {
  refuseUnsupported(model);
  const text = printNodes(fileNodes(sortModel(model), options, context));
  const file = { path: model.header.configPath, mode: 0o444, bytes: Buffer.from(text) };
  return { artifact: createArtifact([file]), findings: [] };
}

function fileNodes(model: ClusterModel, options: NginxOptions, context: RenderContext): readonly Node[] {
  return [
    comment('Written by Interlock for Docker Swarm from service labels. Changes made here are lost.'),
    ...mainNodes(options),
    block('http', [], httpChildren(model, options, context)),
    ...(options.tcpOptions.length === 0 ? [] : [block('stream', [], options.tcpOptions.map(raw))]),
  ];
}

function httpChildren(model: ClusterModel, options: NginxOptions, { serverInfo }: RenderContext): readonly Node[] {
  const { header, hosts, pools } = model;
  const names = hosts.map((entry) => entry.host);
  const own = [...httpNodes(options, names), ...headerNodes(options, serverInfo)];
  const upstreams = buildUpstreams(pools, options);
  return [
    ...overridable(own, options.httpOptions),
    ...options.httpOptions.map(raw),
    ...layoutNodes(hosts, { header, options, upstreams, infoHeaders: infoHeaders(options, serverInfo) }),
    statusServer(),
  ];
}

/** The model is sorted by contract; sorting again costs little and makes equal bytes independent of it. */
function sortModel(model: ClusterModel): ClusterModel {
  const hosts = model.hosts.map((entry) => ({
    ...entry,
    routes: entry.routes.toSorted((a, b) => compareText(a.prefix, b.prefix)),
  }));
  const pools = model.pools.map((pool) => ({
    ...pool,
    endpoints: pool.endpoints.toSorted((a, b) => compareText(a.address, b.address) || a.port - b.port),
  }));
  return {
    ...model,
    hosts: hosts.sort((a, b) => compareText(a.host, b.host)),
    pools: pools.sort((a, b) => compareText(a.id, b.id)),
  };
}
