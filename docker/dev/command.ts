/** Runs other programs. In: a command line. Out: its output, or an error that holds the program's own words. */
import { spawn } from 'node:child_process';

export interface CommandOptions {
  /** Kills the program when it aborts; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Default: this process's own environment. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Called for each line on stdout and stderr as it comes. */
  readonly onLine?: ((line: string) => void) | undefined;
  readonly cwd?: string | undefined;
}

export interface CommandResult {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The program ended badly, or does not exist (`missing`). */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
  readonly missing: boolean;
  readonly stderr: string;

  constructor(argv: readonly string[], result: CommandResult | undefined, options: { cause?: unknown } = {}) {
    const words = result === undefined ? 'there is no such program' : lastLines(result.stderr || result.stdout, 15);
    super(`${argv.join(' ')}\n${words}`, options);
    this.missing = result === undefined;
    this.stderr = result?.stderr ?? '';
  }
}

/** Runs it to its end, whatever its exit code. Throws CommandFailed only when there is no such program. */
export async function attempt(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { signal, env = process.env, onLine, cwd } = options;
  signal?.throwIfAborted();
  const [program = '', ...rest] = argv;
  const child = spawn(program, rest, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = () => child.kill();
  signal?.addEventListener('abort', kill, { once: true });
  try {
    const stdout = collect(child.stdout, onLine);
    const stderr = collect(child.stderr, onLine);
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    signal?.throwIfAborted();
    return { code, stdout: stdout(), stderr: stderr() };
  } catch (error) {
    if (isMissing(error)) throw new CommandFailed(argv, undefined, { cause: error });
    throw error;
  } finally {
    signal?.removeEventListener('abort', kill);
  }
}

/** Its stdout without the last line break. Throws CommandFailed unless it exits with 0. */
export async function run(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await attempt(argv, options);
  if (result.code !== 0) throw new CommandFailed(argv, result);
  return result.stdout.trimEnd();
}

export function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

function collect(stream: NodeJS.ReadableStream, onLine: ((line: string) => void) | undefined): () => string {
  const chunks: string[] = [];
  const pending = { text: '' };
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    chunks.push(chunk);
    if (onLine === undefined) return;
    const lines = (pending.text + chunk).split('\n');
    pending.text = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
  stream.on('end', () => {
    if (onLine !== undefined && pending.text !== '') onLine(pending.text);
  });
  return () => chunks.join('');
}
