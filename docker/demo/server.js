/**
 * A small application to route to: it says who answers. Plain JavaScript on Node alone, so that its image needs no build.
 *
 *   GET  /                 text: host name, task, time, what was asked, the headers as they arrived
 *   GET  /healthz          200, or 503 while it stops or after POST /unhealthy
 *   GET  /slow?ms=N        the same text as / after N milliseconds
 *   GET  /stream?n=N&ms=M  N lines, one every M milliseconds
 *   GET  /status?code=N    an answer with that status
 *   GET  /bytes?n=N        N bytes
 *   POST /echo             the body as it came; PUT likewise
 *   POST /unhealthy        /healthz answers 503 from now on
 *   GET  /cookie?name=N    the same text as /, and a cookie N with the host name
 *   WebSocket, any path    every message comes back
 *
 * Settings: PORT (default 8080), DEMO_NAME (a word for the text), DRAIN_MS (how long after SIGTERM connections are still
 * accepted, default 0), TLS_PORT with TLS_CERT and TLS_KEY (files in PEM: the same over TLS). What is in flight is finished.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import os from 'node:os';

const port = Number(process.env.PORT ?? 8080);
const name = process.env.DEMO_NAME ?? 'interlock demo';
const drainMs = Number(process.env.DRAIN_MS ?? 0);
const bootedAt = new Date();
const state = { healthy: true, served: 0 };

function whoami(request) {
  const lines = [
    name,
    `hostname: ${os.hostname()}`,
    `task: ${process.env.TASK_NAME ?? '-'}`,
    `node: ${process.env.NODE_NAME ?? '-'}`,
    `address: ${request.socket.localAddress}:${request.socket.localPort}`,
    `client: ${request.socket.remoteAddress}`,
    `time: ${new Date().toISOString()} (up since ${bootedAt.toISOString()}, ${state.served} requests)`,
    '',
    `${request.method} ${request.url} HTTP/${request.httpVersion}`,
  ];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
  }
  return `${lines.join('\n')}\n`;
}

function number(url, key, fallback, most) {
  const value = Number(url.searchParams.get(key) ?? fallback);
  return Number.isFinite(value) ? Math.min(Math.max(value, 0), most) : fallback;
}

function text(response, status, body) {
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'x-demo-host': os.hostname(),
  });
  response.end(body);
}

function stream(url, response) {
  const pauseMs = number(url, 'ms', 100, 60_000);
  let left = number(url, 'n', 10, 100_000);
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', 'x-demo-host': os.hostname() });
  response.flushHeaders();
  const timer = setInterval(() => {
    left -= 1;
    if (left >= 0) response.write(`${os.hostname()} ${left} left\n`);
    if (left <= 0) {
      clearInterval(timer);
      response.end();
    }
  }, pauseMs);
  response.on('close', () => clearInterval(timer));
}

function echo(request, response) {
  const headers = { 'x-demo-host': os.hostname() };
  for (const key of ['content-type', 'content-length']) {
    if (request.headers[key] !== undefined) headers[key] = request.headers[key];
  }
  response.writeHead(200, headers);
  request.pipe(response);
}

function answer(request, response) {
  state.served += 1;
  const url = new URL(request.url ?? '/', 'http://demo');
  const path = url.pathname;
  if (path === '/healthz') text(response, state.healthy ? 200 : 503, state.healthy ? 'ok\n' : 'stopping\n');
  else if (path === '/slow') setTimeout(() => text(response, 200, whoami(request)), number(url, 'ms', 1000, 600_000));
  else if (path === '/stream') stream(url, response);
  else if (path === '/status') text(response, Math.max(number(url, 'code', 200, 599), 200), whoami(request));
  else if (path === '/bytes') text(response, 200, 'x'.repeat(number(url, 'n', 1024, 64 * 1024 * 1024)));
  else if (path === '/unhealthy' && request.method === 'POST') {
    state.healthy = false;
    text(response, 200, 'unhealthy from now on\n');
  } else if (path === '/cookie') {
    response.setHeader('set-cookie', `${url.searchParams.get('name') ?? 'session'}=${os.hostname()}; Path=/`);
    text(response, 200, whoami(request));
  } else if (request.method === 'POST' || request.method === 'PUT') echo(request, response);
  else text(response, 200, whoami(request));
}

/** RFC 6455: the handshake, then every data frame comes back unmasked. Frames of 64 KiB and more end the connection. */
function upgrade(request, socket) {
  const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}${guid}`).digest('base64');
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\nX-Demo-Host: ${os.hostname()}\r\n\r\n`,
  );
  let unread = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    unread = Buffer.concat([unread, chunk]);
    for (let frame = takeFrame(unread); frame !== undefined; frame = takeFrame(unread)) {
      unread = unread.subarray(frame.end);
      socket.write(frame.reply);
      if (frame.last) socket.end();
    }
  });
}

/** The answer to the first whole frame, and where that frame ends; undefined until it is whole. */
function takeFrame(bytes) {
  if (bytes.length < 6) return undefined;
  const opcode = bytes[0] & 0x0f;
  const short = bytes[1] & 0x7f;
  if (short === 127) return { end: bytes.length, reply: Buffer.from([0x88, 0]), last: true };
  const head = short === 126 ? 8 : 6;
  const length = short === 126 ? bytes.readUInt16BE(2) : short;
  if (bytes.length < head + length) return undefined;
  const mask = bytes.subarray(head - 4, head);
  const data = Buffer.from(bytes.subarray(head, head + length)).map((byte, i) => byte ^ mask[i % 4]);
  const size = short === 126 ? Buffer.from([126, length >> 8, length & 0xff]) : Buffer.from([length]);
  // A ping (9) is answered by a pong (10), everything else by itself.
  const first = Buffer.from([(bytes[0] & 0xf0) | (opcode === 9 ? 10 : opcode)]);
  return { end: head + length, reply: Buffer.concat([first, size, data]), last: opcode === 8 };
}

// Longer than any proxy keeps an idle connection: the side that reuses connections must be the one that closes them.
const OPTIONS = { keepAliveTimeout: 75_000, requestTimeout: 0 };
const servers = [http.createServer(OPTIONS, answer).listen(port, () => console.log(`${name} listens on ${port}`))];
if (process.env.TLS_PORT !== undefined) {
  const tls = { cert: readFileSync(process.env.TLS_CERT), key: readFileSync(process.env.TLS_KEY) };
  servers.push(https.createServer({ ...OPTIONS, ...tls }, answer).listen(Number(process.env.TLS_PORT)));
}
for (const server of servers) server.on('upgrade', upgrade);

function stop() {
  state.healthy = false;
  // From here on each answer also ends its connection.
  for (const server of servers) {
    server.prependListener('request', (_request, response) => response.setHeader('connection', 'close'));
  }
  setTimeout(() => {
    let open = servers.length;
    for (const server of servers) {
      server.close(() => {
        open -= 1;
        if (open === 0) process.exit(0);
      });
      server.closeIdleConnections();
    }
  }, drainMs);
}
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
