/** Who the client is: strangers, trusted balancers, the PROXY protocol; and what the access log says of it. */
import { describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { local, model } from '../../support/render-models.ts';
import { echoOf, getRequest, startProxy, type TestProxy } from './proxy.ts';
import { sendRaw, startEcho } from './services.ts';

const SPOOFED = {
  'X-Forwarded-For': '6.6.6.6',
  'X-Forwarded-Proto': 'https',
  'X-Forwarded-Host': 'evil.example',
  'X-Forwarded-Port': '666',
  'X-Real-IP': '6.6.6.6',
};

async function withProxy(config: Record<string, unknown>, use: (proxy: TestProxy) => Promise<void>): Promise<void> {
  await using app = await startEcho('app');
  await using proxy = await startProxy(
    model({ 'app.local': { '/': local(app.port) }, 'empty.local': { '/': [] } }),
    config,
  );
  await use(proxy);
}

/** The five headers as the service saw them. */
async function told(proxy: TestProxy, headers: Record<string, string>, prefix = '', host = 'app.local') {
  const answer = await sendRaw(proxy.http, prefix + getRequest(host, '/', headers));
  const seen = echoOf(answer).headers;
  return {
    for: seen['x-forwarded-for'],
    proto: seen['x-forwarded-proto'],
    host: seen['x-forwarded-host'],
    port: seen['x-forwarded-port'],
    real: seen['x-real-ip'],
  };
}

const OWN = { for: '127.0.0.1', proto: 'http', host: 'app.local', port: '80', real: '127.0.0.1' };

describe('strangers', () => {
  it.each([
    ['without any TrustedProxies', {}],
    ['that are not among them', { TrustedProxies: ['10.0.0.0/8', '2001:db8::/32'] }],
  ])('%s are not believed', async (_name, config) => {
    await withProxy(config, async (proxy) => {
      expect(await told(proxy, SPOOFED)).toEqual(OWN);
      expect(await told(proxy, { ...SPOOFED, 'X-Forwarded-For': '10.0.0.1\r\nX-Forwarded-For: 6.6.6.6' })).toEqual(OWN);
    });
  });
});

describe('a trusted balancer', () => {
  it('is believed in every header, and adds itself to the chain', async () => {
    await withProxy({ TrustedProxies: ['127.0.0.0/8', '10.0.0.0/8'] }, async (proxy) => {
      expect(await told(proxy, { ...SPOOFED, 'X-Forwarded-For': '192.0.2.1, 10.1.1.1' })).toEqual({
        for: '192.0.2.1, 10.1.1.1, 127.0.0.1',
        proto: 'https',
        host: 'evil.example',
        port: '666',
        real: '192.0.2.1',
      });
      // What the client wrote before the first trusted one is told, but not believed.
      expect(await told(proxy, { 'X-Forwarded-For': '6.6.6.6, 192.0.2.1, 10.1.1.1' })).toMatchObject({
        for: '6.6.6.6, 192.0.2.1, 10.1.1.1, 127.0.0.1',
        real: '192.0.2.1',
      });
      expect(await told(proxy, { 'X-Forwarded-For': '2001:db8::1' })).toMatchObject({
        for: '2001:db8::1, 127.0.0.1',
        real: '2001:db8::1',
      });
      expect(await told(proxy, { 'X-Forwarded-For': '192.0.2.1\r\nX-Forwarded-For: 10.1.1.1' })).toMatchObject({
        for: '192.0.2.1, 10.1.1.1, 127.0.0.1',
        real: '192.0.2.1',
      });
    });
  });

  it('that leaves something out gets what fits the rest', async () => {
    await withProxy({ TrustedProxies: ['127.0.0.1'] }, async (proxy) => {
      expect(await told(proxy, {})).toEqual(OWN);
      expect(await told(proxy, { 'X-Forwarded-Proto': 'https' })).toEqual({ ...OWN, proto: 'https', port: '443' });
      expect(await told(proxy, { 'X-Forwarded-Proto': 'https' }, '', 'app.local:8443')).toMatchObject({ port: '8443' });
      expect(await told(proxy, { 'X-Forwarded-Host': '[2001:db8::1]:8080' })).toMatchObject({
        host: '[2001:db8::1]:8080',
      });
    });
  });

  it.each([
    ['X-Forwarded-Proto', 'javascript'],
    ['X-Forwarded-Proto', 'https, http'],
    ['X-Forwarded-Port', '0'],
    ['X-Forwarded-Port', '65536'],
    ['X-Forwarded-Port', '-1'],
    ['X-Forwarded-Port', '80,443'],
    ['X-Forwarded-Host', 'a b'],
    ['X-Forwarded-Host', 'a"><script>'],
    ['X-Forwarded-Host', 'x'.repeat(300)],
    ['X-Forwarded-For', '<script>'],
    ['X-Forwarded-For', '1'.repeat(2000)],
  ])('that says something absurd in %s is not repeated', async (name, value) => {
    await withProxy({ TrustedProxies: ['127.0.0.1'] }, async (proxy) => {
      expect(await told(proxy, { [name]: value })).toEqual(OWN);
    });
  });
});

describe('the PROXY protocol', () => {
  const TCP4 = 'PROXY TCP4 192.0.2.7 203.0.113.1 5555 80\r\n';

  it('from a trusted balancer tells the client, whose own headers are not believed', async () => {
    await withProxy({ ProxyProtocol: true, TrustedProxies: ['127.0.0.1'] }, async (proxy) => {
      expect(await told(proxy, SPOOFED, TCP4)).toEqual({ ...OWN, for: '192.0.2.7', real: '192.0.2.7' });
      expect(await told(proxy, {}, 'PROXY TCP6 2001:db8::7 2001:db8::1 5555 80\r\n')).toMatchObject({
        for: '2001:db8::7',
        real: '2001:db8::7',
      });
    });
  });

  it('tells of a client that is itself a trusted proxy: its headers are believed', async () => {
    await withProxy({ ProxyProtocol: true, TrustedProxies: ['127.0.0.1', '192.0.2.7'] }, async (proxy) => {
      expect(
        await told(proxy, { 'X-Forwarded-For': '198.51.100.1', 'X-Forwarded-Proto': 'https' }, TCP4),
      ).toMatchObject({
        for: '198.51.100.1, 192.0.2.7',
        proto: 'https',
      });
    });
  });

  it('from a stranger is read, but not believed', async () => {
    await withProxy({ ProxyProtocol: true }, async (proxy) => {
      expect(await told(proxy, SPOOFED, TCP4)).toEqual(OWN);
    });
  });

  it('is required', async () => {
    await withProxy({ ProxyProtocol: true, TrustedProxies: ['127.0.0.1'] }, async (proxy) => {
      expect((await sendRaw(proxy.http, getRequest('app.local', '/'))).text).toBe('');
    });
  });
});

describe('the access log', () => {
  async function lineOf(proxy: TestProxy, marker: string): Promise<string> {
    let line: string | undefined;
    await eventually(async () => {
      line = (await proxy.nginx.output()).stdout.split('\n').find((text) => text.includes(marker));
      return line !== undefined;
    });
    return line ?? '';
  }

  it('is in the main format', async () => {
    await withProxy({}, async (proxy) => {
      await proxy.get('app.local', '/main-line', { Referer: 'r', 'User-Agent': 'u' });

      expect(await lineOf(proxy, '/main-line')).toMatch(
        /^127\.0\.0\.1 - - \[[^\]]+\] "GET \/main-line HTTP\/1\.1" 200 \d+ "r" "u" "-"$/,
      );
    });
  });

  it('is in the trace format with TraceLogging', async () => {
    await withProxy({ TraceLogging: true }, async (proxy) => {
      await proxy.get('app.local', '/trace-line');

      expect(await lineOf(proxy, '/trace-line')).toMatch(
        /"GET \/trace-line HTTP\/1\.1" 200 \d+ "-" "-" "-" [0-9a-f]{32} \d+\.\d{3} \d\.\d{3} \d\.\d{3} \d\.\d{3} \d\.\d{3}$/,
      );
    });
  });

  it('is JSON with AccessLogJSON, whatever the client sends', async () => {
    await withProxy({ AccessLogJSON: true, TraceLogging: true, TrustedProxies: ['127.0.0.1'] }, async (proxy) => {
      await proxy.get('app.local:81', '/json-line?a="\\', {
        'User-Agent': 'a"b\\c\u00e9{}',
        'X-Forwarded-For': '192.0.2.1',
        'X-Request-ID': 'my-id',
      });
      await proxy.get('empty.local', '/json-none');
      await sendRaw(proxy.http, 'NONSENSE json-nonsense\r\n\r\n');

      expect(JSON.parse(await lineOf(proxy, '/json-line'))).toMatchObject({
        request_id: 'my-id',
        client: '192.0.2.1',
        method: 'GET',
        scheme: 'http',
        host: 'app.local',
        uri: '/json-line?a="\\',
        protocol: 'HTTP/1.1',
        status: 200,
        bytes_sent: expect.any(Number) as number,
        request_seconds: expect.any(Number) as number,
        forwarded_for: '192.0.2.1',
        upstream_status: '200',
        upstream: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string,
      });
      expect(JSON.parse(await lineOf(proxy, '/json-none'))).toMatchObject({ status: 503, upstream: '' });
      const lines = (await proxy.nginx.output()).stdout.split('\n').filter((line) => line.startsWith('{'));
      expect(lines.map((line) => (JSON.parse(line) as { status: number }).status)).toContain(400);
    });
  });

  it('can be switched off', async () => {
    await withProxy({ AccessLogPath: 'off', AccessLogJSON: true }, async (proxy) => {
      await proxy.get('app.local', '/silent');

      expect((await proxy.nginx.output()).stdout).not.toContain('silent');
    });
  });
});
