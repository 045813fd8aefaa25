/** Words on a terminal: colours, tables, ages. Whatever came from labels or names goes through `plain` first. */
import { styleText } from 'node:util';
import type { CliTools, Output } from '../command.ts';

/** Names and labels are anybody's text: control characters, line breaks and direction marks never reach a terminal. */
export function plain(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '\u00b7');
}

const MAX_CELL = 240;

/** `plain`, and no longer than a line or three. */
export function short(text: string, max = MAX_CELL): string {
  const clean = plain(text.slice(0, max * 2));
  return clean.length > max ? `${clean.slice(0, max - 1)}\u2026` : clean;
}

export type Tone = 'good' | 'warn' | 'bad' | 'dim' | 'strong';
/** Colours a text, or leaves it. */
export type Paint = (tone: Tone, text: string) => string;

const STYLES = { good: 'green', warn: 'yellow', bad: 'red', dim: 'dim', strong: 'bold' } as const;

/** On a terminal, unless NO_COLOR is set (no-color.org) or it is a dumb one. */
export function painterFor({ isTerminal }: Output, env: CliTools['env']): Paint {
  const isOn = isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  return isOn ? (tone, text) => styleText(STYLES[tone], text, { validateStream: false }) : (_tone, text) => text;
}

export interface Cell {
  readonly text: string;
  readonly tone?: Tone | undefined;
}

/** Columns as wide as their widest cell, two blanks between; the last one is not filled up. The first row is the head. */
export function table(rows: readonly (readonly (string | Cell)[])[], paint: Paint): readonly string[] {
  const cells = rows.map((row, at) =>
    row.map((cell): Cell => {
      const { text, tone } = typeof cell === 'string' ? { text: cell } : cell;
      return { text: short(text), tone: at === 0 ? 'dim' : tone };
    }),
  );
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column]?.text.length ?? 0)));
  return cells.map((row) =>
    row
      .map(({ text, tone }, column) => {
        const filled = column === row.length - 1 ? text : text.padEnd(widths[column] ?? 0);
        return tone === undefined ? filled : paint(tone, filled);
      })
      .join('  ')
      .trimEnd(),
  );
}

/** `3s`, `12m`, `5h`, `2d`; two units below a minute of the next: `1m 20s`. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600), Math.floor(seconds / 60)];
  if (days > 0) {
    return joined(days, 'd', hours % 24, 'h');
  }
  if (hours > 0) {
    return joined(hours, 'h', minutes % 60, 'm');
  }
  return minutes > 0 ? joined(minutes, 'm', seconds % 60, 's') : `${seconds}s`;
}

function joined(large: number, unit: string, small: number, smaller: string): string {
  return small === 0 ? `${large}${unit}` : `${large}${unit} ${small}${smaller}`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** The first 12 characters of an id or digest. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}

/** JSON for scripts: indented, keys that are `undefined` left out, and nothing in it that a terminal would obey. */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value, null, 2);
  return `${text.replace(/[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g, escaped)}\n`;
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** `""` for the default cluster, as config.toml has it. */
export function clusterName(serviceCluster: string): string {
  return serviceCluster === '' ? 'default' : plain(serviceCluster);
}
