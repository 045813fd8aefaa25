/** A door in front of an engine that demands a client certificate, as dockerd does with --tlsverify. */
import net from 'node:net';
import tls from 'node:tls';
import type { Certificate } from './certificates.ts';

export interface TlsDoor extends AsyncDisposable {
  /** On loopback. */
  readonly port: number;
}

/** `dockerUrl`: unix:// or tcp:// on loopback. `authority`: PEM of the CA of clients. */
export async function openTlsDoor(
  dockerUrl: string,
  { certificate, key }: Certificate,
  authority: string,
): Promise<TlsDoor> {
  const sockets = new Set<net.Socket>();
  const options = { cert: certificate, key, ca: authority, requestCert: true, rejectUnauthorized: true };
  const door = tls.createServer(options, (outside) => {
    const inside = connectTo(dockerUrl);
    for (const socket of [outside, inside]) {
      sockets.add(socket);
      socket
        .on('error', () => undefined)
        .on('close', () => {
          sockets.delete(socket);
          outside.destroy();
          inside.destroy();
        });
    }
    outside.pipe(inside).pipe(outside);
  });
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
  return {
    port: (door.address() as net.AddressInfo).port, // a TCP server has no other kind of address
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) {
        socket.destroy();
      }
      await new Promise((resolve) => door.close(resolve));
    },
  };
}

function connectTo(dockerUrl: string): net.Socket {
  const { protocol, pathname, hostname, port } = new URL(dockerUrl.replace('tcp:', 'http:'));
  return protocol === 'unix:' ? net.connect(pathname) : net.connect(Number(port), hostname);
}
