/** Readers of label text: flags, numbers, names and lists of them. A reader never throws; what it refuses becomes a complaint. */

/** What a label's text gives: a value, and what could not be taken. Both may be there: a list loses its bad entries only. */
export interface Reading<T> {
  /** `undefined`: nothing of the text is usable. */
  readonly value: T | undefined;
  readonly complaints: readonly Complaint[];
}

export interface Complaint {
  /** The text that is refused. */
  readonly text: string;
  /** What is wrong and what to write instead. */
  readonly advice: string;
}

export type Reader<T> = (text: string) => Reading<T>;

/** A reader of one value: `parse` refuses with `undefined`, then `advice` is the complaint. */
export function single<T>(
  parse: (text: string) => T | undefined,
  advice: string | ((text: string) => string),
): Reader<T> {
  return (text) => {
    const value = parse(text);
    return value === undefined ? refuse(text, typeof advice === 'string' ? advice : advice(text)) : accept(value);
  };
}

/** A reader of a list: entries are trimmed, empty ones skipped; a refused entry is lost alone. */
export function list<T>(separator: ',' | ';', entry: Reader<T>): Reader<readonly T[]> {
  return (text) => {
    const readings = splitList(text, separator).map(entry);
    const values = readings.flatMap(({ value }) => (value === undefined ? [] : [value]));
    return {
      value: values.length === 0 ? undefined : values,
      complaints: readings.flatMap(({ complaints }) => complaints),
    };
  };
}

export function splitList(text: string, separator: ',' | ';'): readonly string[] {
  return text
    .split(separator)
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

/** `true` and `false`, and the other spellings Go's `strconv.ParseBool` takes. */
export const flag: Reader<boolean> = single((text) => FLAGS.get(text.toLowerCase()), 'Write "true" or "false".');

const FLAGS: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['t', true],
  ['1', true],
  ['false', false],
  ['f', false],
  ['0', false],
]);

/** A whole number within bounds, decimal digits only. */
export function wholeNumber(min: number, max: number): Reader<number> {
  return single((text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : undefined;
    return value !== undefined && value >= min && value <= max ? value : undefined;
  }, `Write a whole number from ${min} to ${max}.`);
}

/** One of a few words, in any case. */
export function oneOf<const Word extends string>(...words: readonly Word[]): Reader<Word> {
  const shown = words.map((word) => `"${word}"`).join(' or ');
  return single((text) => words.find((word) => word === text.toLowerCase()), `Write ${shown}.`);
}

export function accept<T>(value: T): Reading<T> {
  return { value, complaints: [] };
}

export function refuse(text: string, advice: string): Reading<never> {
  return { value: undefined, complaints: [{ text, advice }] };
}
