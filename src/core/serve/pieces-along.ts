/** What of an artifact travels with the directive, so that agents need not fetch it. */
import { type ConfigArtifact, piecesIn, sizeOf } from '../../model/artifact.ts';
import type { BlobContent } from '../../wire/contract.ts';
import { MAX_ALONG_BYTES } from '../../wire/limits.ts';

export interface PiecesAlong {
  /**
   * The pieces that the artifact an agent serves does not have: all, or none where that one is not known, they are more than
   * `MAX_ALONG_BYTES`, or so many agents would hold too much at once.
   */
  along(artifact: ConfigArtifact, served: ConfigArtifact | undefined, agents: number): readonly BlobContent[];
}

/** What the directives of one artifact carry to all agents together: all of them are made in the same moment. */
const MAX_TOGETHER_BYTES = 16 * 1024 * 1024;

/** Most agents serve the same and are told the same: it is found out once. */
export function createPiecesAlong(): PiecesAlong {
  let newest: ConfigArtifact | undefined;
  let known = new Map<string, readonly BlobContent[]>();
  return {
    along(artifact, served, agents) {
      if (served === undefined) {
        return [];
      }
      if (newest !== artifact) {
        newest = artifact;
        known = new Map();
      }
      const pieces = known.get(served.digest) ?? newPieces(artifact, served);
      known.set(served.digest, pieces);
      return sizeOf(pieces) * agents <= MAX_TOGETHER_BYTES ? pieces : [];
    },
  };
}

function newPieces(artifact: ConfigArtifact, served: ConfigArtifact): readonly BlobContent[] {
  const held = new Set(piecesIn(served).map(({ digest }) => digest));
  const fresh = piecesIn(artifact).filter(({ digest }) => !held.has(digest));
  const pieces = [...new Map(fresh.map((piece) => [piece.digest, piece])).values()];
  return sizeOf(pieces) <= MAX_ALONG_BYTES ? pieces : [];
}
