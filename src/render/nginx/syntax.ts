/**
 * NGINX's syntax, and the only place that quotes. Text goes in as arguments, never as parts of a line.
 * Rules after `ngx_conf_read_token` (src/core/ngx_conf_file.c): white space, `;`, `{`, `}`, quotes, `#` and `\` end or change a bare word;
 * inside double quotes only `\` and `"` are special. A `$` cannot be escaped at all, so a literal may not hold one.
 */
import { joined, type Piece, pieceOf, sizeOf } from '../../model/artifact.ts';
import { InvariantError } from '../../runtime/errors.ts';

/** Text that may name variables (`$host`). Only our own templates and the operator's checked formats become one. */
export interface Expression {
  readonly expression: string;
}

/** A string is literal: NGINX sees exactly these characters. */
export type Argument = string | number | Expression;

export type Node =
  | { readonly kind: 'directive'; readonly text: string }
  | { readonly kind: 'block'; readonly text: string; readonly children: readonly Node[] }
  /** An operator's own line, printed as it is. */
  | { readonly kind: 'raw'; readonly text: string }
  | { readonly kind: 'comment'; readonly text: string }
  | Printed;

/** All lines of a node, as they are printed at this indentation. */
export interface Printed {
  readonly kind: 'printed';
  readonly text: string;
  readonly indent: string;
  /** Whether a piece of the file ends behind it: decided by what it is called, so that neighbours that come and go move no border. */
  readonly isBorder: boolean;
}

const BARE = /^[A-Za-z0-9_.:/@=*,+~<>?!%&()[\]^|-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
const UNQUOTABLE = /[\x00-\x1f\x7f]/;
const NAME = /^[a-z][a-z0-9_]*$/;
const INDENT = '  ';

export function expression(text: string): Expression {
  return { expression: text };
}

/** @throws InvariantError for an argument that no quoting makes safe: a line break, NUL or other control character, a `$` in a literal. */
export function directive(name: string, ...args: readonly Argument[]): Node {
  return { kind: 'directive', text: head(name, args) };
}

/** @throws InvariantError like `directive`. */
export function block(name: string, args: readonly Argument[], children: readonly Node[]): Node {
  return { kind: 'block', text: head(name, args), children };
}

/** One entry of a `map` or `geo` block: there the name is a value, so it is quoted like any argument. */
export function entry(key: Argument, value: Argument): Node {
  return { kind: 'directive', text: `${quote(key)} ${quote(value)}` };
}

export function raw(line: string): Node {
  return { kind: 'raw', text: line };
}

/** @throws InvariantError for text with control characters. */
export function comment(text: string): Node {
  refuseControl(text);
  return { kind: 'comment', text };
}

/**
 * The same node as text, for one that stands in file after file; the very object is what it is known by.
 * @throws InvariantError later, when it is printed at another depth.
 */
export function printed(
  node: Node,
  depth: number,
  { isBorder = false }: { readonly isBorder?: boolean } = {},
): Printed {
  const indent = INDENT.repeat(depth);
  return { kind: 'printed', text: textOf(linesOf([node], indent)), indent, isBorder };
}

/** The text of a file: LF line ends, one directive per line, a line break at the end. */
export function printNodes(nodes: readonly Node[]): string {
  const lines = linesOf(nodes, '');
  return lines.length === 0 ? '' : `${textOf(lines)}\n`;
}

/** Up to here a file is one piece: smaller ones cost more to count than to send. */
const SMALL_BYTES = 64 * 1024;
/** A piece ends here at the latest. */
const LARGE_PIECE = 256 * 1024;

export function printPieces(nodes: readonly Node[]): readonly Piece[] {
  return cutPieces(printLines(nodes));
}

export function printLines(nodes: readonly Node[]): readonly Line[] {
  return linesOf(nodes, '');
}

/**
 * The same text in pieces: what was printed before stands in pieces of its own, so that a piece in which nothing changed is the same object
 * again, digest and all. Each ends with a line.
 */
export function cutPieces(lines: readonly Line[]): readonly Piece[] {
  const pieces: Piece[] = [];
  let run: Line[] = [];
  let size = 0;
  const cut = (): void => {
    if (run.length > 0) {
      pieces.push(pieceOfRun(run));
    }
    run = [];
    size = 0;
  };
  for (const line of lines) {
    const last = run.at(-1);
    if (last !== undefined && typeof last !== typeof line) {
      cut();
    }
    run.push(line);
    size += typeof line === 'string' ? 0 : line.text.length;
    if (typeof line !== 'string' && (line.isBorder || size > LARGE_PIECE)) {
      cut();
    }
  }
  cut();
  return pieces.length === 0 || sizeOf(pieces) <= SMALL_BYTES ? [pieceOf(joined(pieces))] : pieces;
}

const runsKnown = new WeakMap<Printed, { readonly run: readonly Line[]; readonly piece: Piece }>();

/** By its first node: what did not change is the same objects. */
function pieceOfRun(run: readonly Line[]): Piece {
  const [first] = run;
  if (typeof first !== 'object') {
    return pieceOf(Buffer.from(`${textOf(run)}\n`));
  }
  const known = runsKnown.get(first);
  if (known !== undefined && known.run.length === run.length && known.run.every((line, at) => line === run[at])) {
    return known.piece;
  }
  const piece = pieceOf(Buffer.from(`${textOf(run)}\n`));
  runsKnown.set(first, { run, piece });
  return piece;
}

/** One line, or those of a node that was printed before. */
export type Line = string | Printed;

function textOf(lines: readonly Line[]): string {
  return lines.map((line) => (typeof line === 'string' ? line : line.text)).join('\n');
}

function linesOf(nodes: readonly Node[], indent: string): readonly Line[] {
  const lines: Line[] = [];
  printInto(lines, nodes, indent);
  return lines;
}

function printInto(lines: Line[], nodes: readonly Node[], indent: string): void {
  for (const node of nodes) {
    switch (node.kind) {
      case 'directive':
        lines.push(`${indent}${node.text};`);
        break;
      case 'block':
        lines.push(`${indent}${node.text} {`);
        printInto(lines, node.children, indent + INDENT);
        lines.push(`${indent}}`);
        break;
      case 'raw':
        lines.push(indent + node.text);
        break;
      case 'comment':
        lines.push(`${indent}# ${node.text}`);
        break;
      case 'printed':
        if (node.indent !== indent) {
          throw new InvariantError(`printed for another depth: ${node.text}`);
        }
        lines.push(node);
        break;
    }
  }
}

function head(name: string, args: readonly Argument[]): string {
  if (!NAME.test(name)) {
    throw new InvariantError(`not a directive's name: ${JSON.stringify(name)}`);
  }
  return args.length === 0 ? name : `${name} ${args.map(quote).join(' ')}`;
}

function quote(argument: Argument): string {
  if (typeof argument === 'number') {
    return String(argument);
  }
  const literal = typeof argument === 'string';
  const text = literal ? argument : argument.expression;
  if (literal && BARE.test(text)) {
    return text;
  }
  refuseControl(text);
  if (literal && text.includes('$')) {
    throw new InvariantError(`NGINX cannot quote the $ in ${JSON.stringify(text)}`);
  }
  return !literal && /^[$A-Za-z0-9_.:/@()-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`;
}

function refuseControl(text: string): void {
  if (UNQUOTABLE.test(text)) {
    throw new InvariantError(`NGINX cannot quote the control character in ${JSON.stringify(text)}`);
  }
}
