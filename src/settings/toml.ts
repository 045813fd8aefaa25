/** TOML text to plain data; the only file that knows the TOML library. */
import TOML from '@iarna/toml';
import { joinPath, type SettingsProblem, type TextPosition } from './problem.ts';

export type TomlOutcome =
  | { readonly ok: true; readonly table: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly problems: readonly SettingsProblem[] };

export function parseToml(text: string): TomlOutcome {
  let table: Readonly<Record<string, unknown>>;
  try {
    table = TOML.parse(text);
  } catch (error) {
    const at = placeOf(error);
    const problem = { path: '', found: describeTomlError(error, at), expected: 'a file in TOML' };
    return { ok: false, problems: [at === undefined ? problem : { ...problem, at }] };
  }
  if (isDeeper(table, MOST_LEVELS)) {
    return { ok: false, problems: [{ path: '', found: `more than ${MOST_LEVELS} levels`, expected: 'fewer levels' }] };
  }
  const problems = findBorrowedNames(table, '');
  return problems.length === 0 ? { ok: true, table } : { ok: false, problems };
}

/** The library's errors carry `line` and `col`, both from 0, and a message whose first line repeats them and whose rest is an excerpt. */
function describeTomlError(error: unknown, at: TextPosition | undefined): string {
  const reason = String((error as { message?: unknown }).message)
    .split('\n', 1)[0]
    ?.replace(/ at row \d+.*$/, '');
  const where = at === undefined ? '' : ` at line ${at.line}, column ${at.column}`;
  return `an error${where} (${reason ?? 'unreadable'})`;
}

function placeOf(error: unknown): TextPosition | undefined {
  const { line, col } = error as { line?: unknown; col?: unknown };
  return typeof line === 'number' && typeof col === 'number' ? { line: line + 1, column: col + 1 } : undefined;
}

/** Nothing of ours has more than five; whoever walks the tables calls itself for each. */
const MOST_LEVELS = 100;

function isDeeper(value: unknown, levels: number): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    (levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1)))
  );
}

/**
 * The library takes a table called like a method of every object (`[constructor]`, `[toString]`) for the method itself.
 * Such a file is refused: what stands in those tables is not in the result.
 */
function findBorrowedNames(value: unknown, path: string): SettingsProblem[] {
  if (typeof value === 'function') {
    return [{ path, found: 'a reserved name', expected: 'another name' }];
  }
  if (typeof value !== 'object' || value === null || value instanceof Date) {
    return [];
  }
  return Object.entries(value).flatMap(([name, inner]) => findBorrowedNames(inner, joinPath(path, name)));
}
