/**
 * Branded values that may reach a proxy's file, and the only functions that make them.
 * Every grammar here is tighter than NGINX's own: no white space, quotes, `;`, `{`, `}`, `$`, `\` or control characters can pass.
 * A parser returns `undefined` for text it refuses and never throws.
 */
import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';

declare const brand: unique symbol;
type Branded<Name extends string, Base = string> = Base & { readonly [brand]: Name };

/** A lower-case ASCII host name without port, or a wildcard `*.example.com`. */
export type Hostname = Branded<'Hostname'>;
/** An absolute, normalised path prefix without trailing slash, `/` itself excepted. */
export type PathPrefix = Branded<'PathPrefix'>;
/** 1 to 65535. */
export type Port = Branded<'Port', number>;
/** An RFC 6265 cookie name (RFC 9110 `token`). */
export type CookieName = Branded<'CookieName'>;
/** The name of a Docker secret: Swarm's own grammar, 1 to 64 of `[a-zA-Z0-9-_.]`, no leading or trailing separator. */
export type SecretName = Branded<'SecretName'>;
/** The text of an IPv4 or IPv6 address. */
export type IpAddress = Branded<'IpAddress'>;

const MAX_HOSTNAME = 253;
const HOST_LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * Trims, lower-cases and turns IDN into punycode. Accepts one leading `*.` label.
 * Refuses ports, white space, empty labels, labels over 63 and names over 253 characters.
 */
export function parseHostname(text: string): Hostname | undefined {
  const trimmed = text.trim();
  if (trimmed === '' || trimmed.length > MAX_HOSTNAME || /[\s:/?#@\\%*]/.test(trimmed.replace(/^\*\./, ''))) {
    return undefined;
  }
  const wildcard = trimmed.startsWith('*.');
  const ascii = toAscii(wildcard ? trimmed.slice(2) : trimmed);
  const labels = ascii.split('.');
  if (ascii === '' || ascii.length > MAX_HOSTNAME || !labels.every((label) => HOST_LABEL.test(label))) {
    return undefined;
  }
  return (wildcard ? `*.${ascii}` : ascii) as Hostname;
}

/** WHATWG `domainToASCII` refuses underscores in nothing we accept, but rewrites IPv4-like names: plain ASCII skips it. */
function toAscii(name: string): string {
  const lower = name.toLowerCase();
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the class means "all of ASCII"
  return /^[\x00-\x7f]*$/.test(lower) ? lower : domainToASCII(lower);
}

/** Accepts `/`, `/app`, `/app/` (the final slash is dropped). Refuses `.` and `..` segments, empty segments, and characters outside RFC 3986 pchar, or the quote in it. */
export function parsePathPrefix(text: string): PathPrefix | undefined {
  const trimmed = text.trim();
  if (trimmed === '/') {
    return '/' as PathPrefix;
  }
  const path = trimmed.endsWith('/') ? trimmed.slice(0, -1) : trimmed;
  if (path.length > 1024 || !/^(?:\/[A-Za-z0-9._~!&()*+,=:@-]+)+$/.test(path) || /\/\.{1,2}(?:\/|$)/.test(path)) {
    return undefined;
  }
  return path as PathPrefix;
}

/** The prefix that matches every path. */
export const ROOT_PATH = '/' as PathPrefix;

/** Decimal digits only, 1 to 65535. */
export function parsePort(text: string): Port | undefined {
  const trimmed = text.trim();
  return /^\d{1,5}$/.test(trimmed) ? toPort(Number(trimmed)) : undefined;
}

/** An integer from 1 to 65535. */
export function toPort(value: number): Port | undefined {
  return Number.isInteger(value) && value >= 1 && value <= 65_535 ? (value as Port) : undefined;
}

/** 1 to 128 characters of RFC 9110 `token` without `$`, quotes and back-quote. */
export function parseCookieName(text: string): CookieName | undefined {
  const trimmed = text.trim();
  return /^[A-Za-z0-9!#%&*+.^_|~-]{1,128}$/.test(trimmed) ? (trimmed as CookieName) : undefined;
}

/** Swarm's grammar for secret names. */
export function parseSecretName(text: string): SecretName | undefined {
  const trimmed = text.trim();
  return /^[a-zA-Z0-9](?:[a-zA-Z0-9-_.]{0,62}[a-zA-Z0-9])?$/.test(trimmed) ? (trimmed as SecretName) : undefined;
}

/** An address without mask, zone or port. */
export function parseIpAddress(text: string): IpAddress | undefined {
  return isIP(text) === 0 || text.includes('%') ? undefined : (text.toLowerCase() as IpAddress);
}
