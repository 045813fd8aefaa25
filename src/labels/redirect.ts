/** `redirects`: pairs of origins, `http://old.example.com,https://new.example.com;...`. */
import type { Origin, Redirect } from '../model/intent.ts';
import { parseHostname, parsePort } from '../model/names.ts';
import { accept, type Reading, refuse, splitList } from './label-value.ts';

const ORIGIN = /^(?<scheme>https?):\/\/(?<host>[^/:]+)(?::(?<port>\d+))?\/?$/i;
const PAIR = 'Write pairs such as "http://old.example.com,https://new.example.com" with ";" between them.';

/** One pair. A path, query or wildcard in it is refused: the request's own URI is appended to the target. */
export function readRedirect(text: string): Reading<Redirect> {
  const [source, target, ...rest] = splitList(text, ',').map(parseOrigin);
  if (source === undefined || target === undefined || rest.length > 0) {
    return refuse(text, PAIR);
  }
  return sameOrigin(source, target)
    ? refuse(text, 'Source and target are the same, which would never end. Name another target.')
    : accept({ source, target });
}

function parseOrigin(text: string): Origin | undefined {
  const parts = ORIGIN.exec(text)?.groups;
  const host = parseHostname(parts?.['host'] ?? '');
  const port = parts?.['port'] === undefined ? undefined : parsePort(parts['port']);
  if (host === undefined || host.startsWith('*') || (parts?.['port'] !== undefined && port === undefined)) {
    return undefined;
  }
  return { scheme: parts?.['scheme']?.toLowerCase() === 'https' ? 'https' : 'http', host, port };
}

function sameOrigin(a: Origin, b: Origin): boolean {
  return a.scheme === b.scheme && a.host === b.host && portOf(a) === portOf(b);
}

function portOf({ scheme, port }: Origin): number {
  return port ?? (scheme === 'https' ? 443 : 80);
}
