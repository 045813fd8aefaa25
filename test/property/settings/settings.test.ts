import TOML from '@iarna/toml';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseGoDuration, parseNginxTime } from '../../../src/model/duration.ts';
import { CORE_SCHEMA, EXTENSION_SCHEMA } from '../../../src/settings/core-schema.ts';
import { formatProblems, parseCoreSettings } from '../../../src/settings/core-settings.ts';
import { parseAgentSettings, parseExtensionSettings } from '../../../src/settings/daemon-settings.ts';
import { locateKeys } from '../../../src/settings/key-lines.ts';
import { parseLogFormat } from '../../../src/settings/log-format.ts';
import { NGINX_SCHEMA, parseNginxOptions } from '../../../src/settings/nginx-options.ts';
import { joinPath } from '../../../src/settings/problem.ts';

const texts = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '',
    '3s',
    '8k',
    '4 8k',
    'auto',
    'true',
    '/run/x',
    'TLSv1.2',
    'off',
    "'$a';",
    '10.0.0.0/8',
    'a==b',
    'host',
  ),
);
const scalars = fc.oneof(texts, fc.integer(), fc.double(), fc.boolean(), fc.bigInt(), fc.date());
const raws = fc.oneof(
  scalars,
  fc.array(scalars, { maxLength: 3 }),
  fc.dictionary(fc.string(), scalars, { maxKeys: 3 }),
);

function tableOf(names: readonly string[], values: fc.Arbitrary<unknown>): fc.Arbitrary<Record<string, unknown>> {
  const keys = fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...names) },
    { weight: 1, arbitrary: fc.constantFrom(...names).map((name) => name.toUpperCase()) },
    { weight: 1, arbitrary: fc.string({ maxLength: 10 }) },
  );
  return fc.dictionary(keys, values, { maxKeys: 10 });
}

it('options are read or their problems named; nothing throws', () => {
  fc.assert(
    fc.property(fc.oneof(tableOf(Object.keys(NGINX_SCHEMA.shape), raws), raws), (raw) => {
      const outcome = parseNginxOptions(raw, 'Config');
      if (!outcome.ok) {
        expect(outcome.problems.length).toBeGreaterThan(0);
        expect(outcome.problems.every(({ path }) => path.startsWith('Config'))).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});

it('no option but the raw lines and log formats carries a character that means something to NGINX', () => {
  fc.assert(
    fc.property(tableOf(Object.keys(NGINX_SCHEMA.shape), texts), (raw) => {
      const outcome = parseNginxOptions(raw, 'Config');
      if (outcome.ok) {
        const { mainLogFormat, traceLogFormat, ...options } = outcome.options;
        const rest = { ...options, globalOptions: 0, httpOptions: 0, tcpOptions: 0 };
        expect(JSON.stringify(rest)).not.toMatch(/[\s;$\\']/);
        expect(mainLogFormat.text + traceLogFormat.text).not.toMatch(/[\n\r\0]/);
      }
    }),
    { numRuns: 500 },
  );
});

it('arbitrary text as config.toml gives settings or problems, and the problems can be printed', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.stringMatching(/^[[\]a-z="'.\n{}0-9#,-]*$/)),
      (text) => {
        const outcome = parseCoreSettings(text);
        if (!outcome.ok) {
          expect(formatProblems(outcome.problems)).not.toBe('');
        }
      },
    ),
    { numRuns: 500 },
  );
});

it('arbitrary values at known keys give settings or problems', () => {
  const json = fc.oneof(texts, fc.integer(), fc.boolean(), fc.array(texts, { maxLength: 3 }));
  const extension = tableOf(Object.keys(EXTENSION_SCHEMA.shape), json);
  const top = tableOf(
    Object.keys(CORE_SCHEMA.shape).filter((name) => name !== 'Extensions'),
    json,
  );
  fc.assert(
    fc.property(top, extension, (core, table) => {
      const outcome = parseCoreSettings(TOML.stringify({ ...core, Extensions: { default: table } } as TOML.JsonMap));
      expect(outcome.ok ? outcome.settings.extensions.length : outcome.problems.length).toBeGreaterThan(0);
    }),
    { numRuns: 300 },
  );
});

it('any environment gives settings or problems', () => {
  const names = [
    'INTERLOCK_ENDPOINT',
    'INTERLOCK_EXTENSION',
    'INTERLOCK_CONFIG_PATH',
    'INTERLOCK_TASK_ID',
    'INTERLOCK_NGINX',
  ];
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names), texts), (env) => {
      for (const outcome of [parseExtensionSettings(env), parseAgentSettings(env)]) {
        expect(outcome.ok || outcome.problems.length > 0).toBe(true);
      }
    }),
  );
});

it('durations in whole units come out as they went in', () => {
  fc.assert(
    fc.property(fc.nat({ max: 999 }), fc.nat({ max: 59 }), fc.nat({ max: 59 }), fc.nat({ max: 999 }), (h, m, s, ms) => {
      const total = ((h * 60 + m) * 60 + s) * 1000 + ms;
      expect(parseGoDuration(`${h}h${m}m${s}s${ms}ms`)).toBe(total);
      expect(parseNginxTime(`${h}h ${m}m ${s}s ${ms}ms`)).toBe(total);
    }),
  );
});

it('a log format quoted as NGINX wants it is read as the plain one', () => {
  const plain = fc
    .stringMatching(/^[a-z\]["'\\:.-]([ a-z"'\\:.-]|\$[a-z_]{1,8} ){0,40}[a-z"]$/)
    .filter((text) => !text.startsWith("'"));
  fc.assert(
    fc.property(plain, (text) => {
      const quoted = `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}';`;
      expect(parseLogFormat(quoted)?.text).toBe(text);
      expect(parseLogFormat(text)?.text).toBe(text);
    }),
  );
});

/** Without the names that the library confuses with methods of objects. */
const keyNames = fc
  .oneof(fc.string({ maxLength: 8 }), fc.string({ unit: 'grapheme', maxLength: 4 }))
  .filter((name) => !(name in {}));
const trees = fc.letrec<{ tree: unknown; value: unknown }>((tie) => ({
  tree: fc.dictionary(keyNames, tie('value'), { maxKeys: 5 }),
  value: fc.oneof(
    { maxDepth: 3 },
    fc.string({ unit: 'grapheme' }),
    fc.integer(),
    fc.boolean(),
    fc.array(fc.string(), { maxLength: 3 }),
    tie('tree'),
  ),
})).tree;

function pathsOf(value: unknown, path: string): readonly (readonly [string, string])[] {
  return typeof value !== 'object' || value === null || Array.isArray(value)
    ? []
    : Object.entries(value).flatMap(([name, inner]) => {
        const own = joinPath(path, name);
        return [[own, name] as const, ...pathsOf(inner, own)];
      });
}

it('every key of a file has a place, and the key stands there', () => {
  fc.assert(
    fc.property(trees, (tree) => {
      const text = TOML.stringify(tree as TOML.JsonMap);
      const places = locateKeys(text);
      const lines = text.split('\n');
      for (const [path, name] of pathsOf(TOML.parse(text), '')) {
        const { line, column } = places.get(path) ?? { line: 0, column: 0 };
        const rest = lines[line - 1]?.slice(column - 1) ?? '';
        expect(rest.startsWith(name) || rest.startsWith('"'), `${path} at ${line}:${column} of ${text}`).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});

it('places are looked for in any text, and nothing throws', () => {
  const pieces = fc.constantFrom(
    '[',
    ']',
    '{',
    '}',
    '"',
    "'",
    '"""',
    "'''",
    '=',
    '.',
    ',',
    '#',
    '\n',
    '\r\n',
    ' ',
    '\\',
    'a',
    'a.b',
    '1',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(pieces).map((parts) => parts.join('')),
      ),
      (text) => {
        const lines = text.split('\n');
        for (const { line, column } of locateKeys(text).values()) {
          expect(column).toBeLessThanOrEqual((lines[line - 1] ?? '').length);
        }
      },
    ),
    { numRuns: 1000 },
  );
});
