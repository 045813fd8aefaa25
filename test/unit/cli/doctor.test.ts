/** A diagnosis on its way to a person: over the wire, then in words. */
import { describe, expect, it } from 'vitest';
import { doctorLines, isHealthy } from '../../../src/cli/show/doctor.ts';
import type { Check, Verdict } from '../../../src/wire/diagnosis.ts';
import { decodeDiagnosis, encodeDiagnosis } from '../../../src/wire/diagnosis-codec.ts';

const PLAIN = (_: unknown, text: string): string => text;
const check = (verdict: Verdict, parts: Partial<Check> = {}): Check => ({
  ...{ id: 'swarm.nodes', verdict, seen: 'seen', todo: undefined, about: [] },
  ...parts,
});

describe('a diagnosis', () => {
  it('comes over the wire as it was', () => {
    const sent = {
      checks: [check('ok'), check('bad', { todo: 'do', about: ['a', 'b'] }), check('unknown'), check('warn')],
    };
    expect(decodeDiagnosis(encodeDiagnosis(sent))).toEqual(sent);
    expect(decodeDiagnosis(encodeDiagnosis({ checks: [] }))).toEqual({ checks: [] });
  });

  it('with a verdict that nobody knows is malformed', () => {
    const strange = encodeDiagnosis({ checks: [check('fine' as Verdict)] });
    expect(() => decodeDiagnosis(strange)).toThrow(/verdict/);
  });

  it('is told with what it is about and what to do', () => {
    const checks = [check('ok'), check('bad', { id: 'feed', todo: 'Do it.', about: ['web', 'shop'] }), check('warn')];
    expect(doctorLines({ checks }, PLAIN)).toEqual([
      'ok       swarm.nodes  seen',
      'bad      feed         seen',
      '         web, shop',
      '         Do it.',
      'warn     swarm.nodes  seen',
      '',
      '1 thing is bad, 1 warning',
    ]);
    expect(doctorLines({ checks: [check('ok'), check('unknown')] }, PLAIN).at(-1)).toBe('nothing is wrong');
  });

  it('never lets a name speak to the terminal', () => {
    const lines = doctorLines({ checks: [check('bad', { about: ['\x1b[2Jx\n'], seen: 'a\x07' })] }, PLAIN).join('');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    expect(lines).not.toMatch(/[\x00-\x1f]/);
  });

  it.each<[Verdict, boolean, boolean]>([
    ['ok', true, true],
    ['unknown', true, true],
    ['warn', true, false],
    ['bad', false, false],
  ])('%s is healthy: %j, strictly: %j', (verdict, healthy, strictly) => {
    const found = { checks: [check('ok'), check(verdict)] };
    expect([isHealthy(found, false), isHealthy(found, true)]).toEqual([healthy, strictly]);
  });
});
