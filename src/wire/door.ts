/** How a codec says what is wrong and where. A place is a chain of keys; its text is built only when something is wrong. */
import { OperationalError } from '../runtime/errors.ts';

export interface Place {
  readonly parent: Place | undefined;
  readonly key: string | number;
}

export function place(key: string): Place {
  return { parent: undefined, key };
}

export function at(parent: Place, key: string | number): Place {
  return { parent, key };
}

/** E.g. `ModelUpdate.full.hosts[3].routes[0].prefix`. */
export function pathText(where: Place): string {
  if (where.parent === undefined) {
    return String(where.key);
  }
  const parent = pathText(where.parent);
  return typeof where.key === 'number' ? `${parent}[${where.key}]` : `${parent}.${where.key}`;
}

/** `what` completes the sentence "<path> …", e.g. `is not a host name`. */
export function malformed(where: Place, what: string): OperationalError {
  const path = pathText(where);
  return new OperationalError('WIRE.MALFORMED', `${path} ${what}`, { facts: { path } });
}

/** A message that must be there. */
export function present<Message>(message: Message | null | undefined, where: Place): Message {
  if (message === null || message === undefined) {
    throw malformed(where, 'is missing');
  }
  return message;
}

/** Text that a parser of model/names.ts accepts as it stands: the wire carries canonical forms only. */
export function parsed<Value extends string>(
  text: string,
  parse: (text: string) => Value | undefined,
  where: Place,
  what: string,
): Value {
  const value = parse(text);
  if (value !== text) {
    throw malformed(where, `is not ${what}`);
  }
  return value;
}

/** A whole number that JavaScript holds exactly; uint64 fields may carry more. */
export function safeInteger(value: number, where: Place): number {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw malformed(where, 'is not a whole number below 2^53');
  }
  return value;
}

/** 64 lower-case hex digits. */
export function digestText(text: string, where: Place): string {
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw malformed(where, 'is not a SHA-256 in lower-case hex');
  }
  return text;
}

/** At least one character. */
export function nonEmptyText(text: string, where: Place): string {
  if (text === '') {
    throw malformed(where, 'is empty');
  }
  return text;
}

/** An absolute path without control characters, `.` and `..` segments and repeated slashes. */
export function absolutePath(text: string, where: Place): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (text.length > 4096 || !/^(?:\/(?!\.{1,2}(?:\/|$))[^/\x00-\x1f\x7f]+)+$/.test(text)) {
    throw malformed(where, 'is not an absolute path');
  }
  return text;
}

/** Each item under its own place. */
export function each<Item, Value>(
  items: readonly Item[],
  where: Place,
  decode: (item: Item, where: Place) => Value,
): readonly Value[] {
  return items.map((item, index) => decode(item, at(where, index)));
}

/** Strictly ascending by code unit, so that no key comes twice. */
export function ascending<Value>(
  values: readonly Value[],
  keyOf: (value: Value) => string,
  where: Place,
): readonly Value[] {
  values.forEach((value, index) => {
    const before = values[index - 1];
    if (before !== undefined && keyOf(before) >= keyOf(value)) {
      throw malformed(at(where, index), 'is out of order or comes twice');
    }
  });
  return values;
}
