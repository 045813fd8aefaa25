/** Blobs in messages: cut on core's side, put together and held against their digests on the agent's. */
import { sha256Hex } from '../model/revision.ts';
import { OperationalError } from '../runtime/errors.ts';
import type { BlobPiece } from './agent-codec.ts';
import type { BlobContent } from './contract.ts';
import { BLOB_PIECE_BYTES, MAX_FETCHED_BYTES } from './limits.ts';

/** In order; an empty blob is one empty piece. */
export function* piecesOf(blobs: readonly BlobContent[]): Iterable<BlobPiece> {
  for (const { digest, bytes } of blobs) {
    let from = 0;
    do {
      yield { digest, bytes: bytes.subarray(from, from + BLOB_PIECE_BYTES) };
      from += BLOB_PIECE_BYTES;
    } while (from < bytes.byteLength);
  }
}

export interface BlobAssembly {
  /** Throws `WIRE.MALFORMED` for a piece that was not asked for or too many bytes. */
  add(piece: BlobPiece): void;
  /** Throws `WIRE.MALFORMED` when one is missing or is not what its digest says. */
  finish(): ReadonlyMap<string, Uint8Array>;
}

export function assembleBlobs(digests: readonly string[]): BlobAssembly {
  const pieces = new Map<string, Uint8Array[]>(digests.map((digest) => [digest, []]));
  let sizeBytes = 0;
  return {
    add({ digest, bytes }) {
      sizeBytes += bytes.byteLength;
      const list = pieces.get(digest);
      if (list === undefined || sizeBytes > MAX_FETCHED_BYTES) {
        throw new OperationalError('WIRE.MALFORMED', 'core sends files that nobody asked for, or far too large ones');
      }
      list.push(bytes);
    },
    finish() {
      const whole = [...pieces].map(([digest, list]) => [digest, Buffer.concat(list)] as const);
      const broken = whole.find(([digest, bytes]) => sha256Hex(bytes) !== digest);
      if (broken !== undefined) {
        throw new OperationalError('WIRE.MALFORMED', `the bytes of ${broken[0]} did not arrive whole`);
      }
      return new Map(whole);
    },
  };
}
