/**
 * Which networks this task is attached to, by its interfaces and by the routes through them: the interface with the default route is the
 * way out, not a network of ours. A network of several subnets gives a task an address of one and routes to the others.
 */
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
    const tables = [readFileSync('/proc/net/route', 'latin1'), readIfThere('/proc/net/ipv6_route')] as const;
    const ways = defaultInterfaces(...tables);
    return distinct([...subnetsOf(networkInterfaces(), ways), ...routedSubnets(...tables, ways)]);
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

/** What is reached through interfaces that are no way out. Columns: proc(5), and net/ipv6/route.c of the kernel. */
export function routedSubnets(route: string, ipv6Route: string, waysOut: ReadonlySet<string>): readonly Subnet[] {
  const ipv4 = fieldsOf(route).filter(([name = 'Iface']) => name !== 'Iface' && name !== '' && !waysOut.has(name));
  const ipv6 = fieldsOf(ipv6Route).filter(({ 9: name = 'lo' }) => name !== 'lo' && !waysOut.has(name));
  return [
    ...ipv4.map(([, destination = '', , , , , , mask = '']) => {
      const first = littleEndian(destination);
      return { family: 'ipv4', first, last: first + (2 ** 32 - 1 - littleEndian(mask)) } as const;
    }),
    ...ipv6
      .filter(([destination = '']) => !/^f[ef]/.test(destination)) // link-local and multicast: no endpoint has these
      .map(([destination = '', length = '']) =>
        parseSubnet(`${destination.match(/.{4}/g)?.join(':') ?? '::'}/${Number.parseInt(length, 16)}`),
      ),
  ];
}

function littleEndian(hex: string): number {
  return Number.parseInt(hex.match(/../g)?.reverse().join('') ?? '0', 16);
}

function fieldsOf(table: string): readonly (readonly string[])[] {
  return table.split('\n').map((line) => line.trim().split(/\s+/));
}

/** Most networks have one subnet, which stands in both tables: each address of a large file is compared with each. */
function distinct(subnets: readonly Subnet[]): readonly Subnet[] {
  const byText = new Map(subnets.map((subnet) => [subnetText(subnet), subnet]));
  return [...byText.values()];
}

/** The same for the same subnet. */
export function subnetText(subnet: Subnet): string {
  return subnet.family === 'ipv4' ? `${subnet.first} ${subnet.last}` : subnet.list.rules.join(' ');
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
  const [ipv4, ipv6] = [fieldsOf(route), fieldsOf(ipv6Route)];
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
