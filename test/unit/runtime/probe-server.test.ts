import { createServer } from 'node:net';
import { request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/runtime/clock.ts';
import { createLogger } from '../../../src/runtime/logging.ts';
import { ownAddressTowards } from '../../../src/runtime/own-address.ts';
import { createProbeServer, type ProbeServerOptions, type Readiness } from '../../../src/runtime/probe-server.ts';

let stop: AbortController;
let running: Promise<void> | undefined;
const lines: string[] = [];
const logger = createLogger({ level: 'debug', component: 'test' }, { write: (line) => void lines.push(line) });

beforeEach(() => {
  stop = new AbortController();
  lines.length = 0;
});
afterEach(async () => {
  stop.abort();
  await running;
});

const READY: Readiness = { ready: true, words: 'ready' };

/** Its address, once it listens. */
function start(options: Partial<ProbeServerOptions> = {}): Promise<string> {
  return new Promise((resolve) => {
    running = createProbeServer({
      name: 'probes',
      address: () => Promise.resolve({ host: '127.0.0.1', port: 0 }),
      ready: () => READY,
      metrics: () => Promise.resolve('m 1\n'),
      logger,
      clock: systemClock,
      onListening: (port) => {
        resolve(`http://127.0.0.1:${port}`);
      },
      ...options,
    }).run(stop.signal);
  });
}

async function ask(url: string, method: 'GET' | 'HEAD' | 'POST' = 'GET'): Promise<[number, string]> {
  const { statusCode, body } = await request(url, { method, reset: true });
  return [statusCode, await body.text()];
}

describe('createProbeServer', () => {
  it('answers what people, Prometheus and balancers ask, and nothing else', async () => {
    const now = { ready: false, words: 'NGINX starts' };
    const base = await start({ ready: () => now });
    expect(await ask(`${base}/healthz`)).toEqual([200, 'ok\n']);
    expect(await ask(`${base}/readyz`)).toEqual([503, 'NGINX starts\n']);
    now.ready = true;
    expect(await ask(`${base}/readyz?verbose`)).toEqual([200, 'NGINX starts\n']);
    expect(await ask(`${base}/metrics`)).toEqual([200, 'm 1\n']);
    expect(await ask(`${base}/metrics`, 'HEAD')).toEqual([200, '']);
    expect((await ask(`${base}/`))[0]).toBe(404);
    expect((await ask(`${base}/%2e%2e/etc/passwd`))[0]).toBe(404);
    expect((await ask(`${base}/metrics`, 'POST'))[0]).toBe(405);
  });

  it('offers no metrics where it was given none', async () => {
    const base = await start({ metrics: undefined });
    expect((await ask(`${base}/metrics`))[0]).toBe(404);
  });

  it('answers 500 for what it cannot make, and goes on', async () => {
    const base = await start({ metrics: () => Promise.reject(new Error('no')) });
    expect((await ask(`${base}/metrics`))[0]).toBe(500);
    expect((await ask(`${base}/healthz`))[0]).toBe(200);
  });

  it('tries again while its port is taken or its address is not known yet, and says so once', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    const tries: string[] = [];
    const base = await start({
      address() {
        tries.push('try');
        if (tries.length === 1) {
          throw new Error('too early');
        }
        if (tries.length === 3) {
          other.close();
        }
        return Promise.resolve({ host: '127.0.0.1', port });
      },
      clock: { now: () => 0, monotonic: () => 0, sleep: () => new Promise((resolve) => setImmediate(resolve)) },
    });
    expect((await ask(`${base}/healthz`))[0]).toBe(200);
    expect(lines.filter((line) => line.includes('"level":"warn"'))).toHaveLength(1);
  });

  it('ends at once with a client that holds its connection', async () => {
    const base = await start();
    const held = await request(`${base}/healthz`);
    await held.body.text();
    stop.abort();
    await running;
    await expect(ask(`${base}/healthz`)).rejects.toThrow();
  });
});

describe('ownAddressTowards', () => {
  it('is the address that the other side would see', async () => {
    expect(await ownAddressTowards('127.0.0.1:8080', stop.signal)).toBe('127.0.0.1');
    expect(await ownAddressTowards('localhost:8080', stop.signal)).toMatch(/^(?:127\.0\.0\.1|::1)$/);
  });

  it('says that a name is not known', async () => {
    await expect(ownAddressTowards('no-such-host.invalid:1', stop.signal)).rejects.toThrow();
  });
});
