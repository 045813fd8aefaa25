/** Texts of config.toml and stack files to everything wrong with them. Pure. */
import type { CoreSettings } from '../../settings/core-settings.ts';
import { checkConfig } from './check-config.ts';
import { checkStacks } from './check-stacks.ts';
import type { Report } from './print.ts';
import { type Remark, sortRemarks } from './remark.ts';
import { readStack, unreadable, type Variables } from './stack-file.ts';

export type FileKind = 'config' | 'stack';

export interface InputFile {
  /** As the caller named it. */
  readonly file: string;
  readonly kind: FileKind;
  readonly bytes: Uint8Array;
}

export interface CheckOptions {
  readonly files: readonly InputFile[];
  /** Whose service clusters the stack files are held against, beside a config.toml among `files`. */
  readonly config: InputFile | undefined;
  readonly stack: string | undefined;
  readonly env: Variables;
}

/** More is no file that a person wrote; Swarm takes no larger Docker Config either. */
export const LARGEST_BYTES = 2 * 1024 * 1024;

export function check({ files, config, stack, env }: CheckOptions): Report {
  const all = config === undefined || files.some(({ file }) => file === config.file) ? files : [config, ...files];
  const texts = all.map((file) => ({ ...file, text: textOf(file) }));
  const remarks: Remark[] = texts.flatMap(({ text }) => (typeof text === 'string' ? [] : [text]));
  const read = texts.flatMap(({ file, kind, text }) => (typeof text === 'string' ? [{ file, kind, text }] : []));

  const configs = read.filter(({ kind }) => kind === 'config').map(({ file, text }) => checkConfig(file, text));
  const stacks = read.filter(({ kind }) => kind === 'stack').map(({ file, text }) => readStack(file, text, env));
  remarks.push(...configs.flatMap((one) => one.remarks), ...stacks.flatMap((one) => one.remarks));
  const readable = stacks.flatMap((one) => (one.stack === undefined ? [] : [one.stack]));
  remarks.push(...checkStacks({ files: readable, settings: onlyOne(configs.map(({ settings }) => settings)), stack }));

  const names = [...new Set(all.map(({ file }) => file))];
  return { files: names, remarks: sortRemarks(remarks, names) };
}

/** With several of them nobody can tell which one the stacks are for. */
function onlyOne(all: readonly (CoreSettings | undefined)[]): CoreSettings | undefined {
  return all.length === 1 ? all[0] : undefined;
}

function textOf({ file, bytes }: InputFile): string | Remark {
  if (bytes.length > LARGEST_BYTES) {
    return unreadable(file, `Too large: ${bytes.length} bytes, ${LARGEST_BYTES} at most.`);
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const zero = text.indexOf('\0');
    return zero < 0
      ? text
      : unreadable(file, 'No text: it holds a zero byte.', { line: lineOf(text, zero), column: 1 });
  } catch {
    return unreadable(file, 'No text in UTF-8.');
  }
}

function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}
