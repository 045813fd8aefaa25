/** Daemon 2: pulls the model of its cluster from core, renders NGINX's file, has NGINX check it, and hands it back. Holds nothing. */
import { renderNginx } from '../render/nginx/render.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/logging.ts';
import { ownAddressTowards } from '../runtime/own-address.ts';
import { createProbeServer } from '../runtime/probe-server.ts';
import { runComponents } from '../runtime/supervisor.ts';
import type { ExtensionDaemonSettings } from '../settings/daemon-settings.ts';
import { createWireClient } from '../wire/client.ts';
import { readTlsFiles, type TlsPaths } from '../wire/tls-files.ts';
import { createTokenSource } from '../wire/token-file.ts';
import { createCheck } from './check.ts';
import { createExtensionMetrics } from './metrics.ts';
import { runSession } from './session.ts';

export interface ExtensionOptions extends Omit<ExtensionDaemonSettings, 'metricsPort' | 'tls'> {
  /** Default: plain. */
  readonly tls?: TlsPaths | undefined;
  /** Default: no probes. */
  readonly metricsPort?: number | undefined;
  /** Our own version, e.g. `0.1.0`. */
  readonly version: string;
}

export interface ExtensionTools {
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly clock: Clock;
  /** For tests: where the token comes from, instead of the file. */
  readonly token?: (() => Promise<string | undefined>) | undefined;
}

/** Runs until the signal aborts, however long core is away. Rejects only for a bug. */
export async function extensionMain(
  { endpoint, extension, nginxBinary, tokenFile, version, metricsPort, tls }: ExtensionOptions,
  { signal, logger, clock, token = createTokenSource(tokenFile, logger) }: ExtensionTools,
): Promise<void> {
  const identity = { role: 'extension', extension, version } as const;
  const client = createWireClient({ endpoint, identity, token, tls: tls && readTlsFiles(tls) });
  const metrics = createExtensionMetrics(version, clock);
  logger.info({ endpoint, extension, version }, 'extension starts');
  try {
    const parts = {
      ...metrics.watched({ client, render: renderNginx, check: createCheck({ binary: nginxBinary }) }),
      serverInfo: `interlock/${version}`,
      logger: logger.child({ extension }),
      clock,
    };
    const session = { name: 'session', run: (scope: AbortSignal) => runSession(parts, scope) };
    const probes = { ready: metrics.ready, metrics: metrics.text, logger, clock };
    const address = async (port: number, scope: AbortSignal) => ({
      host: await ownAddressTowards(endpoint, scope),
      port,
    });
    await runComponents(
      [
        session,
        ...(metricsPort === undefined
          ? []
          : [createProbeServer({ name: 'probes', address: (scope) => address(metricsPort, scope), ...probes })]),
      ],
      signal,
      logger,
    );
  } finally {
    client.close();
  }
  logger.info('extension stopped');
}
