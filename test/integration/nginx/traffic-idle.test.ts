/** Connections kept to upstreams count as NGINX's connections: with many pools they must not leave clients without. */
import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { idleConnections, idleConnectionsOf } from '../../../src/render/nginx/upstreams.ts';
import { local, model } from '../../support/render-models.ts';
import { startProxy, type TestProxy } from './proxy.ts';
import { type EchoService, startEcho } from './services.ts';

const HOSTS = Array.from({ length: 120 }, (_, index) => `app-${index}.local`);

let apps: readonly EchoService[];
let proxy: TestProxy;

beforeAll(async () => {
  apps = await Promise.all(['a', 'b', 'c'].map((name) => startEcho(name)));
  const endpoints = local(...apps.map(({ port }) => port));
  const routes = Object.fromEntries(HOSTS.map((host) => [host, { '/': endpoints }]));
  proxy = await startProxy(model(routes), { MaxConnections: 128, WorkerProcesses: 1 });
});

afterAll(async () => {
  await proxy.stop();
  await Promise.all(apps.map((app) => app[Symbol.asyncDispose]()));
});

it('every host is answered while each has idle connections to its upstreams', async () => {
  const agent = new Agent({ connections: 8, pipelining: 1 });
  const statuses = new Map<number, number>();
  // Three times, so that each pool has a connection to each of its three servers: 360 of them, with 128 allowed in use.
  const hosts = [...HOSTS, ...HOSTS, ...HOSTS];
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let host = hosts.pop(); host !== undefined; host = hosts.pop()) {
        const { statusCode, body } = await request(`http://127.0.0.1:${proxy.http}`, {
          dispatcher: agent,
          headers: { host },
        });
        await body.dump();
        statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1);
      }
    }),
  );
  await agent.close();

  expect(Object.fromEntries(statuses)).toEqual({ 200: 3 * HOSTS.length });
});

it.each([
  [1, 32],
  [1_536, 49_152],
  [1_537, 49_152],
  [10_000, 49_152],
  [100_000, 49_152],
])('a worker has room for the idle connections of %d pools: %d', (pools, most) => {
  expect(idleConnections(pools)).toBe(most);
});

it.each([
  [10_240, 32],
  [10_241, 16],
  [20_481, 8],
  [1_000_000, 1],
])('each of %d pools keeps at most %d per worker', (pools, most) => {
  expect(idleConnectionsOf(pools)('app.local/')).toBe(most);
});
