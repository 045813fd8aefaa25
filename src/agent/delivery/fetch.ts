/** An order's file in pieces: those that are at hand, those that came along, and only the others from core. */
import {
  blobDigest,
  type Manifest,
  type ManifestEntry,
  type Piece,
  type PieceRef,
  pieceOf,
  piecesToSend,
} from '../../model/artifact.ts';
import { OperationalError } from '../../runtime/errors.ts';
import type { WireClient } from '../../wire/client.ts';

/** An artifact's one file as core sends it, before it is fitted to this proxy. */
export interface Delivered {
  readonly digest: string;
  /** One behind the other they are the file. */
  readonly pieces: readonly Piece[];
}

/** What of an order is about its file. */
export interface Ordered {
  readonly manifest: Manifest;
  /** Pieces that need not be fetched. */
  readonly along: readonly Piece[];
}

export interface Fetcher {
  /** Throws what the client throws, and WIRE.MALFORMED for an artifact that this agent cannot place, or whose pieces are not the file. */
  fetch(ordered: Ordered, signal: AbortSignal): Promise<Delivered>;
  /** These bytes are at hand: what NGINX runs, or was mounted. */
  hold(blob: string, bytes: Uint8Array): void;
  /** Core cuts what is at hand like this: then the pieces are at hand too. */
  learn(manifest: Manifest): void;
}

/** Two generations, which share most of their pieces: the one that is served and the one that was refused or comes next. */
const HELD_FILES = 2;

export function createFetcher(client: Pick<WireClient, 'fetchBlobs'>, configPath: string): Fetcher {
  /** By blob, the oldest first. */
  const held = new Map<string, readonly Piece[]>();

  function hold(blob: string, pieces: readonly Piece[]): void {
    held.delete(blob);
    held.set(blob, pieces);
    const [oldest] = held.keys();
    if (held.size > HELD_FILES && oldest !== undefined) {
      held.delete(oldest);
    }
  }

  function learn({ blob, pieces }: ManifestEntry): void {
    const [whole] = held.get(blob) ?? [];
    if (pieces !== undefined && whole?.digest === blob) {
      hold(blob, cut(whole.bytes, pieces) ?? [whole]);
    }
  }

  /** The same object for the same piece, generation after generation: what is known of it is known by that. */
  async function gather(entry: ManifestEntry, along: readonly Piece[], signal: AbortSignal): Promise<readonly Piece[]> {
    const wanted = piecesToSend(entry);
    const known = new Map([...held.values()].flat().map((piece) => [piece.digest, piece]));
    for (const piece of along) {
      known.set(piece.digest, known.get(piece.digest) ?? copyOf(piece));
    }
    const missing = new Set(wanted.map(({ digest }) => digest).filter((digest) => !known.has(digest)));
    const fetched = missing.size === 0 ? new Map<string, Uint8Array>() : await client.fetchBlobs([...missing], signal);
    for (const [digest, bytes] of fetched) {
      known.set(digest, { digest, bytes });
    }
    const pieces = wanted.flatMap(({ digest }) => known.get(digest) ?? []);
    if (pieces.length !== wanted.length || blobDigest(pieces) !== entry.blob) {
      throw new OperationalError('WIRE.MALFORMED', 'the pieces that core names are not those of its file');
    }
    return pieces;
  }

  return {
    hold: (blob, bytes) => hold(blob, [{ digest: blob, bytes }]),
    learn: ({ entries }) => entries.forEach(learn),
    async fetch({ manifest, along }, signal) {
      const [entry] = manifest.entries;
      if (entry === undefined || manifest.entries.length !== 1 || entry.path !== configPath) {
        const paths = manifest.entries.map(({ path }) => path).join(', ');
        throw new OperationalError('WIRE.MALFORMED', `this agent serves one file, ${configPath}; core sent: ${paths}`);
      }
      learn(entry);
      const pieces = held.get(entry.blob) ?? (await gather(entry, along, signal));
      hold(entry.blob, pieces);
      return { digest: manifest.digest, pieces };
    },
  };
}

/** A piece that is kept does not keep the message that it came in. */
function copyOf({ digest, bytes }: Piece): Piece {
  return { digest, bytes: Buffer.from(bytes) };
}

/** `undefined`: these are not the pieces of these bytes. */
function cut(bytes: Uint8Array, refs: readonly PieceRef[]): readonly Piece[] | undefined {
  let from = 0;
  const pieces = refs.map(({ sizeBytes }) => {
    const piece = pieceOf(bytes.subarray(from, from + sizeBytes));
    from += sizeBytes;
    return piece;
  });
  const fits = from === bytes.byteLength && pieces.every(({ digest }, at) => digest === refs[at]?.digest);
  return fits ? pieces : undefined;
}
