/** Revisions, pins and tokens for operators <-> bytes. Decoders throw `WIRE.MALFORMED`. */
import type { OptionChange, RouteChange } from '../model/routes.ts';
import { at, digestText, each, malformed, type Place, place, present, safeInteger } from './door.ts';
import type { ClusterModelMessage, PinMessage } from './messages.ts';
import { modelMessage, modelOf } from './model-codec.ts';
import { messageType } from './proto.ts';
import type {
  ClusterHistory,
  CompareReport,
  CompareRequest,
  NameList,
  PinView,
  RevisionsReport,
  RevisionsRequest,
  RollbackReport,
  RollbackRequest,
  RotateReport,
  RotateRequest,
  RouteRevision,
  TokenState,
  UnpinReport,
  UnpinRequest,
} from './revisions.ts';

interface OfCluster {
  readonly cluster?: string;
}

function clusterMessage(cluster: string | undefined): OfCluster {
  return cluster === undefined ? {} : { cluster };
}

interface RevisionMessage extends Omit<RouteRevision, 'added' | 'changed' | 'removed'> {
  readonly added: NameList | null;
  readonly changed: NameList | null;
  readonly removed: NameList | null;
}

interface ChangeMessage {
  readonly kind: string;
  readonly host: string;
  readonly path: string;
  readonly service: string;
  readonly options: readonly OptionChange[];
}

interface HistoryMessage {
  readonly extension: string;
  readonly serviceCluster: string;
  readonly revisions: readonly RevisionMessage[];
  readonly pin: PinMessage | null;
}

const REVISIONS_REQUEST = messageType<OfCluster>('interlock.v1.RevisionsRequest');
const REVISIONS_REPLY = messageType<{ readonly clusters: readonly HistoryMessage[] }>('interlock.v1.RevisionsReply');

export function encodeRevisionsRequest({ cluster }: RevisionsRequest): Buffer {
  return REVISIONS_REQUEST.encode(clusterMessage(cluster));
}

export function decodeRevisionsRequest(bytes: Uint8Array): RevisionsRequest {
  return { cluster: REVISIONS_REQUEST.decode(bytes).cluster };
}

export function encodeRevisionsReport({ clusters }: RevisionsReport): Buffer {
  return REVISIONS_REPLY.encode({ clusters: clusters.map((history) => ({ ...history, pin: history.pin ?? null })) });
}

export function decodeRevisionsReport(bytes: Uint8Array): RevisionsReport {
  const { clusters } = REVISIONS_REPLY.decode(bytes);
  return { clusters: each(clusters, at(place('RevisionsReply'), 'clusters'), historyOf) };
}

function historyOf({ extension, serviceCluster, revisions, pin }: HistoryMessage, where: Place): ClusterHistory {
  return {
    extension,
    serviceCluster,
    revisions: each(revisions, at(where, 'revisions'), revisionOf),
    pin: optionalPinOf(pin, at(where, 'pin')),
  };
}

function revisionOf(message: RevisionMessage, where: Place): RouteRevision {
  const { number, digest, atMs, added, changed, removed, served, live } = message;
  return {
    number: safeInteger(number, at(where, 'number')),
    digest: digestText(digest, at(where, 'digest')),
    atMs: safeInteger(atMs, at(where, 'atMs')),
    added: namesOf(added, at(where, 'added')),
    changed: namesOf(changed, at(where, 'changed')),
    removed: namesOf(removed, at(where, 'removed')),
    served,
    live,
  };
}

function namesOf(message: NameList | null, where: Place): NameList {
  const { count, names } = present(message, where);
  return { count: safeInteger(count, at(where, 'count')), names };
}

/** Absent: no pin. */
export function optionalPinOf(message: PinMessage | null | undefined, where: Place): PinView | undefined {
  return message === null || message === undefined
    ? undefined
    : {
        revision: safeInteger(message.revision, at(where, 'revision')),
        digest: digestText(message.digest, at(where, 'digest')),
        sinceMs: safeInteger(message.sinceMs, at(where, 'sinceMs')),
      };
}

interface CompareMessage {
  readonly extension: string;
  readonly serviceCluster: string;
  readonly before: RevisionMessage | null;
  readonly after: RevisionMessage | null;
  readonly changes: readonly ChangeMessage[];
  readonly beforeModel: ClusterModelMessage | null;
  readonly afterModel: ClusterModelMessage | null;
}

type CompareRequestMessage = OfCluster & Omit<CompareRequest, 'cluster'>;

const COMPARE_REQUEST = messageType<CompareRequestMessage>('interlock.v1.CompareRevisionsRequest');
const COMPARE_REPLY = messageType<CompareMessage>('interlock.v1.CompareRevisionsReply');

export function encodeCompareRequest({ cluster, ...request }: CompareRequest): Buffer {
  return COMPARE_REQUEST.encode({ ...clusterMessage(cluster), ...request });
}

export function decodeCompareRequest(bytes: Uint8Array): CompareRequest {
  const { cluster, before, after, models } = COMPARE_REQUEST.decode(bytes);
  return { cluster, before, after, models };
}

export function encodeCompareReport({ models, ...report }: CompareReport): Buffer {
  return COMPARE_REPLY.encode({
    ...report,
    beforeModel: models === undefined ? null : modelMessage(models.before),
    afterModel: models === undefined ? null : modelMessage(models.after),
  });
}

export function decodeCompareReport(bytes: Uint8Array): CompareReport {
  const message = COMPARE_REPLY.decode(bytes);
  const where = place('CompareRevisionsReply');
  const { extension, serviceCluster, beforeModel, afterModel } = message;
  return {
    extension,
    serviceCluster,
    before: presentRevision(message.before, at(where, 'before')),
    after: presentRevision(message.after, at(where, 'after')),
    changes: each(message.changes, at(where, 'changes'), changeOf),
    models:
      beforeModel === null && afterModel === null
        ? undefined
        : {
            before: presentModel(beforeModel, at(where, 'beforeModel')),
            after: presentModel(afterModel, at(where, 'afterModel')),
          },
  };
}

function presentRevision(message: RevisionMessage | null, where: Place): RouteRevision {
  return revisionOf(present(message, where), where);
}

function presentModel(message: ClusterModelMessage | null, where: Place) {
  return modelOf(present(message, where), where);
}

function changeOf({ kind, host, path, service, options }: ChangeMessage, where: Place): RouteChange {
  return {
    kind: oneOf(kind, ['added', 'removed', 'changed'], at(where, 'kind')),
    host,
    path,
    service,
    options: options.map(({ name, before, after }) => ({ name, before, after })),
  };
}

/** The words that an enumeration of ours may be. */
function oneOf<Word extends string>(text: string, words: readonly Word[], where: Place): Word {
  const word = words.find((one) => one === text);
  if (word === undefined) {
    throw malformed(where, `is none of ${words.join(', ')}`);
  }
  return word;
}

interface RollbackMessage {
  readonly extension: string;
  readonly serviceCluster: string;
  readonly outcome: string;
  readonly revision: RevisionMessage | null;
  readonly changes: readonly ChangeMessage[];
}

const ROLLBACK_REQUEST = messageType<OfCluster & Omit<RollbackRequest, 'cluster'>>('interlock.v1.RollbackRequest');
const ROLLBACK_REPLY = messageType<RollbackMessage>('interlock.v1.RollbackReply');

export function encodeRollbackRequest({ cluster, ...request }: RollbackRequest): Buffer {
  return ROLLBACK_REQUEST.encode({ ...clusterMessage(cluster), ...request });
}

export function decodeRollbackRequest(bytes: Uint8Array): RollbackRequest {
  const { cluster, revision, dryRun } = ROLLBACK_REQUEST.decode(bytes);
  return { cluster, revision, dryRun };
}

export function encodeRollbackReport(report: RollbackReport): Buffer {
  return ROLLBACK_REPLY.encode(report);
}

export function decodeRollbackReport(bytes: Uint8Array): RollbackReport {
  const { extension, serviceCluster, outcome, revision, changes } = ROLLBACK_REPLY.decode(bytes);
  const where = place('RollbackReply');
  return {
    extension,
    serviceCluster,
    outcome: oneOf(outcome, ['pinned', 'would-pin', 'unchanged'], at(where, 'outcome')),
    revision: presentRevision(revision, at(where, 'revision')),
    changes: each(changes, at(where, 'changes'), changeOf),
  };
}

interface UnpinMessage {
  readonly extension: string;
  readonly serviceCluster: string;
  readonly was: PinMessage | null;
  readonly changes: readonly ChangeMessage[];
}

const UNPIN_REQUEST = messageType<OfCluster>('interlock.v1.UnpinRequest');
const UNPIN_REPLY = messageType<UnpinMessage>('interlock.v1.UnpinReply');

export function encodeUnpinRequest({ cluster }: UnpinRequest): Buffer {
  return UNPIN_REQUEST.encode(clusterMessage(cluster));
}

export function decodeUnpinRequest(bytes: Uint8Array): UnpinRequest {
  return { cluster: UNPIN_REQUEST.decode(bytes).cluster };
}

export function encodeUnpinReport(report: UnpinReport): Buffer {
  return UNPIN_REPLY.encode({ ...report, was: report.was ?? null });
}

export function decodeUnpinReport(bytes: Uint8Array): UnpinReport {
  const { extension, serviceCluster, was, changes } = UNPIN_REPLY.decode(bytes);
  const where = place('UnpinReply');
  return {
    extension,
    serviceCluster,
    was: optionalPinOf(was, at(where, 'was')),
    changes: each(changes, at(where, 'changes'), changeOf),
  };
}

interface RotateRequestMessage {
  readonly extension: string;
  readonly role: string;
  readonly look: boolean;
}

interface TokenMessage extends Omit<TokenState, 'role' | 'state'> {
  readonly role: string;
  readonly state: string;
}

const ROTATE_REQUEST = messageType<RotateRequestMessage>('interlock.v1.RotateTokensRequest');
const ROTATE_REPLY = messageType<{ readonly tokens: readonly TokenMessage[] }>('interlock.v1.RotateTokensReply');

export function encodeRotateRequest(request: RotateRequest): Buffer {
  return ROTATE_REQUEST.encode(request);
}

export function decodeRotateRequest(bytes: Uint8Array): RotateRequest {
  const { extension, role, look } = ROTATE_REQUEST.decode(bytes);
  return { extension, role: oneOf(role, ['', 'extension', 'proxy'], at(place('RotateTokensRequest'), 'role')), look };
}

export function encodeRotateReport(report: RotateReport): Buffer {
  return ROTATE_REPLY.encode(report);
}

export function decodeRotateReport(bytes: Uint8Array): RotateReport {
  const { tokens } = ROTATE_REPLY.decode(bytes);
  return { tokens: each(tokens, at(place('RotateTokensReply'), 'tokens'), tokenOf) };
}

function tokenOf({ extension, role, state, secret, older, joined }: TokenMessage, where: Place): TokenState {
  return {
    extension,
    role: oneOf(role, ['extension', 'proxy'], at(where, 'role')),
    state: oneOf(state, ['making', 'rolling', 'done'], at(where, 'state')),
    secret,
    older,
    joined,
  };
}
