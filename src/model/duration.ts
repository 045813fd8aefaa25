/** Durations as people write them in config.toml (Go's grammar) and in NGINX options (NGINX's grammar), in milliseconds. */

const GO_UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  '\u00b5s': 1e-3, // micro sign
  '\u03bcs': 1e-3, // Greek mu; Go reads both
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

const NGINX_UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** The longest duration we take: a year. Longer ones are typing mistakes, and timers overflow. */
const MAX_MS = 365 * 86_400_000;

/**
 * Go's `time.ParseDuration` without sign: `3s`, `1m30s`, `500ms`, `1.5h`, `0`. Rounded to whole milliseconds.
 * `undefined` for anything else, a bare number and more than a year included.
 */
export function parseGoDuration(text: string): number | undefined {
  const trimmed = text.trim();
  return trimmed === '0'
    ? 0
    : sumParts(trimmed, /^(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$/u, GO_UNIT_MS);
}

/** NGINX's time: `75s`, `1h 30m`, `500ms`; a bare number counts seconds. `undefined` for anything else. */
export function parseNginxTime(text: string): number | undefined {
  const trimmed = text.trim();
  if (/^\d{1,9}$/.test(trimmed)) {
    return bounded(Number(trimmed) * 1000);
  }
  return sumParts(trimmed, /^\d{1,9}(?:ms|s|m|h|d)(?: ?\d{1,9}(?:ms|s|m|h|d))*$/, NGINX_UNIT_MS);
}

function sumParts(text: string, grammar: RegExp, units: Readonly<Record<string, number>>): number | undefined {
  if (text.length > 64 || !grammar.test(text)) {
    return undefined;
  }
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+\.?\d*|\.\d+)([^\d.\s]+)/gu)) {
    total += Number(amount) * (units[unit ?? ''] ?? Number.NaN);
  }
  return bounded(Math.round(total));
}

function bounded(ms: number): number | undefined {
  return ms <= MAX_MS ? ms : undefined;
}
