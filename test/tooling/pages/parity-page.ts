/** `docs/parity.md`: what proves each label, each key and each known fault of the original. */
import { LEVELS, type Level, type Proof, type Row } from '../../parity/proof.ts';
import { type ParityRow, type ParityTable, TABLES } from '../../parity/tables.ts';
import { generatedFrom, markdownTable, type Page } from './page.ts';

export const parityPage: Page = { path: 'docs/parity.md', render };

const LEVEL_NAMES = Object.keys(LEVELS) as readonly Level[]; // the keys of a literal, nearest to real life first

function render(): string {
  return `${generatedFrom('test/parity')}

# Parity with the original

One row for each label, each key of config.toml, and each known fault or limit of the original Interlock, with the tests that prove it.
A test holds these tables against the source: a new label or key needs a row, a row needs a proof or a reason, and the proof's test must
be there under its title.

${markdownTable(
  ['Level', 'Means'],
  LEVEL_NAMES.map((level) => [level, LEVELS[level]]),
)}

Each row counts once, by the level nearest to real life:

${markdownTable(
  ['', ...LEVEL_NAMES, 'no proof', 'rows'],
  [...TABLES.map((table) => [table.title, ...countsOf(table.rows)]), ['all', ...countsOf(allRows())]],
)}

## Where we differ on purpose

${TABLES.map(differences).filter(Boolean).join('\n\n')}

${TABLES.map(section).join('\n\n')}
`;
}

function allRows(): readonly ParityRow[] {
  return TABLES.flatMap(({ rows }) => rows);
}

function countsOf(rows: readonly ParityRow[]): readonly string[] {
  const best = rows.map(({ row }) => LEVEL_NAMES.find((level) => row.proofs.some((proof) => proof.level === level)));
  const counts = [...LEVEL_NAMES, undefined].map((level) => best.filter((one) => one === level).length);
  return [...counts, rows.length].map(String);
}

function differences({ title, rows }: ParityTable): string {
  const lines = rows.flatMap(({ name, row }) => (row.differs === undefined ? [] : [`- ${name}: ${row.differs}`]));
  return lines.length === 0 ? '' : `### ${title}\n\n${lines.join('\n')}`;
}

function section({ title, subject, rows }: ParityTable): string {
  const cells = rows.map(({ name, row }) => [name, levelsOf(row), proofsOf(row)]);
  return `## ${title}\n\n${markdownTable([subject, 'Level', 'Proof'], cells)}`;
}

function levelsOf(row: Row): string {
  return LEVEL_NAMES.filter((level) => row.proofs.some((proof) => proof.level === level)).join(', ') || 'none';
}

function proofsOf(row: Row): string {
  return 'why' in row ? row.why : row.proofs.map(proofOf).join('<br>');
}

function proofOf({ file, title, row }: Proof): string {
  const name = file.replace(/^test\//, '').replace(/\.test\.ts$/, '');
  const which = row === undefined ? '' : ` (\`${row}\`)`;
  return `[${name}](../${file}): ${inCell(title)}${which}`;
}

/** Titles are text, the page is Markdown. */
function inCell(title: string): string {
  return title.replaceAll('*', '\\*').replaceAll('_', '\\_').replaceAll('<', '&lt;');
}
