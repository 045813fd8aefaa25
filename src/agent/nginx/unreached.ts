/**
 * Which endpoint an error of NGINX's is about, if NGINX could not connect to it or lost it before it answered.
 *
 * A client writes much of such a line: NGINX quotes the request line, the path, `Host` and `Referer` without escaping the quotes in them.
 * So the line is read from its beginning, and only up to the address:
 *
 *   [error] 7#7: *5 <one of our words>, client: …, server: …, request: "GET /path HTTP/1.1", upstream: "http://10.0.1.5:8080/…
 *
 * Before the address the client owns the path alone, and a path with a space never gets as far as an upstream (400, since NGINX 1.21.1):
 * so nothing in it can look like `, upstream: "`. What follows the address is not read.
 */
import { parseIpAddress, parsePort } from '../../model/names.ts';
import type { SocketAddress } from '../../wire/contract.ts';
import { SYSLOG_HEAD } from './syslog.ts';

/** An application that answers slowly, or an error that says nothing of the endpoint, is none of these. */
const WORDS = [
  String.raw`connect\(\) failed \(\d+: [A-Za-z ]+\) while connecting to upstream`,
  String.raw`connect\(\) to [0-9a-f.:[\]]+ failed \(\d+: [A-Za-z ]+\) while connecting to upstream`,
  String.raw`upstream timed out \(\d+: [A-Za-z ]+\) while (?:connecting|SSL handshaking) to upstream`,
  String.raw`recv\(\) failed \(\d+: Connection reset by peer\) while reading response header from upstream`,
  'upstream prematurely closed connection while reading response header from upstream',
  String.raw`peer closed connection in SSL handshake(?: \(\d+: Connection reset by peer\))? while SSL handshaking to upstream`,
].join('|');
const TIME = String.raw`\d{4}/\d\d/\d\d \d\d:\d\d:\d\d`;
const CLIENT = 'client: [0-9A-Za-z.:_/-]+, server: [^", ]*';
/** Of `http`; `stream` has none. */
const REQUEST = String.raw`, request: "[A-Z_-]{1,32} [^ ]+ HTTP/\d\.\d"`;
/** What follows is not looked at; but something must, or the port may have been cut short. */
const UPSTREAM = String.raw`, upstream: "(?:https?://)?(?:\[([0-9a-f.:]{2,45})\]|([0-9.]{7,15})):(\d{1,5})[/"?]`;
const LINE = new RegExp(
  `${SYSLOG_HEAD.source}${TIME} \\[(?:error|crit)\\] \\d+#\\d+: \\*\\d+ (?:${WORDS}), ${CLIENT}(?:${REQUEST})?${UPSTREAM}`,
);

/** `undefined`: about something else. `message`: as it comes from `openSyslog`. */
export function unreachedUpstream(message: string): SocketAddress | undefined {
  const [, ipv6, ipv4, digits = ''] = LINE.exec(message) ?? [];
  const address = parseIpAddress(ipv6 ?? ipv4 ?? '');
  const port = parsePort(digits);
  return address === undefined || port === undefined ? undefined : { address, port };
}
