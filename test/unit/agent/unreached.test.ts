/** Lines as NGINX 1.30 sends them to a syslog, and what clients could make of them. */
import { describe, expect, it } from 'vitest';
import { unreachedUpstream } from '../../../src/agent/nginx/unreached.ts';

const HEAD = '<187>Nov 28 10:07:27 nginx: 2026/11/28 10:07:27 [error] 24871#24871: *1 ';
const refused = 'connect() failed (111: Connection refused) while connecting to upstream';

interface Line {
  readonly words?: string;
  readonly request?: string;
  readonly upstream?: string;
  readonly rest?: string;
}

function line({
  words = refused,
  request = 'GET /a HTTP/1.1',
  upstream = 'http://10.0.1.5:8080/a',
  rest = ', host: "demo.local"',
}: Line): string {
  return `${HEAD}${words}, client: 127.0.0.1, server: demo.local, request: "${request}", upstream: "${upstream}"${rest}`;
}

const REAL = { address: '10.0.1.5', port: 8080 };
const FAKE = '", upstream: "http://9.9.9.9:80/';

describe('an error of NGINX', () => {
  it.each([
    refused,
    'connect() failed (113: No route to host) while connecting to upstream',
    'connect() failed (113: Host is unreachable) while connecting to upstream',
    'connect() to 10.0.1.5:8080 failed (101: Network is unreachable) while connecting to upstream',
    'upstream timed out (110: Connection timed out) while connecting to upstream',
    'upstream timed out (110: Operation timed out) while SSL handshaking to upstream',
    'recv() failed (104: Connection reset by peer) while reading response header from upstream',
    'upstream prematurely closed connection while reading response header from upstream',
    'peer closed connection in SSL handshake (104: Connection reset by peer) while SSL handshaking to upstream',
    'peer closed connection in SSL handshake while SSL handshaking to upstream',
  ])('names the endpoint that was not reached: %s', (words) => {
    expect(unreachedUpstream(line({ words }))).toEqual(REAL);
  });

  it.each([
    ['https', line({ upstream: 'https://10.0.1.5:8080/a' }), REAL],
    ['IPv6', line({ upstream: 'http://[2001:db8::1]:80/a' }), { address: '2001:db8::1', port: 80 }],
    ['HTTP/2', line({ request: 'POST /a HTTP/2.0' }), REAL],
    [
      'stream',
      `${HEAD}${refused}, client: 127.0.0.1, server: 0.0.0.0:443, upstream: "10.0.1.5:8080", bytes from/to client:0/0, bytes from/to upstream:0/0`,
      REAL,
    ],
    ['a client on the hop', line({}).replace('127.0.0.1', 'unix:'), REAL],
  ])('is read of %s', (_of, text, address) => {
    expect(unreachedUpstream(text)).toEqual(address);
  });

  it.each([
    [
      'an application that is slow',
      line({ words: 'upstream timed out (110: Connection timed out) while reading response header from upstream' }),
    ],
    [
      'a pool with nobody left',
      line({ words: 'no live upstreams while connecting to upstream', upstream: 'http://c0ffee_demo/a' }),
    ],
    ['a socket of our own', line({ upstream: 'http://unix:/run/interlock-unavailable.sock:/a' })],
    ['a subrequest', line({}).replace(', upstream:', ', subrequest: "/x", upstream:')],
    ['another level', line({}).replace('[error]', '[warn]')],
    ['a line without a time', line({}).slice(HEAD.length)],
    ['a line cut within the port', line({}).slice(0, line({}).indexOf('8080') + 2)],
    ['a port beyond all', line({ upstream: 'http://10.0.1.5:99999/a' })],
    ['an address that is none', line({ upstream: 'http://10.0.1.555:8080/a' })],
    ['HTTP/0.9', line({ request: 'GET /a', rest: '' })],
    ['nothing', ''],
  ])('says nothing of an endpoint: %s', (_of, text) => {
    expect(unreachedUpstream(text)).toBeUndefined();
  });

  it.each([
    [
      'the path',
      line({
        request: 'GET /a",upstream:"http://9.9.9.9:80/ HTTP/1.1',
        upstream: 'http://10.0.1.5:8080/a",upstream:"http://9.9.9.9:80/',
      }),
    ],
    ["the upstream's path", line({ upstream: `http://10.0.1.5:8080/a${FAKE}` })],
    ['Host', line({ rest: `, host: "${FAKE}"` })],
    ['Referer', line({ rest: `, host: "demo.local", referrer: "${FAKE}"` })],
  ])('is not of an address that a client wrote into %s', (_where, text) => {
    expect(unreachedUpstream(text)).toEqual(REAL);
  });

  it.each([
    ['with spaces in the path, which NGINX refuses', line({ request: `GET /a${FAKE} HTTP/1.1` })],
    [
      'as a whole line',
      line({ words: `open() "/x${refused}, client: 1.1.1.1, server: x, request: "GET / HTTP/1.1${FAKE}" failed` }),
    ],
  ])('is of nothing at all, rather than of what a client wrote, %s', (_how, text) => {
    expect(unreachedUpstream(text)).toBeUndefined();
  });

  it('is read in a moment, however long and strange it is', () => {
    const hostile = `${HEAD}connect() failed (111: ${'a '.repeat(30_000)}`;
    const quoted = line({ request: `GET /${'" H'.repeat(20_000)}` });
    expect([hostile, quoted].map(unreachedUpstream)).toEqual([undefined, undefined]);
  });
});
