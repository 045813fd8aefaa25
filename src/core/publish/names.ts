/** The names and labels of what core makes in Swarm. Identity is in the labels; names are for people and stay within Swarm's limits. */
import { slugOf } from '../../settings/slug.ts';

export const LABELS = {
  stack: 'com.docker.stack.namespace',
  /** On what a core outside of any stack made: the name of core's own service. */
  coreService: 'com.docker.interlock.core-service',
  type: 'type',
  extension: 'com.docker.interlock.extension',
  /** The digest of the artifact in a Proxy Config, and of the one that a proxy service runs. */
  digest: 'com.docker.interlock.digest',
  /** Order among the Proxy Configs of one extension: a decimal number that counts up. */
  sequence: 'com.docker.interlock.sequence',
  /** The spec that core applied last, as JSON: the base of the three-way merge. */
  applied: 'com.docker.interlock.applied',
  /** On a proxy service: since when its spec mounts its Proxy Config, in ms since the epoch. Not part of what is applied. */
  configSince: 'com.docker.interlock.config-since',
  /** On containers: which task template core meant, so that a task that failed can be told to be of the same. */
  template: 'com.docker.interlock.template',
  /** On a Proxy Config whose bytes are not the artifact's own: `gzip`. */
  encoding: 'com.docker.interlock.encoding',
} as const;

/** The role token's file below /run/secrets. No certificate can have it. */
export const TOKEN_FILE = 'interlock-token';

/** The files of mutual TLS with core, below /run/secrets. Nor can it have these. */
export const CLIENT_TLS_FILES = {
  cert: 'interlock-grpc-cert',
  key: 'interlock-grpc-key',
  ca: 'interlock-grpc-ca',
} as const;

/** Values of the `type` label. The proxy's and the config's are the original's. */
export const TYPES = {
  extension: 'com.docker.interlock.core.extension',
  proxy: 'com.docker.interlock.core.proxy',
  proxyConfig: 'com.docker.interlock.core.proxy-config',
  /** A revision in the history of a cluster's routes. */
  routes: 'com.docker.interlock.core.routes',
  /** The routes that a cluster is pinned to. */
  pin: 'com.docker.interlock.core.pin',
} as const;

/** Of the Docker Configs that core makes. */
export const CONFIG_TYPES: readonly string[] = [TYPES.proxyConfig, TYPES.routes, TYPES.pin];

/** `com.docker.interlock.proxy.<slug>.<n>-<8 of digest>`: at most 27 + 16 + 1 + 10 + 1 + 8 = 63 of Swarm's 64 characters. */
export function proxyConfigName(extension: string, sequence: number, digest: string): string {
  return `com.docker.interlock.proxy.${slugOf(extension)}.${sequence}-${digest.slice(0, 8)}`;
}
