/** Which networks this task is attached to, by its interfaces: the one with the default route is the way out, not a network of ours. */
import { readFileSync } from 'node:fs';
import { BlockList, isIPv6 } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

/** E.g. `10.0.1.0/24`. */
export type Subnet =
  /** Compared as numbers: a large file has tens of thousands of addresses. */
  | { readonly family: 'ipv4'; readonly first: number; readonly last: number }
  | { readonly family: 'ipv6'; readonly list: BlockList };

/** Reads the kernel's tables of this network namespace. `undefined` when they cannot be read. */
export function attachedSubnets(): readonly Subnet[] | undefined {
  try {
    const ways = defaultInterfaces(readFileSync('/proc/net/route', 'latin1'), readIfThere('/proc/net/ipv6_route'));
    return subnetsOf(networkInterfaces(), ways);
  } catch {
    return undefined;
  }
}

/** Every subnet of every interface that is not a way out. */
export function subnetsOf(
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>,
  waysOut: ReadonlySet<string>,
): readonly Subnet[] {
  return Object.entries(interfaces).flatMap(([name, addresses = []]) =>
    waysOut.has(name) ? [] : addresses.flatMap(({ cidr }) => (cidr === null ? [] : [parseSubnet(cidr)])),
  );
}

/** `cidr`: an address and its prefix length. */
export function parseSubnet(cidr: string): Subnet {
  const [address = '', length = ''] = cidr.split('/');
  if (isIPv6(address)) {
    const list = new BlockList();
    list.addSubnet(address, Number(length), 'ipv6');
    return { family: 'ipv6', list };
  }
  const size = 2 ** (32 - Number(length));
  const first = Math.floor(numberOf(address) / size) * size;
  return { family: 'ipv4', first, last: first + size - 1 };
}

/** `address`: as it stands in a `server` line, an IPv6 one in brackets. */
export function isAttached(address: string, attached: readonly Subnet[]): boolean {
  if (address.includes(':')) {
    const bare = address.startsWith('[') ? address.slice(1, -1) : address;
    return attached.some((subnet) => subnet.family === 'ipv6' && subnet.list.check(bare, 'ipv6'));
  }
  const number = numberOf(address);
  return attached.some((subnet) => subnet.family === 'ipv4' && number >= subnet.first && number <= subnet.last);
}

const DOT = 46;
const ZERO = 48;

/** An IPv4 address as a number. Digit by digit: a large file has tens of thousands, and lists of parts cost ten times as much. */
function numberOf(address: string): number {
  let number = 0;
  let part = 0;
  for (let at = 0; at < address.length; at += 1) {
    const code = address.charCodeAt(at);
    if (code === DOT) {
      number = number * 256 + part;
      part = 0;
    } else {
      part = part * 10 + code - ZERO;
    }
  }
  return number * 256 + part;
}

/** Names in `/proc/net/route` with destination and mask 0, and in `/proc/net/ipv6_route` with prefix length 0, `lo` excepted (proc(5)). */
export function defaultInterfaces(route: string, ipv6Route: string): ReadonlySet<string> {
  const ipv4 = route.split('\n').map((line) => line.trim().split(/\s+/));
  const ipv6 = ipv6Route.split('\n').map((line) => line.trim().split(/\s+/));
  return new Set([
    ...ipv4.filter((fields) => fields[1] === '00000000' && fields[7] === '00000000').map(([name = '']) => name),
    ...ipv6.filter((fields) => fields[1] === '00' && fields[9] !== 'lo').map((fields) => fields[9] ?? ''),
  ]);
}

/** A kernel without IPv6 has no such table. */
function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
