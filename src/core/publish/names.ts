/** The names and labels of what core makes in Swarm. Identity is in the labels; names are for people and stay within Swarm's limits. */
import { sha256Hex } from '../../model/revision.ts';

export const LABELS = {
  stack: 'com.docker.stack.namespace',
  type: 'type',
  extension: 'com.docker.interlock.extension',
  /** The digest of the artifact in a Proxy Config, and of the one that a proxy service runs. */
  digest: 'com.docker.interlock.digest',
  /** Order among the Proxy Configs of one extension: a decimal number that counts up. */
  sequence: 'com.docker.interlock.sequence',
  /** The spec that core applied last, as JSON: the base of the three-way merge. */
  applied: 'com.docker.interlock.applied',
} as const;

/** Values of the `type` label. The proxy's and the config's are the original's. */
export const TYPES = {
  extension: 'com.docker.interlock.core.extension',
  proxy: 'com.docker.interlock.core.proxy',
  proxyConfig: 'com.docker.interlock.core.proxy-config',
} as const;

const MAX_SLUG = 16;

/** At most 16 of `[a-z0-9-]`; a name that had to be changed or cut ends in 4 digits of its hash, so that two never meet. */
export function slugOf(extension: string): string {
  const clean = extension
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  return clean === extension && clean.length <= MAX_SLUG && clean !== ''
    ? clean
    : `${clean.slice(0, MAX_SLUG - 5)}-${sha256Hex(extension).slice(0, 4)}`.replace(/^-/, '');
}

/** `com.docker.interlock.proxy.<slug>.<n>-<8 of digest>`: at most 27 + 16 + 1 + 10 + 1 + 8 = 63 of Swarm's 64 characters. */
export function proxyConfigName(extension: string, sequence: number, digest: string): string {
  return `com.docker.interlock.proxy.${slugOf(extension)}.${sequence}-${digest.slice(0, 8)}`;
}
