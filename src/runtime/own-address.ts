/** This machine's own address on the way to another: what listens there is reachable from that network only. */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIPv6 } from 'node:net';
import { abortReason } from './clock.ts';

/**
 * Asks the kernel's routes; nothing is sent. `endpoint`: `host:port`, with an IPv6 host in brackets.
 * Throws what the name server or the kernel says.
 */
export async function ownAddressTowards(endpoint: string, signal: AbortSignal): Promise<string> {
  const { host, port } = /^\[?(?<host>.+?)\]?:(?<port>\d+)$/.exec(endpoint)?.groups ?? {};
  const { address } = await lookup(host ?? endpoint);
  signal.throwIfAborted();
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  try {
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(abortReason(signal)), { once: true });
      socket.once('error', reject);
      socket.connect(Number(port), address, resolve);
    });
    return socket.address().address;
  } finally {
    socket.close();
  }
}
