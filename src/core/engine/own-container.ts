/** Which container are we in? Docker binds `hostname`, `hosts` and `resolv.conf` from `…/containers/<id>/` into every container. */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';

/** What a process can see of its container; replaced in tests. */
export interface Surroundings {
  mountinfo(): Promise<string>;
  hostname(): string;
}

export const ownSurroundings: Surroundings = {
  mountinfo: () => readFile('/proc/self/mountinfo', 'utf8'),
  hostname: () => hostname(),
};

/**
 * Candidates for our own container's id, the surest first: the full id out of `/proc/self/mountinfo`, then the host name, which Docker
 * sets to the short id unless somebody chose another. Swarm services with `hostname:` have only the first.
 */
export async function ownContainerIds(surroundings: Surroundings): Promise<readonly string[]> {
  const mounted = containerIdIn(await mountinfoOf(surroundings));
  const short = surroundings.hostname();
  return [...(mounted === undefined ? [] : [mounted]), ...(/^[0-9a-f]{12}$/.test(short) ? [short] : [])];
}

/** Elsewhere than on Linux there is no such file, and no container of ours either. */
async function mountinfoOf(surroundings: Surroundings): Promise<string> {
  return surroundings.mountinfo().catch(() => '');
}

/** `1234 1200 8:1 /var/lib/docker/containers/<64 hex>/hostname /etc/hostname rw,relatime …` */
export function containerIdIn(mountinfo: string): string | undefined {
  return /\/containers\/([0-9a-f]{64})\/(?:hostname|hosts|resolv\.conf) \/etc\//.exec(mountinfo)?.[1];
}
