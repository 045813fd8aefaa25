/** Child processes of a bench as the kernel counts them, and a relay that counts bytes. */
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { freePort } from '../../support/nginx.ts';

const TICK_MS = 10; // USER_HZ is 100 on every Linux that Node runs on

export interface Usage {
  /** Processor time of the process itself, in ms. */
  readonly ownMs: number;
  /** Of its children that have ended. */
  readonly childrenMs: number;
}

export function usageOf(pid: number): Usage {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // After the command's closing parenthesis: utime, stime, cutime and cstime are fields 14 to 17 of proc(5), counted from 1.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (number: number) => Number(fields[number - 3]) * TICK_MS;
  return { ownMs: field(14) + field(15), childrenMs: field(16) + field(17) };
}

/** Resident, in MiB. */
export function residentMiB(pid: number): number {
  return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024);
}

export function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]);
}

export interface Relay {
  readonly endpoint: string;
  /** Bytes from the server to its callers, and from them to it, so far. */
  readonly counted: { readonly down: number; readonly up: number };
  close(): void;
}

/** Everything that arrives goes on to `target` (`host:port`). */
export async function openRelay(target: string): Promise<Relay> {
  const [host = '', port = ''] = target.split(':');
  const counted = { down: 0, up: 0 };
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host, port: Number(port), noDelay: true });
    near.on('data', (chunk) => (counted.up += chunk.byteLength));
    far.on('data', (chunk) => (counted.down += chunk.byteLength));
    near.pipe(far).pipe(near);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => sockets.delete(socket));
    }
  });
  const own = await freePort();
  await new Promise<void>((resolve) => server.listen(own, '127.0.0.1', resolve));
  return {
    endpoint: `127.0.0.1:${own}`,
    counted,
    close() {
      server.close();
      for (const socket of sockets) {
        socket.destroy();
      }
    },
  };
}
