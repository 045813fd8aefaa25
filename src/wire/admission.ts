/**
 * The door of the server: every call but the health service's shows who calls before anything else of it is read. A call that is
 * refused costs its headers, one hash and a status; it is counted, and told of once per peer and minute, never with its token.
 */
import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import type { Clock } from '../runtime/clock.ts';
import { toError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logging.ts';
import { callerOf } from './caller.ts';
import type { Caller } from './contract.ts';
import { refusal, refusalReason, statusOf } from './errors.ts';
import { MAX_CALLS_PER_PEER, MAX_CALLS_PER_PEER_AND_METHOD, MAX_WATCHERS_PER_EXTENSION } from './limits.ts';
import { METHODS, ROLE_OF_PATH } from './methods.ts';
import { OPERATOR, OPERATOR_CALL_NAMES } from './operator.ts';

/** Returns for a caller that is who it says; throws a refusal, or a retryable OperationalError, for everybody else. */
export type Authenticate = (caller: Caller) => void;

/** Everybody may ask whether core is up; nothing else is open. */
const OPEN = '/grpc.health.v1.Health/';

/** Callers may name any path; those we have are a handful. */
const CALL_PATHS: ReadonlySet<string> = new Set([
  ...Object.values(METHODS).map(({ path }) => path),
  ...OPERATOR_CALL_NAMES.map((name) => OPERATOR[name].method.path),
]);

/** Between two log lines about one peer. */
const QUIET_MS = 60_000;
/** Peers remembered for that; what the others do is only counted. */
const MAX_PEERS = 256;

/**
 * Hears of each call that has ended: its method, `other` for one we do not have, and its status, e.g. `UNAVAILABLE`. `connection` stands
 * for one that was refused before it could make a call.
 */
export type OnCallEnd = (call: string, code: string) => void;

export interface AdmissionTools {
  readonly authenticate: Authenticate;
  readonly onCallEnd?: OnCallEnd | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
}

export function createAdmission({ authenticate, onCallEnd, logger, clock }: AdmissionTools): ServerInterceptor {
  const refusals = createRefusalLog(logger, clock);
  const crowd = createCrowd();
  return (method, call) => {
    const { path } = method;
    const end = createCallEnd(path, onCallEnd);
    hearOfEnd(call, end);
    const peer = hostOf(call.getPeer());
    let leave = (): void => undefined;
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          // Also after an end of our own.
          onCancel() {
            end(status.CANCELLED);
            leave();
          },
          onReceiveMetadata(metadata, admit) {
            try {
              const caller = path.startsWith(OPEN) ? undefined : callerOf(metadata);
              if (caller !== undefined) {
                authenticate(caller);
                expectRole(path, caller);
              }
              leave = crowd.enter(path, peer, caller);
            } catch (error) {
              refusals.note(path, peer, error);
              refuse(call, statusOf(error));
              return;
            }
            admit(metadata);
          },
        }),
    });
  };
}

/** A call that is not for this role is refused before anything of it is read. */
function expectRole(path: string, { role }: Caller): void {
  const wanted = ROLE_OF_PATH.get(path) ?? 'operator';
  if (role !== wanted) {
    throw refusal('permission-denied', `this call is for the role ${wanted}, not for the role ${role}`);
  }
}

/** What is told of connections that came to no call: counted as `connection`, and told of as calls are. */
export function createConnectionRefusals(
  onCallEnd: OnCallEnd | undefined,
  logger: Logger,
  clock: Clock,
): (why: 'tls' | 'full', peer: string, error?: Error) => void {
  const refusals = createRefusalLog(logger, clock);
  return (why, peer, error) => {
    onCallEnd?.('connection', status[why === 'tls' ? status.UNAUTHENTICATED : status.RESOURCE_EXHAUSTED]);
    refusals.note(why === 'tls' ? 'TLS handshake' : 'connection', peer, error ?? new Error('too many connections'));
  };
}

/** grpc-js ends some calls by itself, past the interceptors: a message that is too large, a deadline that passed. All of them pass here. */
function hearOfEnd(call: ServerInterceptingCallInterface, end: (code: status) => void): void {
  const send = call.sendStatus.bind(call);
  call.sendStatus = (sent) => {
    end(sent.code);
    send(sent);
  };
}

/** How many calls are open, and whose. */
interface Crowd {
  /** Returns what is to be called at the call's end, once or more often. Throws a refusal (`exhausted`) when there is no room. */
  enter(path: string, peer: string, caller: Caller | undefined): () => void;
}

function createCrowd(): Crowd {
  const open = new Map<string, number>();
  return {
    enter(path, peer, caller) {
      const places = placesOf(path, peer, caller);
      for (const { key, limit, who } of places) {
        if ((open.get(key) ?? 0) >= limit) {
          throw refusal('exhausted', `${who} has ${limit} calls open already`);
        }
      }
      for (const { key } of places) {
        open.set(key, (open.get(key) ?? 0) + 1);
      }
      let isOpen = true;
      return () => {
        if (isOpen) {
          isOpen = false;
          places.forEach(({ key }) => {
            leavePlace(open, key);
          });
        }
      };
    },
  };
}

function leavePlace(open: Map<string, number>, key: string): void {
  const left = (open.get(key) ?? 1) - 1;
  if (left === 0) {
    open.delete(key);
  } else {
    open.set(key, left);
  }
}

interface Place {
  readonly key: string;
  readonly limit: number;
  readonly who: string;
}

function placesOf(path: string, peer: string, caller: Caller | undefined): readonly Place[] {
  const ofPeer = { key: `peer ${peer}`, limit: MAX_CALLS_PER_PEER, who: 'this address' };
  const ofMethod = { key: `${path} ${peer}`, limit: MAX_CALLS_PER_PEER_AND_METHOD, who: 'this address' };
  const ofTable = {
    key: `${path} of ${caller?.extension ?? ''}`,
    limit: MAX_WATCHERS_PER_EXTENSION,
    who: 'this extension',
  };
  return [
    ofPeer,
    ...(path === METHODS.agentSession.path ? [] : [ofMethod]),
    ...(path === METHODS.watchModel.path ? [ofTable] : []),
  ];
}

/** Of `host:port`. */
function hostOf(peer: string): string {
  return peer.replace(/:\d+$/, '');
}

/** A call may both be answered and be cancelled: what came first counts. */
function createCallEnd(path: string, onCallEnd: OnCallEnd | undefined): (code: status) => void {
  const known = CALL_PATHS.has(path) ? path.slice(1) : 'other';
  let hasEnded = false;
  return (code) => {
    if (!hasEnded) {
      hasEnded = true;
      onCallEnd?.(known, status[code]);
    }
  };
}

/** Past the handlers, which never hear of the call: no message of it was read. */
function refuse(call: ServerInterceptingCallInterface, status: StatusObject): void {
  call.sendStatus(status);
}

interface RefusalLog {
  note(path: string, peer: string, error: unknown): void;
}

function createRefusalLog(logger: Logger, clock: Clock): RefusalLog {
  const peers = new Map<string, { readonly toldAt: number; unsaid: number }>();
  let total = 0;
  return {
    note(path, peer, error) {
      total += 1;
      const known = peers.get(peer);
      if (known !== undefined && clock.monotonic() - known.toldAt < QUIET_MS) {
        known.unsaid += 1;
        return;
      }
      if (known === undefined && !makeRoom(peers, clock.monotonic() - QUIET_MS)) {
        return;
      }
      peers.set(peer, { toldAt: clock.monotonic(), unsaid: 0 });
      const facts = { peer, call: path, reason: refusalReason(error), refused: 1 + (known?.unsaid ?? 0), total };
      logger.warn({ ...facts, why: toError(error).message }, 'call refused at the door');
    },
  };
}

/** Forgets those that were last told of before `since`; false when none could be forgotten and all places are taken. */
function makeRoom(peers: Map<string, { readonly toldAt: number }>, since: number): boolean {
  if (peers.size >= MAX_PEERS) {
    for (const [host, { toldAt }] of peers) {
      if (toldAt <= since) {
        peers.delete(host);
      }
    }
  }
  return peers.size < MAX_PEERS;
}
