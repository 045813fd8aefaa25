/** Core's status <-> bytes. */
import { at, digestText, each, malformed, type Place, place } from './door.ts';
import { findingMessage, findingOf } from './finding-codec.ts';
import type { ClusterStatusMessage, EmptyMessage, ProxyStatusMessage, StatusReplyMessage } from './messages.ts';
import { messageType } from './proto.ts';
import { optionalRevisionOf, revisionMessage } from './revision-codec.ts';
import type { ClusterStatus, ProxyStatus, StatusReport } from './status-report.ts';

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
    taskFeed: report.taskFeed.kind,
    taskFeedReason: report.taskFeed.reason,
    clusters: report.clusters.map(clusterMessage),
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
    taskFeed: { kind: feedOf(message.taskFeed, at(where, 'taskFeed')), reason: message.taskFeedReason },
    clusters: each(message.clusters, at(where, 'clusters'), clusterOf),
    findings: each(message.findings, at(where, 'findings'), findingOf),
  };
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
    published: cluster.published === undefined ? null : revisionMessage(cluster.published),
    rendered: cluster.rendered === undefined ? null : revisionMessage(cluster.rendered),
    artifactDigest: cluster.artifactDigest ?? '',
    proxyConfig: cluster.proxyConfig ?? '',
    refusedReason: cluster.refusedReason ?? '',
    extensionConnected: cluster.extensionConnected,
    proxies: cluster.proxies.map(proxyMessage),
  };
}

function clusterOf(message: ClusterStatusMessage, where: Place): ClusterStatus {
  const { artifactDigest, proxyConfig, refusedReason } = message;
  return {
    extension: message.extension,
    serviceCluster: message.serviceCluster,
    published: optionalRevisionOf(message.published, at(where, 'published')),
    rendered: optionalRevisionOf(message.rendered, at(where, 'rendered')),
    artifactDigest: artifactDigest === '' ? undefined : digestText(artifactDigest, at(where, 'artifactDigest')),
    proxyConfig: proxyConfig === '' ? undefined : proxyConfig,
    refusedReason: refusedReason === '' ? undefined : refusedReason,
    extensionConnected: message.extensionConnected,
    proxies: each(message.proxies, at(where, 'proxies'), proxyOf),
  };
}

function proxyMessage({ taskId, nodeId, artifactDigest, refused }: ProxyStatus): ProxyStatusMessage {
  return {
    taskId,
    nodeId,
    artifactDigest: artifactDigest ?? '',
    refusedDigest: refused?.artifactDigest ?? '',
    refusedReason: refused?.reason ?? '',
  };
}

function proxyOf(message: ProxyStatusMessage, where: Place): ProxyStatus {
  const { taskId, nodeId, artifactDigest, refusedDigest, refusedReason } = message;
  return {
    taskId,
    nodeId,
    artifactDigest: artifactDigest === '' ? undefined : digestText(artifactDigest, at(where, 'artifactDigest')),
    refused:
      refusedDigest === ''
        ? undefined
        : { artifactDigest: digestText(refusedDigest, at(where, 'refusedDigest')), reason: refusedReason },
  };
}
