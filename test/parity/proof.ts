/**
 * What proves that a label, a key or a known fault of the original is dealt with. `docs/parity.md` is generated from the tables beside
 * this file, and `test/unit/parity.test.ts` holds them against the source: every row has a proof that exists, or says why it has none.
 */

/** How close to real life a proof is. */
export const LEVELS = {
  swarm: 'traffic on a real Swarm',
  engine: 'a real Engine, without traffic',
  nginx: 'traffic through a real NGINX on one host',
  file: 'the rendered file, the service spec, the finding or a fake Engine',
} as const;
export type Level = keyof typeof LEVELS;

export interface Proof {
  readonly level: Level;
  /** From the root of the repository. */
  readonly file: string;
  /** As it stands in the file: the test's own title, or that of the `describe.each` or `it.each` it comes from. */
  readonly title: string;
  /** Text of the row of a `describe.each` or `it.each` that is meant, when one row is; it stands in the file. */
  readonly row?: string;
}

/** One row of a table. */
export type Row = Proven | Unproven;

export interface Proven {
  readonly proofs: readonly [Proof, ...Proof[]];
  /** What differs from the original on purpose. */
  readonly differs?: string;
}

export interface Unproven {
  readonly proofs: readonly [];
  /** Why there is no proof. */
  readonly why: string;
  readonly differs?: string;
}

export function proven(proofs: readonly [Proof, ...Proof[]], differs?: string): Proven {
  return differs === undefined ? { proofs } : { proofs, differs };
}

export function unproven(why: string, differs?: string): Unproven {
  return differs === undefined ? { proofs: [], why } : { proofs: [], why, differs };
}

/** `file` is below `test/e2e`, without its ending; so with the others, each below its folder. */
export function onSwarm(file: string, title: string): Proof {
  return { level: 'swarm', file: `test/e2e/${file}.test.ts`, title };
}

/** The long list (`npm run test:e2e:full`): `file` is below `test/full`. */
export function onSwarmLong(file: string, title: string): Proof {
  return { level: 'swarm', file: `test/full/${file}.test.ts`, title };
}

/** `file` is below `test`. */
export function onEngine(file: string, title: string): Proof {
  return { level: 'engine', file: `test/${file}.test.ts`, title };
}

/** `file` is below `test/integration`. `row`: as in {@link Proof}. */
export function throughNginx(file: string, title: string, row?: string): Proof {
  const proof: Proof = { level: 'nginx', file: `test/integration/${file}.test.ts`, title };
  return row === undefined ? proof : { ...proof, row };
}

/** `file` is below `test`. `row`: as in {@link Proof}. */
export function inFile(file: string, title: string, row?: string): Proof {
  const proof: Proof = { level: 'file', file: `test/${file}.test.ts`, title };
  return row === undefined ? proof : { ...proof, row };
}
