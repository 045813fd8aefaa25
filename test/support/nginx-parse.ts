/**
 * NGINX's configuration syntax as a tree, as strictly as `ngx_conf_read_token` (src/core/ngx_conf_file.c) reads it. It shows what a file
 * says, not whether NGINX would take it: includes are not followed and no directive is known.
 */
export interface ParsedNode {
  readonly name: string;
  /** As NGINX sees them: quotes and escapes taken away. */
  readonly args: readonly string[];
  /** `undefined`: a directive that ends with `;`. */
  readonly children: readonly ParsedNode[] | undefined;
  /** From 1. */
  readonly line: number;
}

/** @throws Error with the line for anything that is not whole. */
export function parseNginx(text: string): readonly ParsedNode[] {
  const reader = createReader(text);
  const nodes = readBlock(reader, false);
  return nodes;
}

/** Every node with the names of the blocks around it, outermost first. */
export function* walk(
  nodes: readonly ParsedNode[],
  parents: readonly ParsedNode[] = [],
): Generator<{ readonly node: ParsedNode; readonly parents: readonly ParsedNode[] }> {
  for (const node of nodes) {
    yield { node, parents };
    yield* walk(node.children ?? [], [...parents, node]);
  }
}

/** One text per node, for comparing parts of files: the same for the same meaning. */
export function printParsed(node: ParsedNode): string {
  const children = node.children === undefined ? '' : `{${node.children.map(printParsed).join('')}}`;
  return `${JSON.stringify([node.name, ...node.args])}${children}\n`;
}

type Token = { readonly kind: 'word'; readonly text: string } | { readonly kind: ';' | '{' | '}' | 'end' };

interface Reader {
  next(): Token;
  line(): number;
  fail(what: string): Error;
}

function readBlock(reader: Reader, nested: boolean): readonly ParsedNode[] {
  const nodes: ParsedNode[] = [];
  for (;;) {
    const first = reader.next();
    if (first.kind === 'end' || first.kind === '}') {
      if ((first.kind === '}') !== nested) {
        throw reader.fail(nested ? 'the end of the file inside a block' : 'a } too many');
      }
      return nodes;
    }
    if (first.kind !== 'word') {
      throw reader.fail(`a ${first.kind} without a directive`);
    }
    nodes.push(readNode(first.text, reader));
  }
}

function readNode(name: string, reader: Reader): ParsedNode {
  const line = reader.line();
  const args: string[] = [];
  for (;;) {
    const token = reader.next();
    switch (token.kind) {
      case 'word':
        args.push(token.text);
        break;
      case ';':
        return { name, args, children: undefined, line };
      case '{':
        return { name, args, children: readBlock(reader, true), line };
      case '}':
      case 'end':
        throw reader.fail(`${name} does not end`);
    }
  }
}

function createReader(text: string): Reader {
  let at = 0;
  const line = () => text.slice(0, at).split('\n').length;
  const fail = (what: string) => new Error(`line ${line()}: ${what}`);

  function skipBlank(): void {
    for (;;) {
      while (/\s/.test(text.charAt(at))) {
        at += 1;
      }
      if (text[at] !== '#') {
        return;
      }
      const end = text.indexOf('\n', at);
      at = end < 0 ? text.length : end;
    }
  }

  function readWord(quote: string | undefined): string {
    let word = '';
    while (at < text.length && (quote === undefined ? !/[\s;{]/.test(text.charAt(at)) : text[at] !== quote)) {
      if (text[at] === '\\') {
        const next = text.charAt(at + 1);
        word += { '"': '"', "'": "'", '\\': '\\', t: '\t', r: '\r', n: '\n' }[next] ?? `\\${next}`;
        at += 2;
      } else if (quote === undefined && text.startsWith('${', at)) {
        word += '${';
        at += 2;
      } else {
        word += text.charAt(at);
        at += 1;
      }
    }
    if (at >= text.length) {
      throw fail('the end of the file inside a word');
    }
    return word;
  }

  function readQuoted(quote: string): string {
    at += 1;
    const word = readWord(quote);
    at += 1;
    if (!/[\s;{)]/.test(text.charAt(at))) {
      throw fail(`${JSON.stringify(text.charAt(at))} after a quote`);
    }
    return word;
  }

  return {
    line,
    fail,
    next() {
      skipBlank();
      const sign = text[at];
      if (sign === undefined) {
        return { kind: 'end' };
      }
      if (sign === ';' || sign === '{' || sign === '}') {
        at += 1;
        return { kind: sign };
      }
      return { kind: 'word', text: sign === '"' || sign === "'" ? readQuoted(sign) : readWord(undefined) };
    },
  };
}
