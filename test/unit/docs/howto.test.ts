/** The how-tos: their stack files are the ones that are tested on a real Swarm, and their snippets are read without a complaint. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseLabels } from '../../../src/labels/parse-labels.ts';
import { parseCoreSettings } from '../../../src/settings/core-settings.ts';
import { parseNginxOptions } from '../../../src/settings/nginx-options.ts';
import { service } from '../../support/snapshots.ts';

const HOWTO = new URL('../../../docs/howto/', import.meta.url);
const STACKS = new URL('../../e2e/labels/stacks/', import.meta.url);

interface Block {
  readonly page: string;
  readonly language: string;
  /** What follows the language: the name of a stack file. */
  readonly file: string;
  readonly text: string;
}

const pages = readdirSync(HOWTO).filter((name) => name.endsWith('.md'));
const blocks: readonly Block[] = pages.flatMap((page) =>
  [...readFileSync(new URL(page, HOWTO), 'utf8').matchAll(/^```(\w+) ?(\S*)\n([\s\S]*?)^```$/gm)].map(
    ([, language = '', file = '', text = '']) => ({ page, language, file, text }),
  ),
);
const blocksOf = (language: string, isFile: boolean) =>
  blocks
    .filter((block) => block.language === language && (block.file !== '') === isFile)
    .map((block) => ({ ...block }));

/** The labels of each service in a text, in its order: the lines between two that are none. */
function labelsIn(text: string): readonly Readonly<Record<string, string>>[] {
  const runs: Record<string, string>[] = [{}];
  for (const line of text.split('\n')) {
    const [, name, value = ''] = /^\s*(com\.docker\.lb\.\S+): (.+)$/.exec(line) ?? [];
    if (name === undefined) {
      runs.push({});
    } else {
      Object.assign(runs.at(-1) ?? {}, { [name]: value.replace(/^"(.*)"$/, '$1') });
    }
  }
  return runs.filter((run) => Object.keys(run).length > 0);
}

describe('stack files', () => {
  it.each(blocksOf('yaml', true))('$file on $page is the tested one', ({ file, text }) => {
    expect(text).toBe(readFileSync(new URL(file, STACKS), 'utf8'));
  });

  it('are each on a page', () => {
    expect(
      blocksOf('yaml', true)
        .map(({ file }) => file)
        .sort(),
    ).toEqual(readdirSync(STACKS).sort());
  });
});

describe('labels', () => {
  const all = blocks
    .filter(({ language }) => language === 'yaml')
    .flatMap(({ page, text }) => labelsIn(text).map((labels) => ({ page, labels })));

  it('are found', () => {
    expect(all.length).toBeGreaterThan(15);
  });

  it.each(all)('of $page give an intent and no finding: $labels', ({ labels }) => {
    expect(parseLabels(service({ labels }))).toMatchObject({ kind: 'intent', findings: [] });
  });
});

describe('lines of config.toml', () => {
  it.each(blocksOf('toml', false))('on $page are read without a finding: $text', ({ text }) => {
    const outcome = parseCoreSettings(text);
    expect(outcome).toMatchObject({ ok: true, findings: [] });
    for (const { optionsJson } of outcome.ok ? outcome.settings.extensions : []) {
      expect(parseNginxOptions(JSON.parse(optionsJson), 'Config')).toMatchObject({ ok: true, findings: [] });
    }
  });
});

describe('links', () => {
  it.each(pages)('of %s lead to pages that are there, and the index to all of them', (page) => {
    const text = readFileSync(new URL(page, HOWTO), 'utf8');
    const targets = [...text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, target = '']) => target);
    for (const target of targets) {
      expect(() => readFileSync(new URL(target, HOWTO))).not.toThrow();
    }
    expect(page !== 'README.md' || pages.every((name) => name === page || targets.includes(name))).toBe(true);
  });
});
