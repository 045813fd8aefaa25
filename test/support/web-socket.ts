/** A WebSocket by hand (RFC 6455): clients of libraries do not let a test choose the `Host` header. Short text messages only. */
import { request } from 'node:http';
import type { Socket } from 'node:net';

/** Resolves to the raw connection after the handshake; `base` is `http://address:port`. */
export function openWebSocket(base: string, host: string, path: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const opening = request(`${base}${path}`, {
      headers: {
        host,
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': Buffer.from('sixteen bytes ok').toString('base64'),
      },
      signal,
    });
    opening.once('upgrade', (_response, socket) => {
      // Between two messages nobody else listens; the next message sees that it is closed.
      socket.on('error', () => socket.destroy());
      resolve(socket);
    });
    opening.once('response', (response) => {
      response.resume();
      reject(new Error(`answered ${response.statusCode ?? 0} instead of an upgrade`));
    });
    opening.once('error', reject);
    opening.end();
  });
}

/** Sends a text of at most 125 bytes; resolves when the same text is back, rejects when the connection closes or `signal` aborts. */
export function echoed(socket: Socket, text: string, signal: AbortSignal): Promise<void> {
  const data = Buffer.from(text);
  // Masked, as a client must; a mask of zeros leaves the bytes as they are.
  socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | data.length, 0, 0, 0, 0]), data]));
  return new Promise((resolve, reject) => {
    let read = Buffer.alloc(0);
    const onData = (chunk: Buffer) => {
      read = Buffer.concat([read, chunk]);
      if (read.length >= data.length + 2) {
        end(read.subarray(2).equals(data) ? undefined : new Error('another text came back'));
      }
    };
    const onClose = () => end(new Error('closed'));
    const onAbort = () => end(new Error('no echo in time'));
    const end = (error: Error | undefined) => {
      signal.removeEventListener('abort', onAbort);
      socket.off('data', onData).off('close', onClose);
      if (error === undefined) {
        resolve();
      } else {
        reject(error);
      }
    };
    if (socket.destroyed) {
      end(new Error('closed'));
      return;
    }
    socket.on('data', onData).once('close', onClose);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
