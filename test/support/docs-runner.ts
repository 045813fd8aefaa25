/**
 * Runs the blocks of commands of the pages as they stand there: by bash, in one terminal for each page, the way of somebody who copies
 * them one after the other. What differs from the page is in the table (docs-commands.ts) alone.
 */
import { spawn } from 'node:child_process';
import { COMMANDS, rowOf } from './docs-commands.ts';
import { type Block, blocksIn, firstCommand, readPage } from './docs-pages.ts';
import { eventually } from './eventually.ts';

export interface RunOptions {
  readonly cwd: string;
  /** In place of this process's own. */
  readonly env: NodeJS.ProcessEnv;
  /** The values of `{name}` in the row. */
  readonly values?: Readonly<Record<string, string>>;
  /** What bash is started by, such as a command that enters a node. */
  readonly through?: readonly string[];
  /** At a terminal, what is typed once `after` was printed. Without it there is no terminal. */
  readonly typed?: { readonly after: string; readonly line: string };
  /** The block only looks, or changes nothing the second time: it is repeated for so long until every command succeeds. */
  readonly untilMs?: number;
  /** Default: two minutes. */
  readonly timeoutMs?: number;
}

export interface DocsRunner {
  /** Runs the block of that name (its first command); what it printed. Throws when a command ends otherwise than its row says. */
  run(page: string, block: string, options: RunOptions): Promise<string>;
  /** The rows of this test file whose blocks it has not run. */
  left(): readonly string[];
}

/** `file`: the test file, as its rows name it. */
export function docsRunner(file: string): DocsRunner {
  const ran = new Set<string>();
  /** What a page's terminal knows by now: the variables that its earlier blocks set. */
  const known = new Map<string, readonly string[]>();

  async function run(page: string, name: string, options: RunOptions): Promise<string> {
    const row = rowOf(page, name);
    if (row === undefined || !('by' in row) || row.by !== file) {
      throw new Error(`the table does not give ${page}: ${name} to ${file}`);
    }
    const { text } = blockOf(page, name);
    const written = { ...row.replace };
    for (const [from, to] of Object.entries(row.replace ?? {})) {
      written[from] = filled(to, options.values ?? {});
    }
    const script = replaced(text, written);
    const exits = Object.entries(row.exits ?? {}).map(([command, code]) => `${replaced(command, written)}: ${code}`);
    const before = known.get(page) ?? [];
    const once = () => runScript([...before, script].join('\n'), exits, options);
    const { untilMs } = options;
    const printed = await (untilMs === undefined ? once() : eventually(once, { timeoutMs: untilMs, everyMs: 1_000 }));
    known.set(page, [...before, ...script.split('\n').filter((line) => /^(?:export )?\w+=\S/.test(line))]);
    ran.add(`${page}: ${name}`);
    return printed;
  }

  return {
    run,
    left: () =>
      Object.entries(COMMANDS)
        .flatMap(([page, rows]) => Object.entries(rows).map(([name, row]) => ({ id: `${page}: ${name}`, row })))
        .filter(({ id, row }) => 'by' in row && row.by === file && !ran.has(id))
        .map(({ id }) => id),
  };
}

function blockOf(page: string, name: string): Block {
  const found = blocksIn(page, readPage(page)).find((block) => block.language === 'sh' && firstCommand(block) === name);
  if (found === undefined) {
    throw new Error(`there is no such block on ${page}: ${name}`);
  }
  return found;
}

function replaced(text: string, written: Readonly<Record<string, string>>): string {
  return Object.entries(written).reduce((script, [from, to]) => script.replaceAll(from, to), text);
}

function filled(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\{(\w+)\}/g, (_all, name: string) => {
    const value = values[name];
    if (value === undefined) {
      throw new Error(`the test gives no value for {${name}}`);
    }
    return value;
  });
}

/** On stderr, where a command failed and at the end: nobody who types commands stops at the first that fails. */
const FAILED = '[docs: ended with ';
const END = '[docs: end]';

async function runScript(script: string, exits: readonly string[], options: RunOptions): Promise<string> {
  const lines = [
    'set -u -o pipefail',
    `trap 'printf "%s%s] %s\\n" "${FAILED}" $? "$BASH_COMMAND" >&2' ERR`,
    script,
    `printf '%s\\n' '${END}' >&2`,
  ];
  const { printed, all } = await spawned(lines.join('\n'), options);
  const failed = [...all.matchAll(/^\[docs: ended with (\d+)\] ([^\r\n]*)/gm)].map(
    ([, code = '', command = '']) => `${command}: ${code}`,
  );
  if (!all.includes(END) || failed.join('\n') !== exits.join('\n')) {
    throw new Error(`${script}\nended with: ${failed.join(', ') || 'no word'}\n${all}`);
  }
  return printed;
}

async function spawned(
  script: string,
  { cwd, env, through = [], typed, timeoutMs = 120_000 }: RunOptions,
): Promise<{ readonly printed: string; readonly all: string }> {
  const bash = typed === undefined ? ['bash', '-c', script] : terminal(script);
  const [command = 'bash', ...args] = [...through, ...bash];
  const child = spawn(command, args, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'], timeout: timeoutMs });
  const printed: string[] = [];
  const all: string[] = [];
  child.stdout.on('data', (chunk: Buffer) => {
    printed.push(String(chunk));
    all.push(String(chunk));
  });
  child.stderr.on('data', (chunk: Buffer) => all.push(String(chunk)));
  child.stdin.on('error', () => undefined); // it may end without reading
  if (typed === undefined) {
    child.stdin.end();
  } else {
    const type = () => {
      if (all.join('').includes(typed.after)) {
        child.stdout.off('data', type);
        child.stdin.write(`${typed.line}\n`);
      }
    };
    child.stdout.on('data', type);
  }
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  return { printed: printed.join(''), all: all.join('') };
}

/** `script` of util-linux has a terminal for its command, and hands its own input on as what is typed. */
function terminal(script: string): readonly string[] {
  return [
    'env',
    `DOCS_SCRIPT=${script}`,
    'script',
    '--quiet',
    '--echo',
    'never',
    '--command',
    'bash -c "$DOCS_SCRIPT"',
    '/dev/null',
  ];
}
