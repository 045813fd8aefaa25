/** A file made from the source. `render` gives the same text for the same source, with a final line feed. */
export interface Page {
  /** From the root of the repository. */
  readonly path: string;
  readonly render: () => string;
}

/** Says at the top of a Markdown page where it comes from. */
export function generatedFrom(...sources: readonly string[]): string {
  return `<!-- Made by \`npm run generate\` from ${sources.join(', ')}. Edit those. -->`;
}

/** A Markdown table. Cells are Markdown; only the bar is escaped. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}
