/**
 * A real HAProxy (Debian's) as docs/howto/client-addresses.md prints it.
 * In: the printed text with other addresses. Out: a process, and what its stats socket says of the servers.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runBed } from './bed.ts';
import { eventually } from './eventually.ts';

const PAGE = new URL('../../docs/howto/client-addresses.md', import.meta.url);

/** `of ReadyPort`: with the lines that the page has for it in place of the line `default-server`. */
export async function printedHaproxy(check: 'of the port' | 'of ReadyPort'): Promise<string> {
  const page = await readFile(PAGE, 'utf8');
  const [base = '', ready = ''] = [...page.matchAll(/```haproxy\n([\s\S]*?)```/g)].map(([, text = '']) => text);
  return check === 'of the port' ? base : replaceLine(base, /^ {2}default-server .*\n/m, ready);
}

/** The text with other addresses, each of which it must have at the end of one line: `10.0.0.11:80`, `bind :80`. */
export function moved(printed: string, addresses: readonly (readonly [from: string, to: string])[]): string {
  return addresses.reduce(
    (text, [from, to]) => replaceLine(text, new RegExp(`${from.replaceAll('.', '\\.')}$`, 'm'), to),
    printed,
  );
}

function replaceLine(text: string, line: RegExp, by: string): string {
  if (!line.test(text)) {
    throw new Error(`the page has no line like ${String(line)}`);
  }
  return text.replace(line, by);
}

/** One `server` of a `backend`, as `show stat` has it. */
export interface ServerState {
  readonly backend: string;
  readonly server: string;
  /** `UP`, `DOWN`, `UP 1/3`… */
  readonly status: string;
  /** How the last check ended: `L4OK`, `L7STS`…, and with which HTTP status. */
  readonly check: string;
  readonly checkCode: string;
}

export interface Haproxy {
  servers(): Promise<readonly ServerState[]>;
  stop(): Promise<void>;
}

/** Returns when it runs; throws with its words when it does not. */
export async function startHaproxy(config: string): Promise<Haproxy> {
  const binary = (await runBed('debian.sh', ['tool', 'haproxy'])).stdout.trim();
  const folder = await mkdtemp(join(tmpdir(), 'interlock-haproxy-'));
  const socket = join(folder, 'stats.sock');
  const files = { 'stats.cfg': `global\n  stats socket ${socket} mode 600 level user\n`, 'haproxy.cfg': config };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text);
  }
  const named = Object.keys(files).flatMap((name) => ['-f', join(folder, name)]);
  const child = spawn(binary, ['-db', ...named], { stdio: ['ignore', 'ignore', 'pipe'] });
  const words: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => words.push(chunk.toString()));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const haproxy: Haproxy = {
    servers: async () => serversIn(await ask(socket, 'show stat\n')),
    async stop() {
      child.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await eventually(() => haproxy.servers(), { timeoutMs: 20_000 });
  } catch (error) {
    await haproxy.stop();
    throw new Error(`HAProxy does not run: ${words.join('')}`, { cause: error });
  }
  return haproxy;
}

function ask(socket: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const asking = connect(socket, () => asking.write(command));
    asking.on('data', (chunk: Buffer) => chunks.push(chunk));
    asking.once('error', reject);
    asking.once('end', () => resolve(Buffer.concat(chunks).toString()));
  });
}

/** CSV with a line of names, which begins with `# `. */
function serversIn(csv: string): readonly ServerState[] {
  const [names = [], ...rows] = csv
    .replace(/^# /, '')
    .trim()
    .split('\n')
    .map((line) => line.split(','));
  const column = (row: readonly string[], name: string): string => row[names.indexOf(name)] ?? '';
  return rows
    .map((row) => ({
      backend: column(row, 'pxname'),
      server: column(row, 'svname'),
      status: column(row, 'status'),
      check: column(row, 'check_status').replace(/^\* /, ''),
      checkCode: column(row, 'check_code'),
    }))
    .filter(({ server }) => server !== 'FRONTEND' && server !== 'BACKEND');
}
