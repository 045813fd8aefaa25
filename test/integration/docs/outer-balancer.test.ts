/** The HAProxy of docs/howto/client-addresses.md, as printed but for addresses, before two real proxies with the lines printed above it. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runBed } from '../../support/bed.ts';
import { createAuthority } from '../../support/certificates.ts';
import { eventually } from '../../support/eventually.ts';
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
  const page = await readFile(PAGE, 'utf8');
  expect(page).toContain(TOML);
  const [, printed = ''] = /```haproxy\n([\s\S]*?)```/.exec(page) ?? [];
  await startHaproxy(moved(printed, inner));
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

/** The page's text, with addresses of this machine. */
function moved(printed: string, [one, two]: readonly [typeof ports, typeof ports]): string {
  const addresses: readonly (readonly [string, number])[] = [
    ['10.0.0.11:80', one.http],
    ['10.0.0.12:80', two.http],
    ['10.0.0.11:443', one.tls],
    ['10.0.0.12:443', two.tls],
    ['bind :80', ports.http],
    ['bind :443', ports.tls],
  ];
  return addresses.reduce((text, [from, to]) => {
    const line = new RegExp(`${from.replaceAll('.', '\\.')}$`, 'm');
    expect(text).toMatch(line);
    return text.replace(line, `${from.startsWith('bind') ? 'bind ' : ''}127.0.0.1:${to}`);
  }, printed);
}

async function startHaproxy(config: string): Promise<void> {
  const binary = (await runBed('debian.sh', ['tool', 'haproxy'])).stdout.trim();
  const folder = await mkdtemp(join(tmpdir(), 'interlock-howto-'));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'haproxy.cfg');
  await writeFile(file, config);
  const child = spawn(binary, ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  const words: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => words.push(chunk.toString()));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  cleanUps.unshift(() => {
    child.kill('SIGTERM');
    return ended;
  });
  await eventually(
    async () => {
      expect(child.exitCode, words.join('')).toBeNull();
      expect((await ask()).status).toBe(200);
    },
    { timeoutMs: 20_000 },
  );
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
