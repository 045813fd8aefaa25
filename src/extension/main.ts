/** Daemon 2: pulls the model of its cluster from core, renders NGINX's file, has NGINX check it, and hands it back. Holds nothing. */
import { renderNginx } from '../render/nginx/render.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/logging.ts';
import type { ExtensionDaemonSettings } from '../settings/daemon-settings.ts';
import { createWireClient } from '../wire/client.ts';
import { createTokenSource } from '../wire/token-file.ts';
import { createCheck } from './check.ts';
import { runSession } from './session.ts';

export interface ExtensionOptions extends ExtensionDaemonSettings {
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
  { endpoint, extension, nginxBinary, tokenFile, version }: ExtensionOptions,
  { signal, logger, clock, token = createTokenSource(tokenFile, logger) }: ExtensionTools,
): Promise<void> {
  const client = createWireClient({ endpoint, identity: { role: 'extension', extension, version }, token });
  logger.info({ endpoint, extension, version }, 'extension starts');
  try {
    const parts = {
      client,
      render: renderNginx,
      check: createCheck({ binary: nginxBinary }),
      serverInfo: `interlock/${version}`,
      logger: logger.child({ extension }),
      clock,
    };
    await runSession(parts, signal);
  } finally {
    client.close();
  }
  logger.info('extension stopped');
}
