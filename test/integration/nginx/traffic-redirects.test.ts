import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAuthority } from '../../support/certificates.ts';
import { freePort, type RunningNginx, startNginx } from '../../support/nginx.ts';
import { local, port, SERVER_INFO } from '../../support/render-models.ts';
import { type Echo, type EchoService, type RawAnswer, sendRaw, startEcho } from './services.ts';
import {
  filesOf,
  getTls,
  handshake,
  listenOn,
  passthrough,
  redirect,
  secretsOf,
  site,
  startTlsService,
  type TlsService,
  terminate,
} from './tls-clients.ts';

const authority = createAuthority();
const SECRETS = secretsOf({ cert: authority.issue(['secure.test']) });

let service: EchoService;
let inner: TlsService;
let http: number;
let tls: number;
let nginx: RunningNginx;

beforeAll(async () => {
  [service, inner, http, tls] = await Promise.all([
    startEcho('service'),
    startTlsService('inner', authority.issue(['passed.test'])),
    freePort(),
    freePort(),
  ]);
  const cluster = site(
    {
      'old.test': { '/': local(service.port) },
      'older.test': { '/': local(service.port) },
      'new.test': { '/': local(service.port) },
      'secure.test': { '/': local(service.port) },
      'swap.test': { '/': local(service.port) },
      'back.test': { '/': local(service.port) },
      'only.test': { '/': local(service.port) },
      'loop.test': { '/': local(service.port) },
      'passed.test': { '/': local(inner.port) },
      'silent.test': { '/': local(inner.port) },
      '*.wild.test': { '/': local(service.port) },
    },
    {
      tls: {
        'secure.test': terminate('cert'),
        'swap.test': terminate('cert'),
        'back.test': terminate('cert'),
        'only.test': terminate('cert', true),
        'passed.test': passthrough('passed.test/'),
        'silent.test': passthrough('silent.test/'),
        'hidden.wild.test': passthrough('silent.test/'),
      },
      redirects: [
        redirect('http://old.test', 'http://new.test'),
        redirect('http://older.test', 'http://new.test'),
        redirect('http://bare.test', 'https://new.test:8443'),
        redirect('http://swap.test', 'https://swap.test'),
        redirect('https://back.test', 'http://new.test:8080'),
        redirect('http://only.test', 'http://new.test'),
        redirect('http://passed.test', 'https://passed.test'),
        redirect('http://loop.test', 'http://loop.test:8080'),
        redirect('https://old.test', 'https://elsewhere.test'),
      ],
      header: { ...listenOn(http, tls), published: { http: port(8080), tls: port(443) }, tlsHop: true },
    },
  );
  nginx = await startNginx(filesOf(cluster), SECRETS);
}, 120_000);

afterAll(async () => {
  await nginx.stop();
  await Promise.all([service[Symbol.asyncDispose](), inner[Symbol.asyncDispose]()]);
});

function plain(host: string, path = '/'): Promise<RawAnswer> {
  return sendRaw(http, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
}

function serviceOf({ status, body }: RawAnswer): string | number {
  return status === 200 ? (JSON.parse(body) as Echo).service : status;
}

describe('a redirect', () => {
  it.each([
    ['old.test', 'http://new.test'],
    ['older.test', 'http://new.test'],
    ['OLD.test:8080', 'http://new.test'],
    ['bare.test', 'https://new.test:8443'],
    ['swap.test', 'https://swap.test'],
    ['passed.test', 'https://passed.test'],
    ['only.test', 'http://new.test'],
  ])('from http://%s goes to %s, with the URI as it was', async (host, target) => {
    const answer = await plain(host, '/a%2Fb//c/../d?e=%20&f');

    expect([answer.status, answer.headers['location']]).toEqual([302, `${target}/a%2Fb//c/../d?e=%20&f`]);
    expect(answer.headers).toMatchObject({
      'x-server-info': SERVER_INFO,
      'x-request-id': expect.stringMatching(/^[0-9a-f]{32}$/) as string,
      'x-proxy-id': expect.stringMatching(/./) as string,
    });
    expect(answer.headers['x-upstream-addr']).toBeUndefined();
  });

  it('from https works where TLS ends here, and leaves http alone', async () => {
    const secure = await getTls(tls, { sni: 'back.test' }, { path: '/x?' });

    expect([secure.status, secure.headers['location']]).toEqual([302, 'http://new.test:8080/x?']);
    expect(serviceOf(await plain('back.test'))).toBe('service');
  });

  it('from http leaves https alone', async () => {
    expect(serviceOf(await getTls(tls, { sni: 'swap.test' }))).toBe('service');
    expect(serviceOf(await getTls(tls, { sni: 'only.test' }))).toBe('service');
  });

  it('to itself on another port would never end: the host is served', async () => {
    expect(serviceOf(await plain('loop.test'))).toBe('service');
  });

  it('does not stand in the way of the target', async () => {
    expect(serviceOf(await plain('new.test'))).toBe('service');
  });

  it('for a host that is passed through leaves its TLS alone', async () => {
    expect(await handshake(tls, { sni: 'passed.test', ca: authority.certificate })).toMatchObject({
      certificate: 'passed.test',
    });
  });
});

describe('a host that is passed through, asked over plain HTTP', () => {
  it('is an unknown host', async () => {
    const [passed, unknown] = await Promise.all([plain('silent.test'), plain('unknown.test')]);

    expect([passed.status, passed.body]).toEqual([503, unknown.body]);
  });

  it('is one below a wildcard too', async () => {
    expect(serviceOf(await plain('a.wild.test'))).toBe('service');
    expect(serviceOf(await plain('hidden.wild.test'))).toBe(503);
  });
});
