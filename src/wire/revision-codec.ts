/** Revisions on the wire. */
import type { RevisionRef } from './contract.ts';
import { at, digestText, nonEmptyText, type Place, present, safeInteger } from './door.ts';
import type { RevisionMessage } from './messages.ts';

export function revisionMessage({ digest, sequence, versionIndex, epoch }: RevisionRef): RevisionMessage {
  return { digest, sequence, versionIndex, epoch };
}

export function revisionOf(message: RevisionMessage | null, where: Place): RevisionRef {
  const { digest, sequence, versionIndex, epoch } = present(message, where);
  return {
    digest: digestText(digest, at(where, 'digest')),
    sequence: safeInteger(sequence, at(where, 'sequence')),
    versionIndex: safeInteger(versionIndex, at(where, 'versionIndex')),
    epoch: nonEmptyText(epoch, at(where, 'epoch')),
  };
}

export function optionalRevisionOf(message: RevisionMessage | null, where: Place): RevisionRef | undefined {
  return message === null ? undefined : revisionOf(message, where);
}
