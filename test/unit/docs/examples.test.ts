/** The examples of the pages: stack files are the ones that are tested on a real Swarm, and all snippets are read without a complaint. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseLabels } from '../../../src/labels/parse-labels.ts';
import { parseCoreSettings } from '../../../src/settings/core-settings.ts';
import { parseNginxOptions } from '../../../src/settings/nginx-options.ts';
import { blocks as allBlocks, CHECKOUT } from '../../support/docs-pages.ts';
import { runCommand } from '../../support/run-command.ts';
import { service } from '../../support/snapshots.ts';

const STACKS = `${CHECKOUT}test/full/stacks/`;
const HOWTO = new URL('../../../docs/howto/', import.meta.url);
const pages = readdirSync(HOWTO).filter((name) => name.endsWith('.md'));
const blocks = allBlocks().map((block) => ({ ...block }));
const stackFiles = blocks.filter(({ language, file }) => language === 'yaml' && file !== '');
const stacks = blocks.filter(({ language, text }) => language === 'yaml' && /^services:$/m.test(text));

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
  it.each(stackFiles)('$file on $page is the tested one', ({ file, text }) => {
    expect(text).toBe(readFileSync(`${STACKS}${file}`, 'utf8'));
  });

  it('are each on a page, and deployed by the test of the how-tos', () => {
    const files = stackFiles.map(({ file }) => file).sort();
    const test = readFileSync(`${CHECKOUT}test/full/howtos.test.ts`, 'utf8');
    expect(files).toEqual(readdirSync(STACKS).sort());
    expect(files.filter((file) => !test.includes(`deploy('${file.replace('.yml', '')}')`))).toEqual([]);
  });

  it.each(stacks)('on $page pass interlock check: $text', async ({ text }) => {
    const readStdin = () => Promise.resolve(new TextEncoder().encode(text));
    const { exitCode, stdout } = await runCommand(['check', '--strict', '--kind', 'stack', '-'], { readStdin });
    expect({ exitCode, stdout }).toMatchObject({ exitCode: 0 });
  });

  it('are found on pages that are no how-tos, too', () => {
    expect(stacks.map(({ page }) => page)).toEqual(expect.arrayContaining(['README.md', 'docs/labels.md']));
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
  const tomls = blocks.filter(({ language }) => language === 'toml');

  it('are found on pages that are no how-tos, too', () => {
    expect(tomls.map(({ page }) => page)).toEqual(expect.arrayContaining(['docs/config.md', 'docs/security.md']));
  });

  it.each(tomls)('on $page are read without a finding: $text', ({ text }) => {
    // A file has a table of extensions at least; a snippet may leave it out.
    const outcome = parseCoreSettings(text.includes('[Extensions.') ? text : `${text}[Extensions.default]\n`);
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
