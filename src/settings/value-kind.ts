/**
 * The kinds of value a key of config.toml can hold. A kind says what it expects in words that complete the sentence
 * "found X, expected ...", and reads an unknown value into its type, or refuses it with `undefined`. Reading never throws.
 */

import { parseGoDuration, parseNginxTime } from '../model/duration.ts';
import { type Port, parsePort, toPort } from '../model/names.ts';

export interface ValueKind<T> {
  /** For the tables in the docs, e.g. `duration`. */
  readonly type: string;
  readonly expected: string;
  readonly read: (raw: unknown) => T | undefined;
  /** For editors: JSON Schema of what may stand in the file, blanks around it aside; never tighter than `read`. Missing: anything may. */
  readonly shape?: JsonShape;
  /** The part of a refused value that is wrong, for the message; missing: all of it. */
  readonly blame?: (raw: unknown) => unknown;
}

/** A part of a JSON Schema, draft 2020-12. */
export type JsonShape = Readonly<Record<string, unknown>>;

export function anyOf(...shapes: readonly JsonShape[]): JsonShape {
  return {
    anyOf: shapes.flatMap((shape) => (Array.isArray(shape['anyOf']) ? (shape['anyOf'] as JsonShape[]) : [shape])),
  };
}

/** Text that this matches, as a whole or in part as its anchors say. It has to be a pattern in Unicode mode too. */
export function textShape(grammar: RegExp): JsonShape {
  // Names of groups are for us only, and other engines write them in another way.
  return { type: 'string', pattern: grammar.source.replaceAll(/\(\?<[a-z]+>/g, '(?:') };
}

/** `true` and `false`, also as strings: the original's files have both. */
export const FLAG: ValueKind<boolean> = {
  type: 'bool',
  expected: 'true or false',
  shape: anyOf({ type: 'boolean' }, { enum: ['true', 'false'] }),
  read: (raw) => (raw === true || raw === 'true' ? true : raw === false || raw === 'false' ? false : undefined),
};

/** A whole number in a range, also as a string of digits: the original's files have both. */
export function wholeNumber(range: { readonly min: number; readonly max?: number }): ValueKind<number> {
  const max = range.max ?? Number.MAX_SAFE_INTEGER;
  return {
    type: 'int',
    expected:
      range.max === undefined
        ? `a whole number of at least ${range.min}`
        : `a whole number from ${range.min} to ${range.max}`,
    shape: anyOf({ type: 'integer', minimum: range.min, maximum: max }, textShape(/^\d{1,15}$/)),
    read(raw) {
      const value = typeof raw === 'string' && /^\s*\d{1,15}\s*$/.test(raw) ? Number(raw) : raw;
      return typeof value === 'number' && Number.isInteger(value) && value >= range.min && value <= max
        ? value
        : undefined;
    },
  };
}

/** Text that matches a grammar after trimming. */
export function text(type: string, expected: string, grammar: RegExp): ValueKind<string> {
  return {
    type,
    expected,
    shape: textShape(grammar),
    read(raw) {
      const trimmed = typeof raw === 'string' ? raw.trim() : undefined;
      return trimmed !== undefined && grammar.test(trimmed) ? trimmed : undefined;
    },
  };
}

/** One of a few words, in any case; the word as listed comes out. */
export function oneOf<const Word extends string>(...words: readonly Word[]): ValueKind<Word> {
  return {
    type: words.map((word) => `"${word}"`).join(' or '),
    expected: words.map((word) => `"${word}"`).join(' or '),
    // The words for completion, the pattern for those who write them in capitals.
    shape: anyOf({ enum: words }, textShape(new RegExp(`^(?:${words.map(inAnyCase).join('|')})$`))),
    read: (raw) => (typeof raw === 'string' ? words.find((word) => word === raw.trim().toLowerCase()) : undefined),
  };
}

function inAnyCase(word: string): string {
  return word.replaceAll(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`);
}

/** A list whose entries are all of one kind; one bare entry counts as a list of one. */
export function listOf<T>(entry: ValueKind<T>, what: string): ValueKind<readonly T[]> {
  return {
    type: `list of ${entry.type}`,
    expected: what,
    shape: anyOf({ type: 'array', items: entry.shape ?? {} }, entry.shape ?? {}),
    read(raw) {
      const values = (Array.isArray(raw) ? raw : [raw]).map((value: unknown) => entry.read(value));
      return values.every((value) => value !== undefined) ? values : undefined;
    },
    blame: (raw): unknown => (Array.isArray(raw) ? raw.find((value: unknown) => entry.read(value) === undefined) : raw),
  };
}

/** A duration in Go's grammar, in milliseconds. A bare number is refused, because nobody can tell its unit. */
export function duration(minMs = 0): ValueKind<number> {
  const least = minMs === 0 ? '' : `, at least ${minMs}ms`;
  return {
    type: 'duration',
    expected: `a duration with its unit, in quotes, such as "3s", "1m30s" or "500ms"${least}`,
    shape: textShape(/^(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)$/),
    read(raw) {
      const ms = typeof raw === 'string' ? parseGoDuration(raw) : undefined;
      return ms !== undefined && ms >= minMs ? ms : undefined;
    },
  };
}

/** Seconds as a number, or text with a unit; whole seconds come out. */
export function seconds(min: number): ValueKind<number> {
  return {
    type: 'int',
    expected: `a number of seconds of at least ${min}, such as ${Math.max(min, 5)}`,
    shape: anyOf({ type: 'integer', minimum: min }, textShape(TIME_GRAMMAR)),
    read(raw) {
      const ms = readNginxTime(raw);
      const whole = ms === undefined ? undefined : Math.ceil(ms / 1000);
      return whole !== undefined && whole >= min ? whole : undefined;
    },
  };
}

const TIME_GRAMMAR = /^(?:\d{1,9}|\d{1,9}(?:ms|s|m|h|d)(?: ?\d{1,9}(?:ms|s|m|h|d))*)$/;

/** An NGINX time such as `75s`, in milliseconds; a bare number counts seconds. */
export const NGINX_TIME: ValueKind<number> = {
  type: 'time',
  expected: 'a time such as "75s", "1m 30s" or "500ms"',
  shape: anyOf({ type: 'integer', minimum: 0 }, textShape(TIME_GRAMMAR)),
  read: readNginxTime,
};

function readNginxTime(raw: unknown): number | undefined {
  return typeof raw === 'string' || (typeof raw === 'number' && Number.isInteger(raw) && raw >= 0)
    ? parseNginxTime(String(raw))
    : undefined;
}

/** A container port. */
export const PORT: ValueKind<Port> = {
  type: 'port',
  expected: 'a whole number from 1 to 65535',
  shape: portShape(1),
  read: (raw) => (typeof raw === 'number' ? toPort(raw) : typeof raw === 'string' ? parsePort(raw) : undefined),
};

/** A published port, where 0 means "not published" as it does in the original's files. */
export const OPTIONAL_PORT: ValueKind<Port | 'none'> = {
  type: 'port',
  expected: 'a whole number from 1 to 65535, or 0 for none',
  shape: portShape(0),
  read: (raw) => (raw === 0 || raw === '0' ? 'none' : PORT.read(raw)),
};

function portShape(minimum: number): JsonShape {
  return anyOf({ type: 'integer', minimum, maximum: 65_535 }, textShape(/^\d{1,5}$/));
}

/** An absolute path of plain characters, without `.` and `..` segments. */
export const ABSOLUTE_PATH: ValueKind<string> = text(
  'path',
  'an absolute path of letters, digits and . _ - + @ without ".."',
  /^(?!.*\/\.{1,2}(?:\/|$))(?:\/[A-Za-z0-9._+@-]{1,255}){1,32}$/,
);
