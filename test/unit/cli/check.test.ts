// biome-ignore-all lint/suspicious/noTemplateCurlyInString: stack files write their variables so
/** `interlock check`: the command around it, and the parts that golden files would hide. */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check, LARGEST_BYTES } from '../../../src/cli/check/check.ts';
import { interpolate } from '../../../src/cli/check/interpolate.ts';
import { CHECK_CODES } from '../../../src/cli/check/remark.ts';
import type { CliTools } from '../../../src/cli/command.ts';
import { checkCommand } from '../../../src/cli/commands/check.ts';

const GOOD = `services:
  app:
    image: app
    deploy:
      labels: { com.docker.lb.hosts: app.example.org, com.docker.lb.port: "80" }
`;
const WARNS = GOOD.replace('com.docker.lb.port: "80"', 'com.docker.lb.port: "80", com.docker.lb.prot: "80"');
const BAD = GOOD.replace('"80"', '80a');

function remarksOf(text: string | Uint8Array, kind: 'config' | 'stack' = 'stack') {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  return check({ files: [{ file: 'f', kind, bytes }], config: undefined, stack: undefined, env: {} }).remarks;
}

describe('the command', () => {
  let folder = '';
  const at = (name: string) => join(folder, name);
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'interlock-check-'));
    const files = {
      'good.yml': GOOD,
      'warns.yaml': WARNS,
      'bad.yml': BAD,
      'config.toml': '[Extensions.a]\nServiceCluster = "x"\n',
      odd: GOOD,
    };
    await Promise.all(Object.entries(files).map(([name, text]) => writeFile(at(name), text)));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function run(argv: readonly string[], stdin = '') {
    const said = { out: '', err: '' };
    const tools: CliTools = {
      signal: new AbortController().signal,
      stdout: {
        write: (text) => {
          said.out += text;
        },
        isTerminal: false,
        columns: 80,
      },
      stderr: {
        write: (text) => {
          said.err += text;
        },
        isTerminal: false,
        columns: 80,
      },
      env: {},
      version: '1',
      argv: ['check', ...argv],
      readStdin: () => Promise.resolve(new TextEncoder().encode(stdin)),
    };
    return { code: await checkCommand.run(argv, tools), ...said };
  }

  it.each([
    [0, ['good.yml']],
    [0, ['warns.yaml']],
    [1, ['warns.yaml', '--strict']],
    [0, ['good.yml', '--strict']],
    [1, ['bad.yml']],
    [1, ['good.yml', 'bad.yml']],
    [1, ['good.yml', 'nowhere.yml']],
    [1, ['good.yml', 'config.toml']],
    [1, ['good.yml', '--config', 'config.toml']],
    [0, ['config.toml', '-c', 'config.toml']],
    [0, ['odd', '--kind', 'stack']],
    [64, ['odd']],
    [64, ['good.yml', '--kind', 'compose']],
    [64, ['good.yml', '--format', 'xml']],
    [64, ['good.yml', '--json', '--format', 'github']],
    [64, ['good.yml', '--config', 'nowhere.toml']],
    [64, ['good.yml', '--colour']],
    [64, []],
  ])('ends with %i for %j', async (code, argv) => {
    const paths = argv.map((word) => (/\./.test(word) || word === 'odd' ? at(word) : word));
    const { code: seen, err } = await run(paths);
    expect({ code: seen, saidWhy: err !== '' }).toEqual({ code, saidWhy: code === 64 || argv.includes('nowhere.yml') });
  });

  it('reads standard input where it is told what that is', async () => {
    const said = await run(['-', '--kind', 'stack'], BAD);
    expect(said.code).toBe(1);
    expect(said.out).toContain('standard input:5:');
    expect((await run(['-'], BAD)).err).toContain('--kind');
  });

  it('teaches', async () => {
    const { code, out } = await run(['--help']);
    expect(code).toBe(0);
    expect(out).toContain('Example\n  interlock check');
  });

  it('lets no text of a file speak to the terminal', async () => {
    const stack =
      'services:\n  "a\\e[2J\\r": {deploy: {labels: {com.docker.lb.hosts: "\\e]0;x"}}, networks: ["\\e[1m"]}\n';
    for (const format of ['text', 'json']) {
      const { out } = await run(['-', '--kind', 'stack', '--format', format], stack);
      expect(out).toContain('LABEL.HOSTS_INVALID');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
      expect(out).not.toMatch(/[\x00-\x09\x0b-\x1f]/);
    }
  });

  it('prints JSON with places, and annotations that a workflow takes as they are', async () => {
    const json = JSON.parse((await run([at('bad.yml'), '--json'])).out) as {
      errors: number;
      remarks: readonly unknown[];
    };
    expect(json).toMatchObject({
      errors: 1,
      remarks: [{ line: 5, column: 55, code: 'LABEL.PORT_INVALID', service: 'app' }],
    });
    await writeFile(at('a,b.yml'), BAD);
    expect((await run([at('a,b.yml'), '--format', 'github'])).out).toBe(
      `::error file=${at('a%2Cb.yml')},line=5,col=55,title=LABEL.PORT_INVALID::app com.docker.lb.port: Write the container port as a number from 1 to 65535.\n`,
    );
  });
});

/** Each held against `docker stack config` of Docker 28.2. */
describe('variables', () => {
  const env = { SET: 'x', EMPTY: '' };
  it.each([
    ['$SET ${SET}', 'x x', [], false],
    ['$$SET $${SET} $$$SET', '$SET ${SET} $x', [], false],
    ['${NO}|$NO', '|', ['NO', 'NO'], false],
    ['${NO:-d}|${NO-d}|${EMPTY:-d}|${EMPTY-d}|${SET:-d}', 'd|d|d||x', [], false],
    ['${NO:?why}|${EMPTY:?why}|${SET?why}', '||x', ['NO', 'EMPTY'], false],
    ['${NO:-${SET}}', '${SET}', [], false],
    ['${SET:+d}', '${SET:+d}', [], true],
    ['${bad name}', '${bad name}', [], true],
    ['$1', '$1', [], true],
    ['a$', 'a$', [], true],
    ['${SET', '${SET', [], true],
  ])('%s is %s', (text, expected, unset, invalid) => {
    expect(interpolate(text, env)).toEqual({ text: expected, unset, invalid });
  });
});

/** As `docker stack config` of Docker 28.2 prints them. */
describe('a label of the value', () => {
  const portOf = (value: string) => remarksOf(GOOD.replace('"80"', value)).map(({ code, value: seen }) => [code, seen]);

  it.each([
    ['yes', 'yes'],
    ['on', 'on'],
    ['1:30', '1:30'],
    ['!!str true', 'true'],
    ['-0.5', '-0.5'],
    ['089a', '089a'],
  ])('%s is the text %s', (value, text) => {
    expect(portOf(value)).toEqual([['LABEL.PORT_INVALID', text]]);
  });

  it.each(['8080', '0x1f90', '017', '8080.0', '+80', '1_000', '1e3'])('%s is a number', (value) => {
    expect(portOf(value)).toEqual([]);
  });

  it.each(['true', 'False', '[80]', '{a: 80}'])('%s is refused', (value) => {
    expect(portOf(value)).toContainEqual(['STACK.LABEL_TYPE', undefined]);
  });

  it.each(['~', 'null', '""', ''])('%j is empty, so none', (value) => {
    expect(portOf(value)).toEqual([['LABEL.PORT_MISSING', undefined]]);
  });
});

describe('hostile files', () => {
  it.each([
    ['too large', `services:\n${' '.repeat(LARGEST_BYTES)}`],
    ['binary', new Uint8Array([0x1f, 0x8b, 0xff, 0xfe])],
    ['with a zero byte', 'services:\n  a: "\0"'],
    ['nested without end', `services: ${'['.repeat(100_000)}`],
    ['nested and closed', `services: { a: ${'['.repeat(20_000)}${']'.repeat(20_000)} }`],
    ['two documents', 'services: {}\n---\nservices: {}\n'],
    ['keys twice', 'services:\n  a: {}\n  a: {}\n'],
    ['an alias to nothing', 'services:\n  a: *b\n'],
    ['a list', '- services\n'],
    ['nothing', ''],
  ])('get one clear error: %s', (_, text) => {
    expect(remarksOf(text).map(({ severity, code }) => [severity, code])).toEqual([['error', 'CHECK.UNREADABLE']]);
  });

  it('of aliases that multiply are read at once', () => {
    const bombs = Array.from(
      { length: 30 },
      (_, at) => `x${at + 1}: &x${at + 1} {<<: [${`*x${at},`.repeat(9)}], k${at}: [${`*x${at},`.repeat(9)}]}`,
    );
    const text = `x0: &x0 {com.docker.lb.port: "80"}\n${bombs.join('\n')}\nservices: {a: {deploy: {labels: {<<: *x15, com.docker.lb.hosts: a.b}}}}\n`;
    expect(remarksOf(text).map(({ code }) => code)).toEqual([]);
  });

  it('never make it throw', () => {
    const words = [
      'services:',
      'app:',
      'deploy:',
      'labels:',
      'com.docker.lb.hosts: a',
      '- com.docker.lb.port=1',
      'networks:',
      'ports:',
      '- 80:80',
      '<<: *a',
      '&a',
      '*a',
      '{',
      '}',
      '[',
      ']',
      '\n',
      '\n  ',
      '\n    ',
      '\n      ',
      ': ',
      '? ',
      '!!binary x',
      '| ',
      '"',
      "'",
      '${A',
      '#',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words), { maxLength: 40 }), fc.boolean(), (parts, isStack) => {
        const prefix = isStack ? 'services:\n  app:\n    ' : '';
        for (const { at } of remarksOf(prefix + parts.join(''))) {
          expect(at === undefined || (at.line > 0 && at.column > 0)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('the stack files of this repository', () => {
  const root = new URL('../../../', import.meta.url);
  const stacks = ['test/full/stacks/', 'test/e2e/clusters/stacks/'].flatMap((folder) =>
    readdirSync(new URL(folder, root)).map((name) => folder + name),
  );

  it.each([...stacks, 'docker/stack.yml', 'docker/demo/demo.yml', 'docker/config.toml', 'docker/dev/config.toml'])(
    '%s has nothing wrong',
    (path) => {
      const text = readFileSync(new URL(path, root), 'utf8');
      const remarks = remarksOf(text, path.endsWith('.toml') ? 'config' : 'stack');
      expect(remarks.filter(({ severity }) => severity !== 'info')).toEqual([]);
    },
  );
});

it('every code of its own is on the how-to page', () => {
  const page = readFileSync(new URL('../../../docs/howto/check.md', import.meta.url), 'utf8');
  expect(Object.keys(CHECK_CODES).filter((code) => !page.includes(`\`${code}\``))).toEqual([]);
});
