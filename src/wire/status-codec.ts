/** Core's status <-> bytes. */
import { at, digestText, each, malformed, type Place, place } from './door.ts';
import { findingMessage, findingOf } from './finding-codec.ts';
import type {
  ClusterStatusMessage,
  DeliveryStatusMessage,
  EmptyMessage,
  ProxyStatusMessage,
  StatusReplyMessage,
} from './messages.ts';
import { messageType } from './proto.ts';
import { optionalRevisionOf, revisionMessage } from './revision-codec.ts';
import { optionalPinOf } from './revisions-codec.ts';
import type { ClusterStatus, DeliveryStatus, ProxyStatus, StatusReport } from './status-report.ts';

const STATUS_REQUEST = messageType<EmptyMessage>('interlock.v1.StatusRequest');
const STATUS_REPLY = messageType<StatusReplyMessage>('interlock.v1.StatusReply');

export type StatusRequest = Readonly<Record<string, never>>;

export function encodeStatusRequest(request: StatusRequest): Buffer {
  return STATUS_REQUEST.encode(request);
}

export function decodeStatusRequest(bytes: Uint8Array): StatusRequest {
  STATUS_REQUEST.decode(bytes);
  return {};
}

export function encodeStatusReport(report: StatusReport): Buffer {
  return STATUS_REPLY.encode({
    version: report.version,
    epoch: report.epoch,
    nowMs: report.nowMs,
    startedAtMs: report.startedAtMs,
    observedAtMs: report.observedAtMs ?? 0,
    taskFeed: report.taskFeed.kind,
    taskFeedReason: report.taskFeed.reason,
    clusters: report.clusters.map(clusterMessage),
    moving: report.moving,
    findings: report.findings.map(findingMessage),
  });
}

/** Throws `WIRE.MALFORMED`. */
export function decodeStatusReport(bytes: Uint8Array): StatusReport {
  const message = STATUS_REPLY.decode(bytes);
  const where = place('StatusReply');
  return {
    version: message.version,
    epoch: message.epoch,
    nowMs: message.nowMs,
    startedAtMs: message.startedAtMs,
    observedAtMs: timeOf(message.observedAtMs),
    taskFeed: { kind: feedOf(message.taskFeed, at(where, 'taskFeed')), reason: message.taskFeedReason },
    clusters: each(message.clusters, at(where, 'clusters'), clusterOf),
    moving: message.moving,
    findings: each(message.findings, at(where, 'findings'), findingOf),
  };
}

function timeOf(ms: number): number | undefined {
  return ms === 0 ? undefined : ms;
}

function textOf(text: string): string | undefined {
  return text === '' ? undefined : text;
}

function feedOf(text: string, where: Place): StatusReport['taskFeed']['kind'] {
  if (text !== 'poll' && text !== 'watch') {
    throw malformed(where, 'is neither poll nor watch');
  }
  return text;
}

function clusterMessage(cluster: ClusterStatus): ClusterStatusMessage {
  return {
    extension: cluster.extension,
    serviceCluster: cluster.serviceCluster,
    extensionService: cluster.extensionService,
    proxyService: cluster.proxyService,
    published: cluster.published === undefined ? null : revisionMessage(cluster.published),
    rendered: cluster.rendered === undefined ? null : revisionMessage(cluster.rendered),
    renderedAtMs: cluster.renderedAtMs ?? 0,
    artifactDigest: cluster.artifactDigest ?? '',
    proxyConfig: cluster.proxyConfig ?? '',
    refusedReason: cluster.refusedReason ?? '',
    extensionConnected: cluster.extensionConnected,
    delivery: cluster.delivery === undefined ? null : deliveryMessage(cluster.delivery),
    pinned: cluster.pinned ?? null,
    proxies: cluster.proxies.map(proxyMessage),
  };
}

function clusterOf(message: ClusterStatusMessage, where: Place): ClusterStatus {
  const { artifactDigest, delivery } = message;
  return {
    extension: message.extension,
    serviceCluster: message.serviceCluster,
    extensionService: message.extensionService,
    proxyService: message.proxyService,
    published: optionalRevisionOf(message.published, at(where, 'published')),
    rendered: optionalRevisionOf(message.rendered, at(where, 'rendered')),
    renderedAtMs: timeOf(message.renderedAtMs),
    artifactDigest: artifactDigest === '' ? undefined : digestText(artifactDigest, at(where, 'artifactDigest')),
    proxyConfig: textOf(message.proxyConfig),
    refusedReason: textOf(message.refusedReason),
    extensionConnected: message.extensionConnected,
    delivery: delivery === null ? undefined : deliveryOf(delivery, at(where, 'delivery')),
    pinned: optionalPinOf(message.pinned, at(where, 'pinned')),
    proxies: each(message.proxies, at(where, 'proxies'), proxyOf),
  };
}

function deliveryMessage({ fallback, storedConfig, ...rest }: DeliveryStatus): DeliveryStatusMessage {
  return { ...rest, fallback: fallback ?? '', storedConfig: storedConfig ?? '' };
}

function deliveryOf({ mode, fallback, storedConfig, ...rest }: DeliveryStatusMessage, where: Place): DeliveryStatus {
  if (mode !== 'hitless' && mode !== 'classic') {
    throw malformed(at(where, 'mode'), 'is neither hitless nor classic');
  }
  return { ...rest, mode, fallback: textOf(fallback), storedConfig: textOf(storedConfig) };
}

function proxyMessage({ artifactDigest, refused, appliedAtMs, ...rest }: ProxyStatus): ProxyStatusMessage {
  return {
    ...rest,
    artifactDigest: artifactDigest ?? '',
    appliedAtMs: appliedAtMs ?? 0,
    refusedDigest: refused?.artifactDigest ?? '',
    refusedReason: refused?.reason ?? '',
  };
}

function proxyOf(message: ProxyStatusMessage, where: Place): ProxyStatus {
  const { artifactDigest, refusedDigest, refusedReason, appliedAtMs, ...rest } = message;
  return {
    ...rest,
    artifactDigest: artifactDigest === '' ? undefined : digestText(artifactDigest, at(where, 'artifactDigest')),
    appliedAtMs: timeOf(appliedAtMs),
    refused:
      refusedDigest === ''
        ? undefined
        : { artifactDigest: digestText(refusedDigest, at(where, 'refusedDigest')), reason: refusedReason },
  };
}
