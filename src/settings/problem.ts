/** What makes settings unusable, as data: the start stops, and all problems are named at once. */

export interface TextPosition {
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
}

export interface SettingsProblem {
  /** The key's path as the operator wrote it, e.g. `Extensions.default.ProxyReplicas`; `''` for the file as a whole. */
  readonly path: string;
  /** What is there, e.g. `"two" (string)`. */
  readonly found: string;
  /** What may be there, e.g. `a whole number of at least 0`. */
  readonly expected: string;
  /** Where the text stops being TOML; a key's place is found by its path. */
  readonly at?: TextPosition;
}

const MAX_FOUND = 120;

/** One line per problem: `Extensions.default.ProxyReplicas: found "two" (string), expected a whole number of at least 0`. */
export function formatProblems(problems: readonly SettingsProblem[]): string {
  return problems.map(formatProblem).join('\n');
}

function formatProblem({ path, found, expected }: SettingsProblem): string {
  const where = path === '' ? '' : `${path}: `;
  return `${where}found ${found}, expected ${expected}`;
}

/** A value as people wrote it, with its kind, cut to 120 characters. */
export function describeFound(value: unknown): string {
  if (value === undefined || value === null) {
    return 'nothing';
  }
  if (typeof value === 'string') {
    return `${JSON.stringify(cut(value))} (string)`;
  }
  if (typeof value === 'boolean') {
    return `${String(value)} (boolean)`;
  }
  if (typeof value === 'number' || typeof value === 'bigint') {
    return `${String(value)} (${Number.isInteger(value) || typeof value === 'bigint' ? 'whole number' : 'number'})`;
  }
  if (value instanceof Date) {
    return `${Number.isNaN(value.getTime()) ? '' : `${value.toISOString()} `}(date)`.trim();
  }
  return Array.isArray(value) ? `a list of ${value.length}` : 'a table';
}

function cut(text: string): string {
  return text.length > MAX_FOUND ? `${text.slice(0, MAX_FOUND)}\u2026` : text;
}

/** Joins a table's path and a key; a key that TOML would want in quotes gets them. */
export function joinPath(path: string, key: string): string {
  const shown = /^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(cut(key));
  return path === '' ? shown : `${path}.${shown}`;
}
