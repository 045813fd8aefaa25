/**
 * Where the keys of config.toml stand in its text: the TOML library reads values and forgets positions.
 * In: any text. Out: from a key's path, as problems and findings name it, to its place. Never throws; text that is no TOML gives fewer places.
 */
import { joinPath, type TextPosition } from './problem.ts';

/** Tables are keys too. A key's first place counts. */
export type KeyPositions = ReadonlyMap<string, TextPosition>;

/** Deeper than this nobody nests; beyond it nothing is located. */
const MAX_DEPTH = 64;

export function locateKeys(text: string): KeyPositions {
  const positions = new Map<string, TextPosition>();
  const placeOf = createPlaces(text);
  const mark = (path: string, offset: number) => positions.set(path, positions.get(path) ?? placeOf(offset));
  let at = 0;
  let table = '';
  while (at < text.length) {
    at = skip(BLANK, at);
    const header = skip(/\[{1,2}[ \t]*/y, at);
    const key = readKey(header > at ? '' : table, header);
    if (header > at) {
      table = key.path;
      at = key.end;
    } else if (key.end > at) {
      at = readValue(key.path, key.end, 0);
    }
    at = skip(/[^\n]*\n?/y, at);
  }
  return positions;

  function skip(pattern: RegExp, from: number): number {
    pattern.lastIndex = from;
    return pattern.test(text) ? pattern.lastIndex : from;
  }

  /** A dotted key with what surrounds it; each of its parts is a key. `end` is `from` where none stands there. */
  function readKey(base: string, from: number): { readonly path: string; readonly end: number } {
    let path = base;
    let end = from;
    for (let start = from; ; ) {
      KEY_PART.lastIndex = start;
      const part = KEY_PART.exec(text)?.[0];
      if (part === undefined) {
        return { path, end };
      }
      path = joinPath(path, nameOf(part));
      mark(path, start);
      end = start + part.length;
      const next = skip(/[ \t]*\.[ \t]*/y, end);
      if (next === end) {
        return { path, end };
      }
      start = next;
    }
  }

  /** From behind a key to behind its value. */
  function readValue(path: string, from: number, depth: number): number {
    const start = skip(/[ \t]*=?[ \t]*/y, from);
    const opened = text[start];
    if ((opened === '[' || opened === '{') && depth < MAX_DEPTH) {
      return readItems(path, start + 1, depth + 1, opened === '{');
    }
    return skip(SCALAR, start);
  }

  function readItems(path: string, from: number, depth: number, named: boolean): number {
    let next = from;
    for (;;) {
      const start = skip(SEPARATORS, next);
      const key = named ? readKey(path, start) : { path, end: start };
      const end = text[start] === ']' || text[start] === '}' ? start : readValue(key.path, key.end, depth);
      if (end === start) {
        return skip(/[\]}]/y, start);
      }
      next = end;
    }
  }
}

const BLANK = /(?:[ \t\r\n]|#[^\n]*)*/y;
const SEPARATORS = /(?:[ \t\r\n,]|#[^\n]*)*/y;
const KEY_PART = /[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\[^\n])*"|'[^'\n]*'/y;
/** A text of any of the four kinds, else whatever goes on to the next separator. */
const SCALAR =
  /"""(?:[^\\]|\\[\s\S])*?"{3,5}|'''[\s\S]*?'{3,5}|"(?:[^"\\\n]|\\[^\n])*"|'[^'\n]*'|[^\s,\]}#]+(?:[ \t]+[^\s,\]}#=]+)*/y;

/** The place of the key, else that of the table around it: a missing key has none of its own. */
export function positionOf(positions: KeyPositions, path: string): TextPosition | undefined {
  const around = path.replace(/\.?(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*")$/, '');
  return positions.get(path) ?? (around === path ? undefined : positionOf(positions, around));
}

function nameOf(part: string): string {
  const inner = part.slice(1, -1);
  if (part.startsWith("'")) {
    return inner;
  }
  return part.startsWith('"') ? inner.replace(ESCAPE, unescaped) : part;
}

const ESCAPE = /\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))/g;
const SHORT_ESCAPES: Readonly<Record<string, string>> = { b: '\b', t: '\t', n: '\n', f: '\f', r: '\r' };

function unescaped(whole: string, four?: string, eight?: string, short?: string): string {
  const hex = four ?? eight;
  if (hex === undefined) {
    return SHORT_ESCAPES[short ?? ''] ?? short ?? whole;
  }
  const code = Number.parseInt(hex, 16);
  return code <= 0x10_ff_ff ? String.fromCodePoint(code) : whole;
}

/** Asked for places in rising order it walks the text once; keys of one table come so. */
function createPlaces(text: string): (offset: number) => TextPosition {
  let line = 1;
  let lineStart = 0;
  return (offset) => {
    for (let end = text.indexOf('\n', lineStart); end >= 0 && end < offset; end = text.indexOf('\n', lineStart)) {
      line += 1;
      lineStart = end + 1;
    }
    return { line, column: offset - lineStart + 1 };
  };
}
