/**
 * A place that NGINX can log to without ever waiting for us: a UDP socket on the loopback address of this task's own network namespace.
 * What comes faster than it is read is dropped by the kernel, and nothing is ever on a disk.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

export interface Syslog {
  /** For `access_log` and `error_log`. */
  readonly target: string;
  close(): void;
}

/** Without the name of the machine: it may be any text. */
const PARAMETERS = 'nohostname,tag=nginx';

export interface SyslogOptions {
  /** Hears each datagram: latin-1 text, head included. Bounded by NGINX to some 2 KiB for errors and 64 KiB for requests. */
  readonly onMessage: (message: string) => void;
  /** What the kernel may keep for us, in bytes; it gives no more than it allows. Default: what it gives to everybody. */
  readonly bufferBytes?: number;
}

/** Throws the system's error when there is no such socket to be had. */
export async function openSyslog({ onMessage, bufferBytes }: SyslogOptions): Promise<Syslog> {
  const socket = createSocket('udp4');
  const bound = once(socket, 'listening');
  socket.bind(0, '127.0.0.1');
  await bound;
  // A datagram that could not be read is one that was lost, and any may be.
  socket.on('error', () => undefined);
  socket.on('message', (bytes) => onMessage(bytes.toString('latin1')));
  if (bufferBytes !== undefined) {
    socket.setRecvBufferSize(bufferBytes);
  }
  const { port } = socket.address();
  return {
    target: `syslog:server=127.0.0.1:${port},${PARAMETERS}`,
    close: () => socket.close(),
  };
}

/** `<187>Nov 28 10:07:27 nginx: ` stands before each message. */
export const SYSLOG_HEAD = /^<\d{1,3}>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d nginx: /;
