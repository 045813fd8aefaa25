/**
 * A pool whose network the proxy's task is not attached to: the agent puts the internal socket in the place of its servers, and the
 * route answers 503. Here by the same change of the text.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ArtifactFile } from '../../../src/model/artifact.ts';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import type { CookieName } from '../../../src/model/names.ts';
import { UNAVAILABLE_SOCKET } from '../../../src/render/nginx/status.ts';
import { freePort, type RunningNginx, startNginx } from '../../support/nginx.ts';
import { endpoint, local, model, port } from '../../support/render-models.ts';
import { filesOf, getRequest } from './proxy.ts';
import { type EchoService, sendRaw, startEcho } from './services.ts';

let app: EchoService;
let http: number;
let nginx: RunningNginx;

/** Addresses of a network that is not there. */
const AWAY = [endpoint('10.99.0.1', 80), endpoint('10.99.0.2', 8080)];

beforeAll(async () => {
  const [httpPort, tls] = await Promise.all([freePort(), freePort()]);
  http = httpPort;
  app = await startEcho('app');
  const cluster = model(
    {
      'away.local': { '/': AWAY },
      'mixed.local': { '/': local(app.port), '/cut': AWAY, '/safe': AWAY, '/sticky': AWAY },
    },
    { listen: { http: port(http), tls: port(tls) } },
  );
  nginx = await startNginx(filesOf(withSettings(cluster), { WorkerProcesses: 1 }).map(outOfReach));
}, 60_000);

afterAll(async () => {
  await nginx.stop();
  await app[Symbol.asyncDispose]();
});

function withSettings(cluster: ClusterModel): ClusterModel {
  return {
    ...cluster,
    hosts: cluster.hosts.map((entry) => ({
      ...entry,
      routes: entry.routes.map((route) => ({ ...route, rewrite: route.prefix === '/cut' || route.prefix === '/safe' })),
    })),
    pools: cluster.pools.map((pool) => ({
      ...pool,
      ...(pool.id.endsWith('/safe') ? { upstreamTls: { kind: 'on', verify: { kind: 'none' } } } : {}),
      ...(pool.id.endsWith('/sticky') ? { balance: { kind: 'cookie', cookie: 'sid' as CookieName } } : {}),
    })),
  };
}

function outOfReach(file: ArtifactFile): ArtifactFile {
  const text = Buffer.from(file.bytes)
    .toString()
    .replace(/server 10\.99\.[^;]*;/g, `server unix:${UNAVAILABLE_SOCKET};`)
    .replaceAll('proxy_pass https://', 'proxy_pass http://');
  return { ...file, bytes: Buffer.from(text) };
}

describe('a pool out of reach', () => {
  it.each([
    ['away.local', '/'],
    ['away.local', '/a%2Fb?'],
    ['mixed.local', '/cut/x'],
    ['mixed.local', '/cut/x%2F'],
    ['mixed.local', '/safe/x'],
    ['mixed.local', '/safe//x'],
    ['mixed.local', '/sticky'],
  ])('answers 503 with Retry-After, and each header once: %s%s', async (host, path) => {
    const answer = await sendRaw(http, getRequest(host, path, { Cookie: 'sid=1', 'X-Request-ID': 'mine' }));

    expect(answer.status).toBe(503);
    expect(answer.headers).toMatchObject({ 'retry-after': '5', 'x-request-id': 'mine', 'content-type': 'text/html' });
    expect(answer.body).toContain('No task of this service is running.');
  });

  it('answers requests with bodies, of any size that is allowed', async () => {
    const size = 512 * 1024;
    const answer = await sendRaw(
      http,
      `POST / HTTP/1.1\r\nHost: away.local\r\nConnection: close\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`,
    );

    expect(answer.status).toBe(503);
  });

  it('is not marked as failed: it answers the same again and again', async () => {
    for (let round = 0; round < 10; round += 1) {
      expect((await sendRaw(http, getRequest('away.local', '/'))).status).toBe(503);
    }
  });

  it('harms no other path of the host', async () => {
    expect((await sendRaw(http, getRequest('mixed.local', '/'))).status).toBe(200);
  });
});
