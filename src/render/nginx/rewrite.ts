/**
 * `context_root_rewrite`: the service gets the path without its prefix, and every other byte as the client sent it.
 *
 * What NGINX can do: a static `proxy_pass` with a URI cuts the prefix off the *normalised* path and encodes the rest again, which loses
 * `%2F`, `//`, lower-case hex digits and an empty query. A `proxy_pass` with a variable sends any bytes, but NGINX then searches the
 * upstream by name, one after the other, on every request. So both: the static one wherever it gives the bytes that were sent, which one
 * pattern tells (`$odd_uri` is empty), and the variable one for the rest. Two maps for the whole file, whatever the number of prefixes:
 * the location says which prefix, and a back reference compares.
 */
import type { HostEntry, PathRoute } from '../../model/cluster.ts';
import type { PathPrefix } from '../../model/names.ts';
import { block, directive, entry, expression, type Node } from './syntax.ts';

const PREFIX = '$cut_prefix';
const TARGET = '$cut_target';
const ODD_URI = '$odd_uri';

/**
 * NGINX's encoding (`NGX_ESCAPE_URI` in src/core/ngx_string.c) of its own decoding is the text itself: nothing encoded that it would not
 * encode, nothing bare that it would, no empty or dot segments, no fragment, and a query that is not empty. Possessive, so that a long
 * path costs no stack.
 */
const SAME_AGAIN =
  "~^(?:[A-Za-z0-9._\\~!$&'()*+,;=:@\\[\\]-]++|%(?:20|2[235]|3[CEF]|5[CE]|60|7[BCDF]|[01][0-9A-F]|[89A-F][0-9A-F])|/(?!/|\\.\\.?(?:[/?]|$)))++(?:\\?[^#]++)?$";

/** `..` as a segment, encoded too: cut from the raw path it could climb above the prefix, so the normalised path is sent. */
const CLIMBS = '~*^[^?]*(?:/|%2f)(?:\\.|%2e){2}(?:/|%2f|\\?|#|$)';

/** Whether the file needs `rewriteMaps`. */
export function hasRewrite(hosts: readonly HostEntry[]): boolean {
  return hosts.some(({ routes }) => routes.some(isRewritten));
}

/** The root has nothing to cut. */
export function isRewritten({ prefix, rewrite }: PathRoute): boolean {
  return rewrite && prefix !== '/';
}

/** For `http`. */
export function rewriteMaps(): readonly Node[] {
  return [
    block(
      'map',
      [expression('$request_uri'), expression(ODD_URI)],
      [entry('default', expression('$request_uri')), entry(expression(SAME_AGAIN), ''), entry(expression(CLIMBS), '')],
    ),
    // Byte for byte: a path that only normalises to the prefix (`/%61pp/x`, `//app/x`, `/app%2Fx`) is sent normalised.
    block(
      'map',
      [expression(`${PREFIX} ${ODD_URI}`), expression(TARGET)],
      [entry(expression('~^(\\S+) \\1(?=[/?]|$)/?(?<cut_rest>.*)$'), expression('/$cut_rest'))],
    ),
  ];
}

/** NGINX knows a variable only once some `set` names it, and a pool without endpoints has no such location. */
export function rewriteVariable(): Node {
  return directive('set', expression(PREFIX), '');
}

/** For the location of `prefix` (and the one of what is below it): to `url`, e.g. `http://<upstream>`. */
export function rewritten(prefix: PathPrefix, url: string): readonly Node[] {
  return [
    directive('set', expression(PREFIX), prefix),
    block('if', [expression(`(${TARGET})`)], [directive('proxy_pass', expression(`${url}${TARGET}`))]),
    directive('proxy_pass', `${url}/`),
  ];
}
