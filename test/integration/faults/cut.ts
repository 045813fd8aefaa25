/** A way over TCP that a test cuts: at once, or when so many bytes have come back from the other side. */

import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface Way extends AsyncDisposable {
  /** `127.0.0.1:port` of this side. */
  readonly endpoint: string;
  /** Breaks what is open and resets what comes, until `mend`. */
  cut(): void;
  /** The same, once this many more bytes have come back from the other side. */
  cutAfter(bytes: number): void;
  mend(): void;
  /** How often a connection was broken or reset. */
  breaks(): number;
}

export async function openWay(to: string): Promise<Way> {
  const [host = '', port = ''] = to.split(':');
  const sockets = new Set<Socket>();
  const state = { open: true, left: Number.POSITIVE_INFINITY, breaks: 0 };

  function cut(): void {
    state.open = false;
    state.left = Number.POSITIVE_INFINITY;
    for (const socket of sockets) {
      state.breaks += 1;
      socket.destroy();
    }
  }

  function join(near: Socket): void {
    if (!state.open) {
      state.breaks += 1;
      near.destroy();
      return;
    }
    const far = connect(Number(port), host);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => undefined); // `close` follows
      socket.once('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    near.on('data', (bytes) => far.write(bytes));
    far.on('data', (bytes) => {
      const some = bytes.subarray(0, state.left);
      state.left -= some.byteLength;
      if (state.left > 0) {
        near.write(some);
      } else {
        near.write(some, cut);
      }
    });
  }

  const server = await listen(createServer(join));
  return {
    endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`, // a TCP server has no other kind of address
    cut,
    cutAfter: (bytes) => void Object.assign(state, { left: bytes }),
    mend: () => void Object.assign(state, { open: true, left: Number.POSITIVE_INFINITY }),
    breaks: () => state.breaks,
    async [Symbol.asyncDispose]() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function listen(server: Server): Promise<Server> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}
