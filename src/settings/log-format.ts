/**
 * `MainLogFormat` and `TraceLogFormat`. The original prints the value after `log_format main`, so its files hold NGINX text: quoted strings
 * one after the other, with the semicolon. We take that and the plain format, and keep the plain format; the renderer quotes it again.
 */

export interface LogFormat {
  /** The line as NGINX fills it in, e.g. `$remote_addr "$request" $status`: no quoting around it. Never a line break or control character. */
  readonly text: string;
  readonly escape: 'default' | 'json' | 'none';
}

const ESCAPE = /^escape=(default|json|none)\s+/;
const MAX_LENGTH = 4096;

/** `undefined` for text that is neither form, has an unfinished quote, a `$` without a variable name, or is empty. */
export function parseLogFormat(text: string): LogFormat | undefined {
  const trimmed = text.trim();
  if (trimmed.length > MAX_LENGTH) {
    return undefined;
  }
  const parameter = ESCAPE.exec(trimmed);
  const rest = trimmed.slice(parameter?.[0].length ?? 0);
  const plain = rest.startsWith("'") || rest.endsWith(';') ? joinQuoted(rest) : rest;
  if (plain === undefined || !isPlainFormat(plain)) {
    return undefined;
  }
  return { text: plain, escape: (parameter?.[1] ?? 'default') as LogFormat['escape'] };
}

/** NGINX's reading of arguments: quoted strings and bare words, joined without anything between; `;` ends, and only once. */
function joinQuoted(text: string): string | undefined {
  const body = text.replace(/\s*;$/, '');
  const argument = /\s*(?:'((?:[^'\\]|\\[\s\S])*)'|"((?:[^"\\]|\\[\s\S])*)"|([^\s'"\\;{}]+))(?=\s|$|['"])/y;
  let joined = '';
  while (argument.lastIndex < body.length) {
    const match = argument.exec(body);
    if (match === null) {
      return undefined;
    }
    joined += match[3] ?? unquote(match[1] ?? match[2] ?? '');
  }
  return joined;
}

/** Inside quotes NGINX turns `\"`, `\'` and `\\` into the character, `\t`, `\r`, `\n` into control characters, and keeps any other backslash. */
function unquote(quoted: string): string {
  return quoted.replace(/\\(["'\\])/g, '$1').replace(/[\t\r\n]+/g, ' ');
}

function isPlainFormat(text: string): boolean {
  const variables = text.replace(/\$(?:[A-Za-z0-9_]+|\{[A-Za-z0-9_]+\})/g, '');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  return text !== '' && !variables.includes('$') && !/[\x00-\x1f\x7f]/.test(text);
}
