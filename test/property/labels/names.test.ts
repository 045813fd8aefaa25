import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  parseCookieName,
  parseHostname,
  parseIpAddress,
  parsePathPrefix,
  parsePort,
  parseSecretName,
} from '../../../src/model/names.ts';

const texts = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.domain(),
  fc.webPath(),
  fc.ipV4(),
  fc.ipV6(),
  fc.integer({ min: -10, max: 70_000 }).map(String),
  fc.stringMatching(/^[a-z0-9./*_~:;{}$'"\\ \n-]{0,40}$/),
);

/** What may stand in an NGINX file without quotes and mean nothing but itself. */
const TIGHT = /^[^\s"'`;{}$\\\p{C}]+$/u;

describe.each([
  ['parseHostname', parseHostname],
  ['parsePathPrefix', parsePathPrefix],
  ['parseCookieName', parseCookieName],
  ['parseSecretName', parseSecretName],
  ['parseIpAddress', parseIpAddress],
])('%s', (_name, parse) => {
  it('never throws, accepts tight text only, and accepts it again as it is', () => {
    fc.assert(
      fc.property(texts, (text) => {
        const value = parse(text);
        if (value !== undefined) {
          expect(value).toMatch(TIGHT);
          expect(parse(value)).toBe(value);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

it('takes the host names that other libraries take', () => {
  fc.assert(
    fc.property(fc.domain(), (domain) => {
      expect(parseHostname(domain)).toBe(domain.toLowerCase());
    }),
  );
});

it('takes every address, and nothing else', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => {
      expect(parseIpAddress(address)).toBeDefined();
    }),
  );
  fc.assert(
    fc.property(texts, (text) => {
      expect(parseIpAddress(text) !== undefined).toBe(isIP(text) !== 0 && !text.includes('%'));
    }),
  );
});

it('takes every port, and nothing else', () => {
  fc.assert(
    fc.property(fc.integer({ min: -10, max: 100_000 }), (value) => {
      expect(parsePort(String(value))).toBe(value >= 1 && value <= 65_535 ? value : undefined);
    }),
  );
});

it('a path prefix is absolute, normalised and without a final slash', () => {
  fc.assert(
    fc.property(fc.oneof(fc.webPath(), fc.stringMatching(/^(\/[a-z.]{0,3}){0,6}\/?$/)), (text) => {
      const prefix = parsePathPrefix(text);
      if (prefix !== undefined && prefix !== '/') {
        expect(new URL(prefix, 'http://h').pathname).toBe(prefix);
        expect(prefix.endsWith('/')).toBe(false);
      }
    }),
    { numRuns: 1000 },
  );
});
