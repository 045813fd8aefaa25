/** `max_fails` and `fail_timeout`: how many broken connections take a task out, and that an application's own errors never do. */
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClusterModel, Pool } from '../../../src/model/cluster.ts';
import { local, model } from '../../support/render-models.ts';
import { startProxy } from './proxy.ts';
import { type EchoService, listen, startEcho } from './services.ts';

const REQUESTS = 20;
/** NGINX counts failures per worker process. */
const ONE_WORKER = { WorkerProcesses: 1 };

interface Breaking extends AsyncDisposable {
  readonly port: number;
  readonly connections: number;
}

let good: EchoService;
let breaking: Breaking;

beforeAll(async () => {
  [good, breaking] = await Promise.all([startEcho('good'), startBreaking()]);
});

afterAll(async () => {
  await Promise.all([good, breaking].map((service) => service[Symbol.asyncDispose]()));
});

/** Takes connections and drops them when a request comes. */
async function startBreaking(): Promise<Breaking> {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.on('error', () => socket.destroy());
    socket.once('data', () => socket.destroy());
  });
  const port = await listen(server);
  return {
    port,
    get connections() {
      return connections;
    },
    [Symbol.asyncDispose]: async () => {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function failing(cluster: ClusterModel, maxFails: number): ClusterModel {
  const change = (pool: Pool): Pool => ({ ...pool, failure: { maxFails, failTimeoutSeconds: 600 } });
  return { ...cluster, pools: cluster.pools.map(change) };
}

describe('a task that breaks its connections', () => {
  it.each([
    ['1: after the first', 1, 1],
    ['3: after the third', 3, 3],
    ['0: never; each of its turns is tried', 0, REQUESTS / 2],
  ])('is left out by max_fails %s, and no request fails meanwhile', async (_what, maxFails, tried) => {
    const cluster = failing(model({ 'app.local': { '/': local(good.port, breaking.port) } }), maxFails);
    await using proxy = await startProxy(cluster, ONE_WORKER);
    const before = breaking.connections;

    for (let count = 0; count < REQUESTS; count += 1) {
      expect((await proxy.get('app.local')).status).toBe(200);
    }

    const hits = breaking.connections - before;
    expect(maxFails === 0 ? hits >= tried - 1 && hits <= REQUESTS : hits === tried).toBe(true);
  });
});

describe('a task that answers 500', () => {
  it('keeps its share, with max_fails 1 too', async () => {
    await using other = await startEcho('other');
    const cluster = failing(model({ 'app.local': { '/': local(good.port, other.port) } }), 1);
    await using proxy = await startProxy(cluster, ONE_WORKER);
    const before = good.requests;

    for (let count = 0; count < REQUESTS; count += 1) {
      expect((await proxy.get('app.local', '/status/500')).status).toBe(500);
    }

    expect(good.requests - before).toBe(REQUESTS / 2);
    expect(other.requests).toBe(REQUESTS / 2);
  });
});
