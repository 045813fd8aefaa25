/** How things stand, as core tells operators. `status-codec.ts` translates. */
import type { Finding } from '../model/finding.ts';
import type { RevisionRef } from './contract.ts';

export interface StatusReport {
  readonly version: string;
  readonly epoch: string;
  readonly taskFeed: { readonly kind: 'poll' | 'watch'; readonly reason: string };
  readonly clusters: readonly ClusterStatus[];
  readonly findings: readonly Finding[];
}

export interface ClusterStatus {
  readonly extension: string;
  readonly serviceCluster: string;
  /** What core hands out; `undefined` before the first complete Snapshot. */
  readonly published: RevisionRef | undefined;
  /** What the extension rendered last. */
  readonly rendered: RevisionRef | undefined;
  /** The artifact that core holds, 64 hex digits. */
  readonly artifactDigest: string | undefined;
  /** The name of the Docker Config that carries it. */
  readonly proxyConfig: string | undefined;
  /** The proxy's words about the newest revision, when it was refused. */
  readonly refusedReason: string | undefined;
  readonly extensionConnected: boolean;
  /** Those whose agent has a session open, sorted by task. */
  readonly proxies: readonly ProxyStatus[];
}

export interface ProxyStatus {
  readonly taskId: string;
  readonly nodeId: string;
  /** What its NGINX serves; `undefined`: it has not said yet. */
  readonly artifactDigest: string | undefined;
  /** What it would not serve, and the proxy's words. */
  readonly refused: { readonly artifactDigest: string; readonly reason: string } | undefined;
}
