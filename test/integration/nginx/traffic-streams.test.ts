/** What takes long or is large, through a real NGINX: events, downloads, uploads, trailers, interim answers. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/nginx.ts';
import { local, model } from '../../support/render-models.ts';
import { startProxy, type TestProxy } from './proxy.ts';
import { listen, sendRaw } from './services.ts';

const MIB = 1024 * 1024;
const BLOCK = Buffer.alloc(64 * 1024, 'x');

/** What the service has seen, told by the path. */
interface Seen {
  readonly uploads: Map<string, number>;
  readonly downloads: Map<string, number>;
  readonly streams: Map<string, ServerResponse>;
}

let seen: Seen;
let service: { readonly port: number; readonly close: () => Promise<void> };
let proxy: TestProxy;

async function startStreams() {
  seen = { uploads: new Map(), downloads: new Map(), streams: new Map() };
  const server = createServer((request, response) => {
    answer(request, response);
  });
  const port = await listen(server);
  return {
    port,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { pathname: path } = new URL(request.url ?? '/', 'http://x');
  switch (path.split('/')[1] ?? '') {
    case 'events':
    case 'unchunked':
      response.useChunkedEncodingByDefault = path.startsWith('/events');
      response.writeHead(200, {
        'content-type': 'text/event-stream',
        ...(path.startsWith('/unchunked') ? { connection: 'close' } : {}),
      });
      response.flushHeaders();
      seen.streams.set(path, response);
      break;
    case 'download':
      sendMuch(path, 256 * MIB, response);
      break;
    case 'upload':
      receive(path, request, response);
      break;
    case 'trailers':
      response.writeHead(200, {
        trailer: 'x-checksum',
        'x-te': String(request.headers['te']),
        'x-connection': String(request.headers.connection),
      });
      response.write('body');
      response.addTrailers({ 'x-checksum': 'abc' });
      response.end();
      break;
    default:
      response.end('ok');
  }
}

function sendMuch(path: string, size: number, response: ServerResponse): void {
  response.writeHead(200, { 'content-length': size });
  let sent = 0;
  const push = () => {
    while (sent < size && !response.destroyed) {
      sent += BLOCK.length;
      seen.downloads.set(path, sent);
      if (!response.write(BLOCK)) {
        response.once('drain', push);
        return;
      }
    }
    response.end();
  };
  push();
}

function receive(path: string, request: IncomingMessage, response: ServerResponse): void {
  seen.uploads.set(path, 0);
  request.on('data', (chunk: Buffer) => seen.uploads.set(path, (seen.uploads.get(path) ?? 0) + chunk.length));
  request.on('end', () => response.end(String(seen.uploads.get(path))));
  request.on('error', () => response.destroy());
}

beforeAll(async () => {
  service = await startStreams();
  const cluster = model({
    'plain.local': { '/': local(service.port) },
    'paths.local': { '/': local(service.port), '/app': local(service.port) },
    'half-dead.local': { '/': local(await freePort(), service.port) },
  });
  const hosts = cluster.hosts.map((entry) => ({
    ...entry,
    routes: entry.routes.map((route) => ({ ...route, rewrite: route.prefix === '/app' })),
  }));
  proxy = await startProxy({ ...cluster, hosts }, { WorkerProcesses: 1, ClientMaxBodySize: '300m' });
}, 60_000);

afterAll(async () => {
  await proxy.stop();
  await service.close();
});

/** A connection that is read byte by byte, as far as asked for. */
async function open(request: string): Promise<{ socket: Socket; text: () => string }> {
  const socket = connect(proxy.http, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => socket.destroy());
  socket.write(request, 'latin1');
  await new Promise((resolve) => socket.once('connect', resolve));
  return { socket, text: () => text };
}

describe('server-sent events', () => {
  it.each([
    ['plain.local', '/events/plain', '/events/plain'],
    ['paths.local', '/app/events/app', '/events/app'],
    ['paths.local', '/app/events/app%2Fodd', '/events/app%2Fodd'],
    ['plain.local', '/unchunked/plain', '/unchunked/plain'],
  ])('arrive one by one: %s%s', async (host, path, atService) => {
    const { socket, text } = await open(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n\r\n`);

    const stream = await eventually(() => must(seen.streams.get(atService)));
    await eventually(() => text().includes('text/event-stream'));
    for (let event = 1; event <= 3; event += 1) {
      stream.write(`data: ${event}\n\n`);
      await eventually(() => text().includes(`data: ${event}\n\n`));
    }
    socket.destroy();

    // The service learns that the client is gone.
    await eventually(() => stream.destroyed || stream.closed);
  });
});

describe('a large download', () => {
  it('to a client that reads nothing is held back at the service, not kept here', async () => {
    const socket = connect(proxy.http, '127.0.0.1');
    socket.on('error', () => socket.destroy());
    socket.pause();
    socket.write('GET /download/slow HTTP/1.1\r\nHost: plain.local\r\n\r\n');

    const stalled = await standstill(() => seen.downloads.get('/download/slow') ?? 0);
    const memory = await memoryOfWorkers();
    const disk = await spooled();
    socket.destroy();

    expect(stalled).toBeGreaterThan(0);
    expect(stalled).toBeLessThan(64 * MIB);
    expect(memory).toBeLessThan(40 * MIB);
    expect(disk).toBe(0);
  });

  it('arrives whole', async () => {
    const { size } = await download('plain.local', '/download/whole');

    expect(size).toBe(256 * MIB);
  });
});

describe('a large upload', () => {
  it.each([
    ['plain.local', '/upload/a', '/upload/a'],
    ['paths.local', '/app/upload/b%2F', '/upload/b%2F'],
    ['half-dead.local', '/upload/c', '/upload/c'],
  ])('reaches the service while it is sent, and is kept nowhere: %s%s', async (host, path, atService) => {
    const size = 64 * MIB;
    const { socket, text } = await open(
      `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Length: ${size}\r\n\r\n`,
    );
    await write(socket, size / 2);
    await eventually(() => seen.uploads.get(atService) === size / 2);
    const memory = await memoryOfWorkers();
    const disk = await spooled();
    await write(socket, size / 2);
    await eventually(() => text().endsWith(String(size)) || text().includes(`\r\n${size}\r\n`));

    expect(disk).toBe(0);
    expect(memory).toBeLessThan(40 * MIB);
  });

  it('in chunks too', async () => {
    const { socket, text } = await open(
      'POST /upload/chunked HTTP/1.1\r\nHost: plain.local\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
    );
    await eventually(() => seen.uploads.get('/upload/chunked') === 5);
    socket.write('6\r\n world\r\n0\r\n\r\n');

    await eventually(() => text().includes('200 OK') && text().includes('11'));
  });

  it('above ClientMaxBodySize is refused with 413 before any of it is sent', async () => {
    const answerText = await sendRaw(
      proxy.http,
      `POST /upload/over HTTP/1.1\r\nHost: plain.local\r\nConnection: close\r\nContent-Length: ${301 * MIB}\r\n\r\n`,
    );

    expect(answerText.status).toBe(413);
    expect(seen.uploads.has('/upload/over')).toBe(false);
  });
});

describe('trailers', () => {
  const request = (te: string) =>
    `GET /trailers HTTP/1.1\r\nHost: plain.local\r\n${te === '' ? '' : `TE: ${te}\r\n`}Connection: close${te === '' ? '' : ', TE'}\r\n\r\n`;

  it.each(['trailers', 'gzip, trailers', 'Trailers'])('reach who asks for them: TE: %s', async (te) => {
    const { text, headers } = await sendRaw(proxy.http, request(te));

    expect(text).toMatch(/\r\n0\r\nx-checksum: abc\r\n\r\n$/i);
    expect([headers['x-te'], headers['x-connection']]).toEqual(['trailers', 'te']);
  });

  it.each(['', 'gzip', 'nottrailers'])('and nobody else: TE: %s', async (te) => {
    const { text, headers } = await sendRaw(proxy.http, request(te));

    expect(text).toContain('body');
    expect(headers['x-te']).toBe('undefined');
    expect(headers['x-connection']).not.toBe('te');
  });
});

it('a client that waits for 100 Continue is told to go on by NGINX itself', async () => {
  const { socket, text } = await open(
    'POST /upload/expect HTTP/1.1\r\nHost: plain.local\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n',
  );
  await eventually(() => text().startsWith('HTTP/1.1 100 Continue\r\n\r\n'));
  socket.write('hello');

  await eventually(() => text().includes('HTTP/1.1 200 OK'));
});

function must<Value>(value: Value | undefined): Value {
  expect(value).toBeDefined();
  return value as Value;
}

async function write(socket: Socket, size: number): Promise<void> {
  for (let sent = 0; sent < size; sent += BLOCK.length) {
    if (!socket.write(BLOCK)) {
      await new Promise((resolve) => socket.once('drain', resolve));
    }
  }
}

async function download(host: string, path: string): Promise<{ readonly size: number }> {
  return new Promise((resolve, reject) => {
    let size = 0;
    const socket = connect(proxy.http, '127.0.0.1', () =>
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`),
    );
    let head = '';
    socket.on('data', (chunk: Buffer) => {
      if (head.includes('\r\n\r\n')) {
        size += chunk.length;
        return;
      }
      head += chunk.toString('latin1');
      size = head.includes('\r\n\r\n') ? head.length - head.indexOf('\r\n\r\n') - 4 : 0;
    });
    socket.on('error', reject);
    socket.on('close', () => {
      resolve({ size });
    });
  });
}

/** The value once it has not changed between two looks. */
async function standstill(read: () => number): Promise<number> {
  let last = -1;
  await eventually(
    () => {
      const before = last;
      last = read();
      return last > 0 && last === before;
    },
    { everyMs: 300 },
  );
  return last;
}

/** Resident bytes of the largest worker. */
async function memoryOfWorkers(): Promise<number> {
  const children = await readFile(`/proc/${proxy.nginx.pid}/task/${proxy.nginx.pid}/children`, 'utf8');
  const sizes = await Promise.all(
    children
      .trim()
      .split(' ')
      .map(async (pid) => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024),
  );
  return Math.max(...sizes);
}

/** Bytes in NGINX's temporary folders. */
async function spooled(): Promise<number> {
  const folder = `/proc/${proxy.nginx.pid}/root/var/cache/nginx`;
  const names = await readdir(folder, { recursive: true });
  expect(names.length).toBeGreaterThan(0);
  const files = await Promise.all(names.map(async (name) => stat(join(folder, name))));
  return files.filter((file) => file.isFile()).reduce((sum, file) => sum + file.size, 0);
}
