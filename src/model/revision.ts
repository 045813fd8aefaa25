/**
 * The identity of a model: a SHA-256 over its content, so that equal content is one revision on any machine and after any restart.
 * The digest is a two-step hash (entry digests, then a digest over them), so unchanged entries are not encoded again.
 */
import { createHash } from 'node:crypto';
import { type ClusterHeader, type ClusterModel, compareText, type HostEntry, type Pool } from './cluster.ts';

/** A model's content digest with the order core gave it. Identity is `digest`; order is `sequence`. */
export interface Revision {
  /** 64 lower-case hex digits. */
  readonly digest: string;
  /** Counts up within one life of core. */
  readonly sequence: number;
  /** The Swarm version index behind it. */
  readonly versionIndex: number;
}

export interface RevisedModel {
  readonly revision: Revision;
  readonly model: ClusterModel;
}

/** The content digest of a model. */
export function digestModel(model: ClusterModel): string {
  const hash = createHash('sha256');
  hash.update(`interlock.model.1\n${canonicalJson(headerContent(model.header))}\n`);
  for (const block of [...linesOf('host', model.hosts), ...linesOf('pool', model.pools)]) {
    hash.update(block);
  }
  return hash.digest('hex');
}

type Entries = readonly (HostEntry | Pool)[];

/** A list that did not change is the same object in the next model. */
const lines = new WeakMap<Entries, readonly string[]>();

/** In blocks of lines: of a list in which one entry changed, one block is written anew. */
function linesOf(kind: 'host' | 'pool', entries: Entries): readonly string[] {
  const known = lines.get(entries);
  if (known !== undefined) {
    return known;
  }
  const blocks: string[] = [];
  for (let from = 0; from < entries.length; from += BLOCK) {
    blocks.push(blockOf(kind, entries, from));
  }
  lines.set(entries, blocks);
  return blocks;
}

const BLOCK = 128;

/** By the first entry. */
const blocksKnown = new WeakMap<HostEntry | Pool, { readonly entries: Entries; readonly text: string }>();

function blockOf(kind: 'host' | 'pool', all: Entries, from: number): string {
  const entries = all.slice(from, from + BLOCK);
  const [first] = entries;
  const known = first && blocksKnown.get(first);
  if (known?.entries.length === entries.length && known.entries.every((entry, at) => entry === entries[at])) {
    return known.text;
  }
  const text = entries.map((entry) => `${kind} ${entryDigest(entry)}\n`).join('');
  if (first !== undefined) {
    blocksKnown.set(first, { entries, text });
  }
  return text;
}

/** Fields that came after version 0.1.0 count only where they say something, so that peers of both ages agree on a digest. */
function headerContent({ defaultTls, tlsHop, ...header }: ClusterHeader): object {
  return { ...header, ...(defaultTls.kind === 'none' ? {} : { defaultTls }), ...(tlsHop ? { tlsHop } : {}) };
}

/** Entries are immutable, so a digest belongs to the object for as long as it lives. */
const digests = new WeakMap<HostEntry | Pool, string>();

/** The content digest of one entry. Computed once for an object. */
export function entryDigest(entry: HostEntry | Pool): string {
  const known = digests.get(entry);
  if (known !== undefined) {
    return known;
  }
  const digest = sha256Hex(canonicalJson(entry));
  digests.set(entry, digest);
  return digest;
}

/** Lower-case hex SHA-256 of text (as UTF-8) or bytes. */
export function sha256Hex(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** JSON with sorted keys and without `undefined`: equal values give equal text. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) {
    return `[${value.map((item) => canonicalJson(item)).join(',')}]`;
  }
  if (typeof value === 'object' && value !== null) {
    return canonicalObject(value);
  }
  return value === undefined ? 'null' : JSON.stringify(value);
}

/** By hand, because JSON.stringify with a replacer that sorts takes three times as long, and whole models go through here. */
function canonicalObject(value: object): string {
  const members = Object.entries(value)
    .filter(([, inner]) => inner !== undefined)
    .sort(([a], [b]) => compareText(a, b));
  return `{${members.map(([key, inner]) => `${JSON.stringify(key)}:${canonicalJson(inner)}`).join(',')}}`;
}
