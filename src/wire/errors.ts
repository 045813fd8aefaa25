/** Errors <-> gRPC status codes. The only file that knows both. */
import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { OperationalError } from '../runtime/errors.ts';

/** Why core says no. */
export type RefusalReason =
  /** No role, an unknown role, or a wrong token. */
  | 'unauthenticated'
  /** Another cluster's. */
  | 'permission-denied'
  /** No such extension. */
  | 'not-found'
  /** The request cannot be understood. */
  | 'malformed'
  /** Over a limit. */
  | 'exhausted'
  /** Core cannot do it as things stand. */
  | 'precondition'
  /** This version does not offer the call. */
  | 'unimplemented'
  /** A bug on the other side. */
  | 'internal';

/** What a handler throws to refuse a call, and what a client throws for it: `WIRE.REFUSED` with `facts.reason`. */
export function refusal(reason: RefusalReason, message: string, options: { cause?: unknown } = {}): OperationalError {
  return new OperationalError('WIRE.REFUSED', message, { ...options, facts: { reason } });
}

/** The reason of a `WIRE.REFUSED`; `undefined` for every other error. */
export function refusalReason(error: unknown): RefusalReason | undefined {
  if (!(error instanceof OperationalError) || error.code !== 'WIRE.REFUSED') {
    return undefined;
  }
  const reason = error.facts['reason'];
  return typeof reason === 'string' && reason in STATUS_OF_REASON ? (reason as RefusalReason) : 'internal';
}

const STATUS_OF_REASON: Readonly<Record<RefusalReason, status>> = {
  unauthenticated: status.UNAUTHENTICATED,
  'permission-denied': status.PERMISSION_DENIED,
  'not-found': status.NOT_FOUND,
  malformed: status.INVALID_ARGUMENT,
  exhausted: status.RESOURCE_EXHAUSTED,
  precondition: status.FAILED_PRECONDITION,
  unimplemented: status.UNIMPLEMENTED,
  internal: status.INTERNAL,
};

const REASON_OF_STATUS: ReadonlyMap<status, RefusalReason> = new Map([
  [status.UNAUTHENTICATED, 'unauthenticated'],
  [status.PERMISSION_DENIED, 'permission-denied'],
  [status.NOT_FOUND, 'not-found'],
  [status.INVALID_ARGUMENT, 'malformed'],
  [status.RESOURCE_EXHAUSTED, 'exhausted'],
  [status.FAILED_PRECONDITION, 'precondition'],
  [status.UNIMPLEMENTED, 'unimplemented'],
]);

/** Whether the server should log it: everything that is not an answer we chose. */
export function isServerBug(error: unknown): boolean {
  return !(error instanceof OperationalError);
}

/** The status a caller gets for what a handler threw. The words of a bug stay with us. */
export function statusOf(error: unknown): StatusObject {
  const { code, words } = answerTo(error);
  return { code, details: sendable(words), metadata: new Metadata() };
}

function answerTo(error: unknown): { code: status; words: string } {
  if (!(error instanceof OperationalError)) {
    return { code: status.INTERNAL, words: 'internal error; see the log of core' };
  }
  const reason = refusalReason(error);
  if (reason !== undefined) {
    return { code: STATUS_OF_REASON[reason], words: error.message };
  }
  if (error.code === 'WIRE.MALFORMED') {
    return { code: status.INVALID_ARGUMENT, words: error.message };
  }
  return { code: error.class === 'permanent' ? status.FAILED_PRECONDITION : status.UNAVAILABLE, words: error.message };
}

const MAX_WORDS = 1024;

/** Status words travel in an HTTP/2 trailer as a URI-encoded text, and encodeURI throws on half a surrogate pair. */
function sendable(words: string): string {
  return Buffer.from(words.slice(0, MAX_WORDS)).toString();
}

/**
 * What a client throws for a call that ended badly: `WIRE.REFUSED` when core said no, `WIRE.UNREACHABLE` for everything that may
 * be better the next time (no connection, no answer in time, a connection cut half way, a bug in core).
 */
export function errorOfStatus(failure: ServiceError, call: string): OperationalError {
  const reason = REASON_OF_STATUS.get(failure.code);
  const facts = { call, status: status[failure.code] };
  return reason === undefined
    ? new OperationalError('WIRE.UNREACHABLE', `core does not answer: ${failure.details}`, { cause: failure, facts })
    : new OperationalError('WIRE.REFUSED', failure.details, { cause: failure, facts: { ...facts, reason } });
}
