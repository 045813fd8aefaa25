/** Answers to the gRPC API: hands out models, takes artifacts, says how things stand. */
import { type ConfigArtifact, createArtifact } from '../../model/artifact.ts';
import { type Requirements, requirementsOf } from '../../model/cluster.ts';
import { diffModels } from '../../model/patch.ts';
import type { RevisedModel, Revision } from '../../model/revision.ts';
import { sha256Hex } from '../../model/revision.ts';
import type { Logger } from '../../runtime/logging.ts';
import type {
  Caller,
  ClusterStatus,
  ModelMessage,
  Refusal,
  RevisionRef,
  StatusReport,
  Submission,
  SubmitOutcome,
  WireHandlers,
} from '../../wire/contract.ts';
import { refusal } from '../../wire/errors.ts';
import type { Board, ExtensionBoard } from '../board.ts';

export interface ServeFacts {
  readonly version: string;
  /** Names this life of core. */
  readonly epoch: string;
  readonly taskFeed: () => StatusReport['taskFeed'];
}

/** How many revisions back an artifact may be and still be taken: rendering takes a moment, and the model may move meanwhile. */
const REMEMBERED_REVISIONS = 256;

export function createHandlers(board: Board, facts: ServeFacts, logger: Logger): WireHandlers {
  const desks = new Map(
    [...board.extensions].map(([name, extension]) => [name, createDesk(extension, board, facts, logger)]),
  );

  function deskOf(caller: Caller): Desk {
    if (caller.role !== 'extension') {
      throw refusal('permission-denied', `this call is for extensions, not for the role ${caller.role}`);
    }
    const desk = caller.extension === undefined ? undefined : desks.get(caller.extension);
    if (desk === undefined) {
      throw refusal('not-found', `config.toml has no [Extensions.${caller.extension ?? ''}]`);
    }
    return desk;
  }

  return {
    watchModel: (caller, have, signal) => deskOf(caller).watch(have, signal),
    submitArtifact: async (caller, submission) => deskOf(caller).submit(submission),
    refuseRevision: async (caller, refused) => deskOf(caller).refuse(refused),
    status: async () => ({
      version: facts.version,
      epoch: facts.epoch,
      taskFeed: facts.taskFeed(),
      clusters: [...desks.values()].map((desk) => desk.status()),
      findings: board.findings(),
    }),
  };
}

/** One extension's side of the API. */
interface Desk {
  watch(have: RevisionRef | undefined, signal: AbortSignal): AsyncIterable<ModelMessage>;
  submit(submission: Submission): SubmitOutcome;
  refuse(refused: Refusal): void;
  status(): ClusterStatus;
}

function createDesk(extension: ExtensionBoard, board: Board, facts: ServeFacts, root: Logger): Desk {
  const { settings } = extension;
  const logger = root.child({ area: 'serve', extension: settings.name, serviceCluster: settings.serviceCluster });
  const known = createRevisionMemory();
  let watchers = 0;

  return {
    async *watch(have, signal) {
      watchers += 1;
      logger.info({ watchers }, 'extension connected');
      try {
        let base = known.modelOf(have, facts.epoch);
        for await (const next of extension.model.watch(signal)) {
          known.remember(next);
          yield messageFor(base, next, facts.epoch);
          base = next;
        }
      } finally {
        watchers -= 1;
        logger.info({ watchers }, 'extension disconnected');
      }
    },

    submit(submission) {
      const requirements = known.requirementsOf(submission.revision, facts.epoch);
      const rendered = extension.rendered.get();
      if (requirements === undefined || submission.revision.sequence < (rendered?.revision.sequence ?? 0)) {
        return { kind: 'superseded' };
      }
      checkPaths(submission, settings.proxyConfigPath);
      const assembled = assemble(submission, rendered?.artifact);
      if (assembled.kind === 'missing') {
        return assembled;
      }
      board.setFindings(`extension ${settings.name}`, submission.findings);
      extension.refused.set(null);
      extension.rendered.set({ revision: revisionOf(submission.revision), artifact: assembled.artifact, requirements });
      logger.debug(
        { revision: submission.revision.digest.slice(0, 12), artifact: assembled.artifact.digest.slice(0, 12) },
        'artifact accepted',
      );
      return { kind: 'accepted' };
    },

    refuse({ revision, reason, findings }) {
      if (known.requirementsOf(revision, facts.epoch) === undefined) {
        return;
      }
      logger.error(
        { revision: revision.digest.slice(0, 12), reason },
        'revision refused, last good configuration keeps serving',
      );
      board.setFindings(`extension ${settings.name}`, findings);
      extension.refused.set({ revision: revisionOf(revision), reason });
    },

    status: () => statusOf(extension, facts.epoch, watchers > 0),
  };
}

/** A patch when the caller holds the model it builds on, else the full state. */
function messageFor(base: RevisedModel | undefined, next: RevisedModel, epoch: string): ModelMessage {
  const revision = { ...next.revision, epoch };
  return base === undefined
    ? { revision, content: { kind: 'full', model: next.model } }
    : {
        revision,
        content: { kind: 'patch', baseDigest: base.revision.digest, patch: diffModels(base.model, next.model) },
      };
}

interface RevisionMemory {
  remember(revised: RevisedModel): void;
  /** `undefined` for a revision of another life of core, or one that is too old. */
  modelOf(have: RevisionRef | undefined, epoch: string): RevisedModel | undefined;
  requirementsOf(revision: RevisionRef, epoch: string): Requirements | undefined;
}

/** Only the newest model is kept whole; of older revisions only what their artifact would need. */
function createRevisionMemory(): RevisionMemory {
  const requirements = new Map<string, Requirements>();
  let newest: RevisedModel | undefined;
  return {
    remember(revised) {
      newest = revised;
      requirements.delete(revised.revision.digest);
      requirements.set(revised.revision.digest, requirementsOf(revised.model));
      const [oldest] = requirements.keys();
      if (requirements.size > REMEMBERED_REVISIONS && oldest !== undefined) {
        requirements.delete(oldest);
      }
    },
    modelOf: (have, epoch) =>
      have !== undefined && have.epoch === epoch && newest?.revision.digest === have.digest ? newest : undefined,
    requirementsOf: (revision, epoch) => (revision.epoch === epoch ? requirements.get(revision.digest) : undefined),
  };
}

/** Classic delivery carries one file: the Docker Config that is mounted at ProxyConfigPath. */
function checkPaths({ manifest }: Submission, configPath: string): void {
  const [entry] = manifest.entries;
  if (manifest.entries.length !== 1 || entry?.path !== configPath) {
    const paths = manifest.entries.map(({ path }) => path).join(', ');
    throw refusal(
      'malformed',
      `an artifact holds exactly one file, ${configPath} (ProxyConfigPath); got: ${paths || 'none'}`,
    );
  }
}

type Assembled =
  | { readonly kind: 'whole'; readonly artifact: ConfigArtifact }
  | { readonly kind: 'missing'; readonly blobs: readonly string[] };

/** Bytes come from the submission or from the artifact that core holds; each is held against its digest. */
function assemble({ manifest, blobs }: Submission, held: ConfigArtifact | undefined): Assembled {
  const bytes = new Map<string, Uint8Array>();
  for (const file of held?.files ?? []) {
    bytes.set(sha256Hex(file.bytes), file.bytes);
  }
  for (const blob of blobs) {
    if (sha256Hex(blob.bytes) !== blob.digest) {
      throw refusal('malformed', `the bytes of blob ${blob.digest} have another digest`);
    }
    bytes.set(blob.digest, blob.bytes);
  }
  const missing = manifest.entries.map(({ blob }) => blob).filter((digest) => !bytes.has(digest));
  if (missing.length > 0) {
    return { kind: 'missing', blobs: missing };
  }
  const artifact = createArtifact(
    manifest.entries.map(({ path, mode, blob }) => ({ path, mode, bytes: bytes.get(blob) ?? new Uint8Array() })),
  );
  if (artifact.digest !== manifest.digest) {
    throw refusal('malformed', `the manifest says ${manifest.digest}, its entries hash to ${artifact.digest}`);
  }
  return { kind: 'whole', artifact };
}

function revisionOf({ digest, sequence, versionIndex }: RevisionRef): Revision {
  return { digest, sequence, versionIndex };
}

function statusOf(extension: ExtensionBoard, epoch: string, extensionConnected: boolean): ClusterStatus {
  const withEpoch = (revision: Revision | undefined): RevisionRef | undefined => revision && { ...revision, epoch };
  const published = extension.published.get();
  return {
    extension: extension.settings.name,
    serviceCluster: extension.settings.serviceCluster,
    published: withEpoch(extension.model.get()?.revision),
    rendered: withEpoch(extension.rendered.get()?.revision),
    artifactDigest: extension.rendered.get()?.artifact.digest,
    proxyConfig: published?.configName,
    refusedReason: extension.refused.get()?.reason,
    extensionConnected,
  };
}
