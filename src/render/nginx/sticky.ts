/**
 * Who of a pool gets a request: by turns, by cookie, or by the client's address. Hashes are consistent, so a replica more or less
 * moves one share and no more. One map serves every cookie name: the location says which (`$sticky_cookie`), the pattern looks for it.
 * `$cookie_<name>` would not do: it ignores case, and the name `my-sid` reads the cookie `my`.
 */
import type { Pool } from '../../model/cluster.ts';
import type { Balance } from '../../model/intent.ts';
import type { NginxOptions } from '../../settings/nginx-options.ts';
import { block, directive, entry, expression, type Node } from './syntax.ts';

const COOKIE_NAME = '$sticky_cookie';
const COOKIE_VALUE = '$sticky_value';

/** For `upstream`, before the servers. With an empty key (no such cookie, or an empty one) NGINX goes by turns: new clients are spread. */
export function balanceNodes(balance: Balance, options: Pick<NginxOptions, 'ipHash'>): readonly Node[] {
  switch (balance.kind) {
    case 'cookie':
      return [hash(COOKIE_VALUE)];
    case 'client-address':
      return [hash('$remote_addr')];
    case 'round-robin':
      return options.ipHash ? [hash('$remote_addr')] : [];
  }
}

function hash(key: string): Node {
  return directive('hash', expression(key), 'consistent');
}

/** For the location: the name of the cookie that `$sticky_value` is the value of. */
export function cookieChoice(balance: Balance): readonly Node[] {
  return balance.kind === 'cookie' ? [directive('set', expression(COOKIE_NAME), balance.cookie)] : [];
}

/** Whether the file needs `stickyMaps`. */
export function hasCookiePool(pools: readonly Pool[]): boolean {
  return pools.some((pool) => pool.balance.kind === 'cookie');
}

/** For `http`. Of several cookies of one name the first counts, as with most servers. */
export function stickyMaps(): readonly Node[] {
  return [
    block(
      'map',
      [expression(`${COOKIE_NAME} $http_cookie`), expression(COOKIE_VALUE)],
      [entry(expression('~^(\\S+) (?:.*?;[ \\t]*+)??\\1=(?<found_cookie>[^;]*)'), expression('$found_cookie'))],
    ),
  ];
}

/** NGINX knows a variable only once some `set` names it, and a pool may have no location. */
export function stickyVariable(): Node {
  return directive('set', expression(COOKIE_NAME), '');
}
