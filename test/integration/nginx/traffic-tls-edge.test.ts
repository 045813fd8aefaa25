/** What changes with the options and over time: an outer balancer, the default backend, reloads. */
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClusterModel, HostTls } from '../../../src/model/cluster.ts';
import { createAuthority } from '../../support/certificates.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort, startNginx } from '../../support/nginx.ts';
import { local, port } from '../../support/render-models.ts';
import { type Echo, type EchoService, type RawAnswer, sendRaw, startEcho } from './services.ts';
import {
  filesOf,
  getTls,
  handshake,
  listenOn,
  passthrough,
  secretsOf,
  site,
  startTlsService,
  type TlsService,
  terminate,
} from './tls-clients.ts';

const UNRECOGNIZED = 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME';
const PROXY_HEADER = 'PROXY TCP4 203.0.113.7 198.51.100.1 5555 443\r\n';

const authority = createAuthority();
const SECRETS = secretsOf({
  cert: authority.issue(['ended.test']),
  fallback: authority.issue(['fallback.test']),
});

let web: EchoService;
let inner: TlsService;

beforeAll(async () => {
  [web, inner] = await Promise.all([startEcho('web'), startTlsService('inner', authority.issue(['passed.test']))]);
});

afterAll(async () => {
  await Promise.all([web, inner].map((service) => service[Symbol.asyncDispose]()));
});

function serviceOf({ status, body }: Pick<RawAnswer, 'status' | 'body'>): string | number {
  return status === 200 ? (JSON.parse(body) as Echo).service : status;
}

function headersOf({ body }: RawAnswer) {
  return (JSON.parse(body) as Echo).headers;
}

interface Site {
  readonly http: number;
  readonly tls: number;
  readonly model: ClusterModel;
}

async function siteWith(hop: boolean, more: Record<string, HostTls> = {}, header: object = {}): Promise<Site> {
  const [http, tls] = await Promise.all([freePort(), freePort()]);
  const tlsOf: Record<string, HostTls> = {
    'ended.test': terminate('cert'),
    ...(hop ? { 'passed.test': passthrough('passed.test/') } : {}),
    ...more,
  };
  const routes = {
    'ended.test': { '/': local(web.port) },
    'plain.test': { '/': local(web.port) },
    ...(hop ? { 'passed.test': { '/': local(inner.port) } } : {}),
  };
  return { http, tls, model: site(routes, { tls: tlsOf, header: { ...listenOn(http, tls), tlsHop: hop, ...header } }) };
}

describe('an outer balancer that speaks the PROXY protocol', () => {
  it.each([
    ['on the TLS port', false],
    ['behind the hop', true],
  ])('says who the client is, %s', async (_where, hop) => {
    const { tls, model } = await siteWith(hop);
    const options = { ProxyProtocol: true, TrustedProxies: ['127.0.0.0/8'] };
    await using proxy = await startNginx(filesOf(model, options), SECRETS);
    const headers = headersOf(await getTls(tls, { sni: 'ended.test', before: PROXY_HEADER }));

    expect(headers).toMatchObject({ 'x-real-ip': '203.0.113.7', 'x-forwarded-proto': 'https' });
    await eventually(async () => {
      expect((await proxy.output()).stdout).toContain('203.0.113.7 - - [');
    });
  });

  it('has its word in the log for what is passed through, and nothing is added towards the service', async () => {
    const { tls, model } = await siteWith(true);
    const options = { ProxyProtocol: true, TrustedProxies: ['127.0.0.0/8'] };
    await using proxy = await startNginx(filesOf(model, options), SECRETS);

    expect(serviceOf(await getTls(tls, { sni: 'passed.test', before: PROXY_HEADER }))).toBe('inner');
    await eventually(async () => {
      expect((await proxy.output()).stdout).toMatch(/^203\.0\.113\.7 - - \[[^\]]+\] "passed\.test -> /m);
    });
  });

  it.each([false, true])('is not believed by who it is not trusted (hop: %s)', async (hop) => {
    const { tls, model } = await siteWith(hop);
    const options = { ProxyProtocol: true, TrustedProxies: ['10.0.0.0/8'] };
    await using proxy = await startNginx(filesOf(model, options), SECRETS);
    const headers = headersOf(await getTls(tls, { sni: 'ended.test', before: PROXY_HEADER }));

    expect(proxy.pid).toBeGreaterThan(0);
    expect(headers).toMatchObject({ 'x-real-ip': '127.0.0.1', 'x-forwarded-for': '127.0.0.1' });
  });

  it.each([false, true])('is required: a client that does not speak it gets nowhere (hop: %s)', async (hop) => {
    const { tls, model } = await siteWith(hop);
    const options = { ProxyProtocol: true, TrustedProxies: ['127.0.0.0/8'] };
    await using proxy = await startNginx(filesOf(model, options), SECRETS);

    expect(proxy.pid).toBeGreaterThan(0);
    expect(await handshake(tls, { sni: 'ended.test' })).toMatch(/ECONNRESET|disconnected|closed/);
  });
});

describe('an outer balancer that writes X-Forwarded-For', () => {
  const sent = 'X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Port: 8443\r\n';

  it.each([false, true])('is believed when it is trusted (hop: %s)', async (hop) => {
    const { tls, model } = await siteWith(hop);
    await using proxy = await startNginx(filesOf(model, { TrustedProxies: ['127.0.0.0/8'] }), SECRETS);
    const headers = headersOf(await getTls(tls, { sni: 'ended.test' }, { headers: sent }));

    expect(proxy.pid).toBeGreaterThan(0);
    expect(headers).toMatchObject({
      'x-real-ip': '203.0.113.7',
      'x-forwarded-for': '203.0.113.7, 127.0.0.1',
      'x-forwarded-port': '8443',
    });
  });

  it.each([false, true])('is overwritten when it is a stranger (hop: %s)', async (hop) => {
    const { tls, model } = await siteWith(hop);
    await using proxy = await startNginx(filesOf(model, { TrustedProxies: ['10.0.0.0/8'] }), SECRETS);
    const headers = headersOf(await getTls(tls, { sni: 'ended.test' }, { headers: sent }));

    expect(proxy.pid).toBeGreaterThan(0);
    expect(headers).toMatchObject({
      'x-real-ip': '127.0.0.1',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-port': '443',
    });
  });
});

describe('the default backend', () => {
  const known = (http: number, host: string) =>
    sendRaw(http, `GET /x HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);

  it.each([false, true])('with a certificate takes every name and none (hop: %s)', async (hop) => {
    const { http, tls, model } = await siteWith(
      hop,
      { 'lost.test': { kind: 'lost', only: false } },
      { defaultPool: 'ended.test/', defaultTls: terminate('fallback') },
    );
    await using proxy = await startNginx(filesOf(model), SECRETS);

    expect(proxy.pid).toBeGreaterThan(0);
    expect(await handshake(tls, { sni: 'any.test' })).toMatchObject({ certificate: 'fallback.test' });
    expect(await handshake(tls, { sni: undefined })).toMatchObject({ certificate: 'fallback.test' });
    expect(await handshake(tls, { sni: 'ended.test' })).toMatchObject({ certificate: 'ended.test' });
    expect(serviceOf(await getTls(tls, { sni: 'any.test' }))).toBe('web');
    expect(serviceOf(await known(http, 'any.test'))).toBe('web');
    expect(await handshake(tls, { sni: 'plain.test' })).toBe(UNRECOGNIZED);
    expect(await handshake(tls, { sni: 'lost.test' })).toBe(UNRECOGNIZED);
    expect((await getTls(tls, { sni: 'any.test' }, { host: 'plain.test' })).status).toBe(421);
  });

  it('that is https only sends plain requests there', async () => {
    const { http, model } = await siteWith(
      false,
      {},
      {
        defaultPool: 'ended.test/',
        defaultTls: terminate('fallback', true),
        published: { http: port(80), tls: port(8443) },
      },
    );
    await using proxy = await startNginx(filesOf(model, { PublicSSLPort: 9443 }), SECRETS);
    const answer = await known(http, 'any.test:80');

    expect(proxy.pid).toBeGreaterThan(0);
    expect([answer.status, answer.headers['location']]).toEqual([308, 'https://any.test:9443/x']);
    expect(serviceOf(await known(http, 'plain.test'))).toBe('web');
  });

  it('without TLS leaves unknown names refused', async () => {
    const { tls, model } = await siteWith(false, {}, { defaultPool: 'ended.test/' });
    await using proxy = await startNginx(filesOf(model), SECRETS);

    expect(proxy.pid).toBeGreaterThan(0);
    expect(await handshake(tls, { sni: 'any.test' })).toBe(UNRECOGNIZED);
    expect(serviceOf(await getTls(tls, { sni: 'ended.test' }, { host: 'any.test' }))).toBe('web');
  });

  it('that is passed through takes unknown names and clients that name none; ours stay ours', async () => {
    const { http, tls, model } = await siteWith(
      true,
      {},
      { defaultPool: 'passed.test/', defaultTls: passthrough('passed.test/') },
    );
    await using proxy = await startNginx(filesOf(model), SECRETS);

    expect(proxy.pid).toBeGreaterThan(0);
    expect(serviceOf(await getTls(tls, { sni: 'any.test' }))).toBe('inner');
    expect(await handshake(tls, { sni: undefined })).toMatchObject({ certificate: 'passed.test' });
    expect(serviceOf(await getTls(tls, { sni: 'ended.test' }))).toBe('web');
    expect(await handshake(tls, { sni: 'plain.test' })).toBe(UNRECOGNIZED);
    expect((await known(http, 'any.test')).status).toBe(503);
  });
});

describe('a reload under load', () => {
  it('that adds the hop, and changes what is passed through, loses nothing', async () => {
    const before = await siteWith(false);
    const after = (await siteWith(true)).model;
    const hopped = { ...after, header: { ...after.header, listen: before.model.header.listen } };
    const emptied = { ...hopped, hosts: hopped.hosts.filter(({ host }) => host !== 'passed.test') };
    await using proxy = await startNginx(filesOf(before.model), SECRETS);
    const load = startLoad(before.tls);

    await load.answered(100);
    for (const model of [hopped, emptied, hopped, hopped]) {
      await proxy.reload(filesOf(model));
      await load.answered(300);
    }
    await eventually(async () => {
      expect(serviceOf(await getTls(before.tls, { sni: 'passed.test' }))).toBe('inner');
    });
    await load.answered(300);

    expect(await load.stop()).toEqual([]);
  });
});

/** Eight clients that ask over TLS without a pause: half of them on kept connections, half on one connection per request. */
function startLoad(tls: number) {
  const options = { connect: { rejectUnauthorized: false, servername: 'ended.test' } };
  const kept = new Agent({ ...options, connections: 4 });
  const failed: string[] = [];
  const stop = new AbortController();
  let count = 0;
  const client = async (fresh: boolean) => {
    while (!stop.signal.aborted) {
      const dispatcher = fresh ? new Agent(options) : kept;
      try {
        const { statusCode, body } = await request(`https://127.0.0.1:${tls}/`, {
          dispatcher,
          headers: { host: 'ended.test' },
        });
        await body.dump();
        if (statusCode !== 200) {
          failed.push(String(statusCode));
        }
      } catch (error) {
        failed.push(String(error));
      }
      count += 1;
      if (fresh) {
        await dispatcher.close();
      }
    }
  };
  const clients = Array.from({ length: 8 }, (_, index) => client(index % 2 === 0));
  return {
    answered: async (more: number) => {
      const target = count + more;
      await eventually(() => count >= target);
    },
    stop: async () => {
      stop.abort();
      await Promise.all(clients);
      await kept.close();
      return failed;
    },
  };
}
