/** Artifacts, what core says about them, and refusals <-> bytes. A manifest or blob whose digest does not fit its content is refused here. */
import { type Manifest, type ManifestEntry, manifestDigest, type PieceRef } from '../model/artifact.ts';
import { sha256Hex } from '../model/revision.ts';
import { assertNever } from '../runtime/errors.ts';
import type { BlobContent, Refusal, RevisionRef, Submission, SubmitOutcome } from './contract.ts';
import {
  absolutePath,
  ascending,
  at,
  digestText,
  each,
  malformed,
  type Place,
  place,
  present,
  safeInteger,
} from './door.ts';
import { findingMessage, findingOf } from './finding-codec.ts';
import { MAX_PIECES } from './limits.ts';
import type {
  BlobMessage,
  EmptyMessage,
  ManifestEntryMessage,
  ManifestMessage,
  PieceRefMessage,
  RefuseRevisionRequestMessage,
  SubmitArtifactReplyMessage,
  SubmitArtifactRequestMessage,
} from './messages.ts';
import { messageType } from './proto.ts';
import { optionalRevisionOf, revisionMessage, revisionOf } from './revision-codec.ts';

const SUBMIT_REQUEST = messageType<SubmitArtifactRequestMessage>('interlock.v1.SubmitArtifactRequest');
const SUBMIT_REPLY = messageType<SubmitArtifactReplyMessage>('interlock.v1.SubmitArtifactReply');
const REFUSE_REQUEST = messageType<RefuseRevisionRequestMessage>('interlock.v1.RefuseRevisionRequest');
const REFUSE_REPLY = messageType<EmptyMessage>('interlock.v1.RefuseRevisionReply');

/** The longest reason that travels, in bytes of UTF-8. */
export const MAX_REASON_BYTES = 4096;

export function encodeSubmission(submission: Submission): Buffer {
  return SUBMIT_REQUEST.encode({
    revision: revisionMessage(submission.revision),
    manifest: manifestMessage(submission.manifest),
    blobs: submission.blobs,
    findings: submission.findings.map(findingMessage),
    checkPending: submission.checkPending === true,
  });
}

/** Throws `WIRE.MALFORMED`. */
export function decodeSubmission(bytes: Uint8Array): Submission {
  const message = SUBMIT_REQUEST.decode(bytes);
  const where = place('SubmitArtifactRequest');
  return {
    revision: revisionOf(message.revision, at(where, 'revision')),
    manifest: manifestOf(present(message.manifest, at(where, 'manifest')), at(where, 'manifest')),
    blobs: each(message.blobs, at(where, 'blobs'), blobOf),
    findings: each(message.findings, at(where, 'findings'), findingOf),
    ...(message.checkPending ? { checkPending: true } : {}),
  };
}

/** `revision` is the one that the outcome is about. */
export function encodeSubmitReply(outcome: SubmitOutcome, revision: RevisionRef): Buffer {
  return SUBMIT_REPLY.encode({ ...outcomeMessage(outcome), revision: revisionMessage(revision) });
}

/** Throws `WIRE.MALFORMED`. */
export function decodeSubmitReply(bytes: Uint8Array): {
  readonly outcome: SubmitOutcome;
  readonly revision: RevisionRef | undefined;
} {
  const message = SUBMIT_REPLY.decode(bytes);
  const where = place('SubmitArtifactReply');
  return { outcome: outcomeOf(message, where), revision: optionalRevisionOf(message.revision, at(where, 'revision')) };
}

export function encodeRefusal(refusal: Refusal): Buffer {
  return REFUSE_REQUEST.encode({
    revision: revisionMessage(refusal.revision),
    reason: cutUtf8(refusal.reason, MAX_REASON_BYTES),
    findings: refusal.findings.map(findingMessage),
  });
}

/** Throws `WIRE.MALFORMED`. */
export function decodeRefusal(bytes: Uint8Array): Refusal {
  const message = REFUSE_REQUEST.decode(bytes);
  const where = place('RefuseRevisionRequest');
  if (Buffer.byteLength(message.reason) > MAX_REASON_BYTES) {
    throw malformed(at(where, 'reason'), 'is longer than 4 KiB');
  }
  return {
    revision: revisionOf(message.revision, at(where, 'revision')),
    reason: message.reason,
    findings: each(message.findings, at(where, 'findings'), findingOf),
  };
}

export function encodeRefusalReply(): Buffer {
  return REFUSE_REPLY.encode({});
}

export function manifestMessage({ digest, entries }: Manifest): ManifestMessage {
  return { digest, entries: entries.map(({ pieces, ...entry }) => ({ ...entry, pieces: pieces ?? [] })) };
}

/** Throws `WIRE.MALFORMED`; also when the digest is not the one of the entries. */
export function manifestOf(message: ManifestMessage, where: Place): Manifest {
  const entries = ascending(each(message.entries, at(where, 'entries'), entryOf), entryPath, at(where, 'entries'));
  if (entries.length === 0) {
    throw malformed(at(where, 'entries'), 'is empty');
  }
  if (message.digest !== manifestDigest(entries)) {
    throw malformed(at(where, 'digest'), 'is not the digest of its entries');
  }
  return { digest: message.digest, entries };
}

function entryPath({ path }: ManifestEntry): string {
  return path;
}

const ALL_PERMISSIONS = 0o777;

function entryOf(message: ManifestEntryMessage, where: Place): ManifestEntry {
  if (message.mode > ALL_PERMISSIONS) {
    throw malformed(at(where, 'mode'), 'has more than permission bits');
  }
  const entry = {
    path: absolutePath(message.path, at(where, 'path')),
    mode: message.mode,
    sizeBytes: safeInteger(message.sizeBytes, at(where, 'sizeBytes')),
    blob: digestText(message.blob, at(where, 'blob')),
  };
  return message.pieces.length === 0
    ? entry
    : { ...entry, pieces: piecesOf(message.pieces, entry.sizeBytes, at(where, 'pieces')) };
}

/** Whether they make up the blob is for who has their bytes. */
function piecesOf(messages: readonly PieceRefMessage[], sizeBytes: number, where: Place): readonly PieceRef[] {
  if (messages.length < 2 || messages.length > MAX_PIECES) {
    throw malformed(where, `is one, or more than ${MAX_PIECES}`);
  }
  const pieces = each(messages, where, pieceRefOf);
  if (pieces.reduce((sum, piece) => sum + piece.sizeBytes, 0) !== sizeBytes) {
    throw malformed(where, 'do not add up to the size of the file');
  }
  return pieces;
}

function pieceRefOf({ digest, sizeBytes }: PieceRefMessage, where: Place): PieceRef {
  return {
    digest: digestText(digest, at(where, 'digest')),
    sizeBytes: safeInteger(sizeBytes, at(where, 'sizeBytes')),
  };
}

function blobOf({ digest, bytes }: BlobMessage, where: Place): BlobContent {
  if (digest !== sha256Hex(bytes)) {
    throw malformed(at(where, 'digest'), 'is not the digest of its bytes');
  }
  return { digest, bytes };
}

function outcomeMessage(
  outcome: SubmitOutcome,
): Pick<SubmitArtifactReplyMessage, 'accepted' | 'missing' | 'superseded'> {
  switch (outcome.kind) {
    case 'accepted':
      return { accepted: { awaitsCheck: outcome.awaitsCheck === true } };
    case 'missing':
      return { missing: { digests: outcome.blobs } };
    case 'superseded':
      return { superseded: {} };
    default:
      return assertNever(outcome);
  }
}

function outcomeOf({ accepted, missing, superseded }: SubmitArtifactReplyMessage, where: Place): SubmitOutcome {
  if (accepted !== undefined) {
    return { kind: 'accepted', ...(accepted.awaitsCheck ? { awaitsCheck: true } : {}) };
  }
  if (missing !== undefined) {
    return { kind: 'missing', blobs: missingOf(missing.digests, at(where, 'missing.digests')) };
  }
  if (superseded !== undefined) {
    return { kind: 'superseded' };
  }
  throw malformed(at(where, 'outcome'), 'is missing');
}

function missingOf(digests: readonly string[], where: Place): readonly string[] {
  if (digests.length === 0) {
    throw malformed(where, 'is empty');
  }
  return each(digests, where, digestText);
}

/** At most `maxBytes` of UTF-8, cut between characters. */
export function cutUtf8(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.byteLength <= maxBytes) {
    return bytes.toString();
  }
  let end = maxBytes;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) {
    end -= 1;
  }
  return bytes.toString('utf8', 0, end);
}
