/**
 * Core and extension in this process, against the fake Engine, over real loopback gRPC; and what the proxies would serve.
 * In: a fake Engine and lines of config.toml. Out: starts and stops, and the file that the proxy service's spec refers to.
 */
import type { EngineApi } from '../../src/core/engine/engine-api.ts';
import { coreMain } from '../../src/core/main.ts';
import { extensionMain } from '../../src/extension/main.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { createLogger, type Logger } from '../../src/runtime/logging.ts';
import type { FakeEngine } from '../fakes/engine/fake-engine.ts';
import { freePort } from './nginx.ts';
import { coreSettings } from './settings.ts';
import { tokenIn } from './tokens.ts';

export interface Daemon {
  /** Aborts and waits for the end; throws what made it end before. */
  stop(): Promise<void>;
}

export interface Daemons {
  /** `engine`: another way to the fake Engine, e.g. one that breaks off. */
  startCore(engine?: EngineApi): Daemon;
  /** `token`: what it says instead of its own; asked for at each call. */
  startExtension(name?: string, token?: () => string | undefined): Daemon;
  /** Where agents find core. */
  readonly endpoint: string;
  /** The Docker Config that the proxy service runs, as text; `undefined` while there is no proxy service. */
  served(proxyServiceName?: string): string | undefined;
  /** Log lines of both, parsed. */
  readonly log: readonly Record<string, unknown>[];
  stopAll(): Promise<void>;
}

const EXTENSION = `
[Extensions.default]
Image = "interlock/extension:dev"
ServiceName = "interlock-extension"
ProxyImage = "interlock/proxy:dev"
ProxyServiceName = "interlock-proxy"
ProxyConfigPath = "/etc/nginx/nginx.conf"
ProxyReplicas = 2
HitlessServiceUpdate = false
`;

export interface PrepareOptions {
  /** Where core listens; default a free port. */
  readonly port?: number;
  /** Default: the path in a container, where there is none. */
  readonly controlSocket?: string;
  /** Where commands find core; default nowhere. */
  readonly operatorSocket?: string;
}

/** By default in classic mode: there are no agents here. */
export async function prepareDaemons(
  fake: FakeEngine,
  extensions: string = EXTENSION,
  options: PrepareOptions = {},
): Promise<Daemons> {
  const { port = await freePort(), ...more } = options;
  const settings = coreSettings(
    `ListenAddr = "127.0.0.1:${port}"\nDockerURL = "${fake.dockerUrl}"\nEndpointOverride = "127.0.0.1:${port}"\n${extensions}`,
  );
  const log: Record<string, unknown>[] = [];
  const running = new Set<Daemon>();

  function start(
    component: string,
    main: (tools: { signal: AbortSignal; logger: Logger; clock: typeof systemClock }) => Promise<void>,
  ) {
    const stop = new AbortController();
    const logger = createLogger(
      { level: 'debug', component },
      { write: (line) => void log.push(JSON.parse(line) as Record<string, unknown>) },
    );
    const ended = main({ signal: stop.signal, logger, clock: systemClock });
    ended.catch(() => undefined); // awaited in stop(); here only so that an early end is not an unhandled rejection
    const daemon: Daemon = {
      async stop() {
        running.delete(daemon);
        stop.abort();
        await ended.catch((error: unknown) => {
          if (!(error instanceof Error) || error.name !== 'AbortError') {
            throw error;
          }
        });
      },
    };
    running.add(daemon);
    return daemon;
  }

  return {
    log,
    endpoint: `127.0.0.1:${port}`,
    startCore: (engine) =>
      start('core', (tools) =>
        coreMain(
          { settings, findings: [], version: '0.0.0', ...more, ...(engine === undefined ? {} : { engine }) },
          tools,
        ),
      ),
    startExtension: (extension = 'default', token = () => tokenIn(fake, extension, 'extension')) =>
      start('extension', (tools) =>
        // `true` stands in for NGINX: real checks are the business of the extension's own tests.
        extensionMain(
          { endpoint: `127.0.0.1:${port}`, extension, nginxBinary: 'true', version: '0.0.0', tokenFile: '/nowhere' },
          { ...tools, token: () => Promise.resolve(token()) },
        ),
      ),
    served(proxyServiceName = 'interlock-proxy') {
      const service = [...fake.swarm.store.services.values()].find(({ Spec }) => Spec.Name === proxyServiceName);
      const [config] = service?.Spec.TaskTemplate.ContainerSpec?.Configs ?? [];
      const data = config === undefined ? undefined : fake.swarm.store.configs.get(config.ConfigID ?? '')?.Spec.Data;
      return data === undefined ? undefined : Buffer.from(data, 'base64').toString('utf8');
    },
    async stopAll() {
      await Promise.all([...running].map((daemon) => daemon.stop()));
    },
  };
}
