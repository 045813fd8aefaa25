import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fitWeights, MOST_UNITS, SHARE_ERROR, type WeightGroup } from '../../../src/model/weights.ts';

const groups = (mostEndpoints: number): fc.Arbitrary<readonly WeightGroup[]> =>
  fc.array(fc.record({ weight: fc.integer({ min: 1, max: 100 }), count: fc.integer({ min: 0, max: mostEndpoints }) }), {
    minLength: 1,
    maxLength: 5,
  });

const unitsOf = (list: readonly WeightGroup[]) => list.reduce((sum, { weight, count }) => sum + weight * count, 0);

function fitted(list: readonly WeightGroup[]): readonly WeightGroup[] {
  const weights = fitWeights(list);
  return list.map(({ count }, at) => ({ weight: weights[at] ?? 0, count }));
}

it('weights are whole numbers, 1 or more, and never more than asked for', () => {
  fc.assert(
    fc.property(groups(300), (list) => {
      fitWeights(list).forEach((weight, at) => {
        expect(Number.isInteger(weight) && weight >= 1 && weight <= (list[at]?.weight ?? 0)).toBe(true);
      });
    }),
  );
});

it('shares stay within the stated error in pools of up to 100 endpoints', () => {
  fc.assert(
    fc.property(groups(20), (list) => {
      const after = fitted(list);
      list.forEach(({ weight, count }, at) => {
        const wanted = unitsOf(list) === 0 ? 0 : (weight * count) / unitsOf(list);
        const got = unitsOf(after) === 0 ? 0 : ((after[at]?.weight ?? 0) * count) / unitsOf(after);
        expect(Math.abs(wanted - got)).toBeLessThanOrEqual(SHARE_ERROR);
      });
    }),
    { numRuns: 1000 },
  );
});

it('units stay bounded, whatever is asked for', () => {
  fc.assert(
    fc.property(groups(2000), (list) => {
      const endpoints = list.reduce((sum, { count }) => sum + count, 0);
      expect(unitsOf(fitted(list))).toBeLessThanOrEqual(MOST_UNITS + endpoints);
    }),
  );
});

it.each([
  [
    [
      { weight: 1, count: 4 },
      { weight: 1, count: 1 },
    ],
    [1, 1],
  ],
  [
    [
      { weight: 20, count: 1 },
      { weight: 60, count: 1 },
    ],
    [1, 3],
  ],
  [
    [
      { weight: 99, count: 4 },
      { weight: 1, count: 1 },
    ],
    [99, 1],
  ],
  [[{ weight: 100, count: 50 }], [1]],
  [
    [
      { weight: 100, count: 1 },
      { weight: 99, count: 0 },
    ],
    [1, 1],
  ],
])('%j becomes %j', (list, expected) => {
  expect(fitWeights(list)).toEqual(expected);
});
