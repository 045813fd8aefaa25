/** An agent's session and the blobs it fetches <-> bytes. */

import { parseIpAddress, toPort } from '../model/names.ts';
import { sha256Hex } from '../model/revision.ts';
import { assertNever } from '../runtime/errors.ts';
import { cutUtf8, MAX_REASON_BYTES, manifestMessage, manifestOf } from './artifact-codec.ts';
import type {
  AgentDirective,
  AgentHello,
  AgentOutcome,
  AgentReport,
  BlobContent,
  SocketAddress,
  UnreachedReport,
} from './contract.ts';
import { at, digestText, each, malformed, type Place, parsed, place, present, safeInteger } from './door.ts';
import { findingMessage, findingOf } from './finding-codec.ts';
import { MAX_AGENT_FINDINGS, MAX_ALONG_BYTES, MAX_PIECES, MAX_UNREACHED } from './limits.ts';
import type {
  AgentDirectiveMessage,
  AgentHelloMessage,
  AgentMessageMessage,
  AgentReportMessage,
  BlobMessage,
  FetchBlobsRequestMessage,
  SocketAddressMessage,
} from './messages.ts';
import { messageType } from './proto.ts';
import { revisionMessage, revisionOf } from './revision-codec.ts';

const AGENT_MESSAGE = messageType<AgentMessageMessage>('interlock.v1.AgentMessage');
const DIRECTIVE = messageType<AgentDirectiveMessage>('interlock.v1.AgentDirective');
const FETCH_REQUEST = messageType<FetchBlobsRequestMessage>('interlock.v1.FetchBlobsRequest');
const BLOB = messageType<BlobMessage>('interlock.v1.Blob');

export type AgentMessage =
  | { readonly kind: 'hello'; readonly hello: AgentHello }
  | { readonly kind: 'report'; readonly report: AgentReport }
  | { readonly kind: 'unreached'; readonly report: UnreachedReport };

/** A piece of a blob, or all of it. */
export interface BlobPiece {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

export function encodeAgentMessage(message: AgentMessage): Buffer {
  switch (message.kind) {
    case 'hello':
      return AGENT_MESSAGE.encode({ hello: helloMessage(message.hello) });
    case 'report':
      return AGENT_MESSAGE.encode({ report: reportMessage(message.report) });
    case 'unreached':
      return AGENT_MESSAGE.encode({ unreached: { addresses: message.report.unreached.slice(0, MAX_UNREACHED) } });
    default:
      return assertNever(message);
  }
}

/** Throws `WIRE.MALFORMED`. */
export function decodeAgentMessage(bytes: Uint8Array): AgentMessage {
  const { hello, report, unreached } = AGENT_MESSAGE.decode(bytes);
  const where = place('AgentMessage');
  if (hello !== undefined) {
    return { kind: 'hello', hello: helloOf(hello, at(where, 'hello')) };
  }
  if (unreached !== undefined) {
    return { kind: 'unreached', report: unreachedOf(unreached.addresses, at(where, 'unreached')) };
  }
  return { kind: 'report', report: reportOf(present(report, at(where, 'message')), at(where, 'report')) };
}

export function encodeDirective(directive: AgentDirective): Buffer {
  const { takesUnreached = false } = directive;
  return DIRECTIVE.encode(
    directive.kind === 'none'
      ? { revision: null, manifest: null, takesUnreached, along: [] }
      : {
          revision: revisionMessage(directive.revision),
          manifest: manifestMessage(directive.manifest),
          takesUnreached,
          along: directive.along,
        },
  );
}

/** Throws `WIRE.MALFORMED`. */
export function decodeDirective(bytes: Uint8Array): AgentDirective {
  const { revision, manifest, takesUnreached, along } = DIRECTIVE.decode(bytes);
  const where = place('AgentDirective');
  const takes = takesUnreached ? { takesUnreached } : {};
  return manifest === null
    ? { kind: 'none', ...takes }
    : {
        kind: 'serve',
        ...takes,
        revision: revisionOf(revision, at(where, 'revision')),
        manifest: manifestOf(manifest, at(where, 'manifest')),
        along: intact(along),
      };
}

/** A piece along is a call spared: one that is not what it is called, or is too much, is asked for as if it had not come. */
function intact(along: readonly BlobMessage[]): readonly BlobContent[] {
  const sizeBytes = along.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  return sizeBytes > MAX_ALONG_BYTES ? [] : along.filter(({ digest, bytes }) => sha256Hex(bytes) === digest);
}

export function encodeFetchRequest(digests: readonly string[]): Buffer {
  return FETCH_REQUEST.encode({ digests });
}

/** Throws `WIRE.MALFORMED`. */
export function decodeFetchRequest(bytes: Uint8Array): readonly string[] {
  const { digests } = FETCH_REQUEST.decode(bytes);
  const where = at(place('FetchBlobsRequest'), 'digests');
  if (digests.length === 0 || digests.length > MAX_PIECES) {
    throw malformed(where, `names none or more than ${MAX_PIECES}`);
  }
  return each(digests, where, digestText);
}

export function encodeBlobPiece(piece: BlobPiece): Buffer {
  return BLOB.encode(piece);
}

/** Throws `WIRE.MALFORMED`. The digest is the whole blob's, so it is for the reader to check. */
export function decodeBlobPiece(bytes: Uint8Array): BlobPiece {
  const message = BLOB.decode(bytes);
  return { digest: digestText(message.digest, at(place('Blob'), 'digest')), bytes: message.bytes };
}

function helloMessage(hello: AgentHello): AgentHelloMessage {
  return { ...hello, artifactDigest: hello.artifactDigest ?? '', networkIds: [] };
}

function helloOf(message: AgentHelloMessage, where: Place): AgentHello {
  const { taskId, nodeId, proxyVersion, artifactDigest } = message;
  if (taskId === '') {
    throw malformed(at(where, 'taskId'), 'is empty');
  }
  return {
    taskId: shortText(taskId, at(where, 'taskId')),
    nodeId: shortText(nodeId, at(where, 'nodeId')),
    proxyVersion: shortText(proxyVersion, at(where, 'proxyVersion')),
    artifactDigest: optionalDigest(artifactDigest, at(where, 'artifactDigest')),
  };
}

/** Ids and versions: they are logged and shown, so nothing else gets in. */
function shortText(text: string, where: Place): string {
  if (!/^[A-Za-z0-9._+-]{0,128}$/.test(text)) {
    throw malformed(where, 'is longer than 128 characters or has other ones than A-Z, a-z, 0-9, ".", "_", "+" and "-"');
  }
  return text;
}

function optionalDigest(text: string, where: Place): string | undefined {
  return text === '' ? undefined : digestText(text, where);
}

function reportMessage(report: AgentReport): AgentReportMessage {
  return {
    ...outcomeMessage(report.outcome),
    artifactDigest: report.artifactDigest ?? '',
    durationMs: report.durationMs,
    findings: report.findings.slice(0, MAX_AGENT_FINDINGS).map(findingMessage),
  };
}

function unreachedOf(addresses: readonly SocketAddressMessage[], where: Place): UnreachedReport {
  if (addresses.length > MAX_UNREACHED) {
    throw malformed(at(where, 'addresses'), `are more than ${MAX_UNREACHED}`);
  }
  return { unreached: each(addresses, at(where, 'addresses'), socketAddressOf) };
}

function socketAddressOf({ address, port }: SocketAddressMessage, where: Place): SocketAddress {
  const checked = toPort(port);
  if (checked === undefined) {
    throw malformed(at(where, 'port'), 'is not a port');
  }
  return { address: parsed(address, parseIpAddress, at(where, 'address'), 'an address'), port: checked };
}

function outcomeMessage(outcome: AgentOutcome): Pick<AgentReportMessage, 'applied' | 'refused' | 'draining'> {
  switch (outcome.kind) {
    case 'applied':
      return { applied: {} };
    case 'refused':
      return { refused: { reason: cutUtf8(outcome.reason, MAX_REASON_BYTES) } };
    case 'draining':
      return { draining: {} };
    default:
      return assertNever(outcome);
  }
}

function reportOf(message: AgentReportMessage, where: Place): AgentReport {
  if (message.findings.length > MAX_AGENT_FINDINGS) {
    throw malformed(at(where, 'findings'), `are more than ${MAX_AGENT_FINDINGS}`);
  }
  const outcome = outcomeOf(message, where);
  const artifactDigest = optionalDigest(message.artifactDigest, at(where, 'artifactDigest'));
  if (artifactDigest === undefined && outcome.kind !== 'draining') {
    throw malformed(at(where, 'artifactDigest'), 'is empty');
  }
  return {
    artifactDigest,
    outcome,
    durationMs: safeInteger(message.durationMs, at(where, 'durationMs')),
    findings: each(message.findings, at(where, 'findings'), findingOf),
  };
}

function outcomeOf({ applied, refused, draining }: AgentReportMessage, where: Place): AgentOutcome {
  if (applied !== undefined) {
    return { kind: 'applied' };
  }
  if (refused !== undefined) {
    if (Buffer.byteLength(refused.reason) > MAX_REASON_BYTES) {
      throw malformed(at(where, 'refused.reason'), 'is longer than 4 KiB');
    }
    return { kind: 'refused', reason: refused.reason };
  }
  if (draining !== undefined) {
    return { kind: 'draining' };
  }
  throw malformed(at(where, 'outcome'), 'is missing');
}
