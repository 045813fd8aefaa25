/** When the file fails for the operator's own lines: which key of config.toml, and which of its lines. */
import type { NginxOptions } from '../settings/nginx-options.ts';
import type { CheckOutcome } from './check.ts';

const RAW_KEYS = { GlobalOptions: 'globalOptions', HTTPOptions: 'httpOptions', TCPOptions: 'tcpOptions' } as const;
type RawKey = keyof typeof RAW_KEYS;

export interface RawBlame {
  readonly key: RawKey;
  /** The line that NGINX names, or all lines of the key when it names none. */
  readonly lines: string;
}

export function hasRawLines(options: NginxOptions): boolean {
  return keysOf(options).length > 0;
}

export function withoutRawLines(options: NginxOptions): NginxOptions {
  return { ...options, globalOptions: [], httpOptions: [], tcpOptions: [] };
}

/**
 * Asks again with one key left out after the other, then with all. Empty: the lines are not at fault. `words` and `text` are of the
 * failed check; they only help to find the line.
 */
export async function blameRawLines(
  options: NginxOptions,
  tryOptions: (options: NginxOptions) => Promise<CheckOutcome>,
  { words, text }: { readonly words: string; readonly text: string },
): Promise<readonly RawBlame[]> {
  const keys = keysOf(options);
  const blame = (key: RawKey): RawBlame => ({ key, lines: linesOf(options[RAW_KEYS[key]], words, text) });
  for (const key of keys) {
    if ((await tryOptions({ ...options, [RAW_KEYS[key]]: [] })).kind === 'passed') {
      return [blame(key)];
    }
  }
  const together = keys.length > 1 && (await tryOptions(withoutRawLines(options))).kind === 'passed';
  return together ? keys.map(blame) : [];
}

function keysOf(options: NginxOptions): readonly RawKey[] {
  return (Object.keys(RAW_KEYS) as RawKey[]).filter((key) => options[RAW_KEYS[key]].length > 0);
}

/** NGINX ends its words with `in <path>:<line>`. */
function linesOf(raw: readonly string[], words: string, text: string): string {
  const line = /\bin \S+:(\d+)$/m.exec(words)?.[1];
  const named = line === undefined ? undefined : text.split('\n')[Number(line) - 1]?.trim();
  const all = raw.flatMap((each) => each.split('\n')).map((each) => each.trim());
  return named !== undefined && all.includes(named) ? named : all.join(' ');
}
