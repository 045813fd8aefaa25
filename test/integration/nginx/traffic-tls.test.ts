import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HostTls } from '../../../src/model/cluster.ts';
import { createAuthority } from '../../support/certificates.ts';
import { freePort, type RunningNginx, startNginx } from '../../support/nginx.ts';
import { local, port, SERVER_INFO } from '../../support/render-models.ts';
import { type Echo, type EchoService, type RawAnswer, sendRaw, startEcho } from './services.ts';
import {
  askHttp2,
  filesOf,
  getTls,
  handshake,
  listenOn,
  openHttp2,
  redirect,
  secretFile,
  secretsOf,
  site,
  startDripper,
  terminate,
} from './tls-clients.ts';

const UNRECOGNIZED = 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME';

const authority = createAuthority();
const both = authority.issue(['both.test']);
const PAIRS = {
  ec: authority.issue(['ec.test', 'shared.test']),
  rsa: authority.issue(['rsa.test'], { keys: 'rsa' }),
  wild: authority.issue(['*.wild.test', 'wild.test']),
  old: authority.issue(['old.test'], { expired: true }),
};
const SECRETS = { ...secretsOf(PAIRS), 'both.pem': both.certificate + both.key };
const BOTH: HostTls = { kind: 'terminate', certificate: secretFile('both.pem'), key: undefined, only: false };

let one: EchoService;
let two: EchoService;
let http: number;
let tls: number;
let nginx: RunningNginx;

function cluster() {
  return site(
    {
      'ec.test': { '/': local(one.port) },
      'shared.test': { '/': local(two.port) },
      'rsa.test': { '/app': local(one.port), '/app/deep': local(two.port) },
      '*.wild.test': { '/': local(one.port) },
      'exact.wild.test': { '/': local(two.port) },
      'plain.wild.test': { '/': local(two.port) },
      'both.test': { '/': local(one.port) },
      'old.test': { '/': local(one.port) },
      'only.test': { '/': local(one.port) },
      'plain.test': { '/': local(one.port) },
      'lost.test': { '/': local(one.port) },
      'lost-only.test': { '/': local(one.port) },
      'none.test': { '/': [] },
    },
    {
      tls: {
        'ec.test': terminate('ec'),
        'shared.test': terminate('ec'),
        'rsa.test': terminate('rsa'),
        '*.wild.test': terminate('wild'),
        'exact.wild.test': terminate('wild'),
        'both.test': BOTH,
        'old.test': terminate('old'),
        'only.test': terminate('ec', true),
        'lost.test': { kind: 'lost', only: false },
        'lost-only.test': { kind: 'lost', only: true },
        'none.test': terminate('ec'),
        'moved.test': terminate('ec'),
      },
      redirects: [redirect('https://moved.test', 'https://ec.test:8443')],
      header: { ...listenOn(http, tls), published: { http: port(8080), tls: port(8443) } },
    },
  );
}

beforeAll(async () => {
  [one, two, http, tls] = await Promise.all([startEcho('one'), startEcho('two'), freePort(), freePort()]);
  nginx = await startNginx(filesOf(cluster()), SECRETS);
}, 120_000);

afterAll(async () => {
  await nginx.stop();
  await Promise.all([one[Symbol.asyncDispose](), two[Symbol.asyncDispose]()]);
});

function echoOf(answer: { readonly body: string }): Echo {
  return JSON.parse(answer.body) as Echo;
}

function serviceOf(answer: Pick<RawAnswer, 'status' | 'body'>): string | number {
  return answer.status === 200 ? echoOf(answer).service : answer.status;
}

function plain(host: string, path = '/'): Promise<RawAnswer> {
  return sendRaw(http, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
}

describe('a host with a certificate', () => {
  it.each([
    ['ec.test', '/', 'one'],
    ['shared.test', '/', 'two'],
    ['rsa.test', '/app/x', 'one'],
    ['rsa.test', '/app/deep', 'two'],
    ['rsa.test', '/', 404],
    ['a.wild.test', '/', 'one'],
    ['a.b.wild.test', '/', 'one'],
    ['exact.wild.test', '/', 'two'],
    ['both.test', '/', 'one'],
    ['old.test', '/', 'one'],
    ['none.test', '/', 503],
  ])('is served over TLS and over HTTP: %s%s by %s', async (host, path, expected) => {
    const [secure, open] = await Promise.all([getTls(tls, { sni: host }, { path }), plain(host, path)]);

    expect([serviceOf(secure), serviceOf(open)]).toEqual([expected, expected]);
  });

  it.each([
    ['ec.test', 'ec.test'],
    ['shared.test', 'ec.test'],
    ['rsa.test', 'rsa.test'],
    ['a.wild.test', '*.wild.test'],
    ['exact.wild.test', '*.wild.test'],
    ['both.test', 'both.test'],
    ['EC.Test', 'ec.test'],
    ['ec.test.', 'ec.test'],
  ])('shows its certificate: %s', async (sni, certificate) => {
    expect(await handshake(tls, { sni })).toMatchObject({ certificate });
  });

  it('verifies against its authority, and an expired one is served all the same', async () => {
    const ca = authority.certificate;

    expect(await handshake(tls, { sni: 'shared.test', ca })).toMatchObject({ certificate: 'ec.test' });
    expect(await handshake(tls, { sni: 'old.test', ca })).toBe('CERT_HAS_EXPIRED');
    expect(await handshake(tls, { sni: 'old.test' })).toMatchObject({ certificate: 'old.test' });
  });

  it('tells the service that it was https', async () => {
    const { headers } = echoOf(await getTls(tls, { sni: 'ec.test' }, { host: 'ec.test:8443' }));

    expect(headers).toMatchObject({
      host: 'ec.test:8443',
      'x-real-ip': '127.0.0.1',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'ec.test:8443',
      'x-forwarded-port': '8443',
    });
  });

  it('offers TLS 1.2 and 1.3, HTTP/2 by ALPN and HTTP/1.1 without', async () => {
    const ask = (options: object) => handshake(tls, { sni: 'ec.test', ...options });

    expect(await ask({ maxVersion: 'TLSv1.2', ALPNProtocols: ['h2', 'http/1.1'] })).toMatchObject({
      protocol: 'TLSv1.2',
      alpn: 'h2',
    });
    expect(await ask({ minVersion: 'TLSv1.3', ALPNProtocols: ['http/1.1'] })).toMatchObject({
      protocol: 'TLSv1.3',
      alpn: 'http/1.1',
    });
    expect(await ask({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })).toMatch(
      /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/,
    );
  });

  it('speaks HTTP/2, with bodies and many requests at once', async () => {
    const session = openHttp2(tls, { sni: 'shared.test' });
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => askHttp2(session, 'shared.test', `/a%2F${index}?x`, `body ${index}`)),
    );
    session.close();

    expect(answers.map(({ body }) => JSON.parse(body) as Echo).map(({ url, body }) => [url, body])).toEqual(
      answers.map((_, index) => [`/a%2F${index}?x`, `body ${index}`]),
    );
    expect(answers[0]?.headers['x-server-info']).toBe(SERVER_INFO);
  });

  it('resumes sessions', async () => {
    const base = { host: '127.0.0.1', port: tls, servername: 'ec.test', rejectUnauthorized: false };
    const session = await new Promise<Buffer>((resolve, reject) => {
      const socket = connect({ ...base, maxVersion: 'TLSv1.2' });
      socket.once('session', (ticket: Buffer) => {
        resolve(ticket);
        socket.destroy();
      });
      socket.on('error', reject);
    });
    const reused = await new Promise<boolean>((resolve, reject) => {
      const socket = connect({ ...base, maxVersion: 'TLSv1.2', session }, () => {
        resolve(socket.isSessionReused());
        socket.destroy();
      });
      socket.on('error', reject);
    });

    expect(reused).toBe(true);
  });

  it('takes a ClientHello in tiny pieces', async () => {
    await using dripper = await startDripper(tls, 1);

    expect(serviceOf(await getTls(dripper.port, { sni: 'a.wild.test' }))).toBe('one');
  });

  it('answers plain HTTP on the TLS port with 400', async () => {
    const answer = await sendRaw(tls, 'GET / HTTP/1.1\r\nHost: ec.test\r\nConnection: close\r\n\r\n');

    expect(answer.status).toBe(400);
    expect(answer.body).toContain('plain HTTP request was sent to HTTPS port');
  });

  it('does not open HTTP/2 without TLS on the HTTP port', async () => {
    expect((await sendRaw(http, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')).status).not.toBe(200);
  });

  it('redirects from https where it says so, over HTTP it does not', async () => {
    const [secure, open] = await Promise.all([
      getTls(tls, { sni: 'moved.test' }, { path: '/x?y=%2F' }),
      plain('moved.test'),
    ]);

    expect([secure.status, secure.headers['location']]).toEqual([302, 'https://ec.test:8443/x?y=%2F']);
    expect(open.status).toBe(404);
  });
});

describe('a handshake is refused', () => {
  it.each([
    ['for a name that nobody claimed', 'unknown.test'],
    ['for a client that names none', undefined],
    ['for a host without TLS', 'plain.test'],
    ['for a host without TLS below a wildcard that has it', 'plain.wild.test'],
    ['for the wildcard itself', 'wild.test'],
    ['for a host whose secret is lost', 'lost.test'],
    ['for a host that is https only and whose secret is lost', 'lost-only.test'],
    ['for an address', '127.0.0.1'],
  ])('%s', async (_case, sni) => {
    expect(await handshake(tls, { sni: sni === '127.0.0.1' ? undefined : sni })).toBe(UNRECOGNIZED);
  });

  it('while plain HTTP goes on', async () => {
    expect(
      await Promise.all(
        ['plain.test', 'plain.wild.test', 'lost.test'].map(async (host) => serviceOf(await plain(host))),
      ),
    ).toEqual(['one', 'two', 'one']);
    expect((await plain('lost-only.test')).status).toBe(308);
  });

  it('on the TLS port of a cluster without any TLS', async () => {
    const [listenHttp, listenTls] = await Promise.all([freePort(), freePort()]);
    const quiet = site({ 'app.test': { '/': local(one.port) } }, { header: listenOn(listenHttp, listenTls) });
    await using proxy = await startNginx(filesOf(quiet));

    expect(proxy.pid).toBeGreaterThan(0);
    expect(await handshake(listenTls, { sni: 'app.test' })).toBe(UNRECOGNIZED);
    expect(await handshake(listenTls, { sni: undefined })).toBe(UNRECOGNIZED);
  });
});

describe('a request that came in by another name', () => {
  it.each([
    ['ec.test', 'shared.test', 'two'],
    ['ec.test', 'a.wild.test', 'one'],
    ['ec.test', 'plain.test', 421],
    ['a.wild.test', 'plain.wild.test', 421],
    ['ec.test', 'lost.test', 421],
    ['ec.test', 'unknown.test', 503],
    ['ec.test', 'EC.test.', 'one'],
  ])('by %s, asking for %s, gets %s', async (sni, host, expected) => {
    expect(serviceOf(await getTls(tls, { sni }, { host }))).toBe(expected);
  });

  it('over HTTP/2 too, and a browser that coalesces is sent back with 421', async () => {
    const session = openHttp2(tls, { sni: 'a.wild.test' });
    const answers = await Promise.all(
      ['b.wild.test', 'exact.wild.test', 'plain.wild.test', 'unknown.test'].map((name) => askHttp2(session, name)),
    );
    session.close();

    expect(answers.map(serviceOf)).toEqual(['one', 'two', 421, 503]);
    expect(answers.map(({ headers }) => headers['x-server-info'])).toEqual(answers.map(() => SERVER_INFO));
  });
});

describe('https only', () => {
  it.each([
    ['only.test', 'https://only.test'],
    ['only.test:8080', 'https://only.test:8443'],
    ['only.test:9999', 'https://only.test'],
    ['ONLY.test', 'https://only.test'],
    ['lost-only.test:8080', 'https://lost-only.test:8443'],
  ])('Host %s goes to %s, method and URI as they were', async (host, target) => {
    const answer = await sendRaw(
      http,
      `POST /a%2Fb//c?d=%20 HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi`,
    );

    expect([answer.status, answer.headers['location']]).toEqual([308, `${target}/a%2Fb//c?d=%20`]);
    expect(answer.headers['x-server-info']).toBe(SERVER_INFO);
  });

  it('serves over TLS', async () => {
    expect(serviceOf(await getTls(tls, { sni: 'only.test' }))).toBe('one');
  });
});
