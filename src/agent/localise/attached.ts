/** Which networks this task is attached to, by its interfaces: the one with the default route is the way out, not a network of ours. */
import { readFileSync } from 'node:fs';
import { BlockList, isIPv6 } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

/** E.g. `10.0.1.0/24`, or any address in it with its prefix length. */
export interface Subnet {
  readonly family: 'ipv4' | 'ipv6';
  readonly contains: (address: string) => boolean;
}

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
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  const list = new BlockList();
  list.addSubnet(address, Number(length), family);
  return { family, contains: (other) => list.check(other, family) };
}

/** `address`: as it stands in a `server` line, an IPv6 one in brackets. */
export function isAttached(address: string, attached: readonly Subnet[]): boolean {
  const bare = address.startsWith('[') ? address.slice(1, -1) : address;
  const family = isIPv6(bare) ? 'ipv6' : 'ipv4';
  return attached.some((subnet) => subnet.family === family && subnet.contains(bare));
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
