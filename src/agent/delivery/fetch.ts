/** An order's bytes: those that are at hand, else core's. */
import type { Manifest } from '../../model/artifact.ts';
import { OperationalError } from '../../runtime/errors.ts';
import type { WireClient } from '../../wire/client.ts';

/** An artifact's one file as core sends it, before it is fitted to this proxy. */
export interface Delivered {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

export interface Fetcher {
  /** Throws what the client throws, and WIRE.MALFORMED for an artifact that this agent cannot place. */
  fetch(manifest: Manifest, signal: AbortSignal): Promise<Delivered>;
  /** These bytes are at hand: what NGINX runs, or was mounted. */
  hold(blob: string, bytes: Uint8Array): void;
}

/** Two generations of a large file: the one that is served and the one that was refused or comes next. */
const HELD_BLOBS = 2;

export function createFetcher(client: Pick<WireClient, 'fetchBlobs'>, configPath: string): Fetcher {
  const held = new Map<string, Uint8Array>();

  function hold(blob: string, bytes: Uint8Array): void {
    held.delete(blob);
    held.set(blob, bytes);
    const [oldest] = held.keys();
    if (held.size > HELD_BLOBS && oldest !== undefined) {
      held.delete(oldest);
    }
  }

  return {
    hold,
    async fetch(manifest, signal) {
      const [entry] = manifest.entries;
      if (entry === undefined || manifest.entries.length !== 1 || entry.path !== configPath) {
        const paths = manifest.entries.map(({ path }) => path).join(', ');
        throw new OperationalError('WIRE.MALFORMED', `this agent serves one file, ${configPath}; core sent: ${paths}`);
      }
      const bytes = held.get(entry.blob) ?? (await client.fetchBlobs([entry.blob], signal)).get(entry.blob);
      if (bytes === undefined) {
        throw new OperationalError('WIRE.MALFORMED', 'core sent another file than it was asked for');
      }
      hold(entry.blob, bytes);
      return { digest: manifest.digest, bytes };
    },
  };
}
