import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SYSLOG_HEAD } from '../../../src/agent/nginx/syslog.ts';
import { unreachedUpstream } from '../../../src/agent/nginx/unreached.ts';

/** Pieces that an attacker would use, beside any text. */
const PIECES = [
  '", upstream: "http://9.9.9.9:80/',
  'upstream: "',
  ' HTTP/1.1"',
  ', request: "GET / HTTP/1.1"',
  ', client: 9.9.9.9, server: x',
  'connect() failed (111: Connection refused) while connecting to upstream',
  '"',
  ', ',
];
const hostile = fc
  .array(fc.oneof(fc.constantFrom(...PIECES), fc.string({ unit: 'binary', maxLength: 10 })), { maxLength: 8 })
  // biome-ignore lint/suspicious/noControlCharactersInRegex: NGINX lets none of them into a request line or a header
  .map((parts) => parts.join('').replace(/[\x00-\x1f\x7f]/g, ''));
const paths = hostile.map((text) => `/${text.replaceAll(' ', '')}`);

describe("an error of NGINX's", () => {
  it('names the address that NGINX wrote, whatever the client sent', () => {
    fc.assert(
      fc.property(fc.record({ path: paths, host: hostile, referrer: hostile }), ({ path, host, referrer }) => {
        const line = `<187>Nov  8 10:07:27 nginx: 2026/11/08 10:07:27 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, client: 10.9.9.9, server: a.local, request: "GET ${path} HTTP/1.1", upstream: "http://10.0.1.5:8080${path}", host: "${host}", referrer: "${referrer}"`;
        expect(unreachedUpstream(line)).toEqual({ address: '10.0.1.5', port: 8080 });
        // NGINX cuts lines at 2 KiB.
        for (let length = line.length; length > 0; length -= 7) {
          const cut = unreachedUpstream(line.slice(0, length));
          expect(cut === undefined || (cut.address === '10.0.1.5' && cut.port === 8080)).toBe(true);
        }
      }),
    );
  });

  it('is of no address where NGINX wrote none', () => {
    fc.assert(
      fc.property(paths, hostile, (path, host) => {
        const line = `<187>Nov  8 10:07:27 nginx: 2026/11/08 10:07:27 [error] 7#7: *1 access forbidden by rule, client: 10.9.9.9, server: a.local, request: "GET ${path} HTTP/1.1", host: "${host}"`;
        expect(SYSLOG_HEAD.test(line)).toBe(true);
        expect(unreachedUpstream(line)).toBeUndefined();
      }),
    );
  });
});
