/** Remembers which units NGINX refused, so that an unrelated change leaves them out at once instead of searching for them again. */
import type { Offender } from './bisect.ts';
import type { Unit } from './units.ts';

export interface LeftOut {
  readonly offenders: readonly Offender[];
  /** Those that were refused only beside others that have changed since: worth one more try. */
  readonly doubtful: readonly Offender[];
}

export interface LeftOutMemory {
  readonly isEmpty: boolean;
  /** What of these units is refused for all we know. A unit that has changed is forgotten. */
  recall(base: string, units: readonly Unit[]): LeftOut;
  /** Replaces what was known. `base` is what all units stand on: another one, and nothing is known any more. */
  learn(base: string, offenders: readonly Offender[], kept: readonly Unit[]): void;
}

interface Memory {
  readonly base: string;
  readonly offenders: readonly Offender[];
  /** Digests of what was kept when the offenders were found. */
  readonly beside: ReadonlySet<string>;
}

export function createLeftOutMemory(): LeftOutMemory {
  let memory: Memory = { base: '', offenders: [], beside: new Set() };
  return {
    get isEmpty() {
      return memory.offenders.length === 0;
    },
    recall(base, units) {
      if (base !== memory.base || memory.offenders.length === 0) {
        return { offenders: [], doubtful: [] };
      }
      const now = new Map(units.map((unit) => [unit.digest, unit]));
      const offenders = memory.offenders.flatMap((offender): Offender[] => {
        const unit = now.get(offender.unit.digest);
        return unit === undefined ? [] : [{ ...offender, unit }];
      });
      const changed = [...memory.beside].some((digest) => !now.has(digest));
      return { offenders, doubtful: changed ? offenders.filter(({ fails }) => fails === 'together') : [] };
    },
    learn(base, offenders, kept) {
      memory = { base, offenders, beside: new Set(kept.map(({ digest }) => digest)) };
    },
  };
}
