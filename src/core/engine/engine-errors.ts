/** The Engine's refusals and the socket's failures -> OperationalError. People and code match the code; the Engine's words stay in the message. */
import { type ErrorCode, OperationalError } from '../../runtime/errors.ts';
import { SnapshotParseError } from '../../snapshot/parse.ts';

/** What was asked, e.g. `POST /services/abc/update`. */
export interface Asked {
  readonly method: string;
  readonly path: string;
}

/** First match wins. Swarm's own errors come through as `rpc error: code = X desc = words`, often with status 500, so words go before status. */
const BY_WORDS: readonly (readonly [RegExp, ErrorCode])[] = [
  [/update out of sequence/i, 'ENGINE.OUT_OF_SEQUENCE'],
  [/not a swarm manager|not part of a swarm|swarm is encrypted|needs to be unlocked/i, 'ENGINE.NOT_A_MANAGER'],
  [/name conflicts with an existing object|already exists/i, 'ENGINE.NAME_TAKEN'],
  // A config of more than 4 MiB does not even reach Swarm's own check: gRPC's limit comes first, as ResourceExhausted.
  [/message larger than max/i, 'ENGINE.REFUSED'],
  [/\bis in use\b|has active endpoints/i, 'ENGINE.IN_USE'],
  // Creating a service that names a missing network answers 500, a missing config or secret 400.
  [/\b(?:network|config|secret|service) .*not found|(?:config|secret|network) not found/i, 'ENGINE.NOT_FOUND'],
  [
    /code = (?:Unavailable|DeadlineExceeded|Canceled|Aborted|ResourceExhausted)\b|does not have a leader|context deadline exceeded/i,
    'ENGINE.FAILED',
  ],
  [/code = (?:InvalidArgument|Unimplemented|FailedPrecondition|OutOfRange)\b|constraint expected/i, 'ENGINE.REFUSED'],
];

/** The error for an answer that is not 2xx. */
export function refusal(asked: Asked, status: number, words: string): OperationalError {
  const code = BY_WORDS.find(([pattern]) => pattern.test(words))?.[1] ?? codeByStatus(status);
  return new OperationalError(code, `${asked.method} ${asked.path}: ${words.trim() || 'no message'} (HTTP ${status})`, {
    facts: { ...asked, status },
  });
}

function codeByStatus(status: number): ErrorCode {
  switch (status) {
    case 404:
      return 'ENGINE.NOT_FOUND';
    case 409:
      return 'ENGINE.NAME_TAKEN';
    default:
      return status >= 500 && status !== 501 ? 'ENGINE.FAILED' : 'ENGINE.REFUSED';
  }
}

/** The error for a connection that could not be made, or broke before the answer was whole. */
export function unreachable(asked: Asked, cause: unknown): OperationalError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new OperationalError('ENGINE.UNREACHABLE', `${asked.method} ${asked.path}: ${why}`, {
    cause,
    facts: { ...asked },
  });
}

/** Runs a parser over an answer; what it cannot read becomes ENGINE.BROKEN_ANSWER with the object's id and the path in it. */
export function readAnswer<Part>(asked: Asked, parse: (raw: unknown) => Part, raw: unknown): Part {
  try {
    return parse(raw);
  } catch (error) {
    if (error instanceof SnapshotParseError) {
      throw brokenAnswer(asked, error, { object: error.object, id: error.id, at: error.path });
    }
    throw error;
  }
}

/** The error for an answer that arrived and makes no sense. */
export function brokenAnswer(asked: Asked, cause: Error, facts: Record<string, unknown> = {}): OperationalError {
  return new OperationalError('ENGINE.BROKEN_ANSWER', `${asked.method} ${asked.path}: ${cause.message}`, {
    cause,
    facts: { ...asked, ...facts },
  });
}
