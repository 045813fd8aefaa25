/**
 * Fits a file to this proxy task: what the task lacks harms only what needs it. Comes in: core's file. Goes out: NGINX's.
 * Piece by piece, so that a small change of a large file costs the pieces that changed.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { joined, type Piece, pieceOf } from '../../model/artifact.ts';
import { createFinding, type Finding } from '../../model/finding.ts';
import { sha256Hex } from '../../model/revision.ts';
import { systemCode } from '../../runtime/errors.ts';
import { type Subnet, subnetText } from './attached.ts';
import { examineAuthority, examinePair, type PairVerdict, type SecretText } from './examine.ts';
import { type Facts, localise, overPlainHttp } from './localise.ts';
import {
  endsBetweenBlocks,
  findReferences,
  joinReferences,
  type PairReference,
  pairId,
  type References,
} from './references.ts';

export interface Fitted {
  /** One behind the other they are NGINX's file. The very same list when nothing had to be changed. */
  readonly pieces: readonly Piece[];
  /** The beginning of the text: the main context, where `daemon` would stand. */
  readonly head: string;
  readonly findings: readonly Finding[];
}

export interface FitterOptions {
  /** Where Swarm mounts secrets; `/run/secrets`. */
  readonly secretsDirectory: string;
  /** For the stand-in certificate. */
  readonly ownDirectory: string;
  /** This task's networks; `undefined`: not known, and every address counts as within reach. Asked at each file. */
  readonly attached: () => readonly Subnet[] | undefined;
  /** Where NGINX is to tell of requests per route, for `access_log`; default: nowhere. */
  readonly routeLog?: string | undefined;
  readonly clock: { now(): number };
}

/** Enough for every directive of the main context that stands before `http`. */
const HEAD_CHARACTERS = 64 * 1024;
const DAY_MS = 24 * 60 * 60 * 1_000;

/** A file may be cut anywhere; only here nothing that is looked for crosses a border. */
export type Fit = (file: readonly Piece[]) => Fitted;

/** Looks at the secrets anew with each file; what has the same content is not judged again. */
export function createFitter(options: FitterOptions): Fit {
  let judged: ReadonlyMap<string, PairVerdict> = new Map();
  return (file) => {
    const parts = partsOf(file);
    const references = joinReferences(parts.map((part) => part.references));
    const secrets = createReader(options.secretsDirectory);
    const verdicts = judgePairs(references, secrets, options.clock.now(), judged);
    judged = verdicts.judged;
    const authorities = judgeAuthorities(references, secrets);
    const fitted = localiseParts(parts, {
      attached: options.attached(),
      badPairs: verdicts.bad,
      badAuthorities: new Set(authorities.keys()),
      standInAuthority: authorities.size === 0 ? '' : standIn(options.ownDirectory),
      routeLog: options.routeLog,
    });
    return {
      pieces: fitted.pieces.every((piece, at) => piece === parts[at]?.piece) ? file : fitted.pieces,
      head: headOf(file),
      findings: [...verdicts.findings, ...authorities.values(), ...outOfReach(fitted.outOfReach)],
    };
  };
}

/** What is known of a piece for good, and what was last made of it. */
interface Part {
  readonly piece: Piece;
  readonly references: References;
  readonly isWhole: boolean;
  last: { readonly facts: string; readonly piece: Piece; readonly outOfReach: readonly string[] } | undefined;
}

/** A piece that did not change is the same object in the next file. */
const partsKnown = new WeakMap<Piece, Part>();

function partsOf(file: readonly Piece[]): readonly Part[] {
  const parts = file.map(partOf);
  // Else the file is one part: a block that is cut in two would not be found.
  return parts.slice(0, -1).every(({ isWhole }) => isWhole) ? parts : [partOf(pieceOf(joined(file)))];
}

function partOf(piece: Piece): Part {
  const known = partsKnown.get(piece);
  if (known !== undefined) {
    return known;
  }
  const text = textOf(piece);
  const part = { piece, references: findReferences(text), isWhole: endsBetweenBlocks(text), last: undefined };
  partsKnown.set(piece, part);
  return part;
}

/** Latin-1 is one character per byte: whatever stands in the file comes out as it went in. */
function textOf({ bytes }: Piece): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function localiseParts(
  parts: readonly Part[],
  facts: Facts,
): { readonly pieces: readonly Piece[]; readonly outOfReach: readonly string[] } {
  const attached = JSON.stringify([facts.attached?.map(subnetText), facts.standInAuthority, facts.routeLog]);
  const fitted = parts.map((part) => {
    part.last = localisePart(part, facts, attached);
    return part.last;
  });
  const far = new Set(fitted.flatMap(({ outOfReach: names }) => names));
  return {
    // A pool may be named in another part than it is in.
    pieces: fitted.map(({ piece }) => (far.size === 0 ? piece : replaced(piece, overPlainHttp(textOf(piece), far)))),
    outOfReach: [...far],
  };
}

function localisePart(part: Part, facts: Facts, attached: string): NonNullable<Part['last']> {
  const { pairs, authorities } = part.references;
  const bad = [...pairs.keys(), ...authorities].filter((id) => facts.badPairs.has(id) || facts.badAuthorities.has(id));
  const key = JSON.stringify([attached, bad]);
  if (part.last?.facts === key) {
    return part.last;
  }
  const { text, outOfReach: names } = localise(textOf(part.piece), facts);
  return { facts: key, piece: replaced(part.piece, text), outOfReach: names };
}

/** The same piece for the same text. */
function replaced(piece: Piece, text: string): Piece {
  return text === textOf(piece) ? piece : pieceOf(Buffer.from(text, 'latin1'));
}

function headOf(file: readonly Piece[]): string {
  let head = '';
  for (const piece of file) {
    if (head.length >= HEAD_CHARACTERS) {
      break;
    }
    head += textOf(piece);
  }
  return head.slice(0, HEAD_CHARACTERS);
}

type Reader = (name: string) => SecretText;

interface Judged {
  readonly judged: ReadonlyMap<string, PairVerdict>;
  readonly bad: ReadonlySet<string>;
  readonly findings: readonly Finding[];
}

function judgePairs(
  { pairs }: References,
  read: Reader,
  nowMs: number,
  known: ReadonlyMap<string, PairVerdict>,
): Judged {
  const judged = new Map<string, PairVerdict>();
  const bad = new Set<string>();
  const findings: Finding[] = [];
  for (const pair of pairs.values()) {
    const content = contentKey(pair, read, nowMs);
    const verdict = known.get(content) ?? examinePair(pair, read, nowMs);
    judged.set(content, verdict);
    findings.push(...verdict.findings);
    if (!verdict.usable) {
      bad.add(pairId(pair));
    }
  }
  return { judged, bad, findings };
}

/** All that a verdict depends on; expiry is looked at once a day. */
function contentKey(pair: PairReference & { readonly hosts: readonly string[] }, read: Reader, nowMs: number): string {
  const contents = [read(pair.certificate), read(pair.key)];
  return sha256Hex(Buffer.from(JSON.stringify([pair, contents, Math.floor(nowMs / DAY_MS)])));
}

function judgeAuthorities({ authorities }: References, read: Reader): ReadonlyMap<string, Finding> {
  return new Map(
    [...authorities].flatMap((name) => {
      const finding = examineAuthority(name, read);
      return finding === undefined ? [] : [[name, finding] as const];
    }),
  );
}

/** Each file once. The names come from the file that core sent, so they are no paths: `references.ts` lets no slash in. */
function createReader(directory: string): Reader {
  const texts = new Map<string, SecretText>();
  return (name) => {
    const text = texts.get(name) ?? readSecret(join(directory, name));
    texts.set(name, text);
    return text;
  };
}

function readSecret(path: string): SecretText {
  try {
    return { kind: 'text', text: readFileSync(path, 'utf8') };
  } catch (error) {
    const code = systemCode(error) ?? 'unknown';
    return code === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', why: code };
  }
}

const SHOWN_POOLS = 5;

function outOfReach(pools: readonly string[]): readonly Finding[] {
  if (pools.length === 0) {
    return [];
  }
  const shown = pools.slice(0, SHOWN_POOLS).join(', ');
  return [
    createFinding(
      'DELIVERY.NETWORK_NOT_ATTACHED',
      'The routes of these upstreams answer 503 here until the proxy is on their network; core rolls the proxy service for that.',
      { value: pools.length > SHOWN_POOLS ? `${shown} and ${pools.length - SHOWN_POOLS} more` : shown },
    ),
  ];
}

/** A certificate that has signed nothing, its key thrown away. Verification by it fails, as it does without any. */
const NO_AUTHORITY = `-----BEGIN CERTIFICATE-----
MIIBQjCB6aADAgECAhABzRqSeZT6CD7KuxelipYmMAoGCCqGSM49BAMCMBcxFTAT
BgNVBAMMDG5vIGF1dGhvcml0eTAiGA8yMDIwMDEwMTAwMDAwMFoYDzk5OTkxMjMx
MjM1OTU5WjAXMRUwEwYDVQQDDAxubyBhdXRob3JpdHkwWTATBgcqhkjOPQIBBggq
hkjOPQMBBwNCAAQRUxnjHwABhvNRwEIQfQasR0vk7j1Hqu7jVkG+JHX2Brts2kRW
1SDCSlCDYGbYXXLTdqlXam/XnZ6ZYetax/jnoxMwETAPBgNVHRMBAf8EBTADAQH/
MAoGCCqGSM49BAMCA0gAMEUCIFd4KsEdencUdz13y0GT/YyWVD543Z5YcJAaj0T7
O0+HAiEAzONGZuBwmZOuctB/2PuY+BzZaJFqFmHjqHZYUF4ygO8=
-----END CERTIFICATE-----
`;

function standIn(ownDirectory: string): string {
  const path = join(ownDirectory, 'no-authority.pem');
  mkdirSync(ownDirectory, { recursive: true });
  writeFileSync(path, NO_AUTHORITY);
  return path;
}
