/** The operator's raw lines beside ours: NGINX refuses most directives a second time in one context, so the operator's word replaces ours. */
import type { Node } from './syntax.ts';

/** Directives that may stand in a context many times: ours stay beside the operator's. */
const REPEATABLE = new Set([
  'access_log',
  'add_header',
  'error_log',
  'geo',
  'log_format',
  'map',
  'proxy_hide_header',
  'proxy_set_header',
  'server',
  'set_real_ip_from',
  'upstream',
]);

/** `nodes` without those that the raw lines set themselves. */
export function overridable(nodes: readonly Node[], rawLines: readonly string[]): readonly Node[] {
  const set = namesIn(rawLines);
  return nodes.filter((node) => !set.has(node.text.split(' ', 1)[0] ?? ''));
}

/** The first words of the statements; inside nested blocks too, where a match only leaves out a default of ours. */
function namesIn(rawLines: readonly string[]): ReadonlySet<string> {
  const names = rawLines.flatMap((line) =>
    [...line.matchAll(/(?:^|[;{}\n])\s*([a-z_][a-z0-9_]*)/g)].map((match) => match[1] ?? ''),
  );
  return new Set(names.filter((name) => !REPEATABLE.has(name)));
}
