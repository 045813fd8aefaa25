/** Answers to the daemons' side of the gRPC API: hands out models, takes artifacts and reports. */
import { type ConfigArtifact, createArtifact, type Piece, piecesIn, piecesToSend } from '../../model/artifact.ts';
import { type Requirements, requirementsAfter, requirementsOf } from '../../model/cluster.ts';
import { createFinding, type Finding } from '../../model/finding.ts';
import { losesEndpoints } from '../../model/losses.ts';
import { diffModels } from '../../model/patch.ts';
import type { RevisedModel, Revision } from '../../model/revision.ts';
import { canonicalJson, sha256Hex } from '../../model/revision.ts';
import { type Clock, systemClock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/logging.ts';
import type { Component } from '../../runtime/supervisor.ts';
import type {
  Caller,
  ModelMessage,
  Refusal,
  RevisionRef,
  SocketAddress,
  Submission,
  SubmitOutcome,
  WireHandlers,
} from '../../wire/contract.ts';
import { refusal } from '../../wire/errors.ts';
import type { ClusterStatus, DeliveryStatus, SessionStatus, StatusReport } from '../../wire/status-report.ts';
import type { Board, ExtensionBoard, Rendered } from '../board.ts';
import { type AgentsDesk, createAgentsDesk } from './agents.ts';
import { createUnreached, type Unreached } from './unreached.ts';

export interface ServeFacts {
  readonly version: string;
  /** Names this life of core. */
  readonly epoch: string;
  readonly taskFeed: () => StatusReport['taskFeed'];
  /** Default: the system's. */
  readonly clock?: Pick<Clock, 'now' | 'monotonic' | 'sleep'>;
  /** See `ReloadsPerMinute` of config.toml; default: no limit. */
  readonly reloadsPerMinute?: number | undefined;
  /** Has services looked at that proxies could not reach; default: nobody looks. */
  readonly lookAt?: ((serviceNames: readonly string[]) => void) | undefined;
}

/** How many revisions back an artifact may be and still be taken: rendering takes a moment, and the model may move meanwhile. */
const REMEMBERED_REVISIONS = 256;

/** A cluster as far as its sessions tell; the tasks are Swarm's to tell. */
export type ClusterSessions = Omit<ClusterStatus, 'proxies'> & { readonly sessions: readonly SessionStatus[] };

export interface Handlers extends WireHandlers {
  /** In the order of config.toml. */
  clusters(): readonly ClusterSessions[];
  /** What has to be done by the clock. */
  readonly components: readonly Component[];
}

export function createHandlers(board: Board, facts: ServeFacts, logger: Logger): Handlers {
  const desks = new Map(
    [...board.extensions].map(([name, extension]) => [name, createDesk(extension, board, facts, logger)]),
  );

  function deskOf(caller: Caller, role: 'extension' | 'proxy' = 'extension'): Desk {
    if (caller.role !== role) {
      throw refusal('permission-denied', `this call is for the role ${role}, not for the role ${caller.role}`);
    }
    const desk = caller.extension === undefined ? undefined : desks.get(caller.extension);
    if (desk === undefined) {
      throw refusal('not-found', `config.toml has no [Extensions.${caller.extension ?? ''}]`);
    }
    return desk;
  }

  return {
    components: [...desks.values()].flatMap(({ agents, unreached }) => [
      agents.component,
      ...(unreached === undefined ? [] : [unreached.component]),
    ]),
    watchModel: (caller, have, signal) => deskOf(caller).watch(have, signal),
    submitArtifact: async (caller, submission) => deskOf(caller).submit(submission),
    refuseRevision: async (caller, refused) => deskOf(caller).refuse(refused),
    agentSession: (caller, hello, words, signal) => deskOf(caller, 'proxy').agents.session(hello, words, signal),
    fetchBlobs: async (caller, digests) => deskOf(caller, 'proxy').agents.blobs(digests),
    clusters: () => [...desks.values()].map((desk) => desk.status()),
  };
}

/** One extension's side of the API. */
interface Desk {
  watch(have: RevisionRef | undefined, signal: AbortSignal): AsyncIterable<ModelMessage>;
  submit(submission: Submission): SubmitOutcome;
  refuse(refused: Refusal): void;
  status(): ClusterSessions;
  readonly agents: AgentsDesk;
  readonly unreached: Unreached | undefined;
}

function createDesk(extension: ExtensionBoard, board: Board, facts: ServeFacts, root: Logger): Desk {
  const { settings } = extension;
  const logger = root.child({ area: 'serve', extension: settings.name, serviceCluster: settings.serviceCluster });
  const known = createRevisionMemory();
  const { epoch, clock = systemClock, reloadsPerMinute, lookAt } = facts;
  const unreached = lookAt && createUnreached({ name: settings.name, model: extension.model, lookAt, clock });
  const onUnreached = unreached && ((addresses: readonly SocketAddress[]) => unreached.note(addresses));
  const agents = createAgentsDesk({ extension, board, epoch, clock, reloadsPerMinute, onUnreached, logger });
  let watchers = 0;

  return {
    agents,
    unreached,
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
      const asked = known.find(submission.revision, facts.epoch);
      const [rendered, confirmed] = [extension.rendered.get(), extension.confirmed.get()];
      const isWhole = submission.checkPending !== true;
      // A whole check takes longer than a change: what it confirms may be overtaken, and is still the newest that may be stored.
      const overtakes = isWhole ? confirmed : rendered;
      if (asked === undefined || asked.revision.sequence < (overtakes?.revision.sequence ?? 0)) {
        return { kind: 'superseded' };
      }
      checkPaths(submission, settings.proxyConfigPath);
      const assembled = assemble(submission, [rendered, confirmed]);
      if (assembled.kind === 'missing') {
        return assembled;
      }
      const { artifact } = assembled;
      if (isWhole) {
        extension.confirmed.set({ ...asked, artifact });
      }
      if (asked.revision.sequence < (rendered?.revision.sequence ?? 0)) {
        return { kind: 'accepted' };
      }
      if (asked.revision.sequence >= (extension.refused.get()?.revision.sequence ?? 0)) {
        extension.refused.set(null);
        board.setFindings(`extension ${settings.name}`, boundedFindings(submission.findings));
      }
      if (!isWhole && extension.delivery.get()?.mode !== 'hitless') {
        // A roll brings it to proxies that start with it: nothing to do with it until the whole was checked.
        return { kind: 'accepted', awaitsCheck: true };
      }
      const atMs = rendered?.artifact.digest === artifact.digest ? rendered.atMs : clock.now();
      extension.rendered.set({ ...asked, artifact, atMs, ...(isWhole ? {} : { checkPending: true }) });
      logger.debug(
        { revision: asked.revision.digest.slice(0, 12), artifact: artifact.digest.slice(0, 12) },
        'artifact accepted',
      );
      return { kind: 'accepted' };
    },

    refuse({ revision: { digest, epoch }, reason, findings }) {
      const asked = known.find({ digest, epoch }, facts.epoch);
      const answered = extension.refused.get() ?? extension.rendered.get();
      if (asked === undefined || asked.revision.sequence < (answered?.revision.sequence ?? 0)) {
        return;
      }
      logger.error(
        { revision: digest.slice(0, 12), reason },
        'revision refused, last good configuration keeps serving',
      );
      board.setFindings(`extension ${settings.name}`, boundedFindings(findings));
      extension.refused.set({ revision: asked.revision, reason });
    },

    status: () => statusOf(extension, facts.epoch, watchers > 0, agents.sessions()),
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

/** A revision as core numbered it: of what a caller says of one, only digest and epoch count. */
interface KnownRevision {
  readonly revision: Revision;
  readonly requirements: Requirements;
  readonly losses: number;
}

interface RevisionMemory {
  remember(revised: RevisedModel): void;
  /** `undefined` for a revision of another life of core, or one that is too old. */
  modelOf(have: RevisionRef | undefined, epoch: string): RevisedModel | undefined;
  find(asked: Pick<RevisionRef, 'digest' | 'epoch'>, epoch: string): KnownRevision | undefined;
}

/** Only the newest model is kept whole; of older revisions only what their artifact would need. */
function createRevisionMemory(): RevisionMemory {
  const known = new Map<string, KnownRevision>();
  let newest: RevisedModel | undefined;
  let last: Requirements | undefined;
  let losses = 0;
  return {
    remember(revised) {
      // Several callers may watch, and the slower one must not bring back what is older.
      if (newest !== undefined && revised.revision.sequence <= newest.revision.sequence) {
        return;
      }
      const required =
        newest === undefined || last === undefined
          ? requirementsOf(revised.model)
          : requirementsAfter(last, newest.model, revised.model);
      losses += newest !== undefined && losesEndpoints(newest.model, revised.model) ? 1 : 0;
      newest = revised;
      last = sameOrNew(last, required);
      const { digest } = revised.revision;
      known.delete(digest);
      known.set(digest, { revision: revised.revision, requirements: last, losses });
      const [oldest] = known.keys();
      if (known.size > REMEMBERED_REVISIONS && oldest !== undefined) {
        known.delete(oldest);
      }
    },
    modelOf: (have, epoch) =>
      have !== undefined && have.epoch === epoch && newest?.revision.digest === have.digest ? newest : undefined,
    find: (asked, epoch) => (asked.epoch === epoch ? known.get(asked.digest) : undefined),
  };
}

/** Requirements change rarely and may be long: hundreds of revisions share one list. */
function sameOrNew(last: Requirements | undefined, next: Requirements): Requirements {
  return last !== undefined && (last === next || canonicalJson(last) === canonicalJson(next)) ? last : next;
}

/** What an extension says is kept and printed for people: a thousand lines are more than anybody reads. */
const MAX_FINDINGS = 1_000;

function boundedFindings(findings: readonly Finding[]): readonly Finding[] {
  if (findings.length <= MAX_FINDINGS) {
    return findings;
  }
  const left = findings.length - MAX_FINDINGS + 1;
  return [
    ...findings.slice(0, MAX_FINDINGS - 1),
    createFinding('RENDER.OTHER', `The extension reported ${left} more findings, which are not kept.`),
  ];
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

/** Pieces come from the submission or from the artifacts that core holds, and are then the same ones; each is held against its digest. */
function assemble({ manifest, blobs }: Submission, held: readonly (Rendered | undefined)[]): Assembled {
  const known = new Map<string, Piece>();
  for (const piece of [...new Set(held.flatMap((one) => one?.artifact ?? []))].flatMap(piecesIn)) {
    known.set(piece.digest, piece);
  }
  for (const { digest, bytes } of blobs) {
    if (sha256Hex(bytes) !== digest) {
      throw refusal('malformed', `the bytes of blob ${digest} have another digest`);
    }
    // A copy, because what was received is a view of the whole request, which would stay for as long as one piece of it.
    known.set(digest, { digest, bytes: Buffer.from(bytes) });
  }
  const asked = new Set(manifest.entries.flatMap((entry) => piecesToSend(entry).map(({ digest }) => digest)));
  const missing = [...asked].filter((digest) => !known.has(digest));
  if (missing.length > 0) {
    return { kind: 'missing', blobs: missing };
  }
  const artifact = createArtifact(
    manifest.entries.map((entry) => ({
      path: entry.path,
      mode: entry.mode,
      pieces: piecesToSend(entry).flatMap(({ digest }) => known.get(digest) ?? []),
    })),
  );
  if (artifact.digest !== manifest.digest) {
    throw refusal('malformed', `the manifest says ${manifest.digest}, its entries hash to ${artifact.digest}`);
  }
  return { kind: 'whole', artifact };
}

function statusOf(
  extension: ExtensionBoard,
  epoch: string,
  extensionConnected: boolean,
  sessions: readonly SessionStatus[],
): ClusterSessions {
  const withEpoch = (revision: Revision | undefined): RevisionRef | undefined => revision && { ...revision, epoch };
  const { settings } = extension;
  const newest = extension.model.get()?.revision;
  const rendered = extension.rendered.get();
  const refused = extension.refused.get();
  return {
    extension: settings.name,
    serviceCluster: settings.serviceCluster,
    extensionService: settings.serviceName,
    proxyService: settings.proxyServiceName,
    published: withEpoch(newest),
    rendered: withEpoch(rendered?.revision),
    renderedAtMs: rendered?.atMs,
    artifactDigest: rendered?.artifact.digest,
    proxyConfig: extension.published.get()?.configName,
    refusedReason: refused?.revision.digest === newest?.digest ? refused?.reason : undefined,
    extensionConnected,
    delivery: deliveryOf(extension),
    pinned: pinOf(extension),
    sessions,
  };
}

function pinOf({ pin }: ExtensionBoard): ClusterStatus['pinned'] {
  const held = pin.get() ?? undefined;
  return held && { revision: held.revision, digest: held.digest, sinceMs: held.sinceMs };
}

function deliveryOf({ delivery }: ExtensionBoard): DeliveryStatus | undefined {
  const state = delivery.get();
  return (
    state && {
      mode: state.mode,
      fallback: state.fallback,
      pendingNetworks: state.pending.networks,
      pendingSecrets: state.pending.secrets,
      rolling: state.rolling,
      storedConfig: state.storedConfigName,
    }
  );
}
