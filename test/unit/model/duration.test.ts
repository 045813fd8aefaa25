import { describe, expect, it } from 'vitest';
import { parseGoDuration, parseNginxTime } from '../../../src/model/duration.ts';

describe('parseGoDuration', () => {
  it.each([
    ['3s', 3000],
    ['1m30s', 90_000],
    ['500ms', 500],
    ['2h', 7_200_000],
    ['1.5h', 5_400_000],
    ['.5s', 500],
    ['1h0m0.25s', 3_600_250],
    ['1500us', 2],
    ['1500µs', 2],
    ['0', 0],
    ['0s', 0],
    [' 10m ', 600_000],
    ['24h', 86_400_000],
  ])('reads %j as %d ms', (text, ms) => {
    expect(parseGoDuration(text)).toBe(ms);
  });

  it.each(['', '3', '-3s', '+3s', '3 s', '3S', '3d', 's', '.s', '1m 30s', '1..5s', '9000h', '1s'.repeat(40)])(
    'refuses %j',
    (text) => {
      expect(parseGoDuration(text)).toBeUndefined();
    },
  );
});

describe('parseNginxTime', () => {
  it.each([
    ['75s', 75_000],
    ['75', 75_000],
    ['0', 0],
    ['1m 30s', 90_000],
    ['1h30m', 5_400_000],
    ['500ms', 500],
    ['1d', 86_400_000],
  ])('reads %j as %d ms', (text, ms) => {
    expect(parseNginxTime(text)).toBe(ms);
  });

  it.each(['', 's', '1.5s', '-1', '1y', '1m  30s', '75s;', '999999999'])('refuses %j', (text) => {
    expect(parseNginxTime(text)).toBeUndefined();
  });
});
