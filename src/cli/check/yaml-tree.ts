/**
 * YAML text to a tree with places; the only file that knows the YAML library. Read as Docker reads it: YAML 1.1, with merge keys.
 * Aliases and merges are followed where somebody looks, never expanded: a small file cannot become a large tree.
 */
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { toError } from '../../runtime/errors.ts';
import type { TextPosition } from '../../settings/problem.ts';

export type TreeOutcome =
  | { readonly ok: true; readonly root: Branch }
  | { readonly ok: false; readonly message: string; readonly at: TextPosition | undefined };

/** One value of the file; a missing one is a branch too, without place. */
export interface Branch {
  readonly at: TextPosition | undefined;
  readonly kind: 'nothing' | 'text' | 'number' | 'flag' | 'list' | 'map' | 'other';
  /** Of a text, number or flag, as Docker prints it; else `''`. */
  readonly text: string;
  /** Of a list; else none. */
  items(): readonly Branch[];
  /** Of a map, those of its merges before its own; else none. Own keys replace merged ones. */
  entries(): readonly Entry[];
  get(key: string): Branch;
  /** Every key of a map and every text in a list below here, aliases not followed. */
  words(): readonly Word[];
}

export interface Entry {
  readonly key: string;
  /** Of the key. */
  readonly at: TextPosition | undefined;
  readonly value: Branch;
}

export interface Word {
  readonly path: readonly string[];
  readonly text: string;
  readonly at: TextPosition | undefined;
}

/** Merges of merges, and aliases of aliases; a file can name itself in both. */
const MAX_HOPS = 64;

export function readYaml(text: string): TreeOutcome {
  const counter = new LineCounter();
  const places: Places = (offset) => {
    const { line, col } = counter.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  try {
    const document = parseDocument(text, {
      version: '1.1',
      merge: true,
      lineCounter: counter,
      prettyErrors: false,
      logLevel: 'error',
    });
    const targets = targetsOf(document);
    const [error] = document.errors;
    const [stray] = targets.stray;
    if (error !== undefined || stray !== undefined) {
      const message = error === undefined ? `There is no anchor &${stray?.source ?? ''}` : problemWords(error);
      return { ok: false, message: firstLine(message), at: places(error?.pos[0] ?? stray?.range?.[0] ?? 0) };
    }
    return { ok: true, root: branchOf(document.contents, { places, targets: targets.found, known: new Map() }) };
  } catch (error) {
    // Nested too deep for the library: Docker's would not take it either.
    return { ok: false, message: firstLine(toError(error).message), at: undefined };
  }
}

/** The library's own, but where they speak to whoever programs with it. */
function problemWords({ code, message }: { readonly code: string; readonly message: string }): string {
  return code === 'MULTIPLE_DOCS' ? 'There are several documents in the file: a stack file is one' : message;
}

type Places = (offset: number) => TextPosition;

interface Context {
  readonly places: Places;
  readonly targets: ReadonlyMap<Alias, Node>;
  /** Entries of the maps that were looked into. One that is looked into at this time has none: it merges itself. */
  readonly known: Map<YAMLMap, readonly Entry[]>;
}

/** Each alias's node, in one walk: the library would walk once for each. `stray` aliases have none. */
function targetsOf(document: Document): { readonly found: ReadonlyMap<Alias, Node>; readonly stray: readonly Alias[] } {
  const stray: Alias[] = [];
  const anchors = new Map<string, Node>();
  const targets = new Map<Alias, Node>();
  visit(document, {
    Alias(_, alias) {
      const target = anchors.get(alias.source);
      if (target === undefined) {
        stray.push(alias);
      } else {
        targets.set(alias, target);
      }
    },
    Value(_, node) {
      if (node.anchor !== undefined) {
        anchors.set(node.anchor, node);
      }
    },
  });
  return { found: targets, stray };
}

function branchOf(raw: unknown, context: Context): Branch {
  const node = resolve(raw, context);
  const at = placeOf(isNode(raw) ? raw : node, context);
  const items = () => (isSeq(node) ? node.items.map((item) => branchOf(item, context)) : []);
  const entries = () => (isMap(node) ? entriesOf(node, context, 0) : []);
  return {
    at,
    ...scalarOf(node),
    items,
    entries,
    get: (key) => entries().find((entry) => entry.key === key)?.value ?? branchOf(undefined, context),
    words: () => (isMap(node) || isSeq(node) ? wordsOf(node, context) : []),
  };
}

function resolve(raw: unknown, { targets }: Context): Node | undefined {
  let node = isNode(raw) ? raw : undefined;
  for (let hops = 0; isAlias(node) && hops < MAX_HOPS; hops += 1) {
    node = targets.get(node);
  }
  return isAlias(node) ? undefined : node;
}

function scalarOf(node: Node | undefined): Pick<Branch, 'kind' | 'text'> {
  if (isMap(node) || isSeq(node)) {
    return { kind: isMap(node) ? 'map' : 'list', text: '' };
  }
  const value = isScalar(node) ? node.value : undefined;
  if (value === undefined || value === null) {
    return { kind: 'nothing', text: '' };
  }
  if (typeof value === 'string') {
    return { kind: 'text', text: value };
  }
  const source = isScalar(node) ? node.source : undefined;
  if (typeof value === 'boolean') {
    // `yes` and `on` are flags of YAML 1.1 that Docker's library takes for text.
    const isFlag = source === undefined || /^(?:true|false)$/i.test(source);
    return isFlag ? { kind: 'flag', text: String(value) } : { kind: 'text', text: source };
  }
  return typeof value === 'number' || typeof value === 'bigint'
    ? { kind: 'number', text: numberText(String(value), source) }
    : { kind: 'other', text: '' };
}

/** `1:30` is a number of YAML 1.1 that Docker's library does not know, and plain digits stay as they are. */
function numberText(shown: string, source: string | undefined): string {
  return source !== undefined && /^(?:0|[1-9]\d*|[\d:]+:[\d:]+)$/.test(source) ? source : shown;
}

function entriesOf(map: YAMLMap, context: Context, depth: number): readonly Entry[] {
  const known = context.known.get(map);
  if (known !== undefined) {
    return known;
  }
  context.known.set(map, []);
  const entries = collectEntries(map, context, depth);
  context.known.set(map, entries);
  return entries;
}

function collectEntries(map: YAMLMap, context: Context, depth: number): readonly Entry[] {
  const merged = new Map<string, Entry>();
  const own = new Map<string, Entry>();
  for (const { key, value } of map.items) {
    const name = resolve(key, context);
    if (!isScalar(name)) {
      continue;
    }
    const text = String(name.value);
    if (text === '<<' || typeof name.value === 'symbol') {
      for (const entry of mergedEntries(value, context, depth)) {
        merged.set(entry.key, merged.get(entry.key) ?? entry);
      }
    } else {
      own.set(text, { key: text, at: placeOf(name, context), value: branchOf(value, context) });
    }
  }
  return [...new Map([...merged, ...own]).values()];
}

/** Of a list of maps the first one that has a key counts. */
function mergedEntries(value: unknown, context: Context, depth: number): readonly Entry[] {
  const node = resolve(value, context);
  if (depth >= MAX_HOPS) {
    return [];
  }
  if (isMap(node)) {
    return entriesOf(node, context, depth + 1);
  }
  return isSeq(node) ? node.items.flatMap((item) => mergedEntries(item, context, depth + 1)) : [];
}

function wordsOf(root: YAMLMap | YAMLSeq, context: Context): readonly Word[] {
  const words: Word[] = [];
  visit(root, {
    Scalar(key, node, path) {
      if (typeof node.value === 'string' && key !== 'value') {
        words.push({ path: path.flatMap(keyOf), text: node.value, at: placeOf(node, context) });
      }
    },
  });
  return words;
}

function keyOf(node: unknown): readonly string[] {
  return isPair(node) && isScalar(node.key) ? [String(node.key.value)] : [];
}

function placeOf(node: Node | undefined, { places }: Context): TextPosition | undefined {
  return node?.range == null ? undefined : places(node.range[0]);
}

function firstLine(message: string): string {
  return message.split('\n', 1)[0] ?? message;
}
