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
  /** The part of a refused value that is wrong, for the message; missing: all of it. */
  readonly blame?: (raw: unknown) => unknown;
}

/** `true` and `false`, also as strings: the original's files have both. */
export const FLAG: ValueKind<boolean> = {
  type: 'bool',
  expected: 'true or false',
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
    read: (raw) => (typeof raw === 'string' ? words.find((word) => word === raw.trim().toLowerCase()) : undefined),
  };
}

/** A list whose entries are all of one kind; one bare entry counts as a list of one. */
export function listOf<T>(entry: ValueKind<T>, what: string): ValueKind<readonly T[]> {
  return {
    type: `list of ${entry.type}`,
    expected: what,
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
    read(raw) {
      const ms = readNginxTime(raw);
      const whole = ms === undefined ? undefined : Math.ceil(ms / 1000);
      return whole !== undefined && whole >= min ? whole : undefined;
    },
  };
}

/** An NGINX time such as `75s`, in milliseconds; a bare number counts seconds. */
export const NGINX_TIME: ValueKind<number> = {
  type: 'time',
  expected: 'a time such as "75s", "1m 30s" or "500ms"',
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
  read: (raw) => (typeof raw === 'number' ? toPort(raw) : typeof raw === 'string' ? parsePort(raw) : undefined),
};

/** A published port, where 0 means "not published" as it does in the original's files. */
export const OPTIONAL_PORT: ValueKind<Port | 'none'> = {
  type: 'port',
  expected: 'a whole number from 1 to 65535, or 0 for none',
  read: (raw) => (raw === 0 || raw === '0' ? 'none' : PORT.read(raw)),
};

/** An absolute path of plain characters, without `.` and `..` segments. */
export const ABSOLUTE_PATH: ValueKind<string> = text(
  'path',
  'an absolute path of letters, digits and . _ - + @ without ".."',
  /^(?!.*\/\.{1,2}(?:\/|$))(?:\/[A-Za-z0-9._+@-]{1,255}){1,32}$/,
);
