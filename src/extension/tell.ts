/** Verdict -> core. One attempt; the session repeats it while core is away. */
import { type ConfigArtifact, type Manifest, manifestOf, piecesToSend } from '../model/artifact.ts';
import { createFinding } from '../model/finding.ts';
import { OperationalError } from '../runtime/errors.ts';
import type { WireClient } from '../wire/client.ts';
import type { BlobContent, RevisionRef, SubmitOutcome } from '../wire/contract.ts';
import { refusalReason } from '../wire/errors.ts';
import type { Verdict } from './judge.ts';

type Usable = Extract<Verdict, { kind: 'usable' }>;
type Refused = Extract<Verdict, { kind: 'refused' }>;

/** `awaited`: accepted, and of use only once the whole was checked. */
export type Told = 'accepted' | 'awaited' | 'superseded' | 'refused';

export interface Teller {
  /** Throws what the client throws. */
  tell(revision: RevisionRef, verdict: Verdict, signal: AbortSignal): Promise<Told>;
}

/** A core that asks for blobs again after it was sent them has lost the thread. */
const MAX_ROUNDS = 3;

export function createTeller(client: Pick<WireClient, 'submitArtifact' | 'refuseRevision'>): Teller {
  /** Pieces of the artifact that core accepted last: it may still hold them, so they travel only when it asks. */
  let held: ReadonlySet<string> = new Set();

  async function submit(
    revision: RevisionRef,
    { artifact, findings, pending }: Usable,
    signal: AbortSignal,
  ): Promise<Told> {
    const manifest = manifestOf(artifact);
    const all = piecesOf(manifest);
    let wanted = [...all].filter((piece) => !held.has(piece));
    for (let round = 1; round <= MAX_ROUNDS; round += 1) {
      const blobs = blobsOf(artifact, wanted);
      const submission = { revision, manifest, blobs, findings, ...(pending ? { checkPending: true } : {}) };
      const outcome: SubmitOutcome = await client.submitArtifact(submission, signal);
      if (outcome.kind !== 'missing') {
        held = outcome.kind === 'accepted' ? all : held;
        return outcome.kind === 'accepted' && outcome.awaitsCheck === true ? 'awaited' : outcome.kind;
      }
      wanted = [...outcome.blobs];
    }
    throw new OperationalError('WIRE.MALFORMED', 'core asks again and again for files that it was sent');
  }

  return {
    async tell(revision, verdict, signal) {
      const refused = verdict.kind === 'usable' ? await submitUnlessTooLarge(verdict) : verdict;
      if (typeof refused === 'string') {
        return refused;
      }
      await client.refuseRevision({ revision, reason: refused.reason, findings: refused.findings }, signal);
      return 'refused';

      async function submitUnlessTooLarge(usable: Usable): Promise<Told | Refused> {
        try {
          return await submit(revision, usable, signal);
        } catch (error) {
          if (refusalReason(error) !== 'exhausted') {
            throw error;
          }
          return tooLarge(usable);
        }
      }
    },
  };
}

/** Said to core as a refusal, so that people hear why nothing new is served; until the model is smaller the last good file is. */
function tooLarge({ artifact, findings }: Usable): Refused {
  const bytes = artifact.files.reduce((sum, file) => sum + file.bytes.byteLength, 0);
  const reason = `The rendered file has ${bytes} bytes: more than core takes. Spread the services over several service clusters.`;
  return { kind: 'refused', reason, findings: [...findings, createFinding('PUBLISH.CONFIG_TOO_LARGE', reason)] };
}

function piecesOf({ entries }: Manifest): ReadonlySet<string> {
  return new Set(entries.flatMap((entry) => piecesToSend(entry).map(({ digest }) => digest)));
}

/** Pieces, and whole files for a core that knows of no pieces. */
function blobsOf(artifact: ConfigArtifact, wanted: readonly string[]): readonly BlobContent[] {
  const pieces = new Map(artifact.files.flatMap((file) => file.pieces.map((piece) => [piece.digest, piece] as const)));
  // Entries stand in the order of the files, and know their digests already.
  const whole = (digest: string) =>
    artifact.files[manifestOf(artifact).entries.findIndex(({ blob }) => blob === digest)];
  return wanted.flatMap((digest) => {
    const found = pieces.get(digest) ?? whole(digest);
    return found === undefined ? [] : [{ digest, bytes: found.bytes }];
  });
}
