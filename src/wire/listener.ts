/**
 * The TCP side of a gRPC server: accepts connections, has each show its certificate where TLS is on, and hands them over. Its own, because
 * grpc-js neither bounds connections nor says which handshakes failed.
 */
import { once } from 'node:events';
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { OperationalError } from '../runtime/errors.ts';
import { HANDSHAKE_TIMEOUT_MS, MAX_CONNECTIONS } from './limits.ts';
import type { TlsMaterial } from './tls-files.ts';

export interface ListenerOptions {
  /** Port 0: any free port. */
  readonly port: number;
  /** Each is listened on. */
  readonly hosts: readonly string[];
  /** `undefined`: plain. */
  readonly tls: TlsMaterial | undefined;
  /** Hears of connections that were refused before any call: `tls` for a failed handshake, `full` for one too many. */
  readonly onRefused: (why: 'tls' | 'full', peer: string, error?: Error) => void;
}

export interface Listener {
  /** Throws `WIRE.LISTEN_FAILED`. */
  start(): Promise<{ readonly port: number }>;
  /** Takes no more connections; those that are open are the gRPC server's. */
  stop(): void;
}

export function createListener(server: Server, { port, hosts, tls, onRefused }: ListenerOptions): Listener {
  const doors: NetServer[] = [];
  return {
    async start() {
      // What comes out of the handshake is plain HTTP/2 again.
      const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
      const enter = (socket: Socket): void => {
        socket.setNoDelay(true);
        injector.injectConnection(socket);
      };
      let bound = port;
      for (const host of hosts) {
        const door = createDoor(tls, enter, onRefused);
        doors.push(door);
        bound = await listen(door, host, bound);
      }
      return { port: bound };
    },
    stop() {
      for (const door of doors) {
        door.close();
      }
    },
  };
}

function createDoor(
  tls: TlsMaterial | undefined,
  enter: (socket: Socket) => void,
  onRefused: ListenerOptions['onRefused'],
): NetServer {
  const door = tls === undefined ? createServer(enter) : createTlsDoor(tls, enter, onRefused);
  door.maxConnections = MAX_CONNECTIONS;
  door.on('drop', (drop) => onRefused('full', drop?.remoteAddress ?? 'unknown'));
  return door;
}

function createTlsDoor(
  { cert, key, ca }: TlsMaterial,
  enter: (socket: Socket) => void,
  onRefused: ListenerOptions['onRefused'],
): NetServer {
  const door = createTlsServer(
    {
      cert,
      key,
      ca,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['h2'],
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    },
    (socket) => {
      // The session on top hears of it too, but not before it is there.
      socket.on('error', () => undefined);
      enter(socket);
    },
  );
  door.on('tlsClientError', (error, socket) => {
    onRefused('tls', socket.remoteAddress ?? 'unknown', error);
    socket.destroy();
  });
  return door;
}

async function listen(door: NetServer, host: string, port: number): Promise<number> {
  try {
    door.listen({ host, port });
    await once(door, 'listening');
  } catch (cause) {
    const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    throw new OperationalError('WIRE.LISTEN_FAILED', `cannot listen on ${address}`, { cause });
  }
  const address = door.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}
