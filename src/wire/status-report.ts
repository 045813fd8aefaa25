/** How things stand, as core tells operators. `status-codec.ts` translates. Times are ms since the epoch by core's clock. */
import type { Finding } from '../model/finding.ts';
import type { RevisionRef } from './contract.ts';
import type { PinView } from './revisions.ts';

export interface StatusReport {
  readonly version: string;
  readonly epoch: string;
  readonly nowMs: number;
  readonly startedAtMs: number;
  /** The newest complete picture of Swarm; `undefined`: none yet. */
  readonly observedAtMs: number | undefined;
  readonly taskFeed: { readonly kind: 'poll' | 'watch'; readonly reason: string };
  /** In the order of config.toml. */
  readonly clusters: readonly ClusterStatus[];
  /** Services that are on the move right now, sorted by name. */
  readonly moving: readonly MovingService[];
  readonly findings: readonly Finding[];
}

export interface MovingService {
  readonly service: string;
  readonly wanted: number;
  readonly running: number;
  /** Swarm's word: `none`, `updating`, `paused`, ... */
  readonly updateState: string;
}

export interface ClusterStatus {
  readonly extension: string;
  readonly serviceCluster: string;
  readonly extensionService: string;
  readonly proxyService: string;
  /** What core hands out; `undefined` before the first complete Snapshot. */
  readonly published: RevisionRef | undefined;
  /** What the extension rendered last. */
  readonly rendered: RevisionRef | undefined;
  /** When core got it; `undefined`: not in this life of core. */
  readonly renderedAtMs: number | undefined;
  /** The artifact that core holds, 64 hex digits. */
  readonly artifactDigest: string | undefined;
  /** The name of the Docker Config that the proxy service's spec mounts. */
  readonly proxyConfig: string | undefined;
  /** The proxy's words about the newest revision, when it was refused. */
  readonly refusedReason: string | undefined;
  readonly extensionConnected: boolean;
  /** `undefined` until core has looked at its services. */
  readonly delivery: DeliveryStatus | undefined;
  /** Its routes are held at an older revision, by an operator; `undefined`: the labels hold. */
  readonly pinned?: PinView | undefined;
  /** Every task that Swarm wants to run or that has a session, sorted by node, then task. */
  readonly proxies: readonly ProxyStatus[];
}

export interface DeliveryStatus {
  readonly mode: 'hitless' | 'classic';
  /** Asked for hitless, served in classic mode: why. */
  readonly fallback: string | undefined;
  /** What the proxies need and do not have before the next roll is done. */
  readonly pendingNetworks: readonly string[];
  readonly pendingSecrets: readonly string[];
  readonly rolling: boolean;
  /** The newest Docker Config that was stored. */
  readonly storedConfig: string | undefined;
}

/** What an agent's session tells. */
export interface SessionStatus {
  readonly taskId: string;
  readonly nodeId: string;
  /** What its NGINX serves; `undefined`: it has not said yet. */
  readonly artifactDigest: string | undefined;
  /** When it said that it serves that; `undefined`: not in this life of core. */
  readonly appliedAtMs: number | undefined;
  /** What it would not serve, and the proxy's words. */
  readonly refused: { readonly artifactDigest: string; readonly reason: string } | undefined;
}

export interface ProxyStatus extends SessionStatus {
  /** Host name; `''`: not known. */
  readonly node: string;
  /** Swarm's words for the task; `''`: Swarm does not list it. */
  readonly state: string;
  readonly desiredState: string;
  /** Its agent has a session open. */
  readonly connected: boolean;
}
