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
  for (const block of [...hostLines(model.hosts), ...poolLines(model.pools)]) {
    hash.update(block);
  }
  return hash.digest('hex');
}

const hostLines = createLines<HostEntry>((host) => `host ${entryDigest(host)}\n`);
const poolLines = createLines<Pool>((pool) => `pool ${entryDigest(pool)}\n`);

/** As many lines as a block has, unless it reaches to where a known one begins. */
const BLOCK = 128;

interface Block<Entry> {
  readonly entries: readonly Entry[];
  readonly text: string;
}

/**
 * One line for each entry of a list, in blocks: of a list in which one entry is another, is new or is gone, one block is written anew. For
 * entries and lists that never change: the same object has the same line.
 */
export function createLines<Entry extends object>(
  lineOf: (entry: Entry) => string,
): (list: readonly Entry[]) => readonly string[] {
  const ofLists = new WeakMap<readonly Entry[], readonly string[]>();
  /** By the first entry. */
  const blocks = new WeakMap<Entry, Block<Entry>>();

  function knownAt(list: readonly Entry[], from: number): Block<Entry> | undefined {
    const first = list[from];
    const known = first && blocks.get(first);
    return known?.entries.every((entry, at) => entry === list[from + at]) === true ? known : undefined;
  }

  /** To the next known block, if one begins near by: then the others keep their borders. */
  function endOf(list: readonly Entry[], from: number): number {
    for (let to = from + BLOCK / 2; to < Math.min(from + BLOCK * 2, list.length); to += 1) {
      const next = list[to];
      if (next !== undefined && blocks.has(next)) {
        return to;
      }
    }
    return from + BLOCK;
  }

  function write(list: readonly Entry[], from: number): Block<Entry> {
    const entries = list.slice(from, endOf(list, from));
    const block = { entries, text: entries.map(lineOf).join('') };
    const [first] = entries;
    if (first !== undefined) {
      blocks.set(first, block);
    }
    return block;
  }

  return (list) => {
    const known = ofLists.get(list);
    if (known !== undefined) {
      return known;
    }
    const texts: string[] = [];
    for (let from = 0; from < list.length; ) {
      const block = knownAt(list, from) ?? write(list, from);
      texts.push(block.text);
      from += block.entries.length;
    }
    ofLists.set(list, texts);
    return texts;
  };
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
