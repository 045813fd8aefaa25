import {
  createServer,
  get,
  Agent as HttpAgent,
  type IncomingMessage,
  type RequestOptions,
  type Server,
} from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, startAgent } from './real-nginx.ts';

const MEGABYTE = Buffer.alloc(1024 * 1024, 'x');
let upstream: Server;
let proxyPass: string;

/** The app behind: /slow answers after 1 s, /download sends 8 MB over about 1.5 s, anything else at once. */
beforeAll(async () => {
  upstream = createServer((request, response) => {
    if (request.url === '/slow') {
      setTimeout(() => response.end('slow'), 1_000);
    } else if (request.url === '/download') {
      let sent = 0;
      const timer = setInterval(() => {
        response.write(MEGABYTE);
        sent += 1;
        if (sent === 8) {
          clearInterval(timer);
          response.end();
        }
      }, 190);
    } else {
      response.end('fast');
    }
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const { port } = upstream.address() as AddressInfo;
  proxyPass = `server { listen 127.0.0.1:PORT; location / { proxy_pass http://127.0.0.1:${port}; proxy_buffering off; } }`;
});
afterAll(() => new Promise((resolve) => upstream.close(resolve)));

describe('the stop signal', () => {
  it('lets a slow response finish, refuses new connections meanwhile, and ends with 0', async () => {
    await using agent = await startAgent(proxyPass);
    await agent.reached('serving');
    const slow = fetchText({ port: agent.port, path: '/slow' });
    await inFlight();

    agent.signal('SIGTERM');

    await eventually(async () => (await connectError(agent.port)) === 'ECONNREFUSED');
    await expect(slow).resolves.toEqual({ status: 200, bytes: 4 });
    await expect(agent.exitCode).resolves.toBe(0);
    await expect(agent.pids()).resolves.toEqual([]);
  });

  it('lets a large download finish', async () => {
    await using agent = await startAgent(proxyPass);
    await agent.reached('serving');
    const download = fetchText({ port: agent.port, path: '/download' });
    await inFlight();

    agent.signal('SIGQUIT');

    await expect(download).resolves.toEqual({ status: 200, bytes: 8 * MEGABYTE.length });
    await expect(agent.exitCode).resolves.toBe(0);
  });

  it('closes idle kept connections and does not wait for their own time-out', async () => {
    await using agent = await startAgent(proxyPass);
    await agent.reached('serving');
    const idle = await keptConnection(agent.port);
    const closed = new Promise((resolve) => idle.once('close', resolve));
    const began = Date.now();

    agent.signal('SIGTERM');

    await closed;
    await expect(agent.exitCode).resolves.toBe(0);
    // keepalive_timeout is 75 s; keepalive_min_timeout 1 s.
    expect(Date.now() - began).toBeLessThan(10_000);
  });

  it('answers on a kept connection for keepalive_min_timeout, with Connection: close', async () => {
    await using agent = await startAgent(proxyPass);
    await agent.reached('serving');
    const kept = await keptConnection(agent.port);

    agent.signal('SIGTERM');
    await eventually(async () => (await connectError(agent.port)) === 'ECONNREFUSED');
    const answer = new Promise<string>((resolve) => kept.once('data', (data) => resolve(String(data))));
    kept.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');

    await expect(answer).resolves.toMatch(/^HTTP\/1.1 200 [\s\S]*connection: close/i);
    await expect(agent.exitCode).resolves.toBe(0);
  });

  it('cuts what is in flight when it comes a second time', async () => {
    await using agent = await startAgent(proxyPass);
    await agent.reached('serving');
    const slow = fetchText({ port: agent.port, path: '/slow' });
    const failed = expect(slow).rejects.toThrow();
    await inFlight();

    agent.signal('SIGTERM');
    await agent.reached('draining');
    agent.signal('SIGTERM');

    await failed;
    await expect(agent.exitCode).resolves.toBe(0);
    await expect(agent.pids()).resolves.toEqual([]);
  });

  it('ends an NGINX at any moment of its start', async () => {
    for (const delayMs of [0, 5, 10, 15, 20, 30, 50]) {
      await using agent = await startAgent(proxyPass);
      await new Promise((resolve) => setTimeout(resolve, delayMs));

      agent.signal('SIGTERM');

      await expect(agent.exitCode).resolves.toBe(0);
      // What the script that starts NGINX here had begun itself ends a moment after it.
      await eventually(async () => (await agent.pids()).length === 0);
    }
  });
});

describe('a running NGINX', () => {
  it('reads its file again on SIGHUP', async () => {
    await using agent = await startAgent('server { listen 127.0.0.1:PORT; return 201; }');
    await agent.reached('serving');
    await agent.rewrite('server { listen 127.0.0.1:PORT; return 202; }');

    agent.signal('SIGHUP');

    await eventually(async () => (await fetchText({ port: agent.port })).status === 202);
  });

  it('keeps the old file when the new one is refused, and says why', async () => {
    await using agent = await startAgent('server { listen 127.0.0.1:PORT; return 201; }');
    await agent.reached('serving');
    await agent.rewrite('nonsense on;');

    agent.signal('SIGHUP');

    await eventually(async () => (await agent.stderr()).includes('unknown directive "nonsense"'));
    expect((await fetchText({ port: agent.port })).status).toBe(201);
  });

  it('takes the agent along when its master is killed', async () => {
    await using agent = await startAgent('server { listen 127.0.0.1:PORT; return 201; }');
    await agent.reached('serving');
    const [master] = await agent.pids();
    expect(master).toBeDefined();

    process.kill(master ?? 0, 'SIGTERM');

    await expect(agent.exitCode).resolves.toBe(1);
  });
});

describe('a file that NGINX refuses', () => {
  it("ends the agent with NGINX's code, its words on stderr", async () => {
    await using agent = await startAgent('nonsense on;');

    await expect(agent.exitCode).resolves.toBe(1);
    await expect(agent.stderr()).resolves.toContain('unknown directive "nonsense"');
  });
});

interface Answer {
  readonly status: number | undefined;
  readonly bytes: number;
}

function fetchText(options: RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', agent: new HttpAgent({ keepAlive: false }), ...options }, (response) => {
      readAll(response).then((bytes) => resolve({ status: response.statusCode, bytes }), reject);
    });
    request.once('error', reject);
  });
}

async function readAll(response: IncomingMessage): Promise<number> {
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length;
  }
  return bytes;
}

/** Long enough for a request to reach the app. */
function inFlight(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 150));
}

function connectError(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
  });
}

/** A connection that has had one answer and stays open. */
function keptConnection(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
    socket.once('data', () => resolve(socket));
    socket.once('error', reject);
  });
}
