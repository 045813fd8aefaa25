/** What goes wrong on purpose, call by call. */

export type FaultAction =
  /** The answer comes `ms` later. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Nothing is done; this is answered. */
  | { readonly kind: 'status'; readonly status: number; readonly message: string }
  /** `before`: the connection breaks and nothing was done. `after`: it was done, but the answer is lost. `inside`: half of the answer arrives. */
  | { readonly kind: 'hangup'; readonly when: 'before' | 'after' | 'inside' }
  /** Nothing is done; the answer is a 200 with these very bytes. */
  | { readonly kind: 'body'; readonly text: string }
  /** A GET answers what it answered the last time (the truth, if there was no last time). A write is answered "update out of sequence". */
  | { readonly kind: 'stale' };

/** `METHOD /path` with `*` for anything, e.g. `POST /services/*\/update`. The path has no version prefix and no query. */
export type CallPattern = string | RegExp;

export interface FaultRule {
  readonly match: CallPattern;
  /** How many calls it hits; default 1. */
  readonly times?: number;
  readonly action: FaultAction;
}

export interface Fault {
  /** Calls hit so far. */
  hits(): number;
  remove(): void;
}

export interface Faults {
  add(rule: FaultRule): Fault;
  /** The first rule that has hits left and matches; counts it. */
  take(asked: string): FaultAction | undefined;
}

export function createFaults(): Faults {
  const rules = new Set<{ readonly rule: FaultRule; hits: number }>();
  return {
    add(rule) {
      const entry = { rule, hits: 0 };
      rules.add(entry);
      return { hits: () => entry.hits, remove: () => rules.delete(entry) };
    },
    take(asked) {
      const entry = [...rules].find(({ rule, hits }) => hits < (rule.times ?? 1) && matches(rule.match, asked));
      if (entry !== undefined) {
        entry.hits += 1;
      }
      return entry?.rule.action;
    },
  };
}

export function matches(pattern: CallPattern, asked: string): boolean {
  if (pattern instanceof RegExp) {
    return pattern.test(asked);
  }
  const literal = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${literal.join('.*')}$`).test(asked);
}
