/** Each block of commands on a page has a test that runs it: the table of test/support/docs-commands.ts, held against the pages. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { COMMANDS, rowOf } from '../../support/docs-commands.ts';
import { blocks, blocksIn, CHECKOUT, firstCommand, pages, readPage } from '../../support/docs-pages.ts';

const all = blocks();
const commands = all
  .filter(({ language }) => language === 'sh')
  .map((block) => ({ ...block, name: firstCommand(block) }));
const rows = Object.entries(COMMANDS).flatMap(([page, ofPage]) =>
  Object.entries(ofPage).map(([name, row]) => ({ page, name, row })),
);
const runRows = rows.flatMap(({ page, name, row }) => ('by' in row ? [{ page, name, ...row }] : []));
const testFiles = [...new Set(runRows.map(({ by }) => by))];

/** A line that a shell takes, in a block that is said to hold none. */
const COMMAND_LINE =
  /^(?:\$ |#!|\w+=\$\(|(?:sudo|docker|npm|npx|node|git|interlock|curl|export|openssl|bash|eval|cd|cat|sed)(?: |\/\w))/m;

describe('a block of commands', () => {
  it('is found on every page that has one, indented or not', () => {
    expect(commands.length).toBeGreaterThan(40);
    const [indented] = blocksIn('page.md', '1. do\n\n   ```sh\n   docker ps\n     --all\n   ```\n');
    expect(indented).toMatchObject({ language: 'sh', text: 'docker ps\n  --all\n' });
  });

  it.each(pages())('of %s: every fence is closed', (page) => {
    const fences = readPage(page).match(/^ *```/gm) ?? [];
    expect(fences).toHaveLength(2 * all.filter((block) => block.page === page).length);
  });

  it('is marked as sh', () => {
    const others = all.filter(({ language }) => ['bash', 'shell', 'console', 'text'].includes(language));
    const unmarked = all.filter(({ language, text }) => language === '' && COMMAND_LINE.test(text));
    expect([...others, ...unmarked]).toEqual([]);
  });

  it('has a name of its own on its page', () => {
    const names = commands.map(({ page, name }) => `${page}: ${name}`);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  });

  it.each(commands.map(({ page, name, text }) => ({ page, name, text })))(
    'has a row: $page: $name',
    ({ page, name }) => {
      expect(rowOf(page, name)).toBeDefined();
    },
  );

  it('calls only scripts that package.json has', () => {
    const { scripts } = JSON.parse(readFileSync(`${CHECKOUT}package.json`, 'utf8')) as { scripts: object };
    const called = pages().flatMap((page) =>
      [...readPage(page).matchAll(/\bnpm run ([\w:-]+)/g)].map(([, name = '']) => name),
    );
    expect(called.length).toBeGreaterThan(5);
    expect(called.filter((name) => !(name in scripts))).toEqual([]);
  });
});

describe('a row', () => {
  it.each(rows)('has a block: $page: $name', ({ page, name }) => {
    expect(commands.filter((block) => block.page === page && block.name === name)).toHaveLength(1);
  });

  it.each(testFiles)('of %s is run there: the file asks at its end whether one is left', (file) => {
    const text = existsSync(`${CHECKOUT}${file}`) ? readFileSync(`${CHECKOUT}${file}`, 'utf8') : '';
    const absent = [`docsRunner('${file}')`, '.left()).toEqual([])'].filter((words) => !text.includes(words));
    expect(absent).toEqual([]);
  });

  it.each(runRows)('replaces what stands in its block: $page: $name', ({ page, name, replace = {}, exits = {} }) => {
    const { text = '' } = commands.find((block) => block.page === page && block.name === name) ?? {};
    const absent = [...Object.keys(replace), ...Object.keys(exits)].filter((words) => !text.includes(words));
    expect(absent).toEqual([]);
  });

  it('without a test is one of a handful', () => {
    expect(rows.flatMap(({ page, name, row }) => ('unrun' in row ? [`${page}: ${name}`] : []))).toEqual([
      'README.md: npm test',
      'CONTRIBUTING.md: npm test',
    ]);
  });
});

describe('the head of a stack file', () => {
  it.each([
    ['docker/stack.yml', 'docs/migration.md'],
    ['docker/socket-proxy/stack.yml', 'docs/howto/socket-proxy.md'],
  ])('of %s says the commands of %s', (file, page) => {
    const text = readFileSync(`${CHECKOUT}${file}`, 'utf8');
    const said = [...text.matchAll(/^# {3}((?:export|docker stack) .+)$/gm)].map(([, line = '']) => line);
    expect(said.length).toBeGreaterThan(2);
    expect(blocksIn(page, readPage(page)).map((block) => block.text.trimEnd())).toContain(said.join('\n'));
  });
});
