/** The list of calls in `docs/security.md`. The rest of that page is written by hand: it is read, and only what is between the marks made. */
import { readFileSync } from 'node:fs';
import { ENGINE_CALLS } from '../../../src/core/engine/engine-calls.ts';
import { markdownTable, type Page } from './page.ts';

const PATH = 'docs/security.md';
const BEGIN = '<!-- Made by `npm run generate` from src/core/engine/engine-calls.ts. Edit that. -->';
const END = '<!-- Written by hand again. -->';

export const securityPage: Page = { path: PATH, render };

function render(): string {
  const text = readFileSync(new URL(`../../../${PATH}`, import.meta.url), 'utf8');
  const [before, rest] = text.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) {
    throw new Error(`${PATH} has lost its marks: ${BEGIN} … ${END}`);
  }
  const rows = Object.values(ENGINE_CALLS).map(({ method, path, why }) => [`\`${method} ${path}\``, why]);
  return `${before}${BEGIN}\n\n${markdownTable(['Call', 'Why'], rows)}\n\n${END}${after}`;
}
