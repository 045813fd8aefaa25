import { expect, it } from 'vitest';
import { createYoungFindings } from '../../../src/core/young-findings.ts';
import { createFinding } from '../../../src/model/finding.ts';

const missing = (service: string) => createFinding('SECRET.MISSING', 'Create it.', { service });
const other = createFinding('LABEL.UNKNOWN', 'There is no such label.', { service: 'shop' });

it('a missing secret is told of when it is missing for a second, everything else at once', () => {
  let now = 10_000;
  const young = createYoungFindings({ monotonic: () => now });
  expect(young.look([other, missing('a')])).toEqual({ told: [other], dueInMs: 1_000 });
  now += 600;
  expect(young.look([other, missing('a'), missing('b')])).toEqual({ told: [other], dueInMs: 400 });
  now += 400;
  expect(young.look([other, missing('a'), missing('b')])).toEqual({ told: [other, missing('a')], dueInMs: 600 });
  now += 600;
  expect(young.look([missing('a'), missing('b')])).toEqual({
    told: [missing('a'), missing('b')],
    dueInMs: undefined,
  });
});

it('one that was there meanwhile begins anew', () => {
  let now = 0;
  const young = createYoungFindings({ monotonic: () => now });
  young.look([missing('a')]);
  now += 900;
  expect(young.look([])).toEqual({ told: [], dueInMs: undefined });
  now += 900;
  expect(young.look([missing('a')])).toEqual({ told: [], dueInMs: 1_000 });
});
