/**
 * What every fault test stands on: a fake Engine, core and extension in this process, agents as processes with a real NGINX, and one
 * application. In: lines for `[Extensions.default]`. Out: hosts to set, proxies to ask.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { request } from 'undici';
import { LABELS } from '../../../src/core/publish/names.ts';
import { createFakeEngine, type FakeEngine, type FakeEngineOptions } from '../../fakes/engine/fake-engine.ts';
import { type Daemons, prepareDaemons } from '../../support/daemons.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/nginx.ts';
import { tokenIn } from '../../support/tokens.ts';
import { type AgentProcess, startAgentProcess } from '../agent/agent-process.ts';

export interface FaultWorld {
  readonly fake: FakeEngine;
  readonly daemons: Daemons;
  /** Daemons with more lines of config.toml in the extension's table, at the same address. */
  withLines(lines: string): Promise<Daemons>;
  /** The application's service carries these hosts from now on. */
  setHosts(hosts: string): void;
  /** What Swarm would start for the proxy service's one task; waits until there is one. */
  startProxy(options?: ProxyOptions): Promise<AgentProcess>;
  /** The status code that a proxy answers a fresh connection with. */
  ask(host: string): Promise<number>;
  /** Waits until the application answers under this host. */
  serves(host: string): Promise<void>;
  /** Waits until nobody answers under this host: old workers accept for a moment longer than new ones. */
  leaves(host: string): Promise<void>;
  /** Codes of the findings that were told of, in order. */
  told(): readonly string[];
  close(): Promise<void>;
}

export interface ProxyOptions {
  /** Where the agent finds core; default core itself. */
  readonly endpoint?: string;
  readonly mounted?: string | Uint8Array;
  /** What it says instead of its own token; `null`: none is mounted. */
  readonly token?: string | null;
}

export interface FaultWorldOptions {
  readonly engine?: FakeEngineOptions;
  readonly controlSocket?: string;
  /** Where commands find core. */
  readonly operatorSocket?: string;
}

export const MANAGER = { hostname: 'm1', role: 'manager', address: '127.0.0.1' } as const;

export async function createFaultWorld({ engine = {}, ...sockets }: FaultWorldOptions = {}): Promise<FaultWorld> {
  const application = createServer((_request, response) => response.end('the application'));
  await new Promise<void>((resolve) => application.listen(0, '127.0.0.1', resolve));
  const { port: published } = application.address() as AddressInfo; // a TCP server has no other kind of address
  const fake = await createFakeEngine({ nodes: [MANAGER], ...engine });
  const [corePort, port, sslPort] = [await freePort(), await freePort(), await freePort()];
  const all: Daemons[] = [];
  const prepare = async (lines: string): Promise<Daemons> => {
    const daemons = await prepareDaemons(fake, table(port, sslPort, lines), {
      port: corePort,
      ...sockets,
    });
    all.push(daemons);
    return daemons;
  };
  const daemons = await prepare('');

  async function ask(host: string): Promise<number> {
    const { statusCode, body } = await request(`http://127.0.0.1:${port}/`, { headers: { host }, reset: true });
    await body.dump();
    return statusCode;
  }

  return {
    fake,
    daemons,
    withLines: prepare,
    setHosts(hosts) {
      const known = [...fake.swarm.store.services.values()].some(({ Spec }) => Spec.Name === 'app');
      if (known) {
        fake.swarm.updateService('app', (spec) => {
          spec.Labels['com.docker.lb.hosts'] = hosts;
        });
        return;
      }
      // In host mode, so that its endpoint is node address and published port: those of our application.
      fake.swarm.addService({
        Name: 'app',
        Labels: { 'com.docker.lb.hosts': hosts, 'com.docker.lb.port': '8080' },
        EndpointSpec: { Ports: [{ Protocol: 'tcp', TargetPort: 8080, PublishedPort: published, PublishMode: 'host' }] },
      });
    },
    async startProxy({ endpoint = `127.0.0.1:${corePort}`, mounted, token: said } = {}) {
      const { file, task, token } = await eventually(() => taskOf(fake, daemons), { timeoutMs: 20_000 });
      return startAgentProcess({
        mounted: mounted ?? file,
        secrets: said === null ? {} : { 'interlock-token': said ?? token },
        env: {
          INTERLOCK_ENDPOINT: endpoint,
          INTERLOCK_EXTENSION: 'default',
          INTERLOCK_TASK_ID: task,
          INTERLOCK_NODE_ID: 'node1',
        },
      });
    },
    ask,
    serves: (host) => eventually(async () => (await ask(host)) === 200, { timeoutMs: 30_000 }).then(() => undefined),
    leaves: (host) => eventually(async () => (await ask(host)) === 503).then(() => undefined),
    told: () =>
      all.flatMap(({ log }) =>
        log.filter(({ msg }) => msg === 'finding').map(({ finding }) => (finding as { code: string }).code),
      ),
    async close() {
      await Promise.all(all.map((party) => party.stopAll()));
      await fake.close();
      await new Promise((resolve) => application.close(resolve));
    },
  };
}

function taskOf(fake: FakeEngine, daemons: Daemons) {
  const file = daemons.served();
  const [first] = fake.swarm.runningTasksOf('interlock-proxy');
  const token = tokenIn(fake, 'default', 'proxy');
  if (file === undefined || first === undefined || token === undefined) {
    throw new Error('no proxy yet');
  }
  return { file, task: first.ID, token };
}

/** What is stored of core's artifacts: the bytes as they are, and the text in them. */
export function storedConfigs(fake: FakeEngine): readonly { readonly bytes: Buffer; readonly text: string }[] {
  const all = [...fake.swarm.store.configs.values()];
  return all
    .filter(({ Spec }) => Spec.Labels[LABELS.digest] !== undefined)
    .map(({ Spec }) => {
      const bytes = Buffer.from(Spec.Data ?? '', 'base64');
      const text = Spec.Labels[LABELS.encoding] === 'gzip' ? gunzipSync(bytes) : bytes;
      return { bytes, text: text.toString() };
    });
}

function table(port: number, sslPort: number, lines: string): string {
  return `
[Extensions.default]
Image = "interlock/extension:dev"
ServiceName = "interlock-extension"
ProxyImage = "interlock/proxy:dev"
ProxyServiceName = "interlock-proxy"
ProxyConfigPath = "/etc/nginx/nginx.conf"
ProxyReplicas = 1
TargetPort = ${port}
TargetSSLPort = ${sslPort}
${lines}`;
}
