/** The Markdown files of the repository, and what stands between their fences. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The checkout that the tests are of. */
export const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url));

export interface Block {
  /** From the checkout's root. */
  readonly page: string;
  /** '' where the fence names none. */
  readonly language: string;
  /** What follows the language: the name of a stack file. */
  readonly file: string;
  /** Without the indentation of its fence. */
  readonly text: string;
}

/** All pages, in order of their names. */
export function pages(): readonly string[] {
  const names = (folder: string, options = {}) => readdirSync(`${CHECKOUT}${folder}`, options) as string[];
  return [...names('.'), ...names('docs', { recursive: true }).map((name) => `docs/${name}`)]
    .filter((name) => name.endsWith('.md'))
    .sort();
}

export function readPage(page: string): string {
  return readFileSync(`${CHECKOUT}${page}`, 'utf8');
}

/** The fenced blocks of a text, in its order. */
export function blocksIn(page: string, text: string): readonly Block[] {
  const fences = text.matchAll(/^( *)```(\w*) ?(\S*)\n([\s\S]*?)^\1```$/gm);
  return [...fences].map(([, indent = '', language = '', file = '', body = '']) => ({
    page,
    language,
    file,
    text: body.replace(new RegExp(`^${indent}`, 'gm'), ''),
  }));
}

/** The fenced blocks of all pages. */
export function blocks(): readonly Block[] {
  return pages().flatMap((page) => blocksIn(page, readPage(page)));
}

/** The first command of a block, less what follows it on its line: by this a table names the block. */
export function firstCommand({ text }: Pick<Block, 'text'>): string {
  const line = text.split('\n').find((each) => each.trim() !== '' && !each.startsWith('#')) ?? '';
  return line.replace(/\s+(?:#.*|\\)$/, '');
}
