/**
 * The layout of the file: which host becomes which block, and the only place that decides it. Chosen by `npm run bench:layout`
 * (docs/performance.md): at 10,000 hosts a `server` per host costs a third more processor time per reload and 40 % more memory,
 * and a variable `proxy_pass` is searched by name on every request. So plain hosts share servers, and each keeps a static `proxy_pass`.
 */
import { createHash } from 'node:crypto';
import type { HostEntry } from '../../model/cluster.ts';
import { powerOfTwo } from './http.ts';
import { defaultServer, groupServer, hostServer, type ServerContext } from './servers.ts';
import type { Node } from './syntax.ts';

/** NGINX walks the named locations of a server one by one, so a group stays small. */
const HOSTS_PER_GROUP = 20;

/** Upstreams, then servers. `hosts` sorted. */
export function layoutNodes(hosts: readonly HostEntry[], context: ServerContext): readonly Node[] {
  const upstreams = [...context.upstreams.values()].flatMap((upstream) =>
    upstream.kind === 'named' ? [upstream.node] : [],
  );
  return [
    ...upstreams,
    defaultServer(context),
    ...groupsOf(hosts.filter(isPlain)).map((group) => groupServer(group, context)),
    ...hosts.filter((host) => !isPlain(host)).map((host) => hostServer(host, context)),
  ];
}

/** One route for every path, and an exact name: for a wildcard `$host` is not the name of the location. */
function isPlain({ host, routes }: HostEntry): boolean {
  return routes.length === 1 && routes[0]?.prefix === '/' && !host.startsWith('*');
}

/** By hash, so that a host that comes or goes changes its own group's block and no other until the number of hosts doubles. */
function groupsOf(hosts: readonly HostEntry[]): readonly (readonly HostEntry[])[] {
  const count = powerOfTwo(Math.ceil(hosts.length / HOSTS_PER_GROUP));
  const groups = Array.from({ length: count }, (): HostEntry[] => []);
  for (const entry of hosts) {
    groups[groupIndex(entry.host, count)]?.push(entry);
  }
  return groups.filter((group) => group.length > 0);
}

function groupIndex(host: string, count: number): number {
  return createHash('sha256').update(host).digest().readUInt32BE(0) % count;
}
