/**
 * One half of the loopback forwarder: `node forward.js PIDFILE LISTEN CONNECT`, where LISTEN and CONNECT are either the path of a unix
 * socket or HOST:PORT. One half listens on 127.0.0.1, the other lives in the network namespace of the private engine; a unix socket
 * joins them, so that the machine gets no interface, no route and no rule. Plain JavaScript: it stays for days and needs only Node.
 *
 * When it listens it writes PIDFILE: its pid, when it started (clock ticks since boot), and its network namespace.
 */
import { readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';

const [pidFile, listen, connect] = process.argv.slice(2);

function address(text) {
  if (text.startsWith('/')) return { path: text };
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}

function forward(client) {
  const upstream = net.connect({ ...address(connect), allowHalfOpen: true, noDelay: true });
  const close = () => {
    client.destroy();
    upstream.destroy();
  };
  client.on('error', close);
  upstream.on('error', close);
  client.pipe(upstream);
  upstream.pipe(client);
}

const server = net.createServer({ allowHalfOpen: true, noDelay: true }, forward);
if (listen.startsWith('/')) rmSync(listen, { force: true });
server.listen(address(listen), () => {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  writeFileSync(
    `${pidFile}.tmp`,
    JSON.stringify({ pid: process.pid, start, netns: readlinkSync('/proc/self/ns/net') }),
  );
  renameSync(`${pidFile}.tmp`, pidFile);
});
server.on('error', (error) => {
  writeFileSync(`${pidFile}.error`, `${error.message}\n`);
  process.exit(1);
});
// Nothing is written to a terminal that may be gone by now.
process.on('SIGHUP', () => undefined);
process.on('SIGTERM', () => process.exit(0));
