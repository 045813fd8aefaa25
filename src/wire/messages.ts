/**
 * The messages of `proto/interlock.proto` as the loader hands them out (camelCase, absent messages `null`, every oneof with the name
 * of its present field). Written by hand beside the proto; the round-trip tests keep both together.
 */

export interface RevisionMessage {
  readonly digest: string;
  readonly sequence: number;
  readonly versionIndex: number;
  readonly epoch: string;
}

export interface WatchModelRequestMessage {
  readonly have: RevisionMessage | null;
}

export interface ModelUpdateMessage {
  readonly revision: RevisionMessage | null;
  readonly full?: ClusterModelMessage;
  readonly patch?: ModelPatchMessage;
}

export interface ClusterModelMessage {
  readonly header: ClusterHeaderMessage | null;
  readonly hosts: readonly HostEntryMessage[];
  readonly pools: readonly PoolMessage[];
}

export interface ModelPatchMessage {
  readonly baseDigest: string;
  readonly header: ClusterHeaderMessage | null;
  readonly upsertHosts: readonly HostEntryMessage[];
  readonly removeHosts: readonly string[];
  readonly upsertPools: readonly PoolMessage[];
  readonly removePools: readonly string[];
}

export interface ClusterHeaderMessage {
  readonly serviceCluster: string;
  readonly extension: string;
  readonly listenHttpPort: number;
  readonly listenTlsPort: number;
  readonly publishedHttpPort: number;
  readonly publishedTlsPort: number;
  readonly optionsJson: string;
  readonly defaultPool: string;
  readonly configPath: string;
  readonly tlsHop: boolean;
  readonly defaultTerminate?: TerminateTlsMessage;
  readonly defaultPassthrough?: PassthroughTlsMessage;
  readonly defaultLost?: LostTlsMessage;
}

export interface HostEntryMessage {
  readonly host: string;
  readonly terminate?: TerminateTlsMessage;
  readonly passthrough?: PassthroughTlsMessage;
  readonly lost?: LostTlsMessage;
  readonly redirects: readonly RedirectMessage[];
  readonly routes: readonly PathRouteMessage[];
}

export interface TerminateTlsMessage {
  readonly certificate: SecretFileMessage | null;
  readonly key: SecretFileMessage | null;
  readonly only: boolean;
}

export interface PassthroughTlsMessage {
  readonly pool: string;
}

export interface LostTlsMessage {
  readonly only: boolean;
}

export interface SecretFileMessage {
  readonly secret: string;
  readonly path: string;
}

export interface RedirectMessage {
  readonly source: OriginMessage | null;
  readonly target: OriginMessage | null;
}

export interface OriginMessage {
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
}

export interface PathRouteMessage {
  readonly prefix: string;
  readonly rewrite: boolean;
  readonly pool: string;
  readonly websocketEndpoints: readonly string[];
}

export interface PoolMessage {
  readonly id: string;
  readonly services: readonly string[];
  readonly overlay?: { readonly id: string; readonly name: string };
  readonly hostNetwork?: EmptyMessage;
  readonly roundRobin?: EmptyMessage;
  readonly cookie?: { readonly cookie: string };
  readonly clientAddress?: EmptyMessage;
  readonly upstreamTls: UpstreamTlsMessage | null;
  readonly maxFails: number;
  readonly failTimeoutSeconds: number;
  readonly endpoints: readonly EndpointMessage[];
}

export type EmptyMessage = Readonly<Record<string, never>>;

export interface UpstreamTlsMessage {
  readonly verify: boolean;
  readonly caSecret: string;
}

export interface EndpointMessage {
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  readonly task?: { readonly taskId: string; readonly nodeId: string };
  readonly vip?: { readonly serviceId: string };
}

export interface ManifestMessage {
  readonly digest: string;
  readonly entries: readonly ManifestEntryMessage[];
}

export interface ManifestEntryMessage {
  readonly path: string;
  readonly mode: number;
  readonly sizeBytes: number;
  readonly blob: string;
  readonly pieces: readonly PieceRefMessage[];
}

export interface PieceRefMessage {
  readonly digest: string;
  readonly sizeBytes: number;
}

export interface BlobMessage {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

export interface SubmitArtifactRequestMessage {
  readonly revision: RevisionMessage | null;
  readonly manifest: ManifestMessage | null;
  readonly blobs: readonly BlobMessage[];
  readonly findings: readonly FindingMessage[];
  readonly checkPending: boolean;
}

export interface SubmitArtifactReplyMessage {
  readonly accepted?: { readonly awaitsCheck: boolean };
  readonly missing?: { readonly digests: readonly string[] };
  readonly superseded?: EmptyMessage;
  readonly revision: RevisionMessage | null;
}

export interface RefuseRevisionRequestMessage {
  readonly revision: RevisionMessage | null;
  readonly reason: string;
  readonly findings: readonly FindingMessage[];
}

export interface FindingMessage {
  readonly code: string;
  readonly severity: string;
  readonly service?: string;
  readonly serviceCluster?: string;
  readonly subject?: string;
  readonly value?: string;
  readonly advice: string;
}

export interface AgentMessageMessage {
  readonly hello?: AgentHelloMessage;
  readonly report?: AgentReportMessage;
  readonly unreached?: { readonly addresses: readonly SocketAddressMessage[] };
}

export interface SocketAddressMessage {
  readonly address: string;
  readonly port: number;
}

export interface AgentHelloMessage {
  readonly taskId: string;
  readonly nodeId: string;
  readonly proxyVersion: string;
  readonly artifactDigest: string;
  readonly networkIds: readonly string[];
}

export interface AgentReportMessage {
  readonly artifactDigest: string;
  readonly applied?: EmptyMessage;
  readonly refused?: { readonly reason: string };
  readonly draining?: EmptyMessage;
  readonly durationMs: number;
  readonly findings: readonly FindingMessage[];
}

export interface AgentDirectiveMessage {
  readonly revision: RevisionMessage | null;
  readonly manifest: ManifestMessage | null;
  readonly takesUnreached: boolean;
  readonly along: readonly BlobMessage[];
}

export interface FetchBlobsRequestMessage {
  readonly digests: readonly string[];
}

export interface StatusReplyMessage {
  readonly version: string;
  readonly epoch: string;
  readonly taskFeed: string;
  readonly taskFeedReason: string;
  readonly clusters: readonly ClusterStatusMessage[];
  readonly findings: readonly FindingMessage[];
  readonly nowMs: number;
  readonly startedAtMs: number;
  readonly observedAtMs: number;
  readonly moving: readonly MovingServiceMessage[];
}

export interface MovingServiceMessage {
  readonly service: string;
  readonly wanted: number;
  readonly running: number;
  readonly updateState: string;
}

export interface ClusterStatusMessage {
  readonly pinned: PinMessage | null;
  readonly extension: string;
  readonly serviceCluster: string;
  readonly published: RevisionMessage | null;
  readonly rendered: RevisionMessage | null;
  readonly artifactDigest: string;
  readonly proxyConfig: string;
  readonly refusedReason: string;
  readonly extensionConnected: boolean;
  readonly proxies: readonly ProxyStatusMessage[];
  readonly extensionService: string;
  readonly proxyService: string;
  readonly renderedAtMs: number;
  readonly delivery: DeliveryStatusMessage | null;
}

export interface DeliveryStatusMessage {
  readonly mode: string;
  readonly fallback: string;
  readonly pendingNetworks: readonly string[];
  readonly pendingSecrets: readonly string[];
  readonly rolling: boolean;
  readonly storedConfig: string;
}

export interface ProxyStatusMessage {
  readonly taskId: string;
  readonly nodeId: string;
  readonly artifactDigest: string;
  readonly refusedDigest: string;
  readonly refusedReason: string;
  readonly node: string;
  readonly state: string;
  readonly desiredState: string;
  readonly connected: boolean;
  readonly appliedAtMs: number;
}

export interface HealthCheckRequestMessage {
  readonly service: string;
}

export interface HealthCheckResponseMessage {
  readonly status: 'UNKNOWN' | 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';
}

export interface PinMessage {
  readonly revision: number;
  readonly digest: string;
  readonly sinceMs: number;
}
