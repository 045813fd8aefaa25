import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAuthority } from '../../support/certificates.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort, type RunningNginx, startNginx } from '../../support/nginx.ts';
import { local, pool } from '../../support/render-models.ts';
import { type Echo, type EchoService, type RawAnswer, startEcho } from './services.ts';
import {
  askHttp2,
  filesOf,
  getTls,
  handshake,
  listenOn,
  openHttp2,
  passthrough,
  secretsOf,
  site,
  startDripper,
  startTlsService,
  type TlsService,
  terminate,
} from './tls-clients.ts';

const UNRECOGNIZED = 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME';
const CLOSED = /ECONNRESET|closed|disconnected/;

const authority = createAuthority();
const ca = authority.certificate;
const SECRETS = secretsOf({ cert: authority.issue(['ended.test', '*.wild.test']) });

let web: EchoService;
let red: TlsService;
let blue: TlsService;
let http: number;
let tls: number;
let nginx: RunningNginx;

function cluster(deadPort: number) {
  const built = site(
    {
      'ended.test': { '/': local(web.port) },
      '*.wild.test': { '/': local(web.port) },
      'plain.test': { '/': local(web.port) },
      'red.test': { '/': local(red.port) },
      '*.blue.test': { '/': local(blue.port) },
      'red.wild.test': { '/': local(red.port) },
      'empty.test': { '/': [] },
      'half.test': { '/': local(deadPort, red.port) },
      'dead.test': { '/': local(deadPort) },
      'pair.test': { '/': local(red.port, blue.port) },
      'kept.test': { '/': local(red.port, blue.port) },
    },
    {
      tls: {
        'ended.test': terminate('cert'),
        '*.wild.test': terminate('cert'),
        ...Object.fromEntries(
          [
            'red.test',
            '*.blue.test',
            'red.wild.test',
            'empty.test',
            'half.test',
            'dead.test',
            'pair.test',
            'kept.test',
          ].map((name) => [name, passthrough(`${name}/`)]),
        ),
      },
      header: { ...listenOn(http, tls), tlsHop: true },
    },
  );
  const pools = built.pools.map((entry) =>
    entry.id === 'kept.test/' ? pool(entry.id, entry.endpoints, { balance: { kind: 'client-address' } }) : entry,
  );
  return { ...built, pools };
}

beforeAll(async () => {
  [web, red, blue, http, tls] = await Promise.all([
    startEcho('web'),
    startTlsService('red', authority.issue(['red.test', 'red.wild.test', 'half.test', 'pair.test', 'kept.test'])),
    startTlsService('blue', authority.issue(['*.blue.test', 'pair.test', 'kept.test'])),
    freePort(),
    freePort(),
  ]);
  nginx = await startNginx(filesOf(cluster(await freePort())), SECRETS);
}, 120_000);

afterAll(async () => {
  await nginx.stop();
  await Promise.all([web, red, blue].map((service) => service[Symbol.asyncDispose]()));
});

function serviceOf(answer: Pick<RawAnswer, 'status' | 'body'>): string | number {
  return answer.status === 200 ? (JSON.parse(answer.body) as Echo).service : answer.status;
}

async function servedBy(sni: string, portNumber = tls): Promise<string | number> {
  return serviceOf(await getTls(portNumber, { sni }));
}

describe('by the name in the ClientHello', () => {
  it.each([
    ['red.test', 'red'],
    ['RED.Test', 'red'],
    ['red.test.', 'red'],
    ['a.blue.test', 'blue'],
    ['a.b.blue.test', 'blue'],
    ['red.wild.test', 'red'],
    ['half.test', 'red'],
    ['ended.test', 'web'],
    ['x.wild.test', 'web'],
  ])('%s is answered by %s', async (sni, expected) => {
    expect(await servedBy(sni)).toBe(expected);
  });

  it("shows the service's own certificate, or ours", async () => {
    expect(await handshake(tls, { sni: 'red.test', ca })).toMatchObject({ certificate: 'red.test' });
    expect(await handshake(tls, { sni: 'ended.test', ca })).toMatchObject({ certificate: 'ended.test' });
  });

  it.each([
    ['a name that nobody claimed', 'unknown.test'],
    ['no name', undefined],
    ['a host without TLS', 'plain.test'],
    ['the wildcard itself', 'blue.test'],
  ])('refuses %s', async (_case, sni) => {
    expect(await handshake(tls, { sni })).toBe(UNRECOGNIZED);
  });

  it('sends a host that is passed through back when it is asked for over our own TLS', async () => {
    expect((await getTls(tls, { sni: 'x.wild.test' }, { host: 'red.wild.test' })).status).toBe(421);
  });

  it('closes at once what has no endpoint, or none that answers', async () => {
    expect(await handshake(tls, { sni: 'empty.test' })).toMatch(CLOSED);
    expect(await handshake(tls, { sni: 'dead.test' })).toMatch(CLOSED);
  });

  it('reads a ClientHello in tiny pieces', async () => {
    await using dripper = await startDripper(tls, 1);

    expect([await servedBy('red.test', dripper.port), await servedBy('ended.test', dripper.port)]).toEqual([
      'red',
      'web',
    ]);
  });

  it('spreads connections, or keeps an address at its task', async () => {
    const [spread, kept] = await Promise.all(
      ['pair.test', 'kept.test'].map((sni) => Promise.all(Array.from({ length: 20 }, () => servedBy(sni)))),
    );

    expect(new Set(spread)).toEqual(new Set(['red', 'blue']));
    expect(new Set(kept).size).toBe(1);
  });
});

describe('TLS that ends here, behind the hop', () => {
  it('keeps the address of the client', async () => {
    const { headers } = JSON.parse((await getTls(tls, { sni: 'ended.test', localAddress: '127.0.0.7' })).body) as Echo;

    expect(headers).toMatchObject({
      'x-real-ip': '127.0.0.7',
      'x-forwarded-for': '127.0.0.7',
      'x-forwarded-proto': 'https',
      'x-forwarded-port': '443',
    });
  });

  it('keeps HTTP/2', async () => {
    const session = openHttp2(tls, { sni: 'ended.test' });
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => askHttp2(session, 'ended.test', `/${index}`, 'x'.repeat(10_000))),
    );
    session.close();

    expect(answers.map(serviceOf)).toEqual(answers.map(() => 'web'));
  });

  it('believes no PROXY header of the client', async () => {
    const text = await new Promise<string>((resolve, reject) => {
      let seen = '';
      const socket = connect(tls, '127.0.0.1', () => socket.write('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n'));
      socket.on('data', (chunk) => {
        seen += chunk.toString('latin1');
      });
      socket.on('error', reject);
      socket.on('close', () => {
        resolve(seen);
      });
    });

    expect(text).toContain('400 Bad Request');
    expect((await nginx.output()).stdout).not.toMatch(/^1\.2\.3\.4/m);
  });

  it('writes one line per connection that is passed through, and none of its own for the rest', async () => {
    await getTls(tls, { sni: 'a.blue.test', localAddress: '127.0.0.9' });
    await getTls(tls, { sni: 'ended.test', localAddress: '127.0.0.8' });

    await eventually(async () => {
      const lines = (await nginx.output()).stdout.split('\n');
      const ofPassed = lines.filter((line) => line.startsWith('127.0.0.9 '));
      const ofEnded = lines.filter((line) => line.startsWith('127.0.0.8 '));
      expect(ofPassed).toEqual([
        expect.stringMatching(
          new RegExp(
            `^127\\.0\\.0\\.9 - - \\[[^\\]]+\\] "a\\.blue\\.test -> 127\\.0\\.0\\.1:${blue.port} \\(TLSv1\\.3\\)" 200 \\d+ `,
          ),
        ),
      ]);
      expect(ofEnded).toEqual([expect.stringContaining('"GET / HTTP/1.1" 200')]);
    });
  });
});
