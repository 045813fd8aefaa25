/** `interlock check` on the files of each folder of `check/`: what it prints, for people and as JSON. `npm run golden:update` rewrites them. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { check } from '../../src/cli/check/check.ts';
import { asJson, asText } from '../../src/cli/check/print.ts';

const CASES = new URL('check/', import.meta.url);
const UPDATE = process.env['UPDATE_GOLDEN'] === '1';

interface Run {
  readonly stack?: string;
  readonly env?: Readonly<Record<string, string>>;
}

function run(folder: URL) {
  const { stack, env = {} } = existsSync(new URL('run.json', folder))
    ? (JSON.parse(readFileSync(new URL('run.json', folder), 'utf8')) as Run)
    : {};
  const files = readdirSync(folder)
    .filter((name) => /\.(?:toml|ya?ml)$/.test(name))
    .sort()
    .map((file) => ({
      file,
      kind: file.endsWith('.toml') ? ('config' as const) : ('stack' as const),
      bytes: readFileSync(new URL(file, folder)),
    }));
  return check({ files, config: undefined, stack, env });
}

describe('interlock check', () => {
  it.each(readdirSync(CASES))('says what is expected of %s', (name) => {
    const folder = new URL(`${name}/`, CASES);
    const report = run(folder);
    for (const [file, text] of [
      ['expected.txt', asText(report, (_tone, text) => text)],
      ['expected.json', asJson(report)],
    ] as const) {
      const path = fileURLToPath(new URL(file, folder));
      if (UPDATE) {
        writeFileSync(path, text);
      }
      expect(text, file).toBe(readFileSync(path, 'utf8'));
    }
  });

  it('has files in every case', () => {
    expect(readdirSync(CASES).filter((name) => run(new URL(`${name}/`, CASES)).files.length === 0)).toEqual([]);
  });
});
