/**
 * Which units of a model NGINX does not take. Comes in: units and a way to try any set of them. Goes out: those that may stay,
 * and the offenders with NGINX's words about each.
 *
 *   base fails alone ------------------------------------> base (nobody's labels are at fault)
 *   search, each set alone --> survivors together pass --> split
 *                                     \-- fail: search again, each set beside what was kept --> split
 *
 * One offender among n costs about 2 log2(n) checks, and alone they are small: together about three times the whole.
 */
import type { CheckOutcome } from './check.ts';
import type { Unit } from './units.ts';

export interface Offender {
  readonly unit: Unit;
  /** NGINX's own. */
  readonly words: string;
  /** `together`: refused only beside the units that were kept. */
  readonly fails: 'alone' | 'together';
}

export type BisectOutcome =
  | { readonly kind: 'split'; readonly kept: readonly Unit[]; readonly offenders: readonly Offender[] }
  /** Refused without any unit. */
  | { readonly kind: 'base'; readonly words: string }
  /** A check did not end, or too many were needed; those found so far are offenders all the same. */
  | { readonly kind: 'unfinished'; readonly words: string; readonly offenders: readonly Offender[] };

export type TryUnits = (units: readonly Unit[]) => Promise<CheckOutcome>;

export interface BisectOptions {
  /** Passed before, so they are searched only when the others are not the reason. Each is one of `units`. */
  readonly trusted?: ReadonlySet<Unit>;
  /** Default 256. */
  readonly maxChecks?: number;
}

const MAX_CHECKS = 256;

/** Throws what `tryUnits` throws. Order of the answer: trusted units first, so that of two that clash the newcomer goes. */
export async function bisect(
  units: readonly Unit[],
  tryUnits: TryUnits,
  { trusted = new Set(), maxChecks = MAX_CHECKS }: BisectOptions = {},
): Promise<BisectOutcome> {
  const offenders: Offender[] = [];
  const ask = limited(tryUnits, maxChecks);
  try {
    const base = await ask([]);
    if (base !== undefined) {
      return { kind: 'base', words: base };
    }
    const old = units.filter((unit) => trusted.has(unit));
    const young = units.filter((unit) => !trusted.has(unit));
    const alone = { ask, offenders, kept: [] as Unit[], fails: 'alone' } as const;
    await admit(young, alone);
    if ((await ask([...old, ...alone.kept])) === undefined) {
      return { kind: 'split', kept: [...old, ...alone.kept], offenders };
    }
    const together = { ask, offenders, kept: [] as Unit[], fails: 'together' } as const;
    await admit(old, together);
    await admit(alone.kept, together);
    return { kind: 'split', kept: together.kept, offenders };
  } catch (error) {
    if (error instanceof Unfinished) {
      return { kind: 'unfinished', words: error.message, offenders };
    }
    throw error;
  }
}

interface Search {
  readonly ask: Ask;
  readonly offenders: Offender[];
  readonly kept: Unit[];
  readonly fails: Offender['fails'];
}

/** Sorts `candidates` into `kept` and `offenders`. */
async function admit(candidates: readonly Unit[], search: Search): Promise<void> {
  if (candidates.length === 0) {
    return;
  }
  const { ask, offenders, kept, fails } = search;
  const words = await ask(fails === 'alone' ? candidates : [...kept, ...candidates]);
  const [first, second] = candidates;
  if (words === undefined) {
    kept.push(...candidates);
  } else if (first !== undefined && second === undefined) {
    offenders.push({ unit: first, words, fails });
  } else {
    const middle = Math.ceil(candidates.length / 2);
    await admit(candidates.slice(0, middle), search);
    await admit(candidates.slice(middle), search);
  }
}

/** `undefined`: taken. */
type Ask = (units: readonly Unit[]) => Promise<string | undefined>;

class Unfinished extends Error {}

function limited(tryUnits: TryUnits, maxChecks: number): Ask {
  let checks = 0;
  return async (units) => {
    checks += 1;
    if (checks > maxChecks) {
      throw new Unfinished(`more than ${maxChecks} checks were needed to find what NGINX refuses`);
    }
    const outcome = await tryUnits(units);
    switch (outcome.kind) {
      case 'passed':
        return undefined;
      case 'failed':
        return outcome.words;
      case 'unfinished':
        throw new Unfinished(outcome.words);
      case 'unavailable':
        throw new Unfinished(outcome.why);
    }
  };
}
