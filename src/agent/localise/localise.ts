/**
 * Fits a rendered file to one proxy task: a pure step on the renderer's own form (references.ts). What this task lacks harms only what
 * needs it. Lines keep their numbers, so that NGINX's complaints name the lines of core's file.
 *
 *   a pair that cannot be used   -> `ssl_reject_handshake on`: its hosts lose TLS
 *   a CA that cannot be used     -> a stand-in: verification fails, 502
 *   the place for our access log -> that log, where the agent listens for it
 *   a pool on another network    -> the internal server that answers 503; no SYN leaves through another interface
 */
import type { Subnet } from './attached.ts';
import { isAttached } from './attached.ts';
import {
  AUTHORITY_LINE,
  NODE_ADDRESSES,
  PAIR_LINES,
  pairId,
  ROUTE_LOG_LINES,
  SERVER_LINE,
  UPSTREAM_BLOCK,
} from './references.ts';

export interface Facts {
  /** Of this task's overlay networks; `undefined`: not known, every address counts as within reach. */
  readonly attached: readonly Subnet[] | undefined;
  /** Pairs (`pairId`) that NGINX would refuse. */
  readonly badPairs: ReadonlySet<string>;
  /** CA secrets that NGINX would refuse. */
  readonly badAuthorities: ReadonlySet<string>;
  /** A file with a certificate that has signed nothing. */
  readonly standInAuthority: string;
  /** For `access_log`; `undefined`: nobody listens. */
  readonly routeLog: string | undefined;
}

export interface Localised {
  /** The same string when nothing had to be changed. */
  readonly text: string;
  /** Names of the pools out of reach. */
  readonly outOfReach: readonly string[];
}

const UNAVAILABLE_SERVER = '    server unix:/run/interlock-unavailable.sock;';

export function localise(text: string, facts: Facts): Localised {
  const { attached } = facts;
  const fitted = withRouteLog(withoutBadAuthorities(withoutBadPairs(text, facts), facts), facts);
  return attached === undefined ? { text: fitted, outOfReach: [] } : withoutForeignPools(fitted, attached);
}

function withoutBadPairs(text: string, { badPairs }: Facts): string {
  return badPairs.size === 0
    ? text
    : text.replace(PAIR_LINES, (lines, certificate: string, key: string) =>
        badPairs.has(pairId({ certificate, key }))
          ? `    ssl_reject_handshake on;\n    # ${certificate} and ${key} cannot be used here`
          : lines,
      );
}

function withoutBadAuthorities(text: string, { badAuthorities, standInAuthority }: Facts): string {
  return badAuthorities.size === 0
    ? text
    : text.replace(AUTHORITY_LINE, (line, directive: string, name: string) =>
        badAuthorities.has(name) ? `${directive} ${standInAuthority};` : line,
      );
}

/** `access_log off` cancels every log of its level, so it goes: then ours is the only one. */
function withRouteLog(text: string, { routeLog }: Facts): string {
  return routeLog === undefined
    ? text
    : text.replace(
        ROUTE_LOG_LINES,
        (_, off: string | undefined) =>
          `${off === undefined ? '' : '  # access_log off\n'}  access_log ${routeLog} interlock_route;`,
      );
}

function withoutForeignPools(text: string, attached: readonly Subnet[]): Localised {
  const outOfReach = new Set<string>();
  const pieces: string[] = [];
  let done = 0;
  for (const match of text.matchAll(UPSTREAM_BLOCK)) {
    const [block, name = '', body = ''] = match;
    const far = body.startsWith(NODE_ADDRESSES) ? 'none' : farServers(body, attached);
    if (far !== 'none') {
      pieces.push(text.slice(done, match.index), far === 'all' ? unavailable(block) : onlyNear(block, attached));
      done = match.index + block.length;
    }
    if (far === 'all') {
      outOfReach.add(name);
    }
  }
  if (pieces.length === 0) {
    return { text, outOfReach: [] };
  }
  return {
    text: overPlainHttp([...pieces, text.slice(done)].join(''), outOfReach),
    outOfReach: [...outOfReach],
  };
}

function unavailable(block: string): string {
  return block.replace(SERVER_LINE, UNAVAILABLE_SERVER);
}

/** Some are within reach: only they are used, and the others get no SYN. */
function onlyNear(block: string, attached: readonly Subnet[]): string {
  return block.replace(SERVER_LINE, (line, address: string) =>
    isAttached(address, attached) ? line : `${line.slice(0, -1)} down;`,
  );
}

/** The internal server speaks no TLS. The same string when none of these pools is named. */
export function overPlainHttp(text: string, pools: ReadonlySet<string>): string {
  return pools.size === 0 || !text.includes('proxy_pass https://')
    ? text
    : text.replace(
        /(\bproxy_pass http)s(:\/\/([0-9a-f]{12}_[a-z0-9_]*))/g,
        (all, start: string, end: string, name: string) => (pools.has(name) ? `${start}${end}` : all),
      );
}

function farServers(body: string, attached: readonly Subnet[]): 'none' | 'some' | 'all' {
  let near = 0;
  let all = 0;
  for (const [, address = ''] of body.matchAll(SERVER_LINE)) {
    all += 1;
    near += isAttached(address, attached) ? 1 : 0;
  }
  if (near === all) {
    return 'none';
  }
  return near > 0 ? 'some' : 'all';
}
