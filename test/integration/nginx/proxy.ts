/** A real NGINX with the file rendered from a model, for the traffic tests. */
import type { ClusterHeader, ClusterModel } from '../../../src/model/cluster.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { parseNginxOptions } from '../../../src/settings/nginx-options.ts';
import { freePort, type RunningNginx, startNginx } from '../../support/nginx.ts';
import { port, SERVER_INFO } from '../../support/render-models.ts';
import { type Echo, type RawAnswer, sendRaw } from './services.ts';

export interface TestProxy extends AsyncDisposable {
  /** Where it listens for plain HTTP on loopback. */
  readonly http: number;
  readonly tls: number;
  readonly nginx: RunningNginx;
  /** Renders the model again, with the same options and port, and reloads; does not wait. */
  reload(model: ClusterModel): Promise<void>;
  /** `GET` on a connection of its own. */
  get(host: string, path?: string, headers?: Readonly<Record<string, string>>): Promise<RawAnswer>;
  stop(): Promise<void>;
}

/** `config`: the operator's `Config` table, on top of two worker processes. `secrets`: the files below `/run/secrets`. */
export async function startProxy(
  model: ClusterModel,
  config: Readonly<Record<string, unknown>> = {},
  secrets: Readonly<Record<string, string>> = {},
): Promise<TestProxy> {
  const [http, tls] = await Promise.all([freePort(), freePort()]);
  const files = (next: ClusterModel) =>
    filesOf(withListen(next, { http: port(http), tls: port(tls) }), { WorkerProcesses: 2, ...config });
  const nginx = await startNginx(files(model), secrets);
  return {
    http,
    tls,
    nginx,
    reload: (next) => nginx.reload(files(next)),
    get: (host, path = '/', headers = {}) => sendRaw(http, getRequest(host, path, headers)),
    stop: () => nginx.stop(),
    [Symbol.asyncDispose]: () => nginx.stop(),
  };
}

function withListen(model: ClusterModel, listen: ClusterHeader['listen']): ClusterModel {
  return { ...model, header: { ...model.header, listen } };
}

export function filesOf(model: ClusterModel, config: Readonly<Record<string, unknown>>) {
  const parsed = parseNginxOptions(config, 'Config');
  if (!parsed.ok) {
    throw new Error(JSON.stringify(parsed.problems));
  }
  return renderNginx(model, parsed.options, { serverInfo: SERVER_INFO }).artifact.files;
}

export function getRequest(host: string, path: string, headers: Readonly<Record<string, string>> = {}): string {
  const lines = Object.entries({ Host: host, Connection: 'close', ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  return `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** What an echo service answered. */
export function echoOf(answer: RawAnswer): Echo {
  return JSON.parse(answer.body) as Echo;
}
