/** A Config Artifact: the files rendered from one revision for one cluster. Content-addressed; order of files never matters. */
import { createHash } from 'node:crypto';
import { compareText } from './cluster.ts';
import { sha256Hex } from './revision.ts';

export interface ArtifactFile {
  /** Absolute path in the proxy's container. */
  readonly path: string;
  /** Permission bits, e.g. `0o444`. */
  readonly mode: number;
  readonly bytes: Uint8Array;
}

export interface ConfigArtifact {
  /** SHA-256 over paths, modes, sizes and blob digests; 64 hex digits. */
  readonly digest: string;
  /** Sorted by path, at least one, paths unique. */
  readonly files: readonly ArtifactFile[];
}

/** What a file is, without its bytes. */
export interface ManifestEntry {
  readonly path: string;
  readonly mode: number;
  readonly sizeBytes: number;
  /** SHA-256 of the bytes, 64 hex digits. */
  readonly blob: string;
}

export interface Manifest {
  readonly digest: string;
  /** Sorted by path. */
  readonly entries: readonly ManifestEntry[];
}

export function createArtifact(files: readonly ArtifactFile[]): ConfigArtifact {
  const sorted = [...files].sort((a, b) => compareText(a.path, b.path));
  return { digest: manifestDigest(sorted.map(entryOf)), files: sorted };
}

export function manifestOf(artifact: ConfigArtifact): Manifest {
  return { digest: artifact.digest, entries: artifact.files.map(entryOf) };
}

/** Covers path, mode and bytes, with lengths between them, so that no two file sets read the same. */
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

const entries = new WeakMap<ArtifactFile, ManifestEntry>();

function entryOf(file: ArtifactFile): ManifestEntry {
  const known = entries.get(file);
  if (known !== undefined) {
    return known;
  }
  const entry = { path: file.path, mode: file.mode, sizeBytes: file.bytes.byteLength, blob: sha256Hex(file.bytes) };
  entries.set(file, entry);
  return entry;
}
