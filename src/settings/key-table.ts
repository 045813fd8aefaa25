/**
 * Reads one table of config.toml through one zod schema: keys in any case, unknown keys to findings, all problems at once with the key's
 * path as written. The schema's `.meta` carries what the docs tables print, so the two cannot part.
 */
import { z } from 'zod';
import { createFinding, type Finding } from '../model/finding.ts';
import { nearestName } from '../model/nearest-name.ts';
import { describeFound, joinPath, type SettingsProblem } from './problem.ts';
import type { JsonShape, ValueKind } from './value-kind.ts';

/** What a key means to people; one row of a table in `docs/config.md`. */
export interface KeyMeta {
  readonly type: string;
  readonly description: string;
  /** How the docs print the value of a missing key. */
  readonly shownDefault: string;
  /** `true`: not a key of the original. */
  readonly ours: boolean;
  /** JSON Schema of the value; `{}`: anything. */
  readonly shape: JsonShape;
}

export interface KeyProse {
  readonly shownDefault?: string;
  readonly ours?: true;
}

/**
 * A key that may be missing or blank (`""`, as the original's default files have it); then `fallback` holds.
 * The default shown in the docs is the fallback itself unless `shownDefault` says otherwise.
 */
export function key<T, const F>(kind: ValueKind<T>, fallback: F, description: string, prose: KeyProse = {}) {
  const meta: KeyMeta = {
    type: kind.type,
    description,
    shownDefault: prose.shownDefault ?? showDefault(fallback),
    ours: prose.ours ?? false,
    shape: kind.shape ?? {},
  };
  return z
    .unknown()
    .optional()
    .transform((raw, context): T | F => {
      if (raw === undefined || raw === '') {
        return fallback;
      }
      const value = kind.read(raw);
      if (value === undefined) {
        const found = describeFound(kind.blame === undefined ? raw : kind.blame(raw));
        context.addIssue({ code: 'custom', message: kind.expected, params: { found } });
        return z.NEVER;
      }
      return value;
    })
    .meta({ ...meta });
}

/** Every key of a schema with what it means, in the schema's order; the docs tables are made of it. */
export function keyMetas(schema: z.ZodObject): readonly (readonly [string, KeyMeta])[] {
  return Object.entries(schema.shape).flatMap(([name, field]) => {
    // `key` puts a whole KeyMeta there, and nothing else makes a key.
    const meta = z.globalRegistry.get(field) as KeyMeta | undefined;
    return meta === undefined ? [] : [[name, meta] as const];
  });
}

function showDefault(fallback: unknown): string {
  if (fallback === undefined) {
    return 'none';
  }
  return Array.isArray(fallback) && fallback.length === 0 ? '`[]`' : `\`${JSON.stringify(fallback)}\``;
}

export type Reading<T> =
  | { readonly ok: true; readonly values: T; readonly written: WrittenKeys; readonly findings: readonly Finding[] }
  | {
      readonly ok: false;
      readonly problems: readonly SettingsProblem[];
      readonly written: WrittenKeys;
      readonly findings: readonly Finding[];
    };

/** From a key's official spelling to the value and the spelling found in the file; only keys that are there. */
export type WrittenKeys = ReadonlyMap<string, { readonly path: string; readonly raw: unknown }>;

/** Reads `raw` as a table of `schema`'s keys. `path` is the table's own, `''` at the top. */
export function readTable<Shape extends z.core.$ZodShape>(
  schema: z.ZodObject<Shape>,
  raw: unknown,
  path: string,
): Reading<z.output<z.ZodObject<Shape>>> {
  if (!isTable(raw)) {
    const problem = { path, found: describeFound(raw), expected: 'a table of keys and values' };
    return { ok: false, problems: [problem], written: new Map(), findings: [] };
  }
  const { written, problems, findings } = matchKeys(Object.keys(schema.shape), raw, path);
  const result = schema.safeParse(Object.fromEntries([...written].map(([name, { raw: value }]) => [name, value])));
  const issues = result.success ? [] : result.error.issues.map((issue) => toProblem(issue, written, path));
  if (!result.success || problems.length > 0) {
    return { ok: false, problems: [...problems, ...issues], written, findings };
  }
  return { ok: true, values: result.data, written, findings };
}

/** A TOML table; dates and lists are not. */
export function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function matchKeys(known: readonly string[], raw: Readonly<Record<string, unknown>>, path: string) {
  const spelling = new Map(known.map((name) => [name.toLowerCase(), name]));
  const written = new Map<string, { path: string; raw: unknown }>();
  const problems: SettingsProblem[] = [];
  const findings: Finding[] = [];
  for (const [name, value] of Object.entries(raw)) {
    const official = spelling.get(name.toLowerCase());
    const earlier = official === undefined ? undefined : written.get(official);
    if (official === undefined) {
      findings.push(unknownKey(name, known, path));
    } else if (earlier !== undefined) {
      problems.push({ path: joinPath(path, name), found: `the same key as ${earlier.path}`, expected: 'it once' });
    } else {
      written.set(official, { path: joinPath(path, name), raw: value });
    }
  }
  return { written, problems, findings };
}

function unknownKey(name: string, known: readonly string[], path: string): Finding {
  const near = nearestName(name, known);
  const advice =
    near === undefined
      ? 'There is no such key here; it is ignored.'
      : `There is no such key here. Did you mean ${near}?`;
  return createFinding('SETTINGS.KEY_UNKNOWN', advice, { subject: joinPath(path, name), value: name });
}

function toProblem(issue: z.core.$ZodIssue, written: WrittenKeys, path: string): SettingsProblem {
  const name = String(issue.path[0] ?? '');
  const found: unknown = issue.code === 'custom' ? issue.params?.['found'] : undefined;
  return {
    path: written.get(name)?.path ?? joinPath(path, name),
    found: typeof found === 'string' ? found : describeFound(written.get(name)?.raw),
    expected: issue.message,
  };
}
