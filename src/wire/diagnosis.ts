/** What core finds when it examines itself and its Swarm for an operator. `diagnosis-codec.ts` translates. */

/** `unknown`: it cannot be told from where core is. */
export const VERDICTS = ['ok', 'unknown', 'warn', 'bad'] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface Check {
  /** Stable, for scripts, e.g. `swarm.quorum`. */
  readonly id: string;
  readonly verdict: Verdict;
  /** What was seen, a sentence without a full stop. */
  readonly seen: string;
  /** What to do; `undefined`: nothing. */
  readonly todo: string | undefined;
  /** Names of the services, nodes or objects it is about; those that do well are not named. */
  readonly about: readonly string[];
}

export interface Diagnosis {
  readonly checks: readonly Check[];
}
