/**
 * What a rendered file needs of this task, found by the renderer's own form: its indentation, its lines that stand together, its names.
 * An operator's raw lines have the indentation of their context and never that of a block of ours; those that copy our form to the
 * letter get the same care, which can only help the file.
 */

/** Two lines of one server: a certificate and its key. */
export interface PairReference {
  readonly certificate: string;
  readonly key: string;
}

export interface References {
  /** Each pair once, with the hosts that use it. */
  readonly pairs: ReadonlyMap<string, PairReference & { readonly hosts: readonly string[] }>;
  /** Names of the secrets that services are verified by. */
  readonly authorities: ReadonlySet<string>;
}

export const PAIR_LINES =
  /^ {4}ssl_certificate \/run\/secrets\/([\w.-]+);\n {4}ssl_certificate_key \/run\/secrets\/([\w.-]+);$/gm;
export const AUTHORITY_LINE = /^( {4,8}proxy_ssl_trusted_certificate) \/run\/secrets\/([\w.-]+);$/gm;
export const UPSTREAM_BLOCK = /^ {2}upstream ([0-9a-f]{12}_[a-z0-9_]*) \{\n((?: {4}.*\n)*) {2}\}$/gm;
export const SERVER_LINE = /^ {4}server (\[[0-9a-f:.]+\]|[0-9.]+):\d+([^;\n]*);$/gm;
/** Where NGINX is to tell of requests per route, if there is anybody to tell: in the place of a log that is off, or beside another. */
export const ROUTE_LOG_LINES = /^( {2}access_log off;\n)? {2}# access_log: requests per route, to the agent$/m;
/** First in the `upstream` of a pool that is reached by node addresses. */
export const NODE_ADDRESSES = '    # node addresses\n';

export function pairId({ certificate, key }: PairReference): string {
  return `${certificate} ${key}`;
}

/** Of a file in parts. */
export function joinReferences(parts: readonly References[]): References {
  const pairs = new Map<string, PairReference & { readonly hosts: string[] }>();
  for (const [id, pair] of parts.flatMap((part) => [...part.pairs])) {
    const known = pairs.get(id) ?? { ...pair, hosts: [] };
    known.hosts.push(...pair.hosts);
    pairs.set(id, known);
  }
  return { pairs, authorities: new Set(parts.flatMap(({ authorities }) => [...authorities])) };
}

/**
 * Whether nothing of our form goes on beyond the end of this part: its last line is whole, stands outside of every server and upstream,
 * and opens none.
 */
export function endsBetweenBlocks(text: string): boolean {
  const lastLine = text.slice(text.lastIndexOf('\n', text.length - 2) + 1);
  return /^ {0,3}\S.*\n$/.test(lastLine) && !lastLine.endsWith('{\n');
}

/** One pass over the text; names are those of the files below `/run/secrets`. */
export function findReferences(text: string): References {
  // Most files are without, and looking for a text takes a fraction of what a pattern does.
  if (!text.includes(' /run/secrets/')) {
    return { pairs: new Map(), authorities: new Set() };
  }
  const pairs = new Map<string, PairReference & { readonly hosts: string[] }>();
  for (const match of text.matchAll(PAIR_LINES)) {
    const [, certificate = '', key = ''] = match;
    const id = pairId({ certificate, key });
    const known = pairs.get(id) ?? { certificate, key, hosts: [] };
    known.hosts.push(...hostsBefore(text, match.index));
    pairs.set(id, known);
  }
  return { pairs, authorities: new Set(Array.from(text.matchAll(AUTHORITY_LINE), ([, , name = '']) => name)) };
}

/** The names stand between the beginning of the server and its certificate. `_` is the server for everybody else. */
function hostsBefore(text: string, end: number): readonly string[] {
  // A piece of a file may begin with the server.
  const start = Math.max(0, text.lastIndexOf('\n  server {\n', end));
  return Array.from(text.slice(start, end).matchAll(/^ {4}server_name (\S+);$/gm), ([, name = '']) => name).filter(
    (name) => name !== '_',
  );
}
