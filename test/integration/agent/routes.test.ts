/** Requests per route, as a real NGINX tells of them and its agent counts them. */
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ClusterModel, HostEntry } from '../../../src/model/cluster.ts';
import { renderNginx } from '../../../src/render/nginx/render.ts';
import { DEFAULT_NGINX_OPTIONS, type NginxOptions, type NginxSize } from '../../../src/settings/nginx-options.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/nginx.ts';
import { local, model, port as toPort } from '../../support/render-models.ts';
import { createFakeCore, createWireBench, type WireBench } from '../../support/wire.ts';
import { type AgentProcess, startAgentProcess } from './agent-process.ts';

let bench: WireBench;
let corePort: number;
let port: number;
let metricsPort: number;
let service: Server;

beforeEach(async () => {
  bench = createWireBench();
  [port, metricsPort] = [await freePort(), await freePort()];
  service = createServer((request, response) => {
    response.statusCode = request.url?.endsWith('/missing') ? 404 : 200;
    response.end('hello');
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  const core = createFakeCore({
    async *agentSession(_caller, _hello, heard, signal) {
      yield { kind: 'none' };
      for await (const word of heard) {
        expect(word).toBeDefined();
        signal.throwIfAborted();
      }
    },
  });
  ({ port: corePort } = await bench.serve(core.handlers));
});
afterEach(async () => {
  service.close();
  await bench.close();
});

function cluster(): ClusterModel {
  const here = local((service.address() as AddressInfo).port);
  const plain = model(
    {
      '*.old.local': { '/': [] },
      '*.wild.local': { '/': here },
      'empty.local': { '/': [] },
      'moved.local': { '/': [] },
      'one.local': { '/': here },
      'other.local': { '/': here },
      'two.local': { '/app': here, '/app/admin': here },
    },
    { listen: { http: toPort(port), tls: toPort(443) } },
  );
  const moves = (host: HostEntry): HostEntry => ({
    ...host,
    redirects: [
      {
        source: { scheme: 'http', host: host.host, port: undefined },
        target: { scheme: 'https', host: 'new.local' as HostEntry['host'], port: undefined },
      },
    ],
  });
  return {
    ...plain,
    hosts: plain.hosts.map((host) => ({
      ...(/^(?:moved|\*\.old)\./.test(host.host) ? moves(host) : host),
      routes: host.routes.map((route) => ({ ...route, rewrite: route.prefix === '/app/admin' })),
    })),
    // By node addresses: loopback is on no overlay network.
    pools: plain.pools.map((pool) => ({ ...pool, network: { kind: 'host' } })),
  };
}

async function startAgent(options: Partial<NginxOptions>): Promise<AgentProcess> {
  // The TLS port has no host here; the machine's own is left alone.
  const { artifact } = renderNginx(
    cluster(),
    { ...DEFAULT_NGINX_OPTIONS, routeMetrics: true, ...options },
    { serverInfo: 'interlock/test' },
  );
  const text = Buffer.from(artifact.files[0]?.bytes ?? []).toString();
  const agent = await startAgentProcess({
    mounted: text.replace('listen 443 ssl', 'listen unix:/run/tls-port.sock ssl'),
    env: {
      INTERLOCK_ENDPOINT: `127.0.0.1:${corePort}`,
      INTERLOCK_EXTENSION: 'default',
      INTERLOCK_TASK_ID: 'task1',
      INTERLOCK_NODE_ID: 'node1',
      INTERLOCK_METRICS_PORT: String(metricsPort),
    },
  });
  await agent.master();
  return agent;
}

/** The answer's status, of bytes as they are. */
function send(text: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.once('close', () => resolve(Number(/^HTTP\/1.1 (\d+)/.exec(Buffer.concat(chunks).toString())?.[1])));
    socket.once('error', reject);
  });
}

const get = (host: string, path: string) => send(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);

async function metrics(): Promise<readonly string[]> {
  const answer = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
  return (await answer.text()).split('\n');
}

/** `host path class` -> how often; once NGINX has told of so many. */
const counted = (requests: number): Promise<Readonly<Record<string, number>>> =>
  eventually(
    async () => {
      const lines = await metrics();
      expect(lines).toContain(`interlock_route_lines_total ${requests}`);
      return Object.fromEntries(
        lines.flatMap((line) => {
          const [, host, path, code, count] =
            /^interlock_route_requests_total\{host="(.*)",path="(.*)",code="(.*)"\} (\d+)$/.exec(line) ?? [];
          return count === undefined ? [] : [[`${host} ${path} ${code}`, Number(count)]];
        }),
      );
    },
    { timeoutMs: 20_000 },
  );

describe('requests', { timeout: 60_000 }, () => {
  it('are counted per host and path as they were answered, and nothing else is named', async () => {
    await using agent = await startAgent({ clientMaxBodySize: '4' as NginxSize });
    const statuses = [
      await get('one.local', '/'),
      await get('ONE.local.', '/app'),
      await get(`one.local:${port}`, '/missing'),
      await get('other.local', '/any?thing=/x'),
      await get('two.local', '/app'),
      await get('two.local', '/app/x'),
      await get('two.local', '/app/admin/x/missing'),
      await get('two.local', '/app/admin//odd'),
      await get('two.local', '/apple'),
      await get('a.wild.local', '/'),
      await get('b.wild.local', '/'),
      await get('empty.local', '/'),
      await get('moved.local', '/x'),
      await get('c.old.local', '/x'),
      await get('never.heard.of', '/one.local'),
      await get('x" (none)', '/'),
      await send('NONSENSE\r\n\r\n'),
      await send('POST /app HTTP/1.1\r\nHost: two.local\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge'),
    ];
    expect(statuses).toEqual([
      200, 200, 404, 200, 200, 200, 404, 200, 404, 200, 200, 503, 302, 302, 503, 400, 400, 413,
    ]);
    expect(await counted(statuses.length)).toEqual({
      'one.local / 2xx': 2,
      'one.local / 4xx': 1,
      'other.local / 2xx': 1,
      'two.local /app 2xx': 2,
      'two.local /app/admin 2xx': 1,
      'two.local /app/admin 4xx': 1,
      // No such path, and a body that NGINX refuses before it is anybody's.
      'two.local (none) 4xx': 2,
      '*.wild.local / 2xx': 2,
      'empty.local / 5xx': 1,
      'moved.local (redirect) 3xx': 1,
      '*.old.local (redirect) 3xx': 1,
      '(unknown) (none) 5xx': 1,
      '(unknown) (none) 4xx': 2,
    });
    const lines = await metrics();
    expect(lines).toContain('interlock_route_request_seconds_count{host="two.local",path="/app"} 2');
    expect(lines).toContain('interlock_route_unreadable_total 0');
    expect(await agent.stderr()).not.toMatch(/uninitialized|logging to syslog/);
  });

  it('are counted with the access log off', async () => {
    await using agent = await startAgent({ accessLogPath: 'off' });
    expect(await get('one.local', '/')).toBe(200);
    expect(await counted(1)).toEqual({ 'one.local / 2xx': 1 });
    const served = await readFile(join(agent.runDir, 'interlock/conf/nginx.conf'), 'utf8');
    expect(served.match(/^ {2}access_log .*$/gm)).toEqual([expect.stringMatching(/ interlock_route;$/)]);
  });

  it('are not told of without the key', async () => {
    await using agent = await startAgent({ routeMetrics: false });
    expect(await get('one.local', '/')).toBe(200);
    expect(await get('two.local', '/app')).toBe(200);
    const served = await readFile(join(agent.runDir, 'interlock/conf/nginx.conf'), 'utf8');
    expect(served).not.toContain('interlock_route');
    const lines = await metrics();
    expect(lines).toContain('interlock_route_lines_total 0');
    expect(lines.filter((line) => line.includes('one.local'))).toEqual([]);
  });
});
