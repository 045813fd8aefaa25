/** Services and clients for the traffic tests: echoing HTTP servers on loopback, and requests written byte by byte. */

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import { connect, createServer as createTcpServer, type Server as TcpServer } from 'node:net';
import type { Duplex } from 'node:stream';

export interface Echo {
  readonly service: string;
  readonly method: string;
  /** As it came over the wire. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: string;
}

export interface EchoService extends AsyncDisposable {
  readonly port: number;
  readonly requests: number;
}

/** PEM texts. */
export interface EchoCertificate {
  readonly certificate: string;
  readonly key: string;
}

/**
 * Answers every request with an `Echo` as JSON; `/status/<code>` with that code; upgrades to WebSocket with a correct handshake
 * and then sends back every byte it gets. With a certificate it speaks TLS.
 */
export async function startEcho(service: string, certificate?: EchoCertificate): Promise<EchoService> {
  let requests = 0;
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    requests += 1;
    void collect(request).then((body) => {
      const { method = '', url = '', headers } = request;
      const code = Number(/^\/status\/(\d+)$/.exec(url)?.[1] ?? 200);
      response.writeHead(code, { 'content-type': 'application/json', 'x-request-id': 'from-the-service' });
      response.end(JSON.stringify({ service, method, url, headers, body } satisfies Echo));
    });
  };
  const server =
    certificate === undefined
      ? createServer(answer)
      : createSecureServer({ cert: certificate.certificate, key: certificate.key }, answer);
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    const accept = createHash('sha1')
      .update(`${String(request.headers['sec-websocket-key'])}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nX-Origin: ${String(request.headers.origin)}\r\n\r\n`,
    );
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  const port = await listen(server);
  return {
    port,
    get requests() {
      return requests;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface LineService extends AsyncDisposable {
  readonly port: number;
}

/** Answers with the request line as it came, byte for byte: no parser in between. One request per connection. */
export async function startLines(): Promise<LineService> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', (chunk) => {
      const line = chunk.subarray(0, chunk.indexOf('\r\n'));
      const head = `HTTP/1.1 200 OK\r\nContent-Length: ${line.length}\r\nConnection: close\r\n\r\n`;
      socket.end(Buffer.concat([Buffer.from(head), line]));
    });
  });
  const port = await listen(server);
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function collect(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) {
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString();
}

/** On loopback; the port. */
export async function listen(server: Server | SecureServer | TcpServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') {
    throw new Error('no port');
  }
  return address.port;
}

export interface RawAnswer {
  /** Of the final answer. */
  readonly status: number;
  /** Lower-case names; repeated ones joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Everything that came, interim answers too. */
  readonly text: string;
}

/** Sends the bytes as they are on a new connection and reads until the server closes it. */
export async function sendRaw(port: number, request: string): Promise<RawAnswer> {
  return parseAnswer(await readAll(port, request));
}

/** The last answer in everything a server sent on one connection. */
export function parseAnswer(text: string): RawAnswer {
  const final = text.replace(/^(?:HTTP\/1\.1 1\d\d [^\r]*\r\n(?:[^\r]+\r\n)*\r\n)+/, '');
  const split = final.indexOf('\r\n\r\n');
  const [statusLine = '', ...lines] = final.slice(0, split).split('\r\n');
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const [, name = '', value = ''] = /^([^:]+):\s*(.*)$/.exec(line) ?? [];
    const key = name.toLowerCase();
    headers[key] = headers[key] === undefined ? value : `${headers[key]}, ${value}`;
  }
  return { status: Number(statusLine.split(' ')[1]), headers, body: dechunk(final.slice(split + 4), headers), text };
}

function readAll(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(request, 'latin1'));
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer within 10 s')));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
  });
}

function dechunk(body: string, headers: Readonly<Record<string, string>>): string {
  if (headers['transfer-encoding'] !== 'chunked') {
    return body;
  }
  let rest = body;
  let out = '';
  for (let size = Number.parseInt(rest, 16); size > 0; size = Number.parseInt(rest, 16)) {
    const from = rest.indexOf('\r\n') + 2;
    out += rest.slice(from, from + size);
    rest = rest.slice(from + size + 2);
  }
  return out;
}

export interface WebSocketAnswer {
  readonly status: number;
  /** The head of the answer. */
  readonly head: string;
  /** What came back for `ping`. */
  readonly echoed: string;
}

/** Opens a WebSocket to an echo service, sends `ping` and waits for its return. */
export function webSocketEcho(
  port: number,
  host: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<WebSocketAnswer> {
  const extra = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const handshake = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${extra.join('')}\r\n`;
  return new Promise((resolve, reject) => {
    let text = '';
    let sent = false;
    const socket = connect(port, '127.0.0.1', () => socket.write(handshake, 'latin1'));
    socket.setTimeout(10_000, () => socket.destroy(new Error(`no echo: ${text}`)));
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end >= 0 && !sent) {
        sent = true;
        socket.write('ping');
      }
      const echoed = text.slice(end + 4);
      const status = Number(text.split(' ')[1]);
      if (end >= 0 && (status !== 101 || echoed.length >= 4)) {
        socket.destroy();
        resolve({ status, head: text.slice(0, end), echoed });
      }
    });
  });
}
