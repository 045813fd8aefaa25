/** The HAProxy of docs/howto/client-addresses.md, as printed but for addresses, before two real proxies with the lines printed above it. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAuthority } from '../../support/certificates.ts';
import { eventually } from '../../support/eventually.ts';
import { moved, printedHaproxy, startHaproxy } from '../../support/haproxy.ts';
import { freePort, type RunningNginx, startNginx } from '../../support/nginx.ts';
import { local } from '../../support/render-models.ts';
import { type EchoService, type RawAnswer, sendRaw, startEcho } from '../nginx/services.ts';
import { filesOf, getTls, listenOn, secretsOf, site, terminate } from '../nginx/tls-clients.ts';

const PAGE = new URL('../../../docs/howto/client-addresses.md', import.meta.url);
/** Who asks; HAProxy itself talks to the proxies from 127.0.0.1. */
const CLIENT = '127.0.0.7';
/** The lines of config.toml that the page prints for HAProxy: `10.0.0.5` is the balancer's address. */
const TOML = '[Extensions.default.Config]\nTrustedProxies = ["10.0.0.5"]\nProxyProtocol = true\n';
const OPTIONS = { TrustedProxies: ['127.0.0.1'], ProxyProtocol: true };

const cleanUps: (() => Promise<unknown>)[] = [];
let web: EchoService;
let proxies: readonly RunningNginx[];
let ports: { readonly http: number; readonly tls: number };

beforeAll(async () => {
  web = await startEcho('web');
  cleanUps.unshift(async () => web[Symbol.asyncDispose]());
  const [http, tls] = [await freePort(), await freePort()];
  ports = { http, tls };
  const inner = [
    { http: await freePort(), tls: await freePort() },
    { http: await freePort(), tls: await freePort() },
  ] as const;
  proxies = await Promise.all(inner.map((listen) => startProxy(listen)));
  cleanUps.unshift(() => Promise.all(proxies.map((proxy) => proxy.stop())));
  expect(await readFile(PAGE, 'utf8')).toContain(TOML);
  const here = (port: number): string => `127.0.0.1:${port}`;
  const haproxy = await startHaproxy(
    moved(await printedHaproxy('of the port'), [
      ['10.0.0.11:80', here(inner[0].http)],
      ['10.0.0.12:80', here(inner[1].http)],
      ['10.0.0.11:443', here(inner[0].tls)],
      ['10.0.0.12:443', here(inner[1].tls)],
      ['bind :80', `bind ${here(http)}`],
      ['bind :443', `bind ${here(tls)}`],
    ]),
  );
  cleanUps.unshift(() => haproxy.stop());
  await eventually(async () => expect((await ask()).status).toBe(200), { timeoutMs: 20_000 });
}, 120_000);

afterAll(async () => {
  for (const cleanUp of cleanUps) {
    await cleanUp();
  }
});

function startProxy({ http, tls }: typeof ports): Promise<RunningNginx> {
  const secrets = secretsOf({ cert: createAuthority().issue(['app.test']) });
  const model = site(
    { 'app.test': { '/': local(web.port) } },
    { tls: { 'app.test': terminate('cert') }, header: listenOn(http, tls) },
  );
  return startNginx(filesOf(model, OPTIONS), secrets);
}

function ask(headers = ''): Promise<RawAnswer> {
  return sendRaw(ports.http, `GET /x HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n${headers}\r\n`);
}

function headersOf(answer: RawAnswer): Readonly<Record<string, unknown>> {
  expect(answer.status).toBe(200);
  return (JSON.parse(answer.body) as { headers: Record<string, unknown> }).headers;
}

describe('HAProxy as the how-to has it', () => {
  it('names the client over TLS, which ends at the proxies', async () => {
    const answer = await getTls(ports.tls, { sni: 'app.test', localAddress: CLIENT });

    expect(headersOf(answer)).toMatchObject({
      'x-real-ip': CLIENT,
      'x-forwarded-for': CLIENT,
      'x-forwarded-proto': 'https',
    });
  });

  it('lets no client give itself another address', async () => {
    expect(headersOf(await ask('X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n'))).toMatchObject({
      'x-real-ip': '127.0.0.1',
      'x-forwarded-proto': 'http',
    });
  });

  it('takes a proxy that stops for no failed request', async () => {
    const [first] = proxies;
    const asked = Array.from({ length: 100 }, async (_, at) => {
      await (at === 20 ? first?.stop() : undefined);
      return (await ask()).status;
    });
    const answers = await Promise.all(asked);
    const after = await Promise.all(Array.from({ length: 50 }, async () => (await ask()).status));

    expect(new Set([...answers, ...after])).toEqual(new Set([200]));
    expect((await getTls(ports.tls, { sni: 'app.test' })).status).toBe(200);
  });
});
