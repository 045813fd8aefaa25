/** `context_root_rewrite` through a real NGINX: what the service gets for what the client sent. */
import { connect as connectHttp2 } from 'node:http2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import { local, model } from '../../support/render-models.ts';
import { echoOf, startProxy, type TestProxy } from './proxy.ts';
import {
  type Echo,
  type EchoService,
  type LineService,
  sendRaw,
  startEcho,
  startLines,
  webSocketEcho,
} from './services.ts';

let app: EchoService;
let other: EchoService;
let lines: LineService;
let proxy: TestProxy;

/** `prefixes`: those of all hosts that are rewritten. */
function rewriting(cluster: ClusterModel, prefixes: readonly string[]): ClusterModel {
  return {
    ...cluster,
    hosts: cluster.hosts.map((entry) => ({
      ...entry,
      routes: entry.routes.map((route) => ({ ...route, rewrite: prefixes.includes(route.prefix) })),
    })),
  };
}

beforeAll(async () => {
  [app, other, lines] = await Promise.all([startEcho('app'), startEcho('other'), startLines()]);
  const cluster = model({
    'app.local': { '/app': local(app.port) },
    'mixed.local': {
      '/': local(other.port),
      '/app': local(app.port),
      '/app/plain': local(other.port),
      '/app/plain/deep': local(app.port),
      '/none': [],
    },
    'regex.local': { '/a.b+(c)d': local(app.port), '/v1.0': local(other.port) },
    'lines.local': { '/app': local(lines.port) },
    'root.local': { '/': local(app.port) },
    '*.wild.local': { '/app': local(app.port) },
  });
  proxy = await startProxy(rewriting(cluster, ['/', '/app', '/app/plain/deep', '/none', '/a.b+(c)d', '/v1.0']), {
    HTTPOptions: ['http2 on;'],
    ClientMaxBodySize: '64k',
  });
}, 120_000);

afterAll(async () => {
  await proxy.stop();
  await Promise.all([app[Symbol.asyncDispose](), other[Symbol.asyncDispose](), lines[Symbol.asyncDispose]()]);
});

async function seen(host: string, target: string): Promise<string | number> {
  const answer = await proxy.get(host, target);
  return answer.status === 200 ? echoOf(answer).url : answer.status;
}

describe('the path arrives as it was sent, minus the prefix', () => {
  it.each([
    ['/app/x', '/x'],
    ['/app/', '/'],
    ['/app', '/'],
    ['/app?q=1', '/?q=1'],
    ['/app/?q=1', '/?q=1'],
    ['/app?', '/?'],
    ['/app/?', '/?'],
    ['/app/x?', '/x?'],
    ['/app/x?a=/app', '/x?a=/app'],
    ['/app?a=/app/../b', '/?a=/app/../b'],
    ['/app/x?a=b?c=%2F&d=%20+', '/x?a=b?c=%2F&d=%20+'],
    ['/app/a%2Fb', '/a%2Fb'],
    ['/app/a%2fb', '/a%2fb'],
    ['/app/%2F', '/%2F'],
    ['/app/a%20b', '/a%20b'],
    ['/app/a+b', '/a+b'],
    ['/app/%41', '/%41'],
    ['/app/%C3%A9', '/%C3%A9'],
    ['/app/%c3%a9', '/%c3%a9'],
    ['/app/%25', '/%25'],
    ['/app/%2525', '/%2525'],
    ['/app/%3Fx?y', '/%3Fx?y'],
    ['/app/%23x', '/%23x'],
    ['/app/%7F', '/%7F'],
    ['/app/%0A', '/%0A'],
    ['/app/%0a', '/%0a'],
    ['/app/|"<>^`{}\\', '/|"<>^`{}\\'],
    ['/app/%7C|', '/%7C|'],
    ['/app//', '//'],
    ['/app//x', '//x'],
    ['/app/x//y', '/x//y'],
    ['/app/./x', '/./x'],
    ['/app/.well-known/x', '/.well-known/x'],
    ['/app/...', '/...'],
    ['/app/..x/x..', '/..x/x..'],
    ["/app/x;v=1:@$&'()*+,=~!", "/x;v=1:@$&'()*+,=~!"],
    ['/app/app/app', '/app/app'],
    ['/app/$1$cut_rest', '/$1$cut_rest'],
  ])('%s arrives as %s', async (sent, arrived) => {
    expect(await seen('app.local', sent)).toBe(arrived);
  });
});

// Node's parser refuses them, services in other languages do not.
it.each(['/é', '/é%20', '/é%2F', '/x?é'])('bytes outside ASCII arrive as they are: %s', async (rest) => {
  const line = (await proxy.get('lines.local', latin1(`/app${rest}`))).body;

  expect(line).toBe(`GET ${latin1(rest)} HTTP/1.1`);
});

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}

it('long paths arrive whole', async () => {
  for (const rest of [`/${'x/'.repeat(3000)}%2F`, `/${'x/'.repeat(3000)}`, `/${'%20'.repeat(2500)}`]) {
    expect((await seen('app.local', `/app${rest}`)) === rest).toBe(true);
  }
});

describe('the prefix written in another way: the normalised path arrives, encoded again', () => {
  it.each([
    ['/x/../app/y', '/y'],
    ['/app%2Fx/y', '/x/y'],
    ['/app%2Fx%2Fy?q=%2F', '/x/y?q=%2F'],
    ['//app/y', '/y'],
    ['/%61pp/y%2Fz', '/y/z'],
    ['/%61pp', '/'],
    ['/%61pp?q', '/?q'],
    ['/./app/%C3%A9', '/%C3%A9'],
    ['/./app/%c3%a9%20x', '/%C3%A9%20x'],
    // `..` that could climb above the prefix
    ['/app/../app/y', '/y'],
    ['/app/x/../y', '/y'],
    ['/app/x/%2e%2E/y', '/y'],
    ['/app/x%2F..%2Fy', '/y'],
    ['/app/x/..', '/'],
  ])('%s arrives as %s', async (sent, arrived) => {
    expect(await seen('app.local', sent)).toBe(arrived);
  });

  it.each(['/apple', '/apple/x', '/APP/x', '/', '/app/../x', '/app/..', '/app%2F..%2Fx', '/x/app', '/app%20/x', '/ap'])(
    '%s is not below the prefix',
    async (sent) => {
      expect(await seen('app.local', sent)).toBe(404);
    },
  );

  it.each(['/app/../../x', '/app/%00', '/app/%zz'])('%s is refused', async (sent) => {
    expect(await seen('app.local', sent)).toBe(400);
  });
});

describe('an absolute-form target', () => {
  it.each([
    ['http://app.local/app/x', '/x'],
    ['http://app.local/app', '/'],
    ['http://app.local/app?q', '/?q'],
    ['HTTP://APP.local:81/app/a%2Fb?', '/a%2Fb?'],
  ])('%s arrives as %s', async (target, arrived) => {
    expect(await seen('ignored.local', target)).toBe(arrived);
  });
});

describe('a host with rewritten and plain paths, one inside the other', () => {
  it.each([
    ['/app/x%2F', 'app', '/x%2F'],
    ['/app/plain', 'other', '/app/plain'],
    ['/app/plain/x%2F', 'other', '/app/plain/x%2F'],
    ['/app/plain/deep', 'app', '/'],
    ['/app/plain/deep//x?', 'app', '//x?'],
    ['/app/plaintext', 'app', '/plaintext'],
    ['/appx', 'other', '/appx'],
    ['/', 'other', '/'],
    ['/x%2F', 'other', '/x%2F'],
  ])('%s goes to %s as %s', async (sent, service, arrived) => {
    expect(echoOf(await proxy.get('mixed.local', sent))).toMatchObject({ service, url: arrived });
  });

  it('answers 503 where a rewritten path has no endpoint', async () => {
    const answer = await proxy.get('mixed.local', '/none/x%2F');

    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '5']);
  });
});

describe('prefixes', () => {
  it.each([
    ['/a.b+(c)d/x', '/x'],
    ['/a.b+(c)d/x%2F', '/x%2F'],
    ['/a.b+(c)d', '/'],
    ['/aXb+(c)d/x%2F', 404],
    ['/a.bb(c)d/x', 404],
    ['/v1x0/a%2F', 404],
  ])('hold no patterns: %s', async (sent, arrived) => {
    expect(await seen('regex.local', sent)).toBe(arrived);
  });

  it('of one segment cut nothing at the root', async () => {
    expect(await seen('root.local', '/app/a%2Fb?')).toBe('/app/a%2Fb?');
  });

  it('are cut on a wildcard host too', async () => {
    expect(await seen('x.wild.local', '/app/a%2Fb?')).toBe('/a%2Fb?');
  });
});

describe('what goes with the path', () => {
  it.each(['/app/x', '/app/x%2F'])('is the body, the method and the headers: %s', async (path) => {
    const answer = await sendRaw(
      proxy.http,
      `PUT ${path} HTTP/1.1\r\nHost: app.local:8080\r\nConnection: close\r\nX-Mine: 1\r\nContent-Length: 5\r\n\r\nhello`,
    );

    expect(echoOf(answer)).toMatchObject({
      method: 'PUT',
      body: 'hello',
      headers: { host: 'app.local:8080', 'x-mine': '1', 'x-forwarded-host': 'app.local:8080' },
    });
  });

  it.each(['/app/ws', '/app/ws%2F'])('is a WebSocket, with the Origin as it was sent: %s', async (path) => {
    const opened = await webSocketEcho(proxy.http, 'app.local', path, { Origin: 'https://elsewhere.example' });

    expect(opened).toMatchObject({ status: 101, echoed: 'ping' });
    expect(opened.head).toContain('\r\nX-Origin: https://elsewhere.example');
  });

  it('is the same over HTTP/2', async () => {
    expect(await http2Url('app.local', '/app//a%2Fb?')).toBe('//a%2Fb?');
    expect(await http2Url('app.local', '/app?q')).toBe('/?q');
  });
});

async function http2Url(host: string, path: string): Promise<string> {
  const session = connectHttp2(`http://127.0.0.1:${proxy.http}`);
  try {
    const stream = session.request({ ':path': path, ':authority': host });
    let text = '';
    for await (const chunk of stream.setEncoding('utf8')) {
      text += chunk as string;
    }
    return (JSON.parse(text) as Echo).url;
  } finally {
    session.destroy();
  }
}
