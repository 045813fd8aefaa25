import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { DEFAULT_NGINX_OPTIONS, parseNginxOptions } from '../../../src/settings/nginx-options.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort, type RunningNginx, startNginx } from '../../support/nginx.ts';
import { local, model, port, SERVER_INFO } from '../../support/render-models.ts';
import { type Echo, type EchoService, type RawAnswer, sendRaw, startEcho } from './services.ts';

/** HTTP/2 without TLS is there for these tests alone; bodies over 64 KiB are too large. */
const OPTIONS = { ClientMaxBodySize: '64k', HTTPOptions: ['http2 on;'], WorkerProcesses: 2 };

let one: EchoService;
let two: EchoService;
let http: number;
let nginx: RunningNginx;

function filesOf(cluster: ClusterModel, table: unknown = OPTIONS) {
  const parsed = parseNginxOptions(table, 'Config');
  if (!parsed.ok) {
    throw new Error(JSON.stringify(parsed.problems));
  }
  return renderNginx(cluster, parsed.options, { serverInfo: SERVER_INFO }).artifact.files;
}

function routesOn(listenPort: number, deadPort: number): ClusterModel {
  const plain = Array.from({ length: 40 }, (_, index) => [`plain-${index}.local`, { '/': local(two.port) }] as const);
  return model(
    {
      'plain.local': { '/': local(one.port) },
      // Not plain, so it has a server of its own; in all else it must behave like `plain.local`.
      'alone.local': { '/': local(one.port), '/other': local(two.port) },
      '*.wild.local': { '/': local(one.port) },
      'exact.wild.local': { '/': local(two.port) },
      'paths.local': { '/app': local(one.port), '/app/deep': local(two.port) },
      'empty.local': { '/': [] },
      'empty-path.local': { '/': local(one.port), '/none': [] },
      'half-dead.local': { '/': local(deadPort, one.port) },
      'dead.local': { '/': local(deadPort) },
      ...Object.fromEntries(plain),
    },
    { listen: { http: port(listenPort), tls: port(listenPort + 1) } },
  );
}

beforeAll(async () => {
  [one, two, http] = await Promise.all([startEcho('one'), startEcho('two'), freePort()]);
  nginx = await startNginx(filesOf(routesOn(http, await freePort())));
}, 120_000);

afterAll(async () => {
  await nginx.stop();
  await Promise.all([one[Symbol.asyncDispose](), two[Symbol.asyncDispose]()]);
});

async function get(host: string, path = '/', headers: Record<string, string> = {}): Promise<RawAnswer> {
  const lines = Object.entries({ Host: host, Connection: 'close', ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  return sendRaw(http, `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
}

function echoOf(answer: RawAnswer): Echo {
  return JSON.parse(answer.body) as Echo;
}

async function serviceFor(host: string, path = '/'): Promise<string | number> {
  const answer = await get(host, path);
  return answer.status === 200 ? echoOf(answer).service : answer.status;
}

describe('who answers', () => {
  it.each([
    ['plain.local', '/', 'one'],
    ['PLAIN.local:8080', '/', 'one'],
    ['plain.local.', '/', 'one'],
    ['plain-7.local', '/x', 'two'],
    ['plain-39.local', '/', 'two'],
    ['a.wild.local', '/', 'one'],
    ['a.b.wild.local', '/', 'one'],
    ['exact.wild.local', '/', 'two'],
    ['wild.local', '/', 503],
    ['unknown.local', '/', 503],
    ['@plain.local', '/', 400],
  ])('sends a request for host %s, path %s to %s', async (host, path, expected) => {
    expect(await serviceFor(host, path)).toBe(expected);
  });

  it.each([
    ['/app', 'one'],
    ['/app/', 'one'],
    ['/app/x', 'one'],
    ['/app?q', 'one'],
    ['/apple', 404],
    ['/', 404],
    ['/app/deep', 'two'],
    ['/app/deep/er', 'two'],
    ['/app/deeper', 'one'],
    ['/app/../x', 404],
    ['/x/../app/deep', 'two'],
    ['/%61pp', 'one'],
    ['//app', 'one'],
  ])('takes the longest prefix on segment borders: %s to %s', async (path, expected) => {
    expect(await serviceFor('paths.local', path)).toBe(expected);
  });

  it('answers 503 with Retry-After where no task runs, on a plain host and on one path of a host', async () => {
    const answers = await Promise.all([get('empty.local'), get('empty-path.local', '/none/x')]);

    expect(answers.map((answer) => [answer.status, answer.headers['retry-after']])).toEqual([
      [503, '5'],
      [503, '5'],
    ]);
    expect(await serviceFor('empty-path.local')).toBe('one');
  });

  it('answers unknown hosts with a page and without Retry-After', async () => {
    const answer = await get('unknown.local');

    expect(answer.headers['content-type']).toBe('text/html');
    expect(answer.headers['retry-after']).toBeUndefined();
    expect(answer.headers['x-server-info']).toBe(SERVER_INFO);
  });
});

describe('headers', () => {
  it('tells the service who asked', async () => {
    const { headers } = echoOf(
      await get('plain.local:8080', '/', { 'X-Forwarded-For': '1.2.3.4', 'X-Forwarded-Proto': 'https' }),
    );

    expect(headers).toMatchObject({
      host: 'plain.local:8080',
      'x-real-ip': '127.0.0.1',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': 'plain.local:8080',
      'x-forwarded-port': '8080',
    });
    expect(headers['connection']).not.toBe('close');
    expect(headers['x-request-id']).toMatch(/^[0-9a-f]{32}$/);
  });

  it.each(['Forwarded', 'X-Forwarded-Prefix', 'X-Forwarded-Server', 'X-Forwarded-Ssl'])(
    "does not pass a stranger's %s on",
    async (name) => {
      const { headers } = echoOf(
        await get('plain.local', '/', { [name]: 'for=1.2.3.4;proto=https', 'X-Other': 'kept' }),
      );

      expect(headers['x-other']).toBe('kept');
      expect(Object.keys(headers)).not.toContain(name.toLowerCase());
    },
  );

  it('gives the default port when Host names none', async () => {
    expect(echoOf(await get('plain.local')).headers['x-forwarded-port']).toBe('80');
  });

  it('sends the authority of an absolute-form target as Host', async () => {
    const raw = await sendRaw(
      http,
      'GET http://plain.local:81/a%2Fb HTTP/1.1\r\nHost: alone.local\r\nConnection: close\r\n\r\n',
    );

    expect(echoOf(raw)).toMatchObject({ service: 'one', url: '/a%2Fb', headers: { host: 'plain.local:81' } });
  });

  it.each([
    ['abc-123', 'abc-123'],
    ['has space', undefined],
    ['x'.repeat(129), undefined],
  ])('keeps a well-formed X-Request-ID: %s', async (sent, kept) => {
    const answer = await get('plain.local', '/', { 'X-Request-ID': sent });

    const seen = echoOf(answer).headers['x-request-id'];
    expect(answer.headers['x-request-id']).toBe(seen);
    expect(seen === sent).toBe(kept !== undefined);
  });

  it('tells the client how it was served, with a real duration', async () => {
    const { headers } = await get('plain.local');

    expect(headers['x-server-info']).toBe(SERVER_INFO);
    expect(headers['x-proxy-id']).toMatch(/^\S+$/);
    expect(headers['x-upstream-addr']).toBe(`127.0.0.1:${one.port}`);
    expect(headers['x-upstream-response-time']).toMatch(/^\d+\.\d{3}$/);
    expect(headers['x-request-id']).not.toContain('from-the-service');
  });

  it('tells it on errors too, and gives no upstream where there was none', async () => {
    const [dead, none] = await Promise.all([get('dead.local'), get('empty.local')]);

    expect([dead.status, none.status]).toEqual([502, 503]);
    expect(dead.headers['x-upstream-response-time']).toMatch(/^\d+\.\d{3}$/);
    expect(none.headers['x-request-id']).toMatch(/^[0-9a-f]{32}$/);
    expect(none.headers['x-upstream-addr']).toBeUndefined();
  });

  it('does not pass h2c upgrades on', async () => {
    const { headers } = echoOf(await get('plain.local', '/', { Upgrade: 'h2c', Connection: 'Upgrade, close' }));

    expect(headers['upgrade']).toBeUndefined();
  });
});

/** `%HOST%` stands for the two hosts. */
const SAME_FOR_BOTH: Readonly<Record<string, string>> = {
  'encoded URIs': 'GET /a%2Fb//c%20d/%C3%A9?x=%2F&y=a%20b HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\n\r\n',
  'dots and double slashes': 'GET //x/./y/../z?a=//b HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\n\r\n',
  'a question mark alone': 'GET /? HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\n\r\n',
  HEAD: 'HEAD /h HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\n\r\n',
  'POST with a length': 'POST /p HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello',
  'POST in chunks':
    'POST /p HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n',
  'PUT, PATCH and DELETE bodies':
    'DELETE /p HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc',
  'a method of its own': 'PROPFIND /dav HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\n\r\n',
  'Expect: 100-continue':
    'POST /e HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello',
  'a length that is too large': `POST /big HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\nContent-Length: 70000\r\n\r\n${'x'.repeat(70_000)}`,
  'chunks that are too large': `POST /big HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n${'x'.repeat(70_000)}\r\n0\r\n\r\n`,
  'HTTP/1.0': 'GET /old HTTP/1.0\r\nHost: %HOST%\r\n\r\n',
  'a 404 of the service': 'GET /status/404 HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\n\r\n',
  'a 418 of the service': 'GET /status/418 HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\n\r\n',
  'a 503 of the service': 'GET /status/503 HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\n\r\n',
  'two requests on one connection':
    'POST /1 HTTP/1.1\r\nHost: %HOST%\r\nContent-Length: 2\r\n\r\nhiGET /2 HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\n\r\n',
};

/** What differs by nature between two answers is made equal. */
function comparable({ text }: RawAnswer): string {
  return text
    .replace(/(?:alone|plain)\.local/g, 'HOST')
    .replace(/^(date|x-request-id|x-upstream-response-time): .*$/gim, '$1: *')
    .replace(/"x-request-id":"[^"]*"/g, '"x-request-id":"*"');
}

/** Lines of requests for `path`. NGINX writes them when a request is over for it, which may be later than its answer is here. */
async function accessLogOf(path: string): Promise<string[]> {
  const { stdout } = await nginx.output();
  return stdout
    .split('\n')
    .filter((line) => line.includes(path))
    .map((line) => line.replace(/\[[^\]]*\]/, '[*]').replace(/(?:alone|plain)\.local/g, 'HOST'));
}

describe('a host that shares its server behaves like one that does not', () => {
  it.each(Object.entries(SAME_FOR_BOTH))('%s', async (_name, text) => {
    const [shared, alone] = await Promise.all(
      ['plain.local', 'alone.local'].map((name) => sendRaw(http, text.replaceAll('%HOST%', name))),
    );

    expect(comparable(shared as RawAnswer)).toBe(comparable(alone as RawAnswer));
    expect(shared?.status).toBeGreaterThanOrEqual(200);
  });

  it('in the access log', async () => {
    const text =
      'POST /log%2Fged?x=1 HTTP/1.1\r\nHost: %HOST%\r\nConnection: close\r\nReferer: r\r\nContent-Length: 5\r\n\r\nhello';
    for (const name of ['plain.local', 'alone.local']) {
      await sendRaw(http, text.replaceAll('%HOST%', name));
    }

    const lines = await eventually(async () => {
      const written = await accessLogOf('/log%2Fged');
      expect(written).toHaveLength(2);
      return written;
    });
    expect(lines[0]).toBe(lines[1]);
    expect(lines[0]).toContain('"POST /log%2Fged?x=1 HTTP/1.1" 200');
  });

  it('over HTTP/2, with a body', async () => {
    const answers = await Promise.all(
      ['plain.local', 'alone.local'].map((name) => http2Post(name, '/h2%2F?x', 'a body')),
    );

    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]).toEqual({ service: 'one', method: 'POST', url: '/h2%2F?x', body: 'a body' });
  });
});

async function http2Post(host: string, path: string, body: string): Promise<Partial<Echo>> {
  const session = connectHttp2(`http://127.0.0.1:${http}`);
  try {
    const stream = session.request({ ':method': 'POST', ':path': path, ':authority': host });
    stream.end(body);
    let text = '';
    for await (const chunk of stream.setEncoding('utf8')) {
      text += chunk as string;
    }
    const { service, method, url, body: seen } = JSON.parse(text) as Echo;
    return { service, method, url, body: seen };
  } finally {
    session.destroy();
  }
}

describe('what the service is sent', () => {
  it.each(['/a%2Fb', '//a', '/a/../b', '/%C3%A9?q=%20+', '/a%00b'.replace('%00', '%7F'), '/?'])(
    'is the URI as it came: %s',
    async (path) => {
      expect(echoOf(await get('plain.local', path)).url).toBe(path);
    },
  );

  it('is the body, with and without a length', async () => {
    const sized = await sendRaw(http, (SAME_FOR_BOTH['POST with a length'] ?? '').replaceAll('%HOST%', 'plain.local'));
    const chunked = await sendRaw(http, (SAME_FOR_BOTH['POST in chunks'] ?? '').replaceAll('%HOST%', 'plain.local'));

    expect([echoOf(sized).body, echoOf(chunked).body]).toEqual(['hello', 'hello world']);
  });

  it.each(['plain.local', 'alone.local'])('is the WebSocket handshake and every byte after it: %s', async (name) => {
    const echoed = await webSocketEcho(name);

    expect(echoed).toContain('HTTP/1.1 101');
    expect(echoed).toContain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    expect(echoed.endsWith('ping')).toBe(true);
  });
});

function webSocketEcho(host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(http, '127.0.0.1', () =>
      socket.write(
        `GET /ws HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
      ),
    );
    socket.setTimeout(5_000, () => socket.destroy(new Error(`no echo: ${text}`)));
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      const before = text;
      text += chunk.toString();
      if (!before.includes('\r\n\r\n') && text.includes('\r\n\r\n')) {
        socket.write('ping');
      }
      if (text.endsWith('ping')) {
        socket.destroy();
        resolve(text);
      }
    });
  });
}

describe('an endpoint that is gone', () => {
  it('costs no request: the next one answers', async () => {
    const answers = await Promise.all(Array.from({ length: 30 }, () => get('half-dead.local')));

    expect(answers.every((answer) => answer.status === 200)).toBe(true);
  });

  it('costs no POST either, as nothing was sent yet', async () => {
    const text = (SAME_FOR_BOTH['POST in chunks'] ?? '').replaceAll('%HOST%', 'half-dead.local');
    const answers = await Promise.all(Array.from({ length: 10 }, () => sendRaw(http, text)));

    expect(answers.map((answer) => echoOf(answer).body)).toEqual(Array.from({ length: 10 }, () => 'hello world'));
  });

  it("leaves the service's own 503 alone: it is not retried", async () => {
    const before = one.requests + two.requests;
    const answer = await get('plain.local', '/status/503');

    expect(answer.status).toBe(503);
    expect(one.requests + two.requests - before).toBe(1);
  });
});

describe('a reload', () => {
  it('under load loses nothing, and the new routes are there', async () => {
    const [listenPort, tlsPort] = await Promise.all([freePort(), freePort()]);
    const routes = (service: EchoService) =>
      model({ 'app.local': { '/': local(service.port) } }, { listen: { http: port(listenPort), tls: port(tlsPort) } });
    await using proxy = await startNginx(filesOf(routes(one)));
    const load = startLoad(listenPort, 'app.local');

    for (let round = 0; round < 6; round += 1) {
      await sleep(300);
      await proxy.reload(filesOf(routes(round % 2 === 0 ? two : one)));
    }
    await sleep(300);
    await proxy.reload(filesOf(routes(two)));
    await sleep(1_500);
    const { failed, services, answered } = await load.stop();

    expect(failed).toEqual([]);
    expect(answered).toBeGreaterThan(100);
    expect(services.at(-1)).toBe('two');
  });
});

/** Sixteen keep-alive clients that ask without a pause. */
function startLoad(listenPort: number, host: string) {
  const agent = new Agent({ connections: 16, pipelining: 1 });
  const failed: string[] = [];
  const services: string[] = [];
  const stop = new AbortController();
  const client = async () => {
    while (!stop.signal.aborted) {
      await request(`http://127.0.0.1:${listenPort}/`, { dispatcher: agent, headers: { host } }).then(
        async ({ statusCode, body }) => {
          const text = await body.text();
          if (statusCode === 200) {
            services.push((JSON.parse(text) as Echo).service);
          } else {
            failed.push(String(statusCode));
          }
        },
        (error: unknown) => failed.push(String(error)),
      );
    }
  };
  const clients = Array.from({ length: 16 }, client);
  return {
    stop: async () => {
      stop.abort();
      await Promise.all(clients);
      await agent.close();
      return { failed, services, answered: services.length };
    },
  };
}

describe('the default pool', () => {
  it('answers hosts that nobody claimed; known ones stay', async () => {
    const listenPort = await freePort();
    const cluster = model(
      { 'app.local': { '/app': local(one.port) }, 'fallback.local': { '/': local(two.port) } },
      { listen: { http: port(listenPort), tls: port(await freePort()) }, defaultPool: 'fallback.local/' },
    );
    await using proxy = await startNginx(
      renderNginx(cluster, { ...DEFAULT_NGINX_OPTIONS, workerProcesses: 1 }, { serverInfo: SERVER_INFO }).artifact
        .files,
    );
    const ask = (host: string, path: string) =>
      sendRaw(listenPort, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);

    expect(proxy.pid).toBeGreaterThan(0);
    expect(echoOf(await ask('anything.example', '/x')).service).toBe('two');
    expect(echoOf(await ask('app.local', '/app')).service).toBe('one');
    expect((await ask('app.local', '/x')).status).toBe(404);
  });
});

describe('a trusted proxy in front', () => {
  it('is believed, and adds itself to X-Forwarded-For', async () => {
    const listenPort = await freePort();
    const cluster = model(
      { 'app.local': { '/': local(one.port) } },
      { listen: { http: port(listenPort), tls: port(await freePort()) } },
    );
    await using proxy = await startNginx(filesOf(cluster, { TrustedProxies: ['127.0.0.0/8'], WorkerProcesses: 1 }));
    const answer = await sendRaw(
      listenPort,
      'GET / HTTP/1.1\r\nHost: app.local\r\nConnection: close\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\nForwarded: for=1.2.3.4;proto=https\r\nX-Forwarded-Prefix: /app\r\n\r\n',
    );

    expect(proxy.pid).toBeGreaterThan(0);
    expect(echoOf(answer).headers).toMatchObject({
      'x-real-ip': '1.2.3.4',
      'x-forwarded-for': '1.2.3.4, 127.0.0.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-port': '8443',
      'x-forwarded-host': 'app.local',
      forwarded: 'for=1.2.3.4;proto=https',
      'x-forwarded-prefix': '/app',
    });
  });

  it('is not who is outside the list: its Forwarded goes nowhere', async () => {
    const listenPort = await freePort();
    const cluster = model(
      { 'app.local': { '/': local(one.port) } },
      { listen: { http: port(listenPort), tls: port(await freePort()) } },
    );
    await using proxy = await startNginx(filesOf(cluster, { TrustedProxies: ['192.0.2.0/24'], WorkerProcesses: 1 }));
    const answer = await sendRaw(
      listenPort,
      'GET / HTTP/1.1\r\nHost: app.local\r\nConnection: close\r\nForwarded: for=1.2.3.4\r\n\r\n',
    );

    expect(proxy.pid).toBeGreaterThan(0);
    expect(echoOf(answer).headers).toMatchObject({ 'x-forwarded-for': '127.0.0.1' });
    expect(echoOf(answer).headers['forwarded']).toBeUndefined();
  });
});
