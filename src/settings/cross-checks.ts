/** What must hold between extensions, and between keys of one: each problem names the later table's key and the table it clashes with. */
import { describeFound, joinPath, type SettingsProblem } from './problem.ts';

/** The part of an extension's settings that others may clash with. */
export interface Claims {
  readonly name: string;
  /** Path of the table as written, e.g. `Extensions.default`. */
  readonly path: string;
  readonly serviceCluster: string;
  readonly serviceName: string;
  readonly proxyServiceName: string;
  readonly publishMode: 'ingress' | 'host';
  readonly publishedPort: number | undefined;
  readonly publishedSslPort: number | undefined;
  readonly targetPort: number;
  readonly targetSslPort: number;
  readonly readyPort: number | undefined;
  readonly proxyLeaveDelayMs: number;
  /** `undefined`: Swarm's own. */
  readonly proxyStopGracePeriodMs: number | undefined;
  /** Of `MetricsListenAddr`: the proxy's agent listens there too. */
  readonly metricsPort: number | undefined;
}

/** One thing that one extension claims; no two claims may have the same `scope` and `value`, unless both are shared by others. */
interface Claim {
  readonly scope: string;
  readonly value: string | number;
  readonly path: string;
  readonly what: string;
  /** Its table, where it does not keep other tables from claiming the same in this way; `undefined`: it does. */
  readonly sharedBy?: string;
}

export function findClashes(extensions: readonly Claims[]): readonly SettingsProblem[] {
  const taken = new Map<string, readonly Claim[]>();
  const problems: SettingsProblem[] = [];
  for (const claim of extensions.flatMap(claimsOf)) {
    const id = JSON.stringify([claim.scope, claim.value]);
    const before = taken.get(id) ?? [];
    const earlier = before.find((other) => !mayShare(claim, other));
    if (earlier === undefined) {
      taken.set(id, [...before, claim]);
    } else {
      const expected = `another ${claim.what} than that of ${earlier.path}`;
      problems.push({ path: claim.path, found: describeFound(claim.value), expected });
    }
  }
  return [...problems, ...extensions.flatMap(readyPortProblems), ...extensions.flatMap(leaveDelayProblems)];
}

function mayShare({ sharedBy: one }: Claim, { sharedBy: other }: Claim): boolean {
  return one !== undefined && other !== undefined && one !== other;
}

/** Through the routing mesh any proxy may answer, and that says nothing about the node that was asked. */
function readyPortProblems({ path, publishMode, readyPort }: Claims): readonly SettingsProblem[] {
  const found = describeFound(readyPort);
  return readyPort !== undefined && publishMode === 'ingress'
    ? [{ path: joinPath(path, 'ReadyPort'), found, expected: 'none, or PublishMode = "host" beside it' }]
    : [];
}

const SWARM_GRACE_MS = 10_000;

/** Both count from the stop signal, and Swarm kills at the end of the grace period: NGINX would be cut while it still serves. */
function leaveDelayProblems({ path, proxyLeaveDelayMs, proxyStopGracePeriodMs }: Claims): readonly SettingsProblem[] {
  const graceMs = proxyStopGracePeriodMs ?? SWARM_GRACE_MS;
  if (proxyLeaveDelayMs === 0 || proxyLeaveDelayMs < graceMs) {
    return [];
  }
  const grace = `ProxyStopGracePeriod, which is ${seconds(graceMs)}${proxyStopGracePeriodMs === undefined ? ' where it is not set' : ''}`;
  return [
    { path: joinPath(path, 'ProxyLeaveDelay'), found: seconds(proxyLeaveDelayMs), expected: `less than ${grace}` },
  ];
}

function seconds(ms: number): string {
  return `${ms / 1_000}s`;
}

function claimsOf(extension: Claims): readonly Claim[] {
  const { path } = extension;
  const at = (key: string): string => joinPath(path, key);
  return [
    { scope: 'cluster', value: extension.serviceCluster, path: at('ServiceCluster'), what: 'service cluster' },
    { scope: 'service', value: extension.serviceName, path: at('ServiceName'), what: 'service name' },
    { scope: 'service', value: extension.proxyServiceName, path: at('ProxyServiceName'), what: 'service name' },
    ...probeClaims(extension),
    { scope: `target ${path}`, value: extension.targetPort, path: at('TargetPort'), what: 'container port' },
    { scope: `target ${path}`, value: extension.targetSslPort, path: at('TargetSSLPort'), what: 'container port' },
    ...publishedClaims(extension),
  ];
}

/** The agent's own listeners stand beside NGINX's in the same container. */
function probeClaims({ path, metricsPort, readyPort }: Claims): readonly Claim[] {
  const scope = `target ${path}`;
  return [
    ...(metricsPort === undefined ? [] : [{ scope, value: metricsPort, path: 'MetricsListenAddr', what: 'port' }]),
    ...(readyPort === undefined
      ? []
      : [{ scope, value: readyPort, path: joinPath(path, 'ReadyPort'), what: 'container port' }]),
  ];
}

/**
 * A port published in ingress mode is taken on every node, and Swarm refuses it to all other services, in host mode too. Host mode takes a
 * port where the tasks run: other tables may publish the same in host mode, on other nodes.
 */
function publishedClaims(extension: Claims): readonly Claim[] {
  const { path, publishMode } = extension;
  const ports = [
    ['PublishedPort', extension.publishedPort],
    ['PublishedSSLPort', extension.publishedSslPort],
    ['ReadyPort', extension.readyPort],
  ] as const;
  return ports.flatMap(([key, value]) => {
    const claim = { scope: 'published', value: value ?? 0, path: joinPath(path, key), what: 'published port' };
    return value === undefined ? [] : [publishMode === 'host' ? { ...claim, sharedBy: path } : claim];
  });
}
