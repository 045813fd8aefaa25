/** What is open while the file is exchanged, through a real NGINX with the rendered file: WebSockets, downloads, and the workers that keep them. */
import { createServer, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { acceptingWorkers, workers } from '../../../src/agent/nginx/workers.ts';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import { eventually } from '../../support/eventually.ts';
import { local, model } from '../../support/render-models.ts';
import { echoOf, startProxy, type TestProxy } from './proxy.ts';
import { type EchoService, listen, startEcho } from './services.ts';

const HOST = 'app.local';
const CHUNK = 'x'.repeat(10_000);
const ROUNDS = 5;

let one: EchoService;
let two: EchoService;
let download: { readonly port: number; readonly answers: ServerResponse[]; readonly close: () => Promise<void> };

beforeAll(async () => {
  [one, two, download] = await Promise.all([startEcho('one'), startEcho('two'), startDownloads()]);
});

afterAll(async () => {
  await Promise.all([one[Symbol.asyncDispose](), two[Symbol.asyncDispose](), download.close()]);
});

/** Says how long the answer will be; the test writes it. */
async function startDownloads() {
  const answers: ServerResponse[] = [];
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-length': CHUNK.length * ROUNDS });
    response.flushHeaders();
    answers.push(response);
  });
  const port = await listen(server);
  return {
    port,
    answers,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const routesTo = (service: EchoService): ClusterModel =>
  model({ [HOST]: { '/': local(service.port), '/download': local(download.port) } });

interface Client {
  readonly socket: Socket;
  /** All that came so far. */
  text(): string;
}

async function open(proxy: TestProxy, path: string, headers = ''): Promise<Client> {
  const socket = connect(proxy.http, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => socket.destroy());
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n${headers}\r\n`);
  await eventually(() => text.includes('\r\n\r\n'));
  return { socket, text: () => text };
}

const openWebSocket = (proxy: TestProxy) =>
  open(
    proxy,
    '/ws',
    'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n',
  );

/** Whether these bytes went to the service and came back. */
async function echoes({ socket, text }: Client, words: string): Promise<boolean> {
  if (socket.destroyed) {
    return false;
  }
  socket.write(words);
  return eventually(() => text().endsWith(words) || socket.destroyed, { everyMs: 5 }).then(() => !socket.destroyed);
}

/** Until no worker of before accepts any more. */
async function reloaded(proxy: TestProxy, service: EchoService): Promise<void> {
  const { pid } = proxy.nginx;
  const before = new Set(acceptingWorkers(pid));
  await proxy.reload(routesTo(service));
  await eventually(() => {
    const now = acceptingWorkers(pid);
    return now.length > 0 && now.every((worker) => !before.has(worker));
  });
}

const finishing = ({ nginx: { pid } }: TestProxy) => workers(pid).length - acceptingWorkers(pid).length;

describe('over one reload after the other', () => {
  it('a WebSocket and a download go on, new requests meet the new file, and the old workers go when both are over', async () => {
    await using proxy = await startProxy(routesTo(one), { WorkerProcesses: 1 });
    const webSocket = await openWebSocket(proxy);
    expect(webSocket.text()).toContain('HTTP/1.1 101');
    const file = await open(proxy, '/download');
    const answer = await eventually(() => download.answers.at(-1) ?? expect.fail('not asked yet'));

    for (let round = 1; round <= ROUNDS; round += 1) {
      const service = round % 2 === 1 ? two : one;
      await reloaded(proxy, service);
      expect(echoOf(await proxy.get(HOST)).service).toBe(service === two ? 'two' : 'one');
      expect(await echoes(webSocket, `round ${round}`)).toBe(true);
      answer.write(CHUNK);
      await eventually(() => file.text().split('\r\n\r\n')[1]?.length === CHUNK.length * round);
      expect(finishing(proxy)).toBe(1);
    }

    answer.end();
    webSocket.socket.destroy();
    file.socket.destroy();
    await eventually(() => finishing(proxy) === 0);
  });

  it('a WebSocket that outlasts ReadTimeout and SendTimeout is cut, so that old workers do not pile up', async () => {
    const config = { WorkerProcesses: 1, ReadTimeout: '1s', SendTimeout: '1s' };
    await using proxy = await startProxy(routesTo(one), config);
    const webSocket = await openWebSocket(proxy);
    // For as long as it talks, neither timeout is anything to it.
    for (const sinceMs = Date.now(); Date.now() - sinceMs < 2_000; ) {
      expect(await echoes(webSocket, `${Date.now()}`)).toBe(true);
    }

    await reloaded(proxy, two);
    expect(finishing(proxy)).toBe(1);
    await eventually(async () => !(await echoes(webSocket, `${Date.now()}`)), { everyMs: 5 });
    await eventually(() => finishing(proxy) === 0);
    expect(echoOf(await proxy.get(HOST)).service).toBe('two');
  });
});
