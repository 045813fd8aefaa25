/**
 * One request, as NGINX tells of it: a line of render/nginx/route-log.ts, as a datagram. Anybody in this container may send one, so it is
 * read strictly: what is no name of ours, by its form, is nothing.
 */
import { SYSLOG_HEAD } from './syslog.ts';

export interface Route {
  /** A host as it is configured, or `(unknown)`. */
  readonly host: string;
  /** A context root; `(none)`, `(redirect)`. */
  readonly path: string;
}

export interface RouteLine extends Route {
  /** The class of the status: `2xx`; `(other)` for a request that ended before it had one. */
  readonly code: string;
  readonly durationMs: number;
  readonly sentBytes: number;
}

/** Hosts that no service has, and requests that NGINX refused before it knew the host. */
const UNKNOWN: Route = { host: '(unknown)', path: '(none)' };

const HOST = String.raw`(?:\*\.)?[a-z0-9_][a-z0-9_.-]{0,252}`;
/** As in `parsePathPrefix`. */
const PATH = String.raw`/[A-Za-z0-9._~!&()*+,=:@/-]{0,1023}|\(none\)|\(redirect\)`;
const LINE = new RegExp(
  String.raw`${SYSLOG_HEAD.source}(\d{3}) (\d{1,9}\.\d{3}) (\d{1,15}) (?:\(unknown\) \(none\)|(${HOST}) (${PATH}))?$`,
);

/** `undefined`: not such a line. `message`: as it comes from `openSyslog`. */
export function parseRouteLine(message: string): RouteLine | undefined {
  const [line, status = '', seconds, sentBytes, host, path] = LINE.exec(message) ?? [];
  if (line === undefined) {
    return undefined;
  }
  return {
    ...(host === undefined || path === undefined ? UNKNOWN : { host, path }),
    code: /^[1-5]/.test(status) ? `${status.charAt(0)}xx` : '(other)',
    durationMs: Number(seconds) * 1_000,
    sentBytes: Number(sentBytes),
  };
}
