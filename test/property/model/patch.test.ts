import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { requirementsAfter, requirementsOf } from '../../../src/model/cluster.ts';
import { applyPatch, diffModels, isEmptyPatch } from '../../../src/model/patch.ts';
import { canonicalJson, digestModel } from '../../../src/model/revision.ts';
import { clusterModels } from '../../support/model-arbitraries.ts';

/** Two models that share some entries, as neighbours in time do. */
const neighbours = fc.tuple(clusterModels, clusterModels, fc.infiniteStream(fc.boolean())).map(([a, b, coin]) => {
  const kept = <Item>(items: readonly Item[]) => items.filter(() => coin.next().value);
  const taken = new Set(b.hosts.map(({ host }) => host));
  const pooled = new Set(b.pools.map(({ id }) => id));
  const next = {
    header: coin.next().value ? a.header : b.header,
    hosts: [...b.hosts, ...kept(a.hosts.filter(({ host }) => !taken.has(host)))].sort((x, y) =>
      x.host < y.host ? -1 : 1,
    ),
    pools: [...b.pools, ...kept(a.pools.filter(({ id }) => !pooled.has(id)))].sort((x, y) => (x.id < y.id ? -1 : 1)),
  };
  return [a, next] as const;
});

describe('patches', () => {
  it('lead from any model to any other, and to its digest', () => {
    fc.assert(
      fc.property(neighbours, ([a, b]) => {
        const reached = applyPatch(a, diffModels(a, b));
        expect(reached).toEqual(b);
        expect(digestModel(reached)).toBe(digestModel(b));
      }),
    );
  });

  it('are empty exactly between equal models, copies included', () => {
    fc.assert(
      fc.property(neighbours, ([a, b]) => {
        expect(isEmptyPatch(diffModels(a, structuredClone(a)))).toBe(true);
        expect(isEmptyPatch(diffModels(a, b))).toBe(digestModel(a) === digestModel(b));
      }),
    );
  });
});

describe('requirements', () => {
  it('of a model are the same, whether or not those of the one before are known', () => {
    fc.assert(
      fc.property(neighbours, ([a, b]) => {
        expect(requirementsAfter(requirementsOf(a), a, b)).toEqual(requirementsOf(b));
        expect(requirementsAfter(requirementsOf(b), b, a)).toEqual(requirementsOf(a));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('canonicalJson', () => {
  it('reads back as the value, and is the same text whatever the order of keys', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        const text = canonicalJson(value);
        expect(JSON.stringify(JSON.parse(text))).toBe(JSON.stringify(sorted(value)));
        expect(canonicalJson(reversed(value))).toBe(text);
      }),
    );
  });
});

function sorted(value: unknown): unknown {
  return JSON.parse(canonicalJson(value)) as unknown;
}

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(reversed);
  }
  return typeof value === 'object' && value !== null
    ? Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([key, inner]) => [key, reversed(inner)]),
      )
    : value;
}
