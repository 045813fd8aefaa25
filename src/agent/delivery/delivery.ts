/** Everything that makes a proxy follow core, put together: the session, the orders, the staged file. */
import { createArtifact } from '../../model/artifact.ts';
import { sha256Hex } from '../../model/revision.ts';
import { type Cell, createCell } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/logging.ts';
import { createWireClient } from '../../wire/client.ts';
import type { TlsMaterial } from '../../wire/tls-files.ts';
import { createTokenSource } from '../../wire/token-file.ts';
import { type ClientWatcher, watchedClient } from '../../wire/watched-client.ts';
import { type CoreLinkParts, followCore, type Order } from './core-link.ts';
import { createFetcher, type Fetcher } from './fetch.ts';
import { createSightings, type Sightings } from './sightings.ts';
import { NOTHING_YET, type Standing } from './standing.ts';

/** What an agent that has a core is told by its environment. */
export interface CoreAddress {
  readonly endpoint: string;
  readonly extension: string;
  readonly taskId: string;
  readonly nodeId: string;
  readonly tokenFile: string;
  /** `undefined`: plain. */
  readonly tls?: TlsMaterial | undefined;
  /** Ours, for status only. */
  readonly version: string;
}

export interface Delivery {
  readonly orders: Cell<Order>;
  readonly standing: Cell<Standing>;
  readonly fetcher: Fetcher;
  /** What NGINX cannot reach, for core to hear. */
  readonly sightings: Sightings;
  /** Ends the session and awaits its end. */
  close(): Promise<void>;
}

export interface DeliveryTools {
  readonly configPath: string;
  readonly proxyVersion: string;
  readonly watcher: ClientWatcher;
  readonly onUnreachedReport: () => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Begins to follow core at once. */
export function openDelivery(
  core: CoreAddress,
  { configPath, proxyVersion, watcher, onUnreachedReport, clock, logger }: DeliveryTools,
): Delivery {
  const { endpoint, extension, version, taskId, nodeId } = core;
  const client = createWireClient({
    endpoint,
    identity: { role: 'proxy', extension, version },
    token: createTokenSource(core.tokenFile, logger),
    tls: core.tls,
  });
  const watched = watchedClient(client, watcher);
  const life = new AbortController();
  const orders = createCell<Order>();
  const standing = createCell<Standing>(NOTHING_YET);
  const sightings = createSightings(clock);
  const parts: CoreLinkParts = {
    client: watched,
    task: { taskId, nodeId, proxyVersion },
    standing,
    orders,
    sightings,
    onUnreachedReport,
    clock,
    logger: logger.child({ area: 'delivery' }),
  };
  // Both throw the reason of our own abort, and nothing else.
  const following = Promise.allSettled([followCore(parts, life.signal), sightings.run(life.signal)]);
  return {
    orders,
    standing,
    fetcher: createFetcher(watched, configPath),
    sightings,
    async close() {
      life.abort();
      await following;
      client.close();
    },
  };
}

/** As core counts it: one file, as Swarm mounts it. */
export function mountedDigest(
  configPath: string,
  bytes: Uint8Array,
): { readonly digest: string; readonly blob: string } {
  return { digest: createArtifact([{ path: configPath, mode: 0o444, bytes }]).digest, blob: sha256Hex(bytes) };
}
