/**
 * A Config Artifact: the files rendered from one revision for one cluster. Content-addressed; order of files never matters.
 *
 * A large file is a list of pieces, so that a small change of it costs a piece to keep and to send, not the file: generations share the
 * pieces that they have in common. Pieces are about the way there; what a file is, its bytes say alone.
 */
import { createHash } from 'node:crypto';
import { compareText } from './cluster.ts';
import { sha256Hex } from './revision.ts';

/** Some bytes under their own SHA-256. */
export interface Piece {
  /** 64 hex digits. */
  readonly digest: string;
  readonly bytes: Uint8Array;
}

export interface ArtifactFile {
  /** Absolute path in the proxy's container. */
  readonly path: string;
  /** Permission bits, e.g. `0o444`. */
  readonly mode: number;
  readonly bytes: Uint8Array;
}

/** `bytes` are put together anew each time they are read. */
export interface CutFile extends ArtifactFile {
  /** One behind the other they are the file; at least one. */
  readonly pieces: readonly Piece[];
}

/** What a file is made from: its bytes, or pieces of them. */
export type NewFile = ArtifactFile | Omit<CutFile, 'bytes'>;

export interface ConfigArtifact {
  /** SHA-256 over paths, modes, sizes and blob digests; 64 hex digits. */
  readonly digest: string;
  /** Sorted by path, at least one, paths unique. */
  readonly files: readonly CutFile[];
}

export interface PieceRef {
  readonly digest: string;
  readonly sizeBytes: number;
}

/** What a file is, without its bytes. */
export interface ManifestEntry {
  readonly path: string;
  readonly mode: number;
  readonly sizeBytes: number;
  /** SHA-256 of the bytes, 64 hex digits. */
  readonly blob: string;
  /** The file in pieces, at least two; `undefined`: in one, which is the blob. */
  readonly pieces?: readonly PieceRef[] | undefined;
}

export interface Manifest {
  readonly digest: string;
  /** Sorted by path. */
  readonly entries: readonly ManifestEntry[];
}

export function createArtifact(files: readonly NewFile[]): ConfigArtifact {
  const sorted = files.map(fileOf).sort((a, b) => compareText(a.path, b.path));
  return { digest: manifestDigest(sorted.map(entryOf)), files: sorted };
}

export function manifestOf(artifact: ConfigArtifact): Manifest {
  return { digest: artifact.digest, entries: artifact.files.map(entryOf) };
}

/** Covers path, mode and bytes, with lengths between them, so that no two file sets read the same. Pieces do not count. */
export function manifestDigest(entries: readonly ManifestEntry[]): string {
  const hash = createHash('sha256');
  hash.update(`interlock.artifact.1\n${entries.length}\n`);
  for (const entry of entries) {
    hash.update(
      `${Buffer.byteLength(entry.path)}:${entry.path}:${entry.mode.toString(8)}:${entry.sizeBytes}:${entry.blob}\n`,
    );
  }
  return hash.digest('hex');
}

/** Of all its files; the same one may come twice. */
export function piecesIn({ files }: ConfigArtifact): readonly Piece[] {
  return files.flatMap(({ pieces }) => pieces);
}

/** The pieces that a file travels in; of a file that is not cut, the blob itself. */
export function piecesToSend({ blob, sizeBytes, pieces }: ManifestEntry): readonly PieceRef[] {
  return pieces ?? [{ digest: blob, sizeBytes }];
}

export function pieceOf(bytes: Uint8Array): Piece {
  return { digest: sha256Hex(bytes), bytes };
}

/** SHA-256 of all the pieces' bytes, one behind the other. */
export function blobDigest(pieces: readonly Piece[]): string {
  const [first] = pieces;
  if (first !== undefined && pieces.length === 1) {
    return first.digest;
  }
  const hash = createHash('sha256');
  for (const { bytes } of pieces) {
    hash.update(bytes);
  }
  return hash.digest('hex');
}

/** A single one's bytes themselves. */
export function joined(pieces: readonly Piece[]): Uint8Array {
  const [first] = pieces;
  return first !== undefined && pieces.length === 1 ? first.bytes : Buffer.concat(pieces.map(({ bytes }) => bytes));
}

export function sizeOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
}

function fileOf(file: NewFile): CutFile {
  const { path, mode } = file;
  const pieces = 'pieces' in file ? file.pieces : [pieceOf(file.bytes)];
  return {
    path,
    mode,
    pieces,
    get bytes() {
      return joined(pieces);
    },
  };
}

const entries = new WeakMap<CutFile, ManifestEntry>();

function entryOf(file: CutFile): ManifestEntry {
  const known = entries.get(file);
  if (known !== undefined) {
    return known;
  }
  const { path, mode, pieces } = file;
  const whole = { path, mode, sizeBytes: sizeOf(pieces), blob: blobDigest(pieces) };
  const entry = pieces.length === 1 ? whole : { ...whole, pieces: pieces.map(pieceRefOf) };
  entries.set(file, entry);
  return entry;
}

function pieceRefOf({ digest, bytes }: Piece): PieceRef {
  return { digest, sizeBytes: bytes.byteLength };
}
