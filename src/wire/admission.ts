/**
 * The door of the server: every call but the health service's shows who calls before anything else of it is read. A call that is
 * refused costs its headers, one hash and a status; it is counted, and told of once per peer and minute, never with its token.
 */
import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type StatusObject,
} from '@grpc/grpc-js';
import type { Clock } from '../runtime/clock.ts';
import { toError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logging.ts';
import { callerOf } from './caller.ts';
import type { Caller } from './contract.ts';
import { refusalReason, statusOf } from './errors.ts';

/** Returns for a caller that is who it says; throws a refusal, or a retryable OperationalError, for everybody else. */
export type Authenticate = (caller: Caller) => void;

/** Everybody may ask whether core is up; nothing else is open. */
const OPEN = '/grpc.health.v1.Health/';

/** Between two log lines about one peer. */
const QUIET_MS = 60_000;
/** Peers remembered for that; what the others do is only counted. */
const MAX_PEERS = 256;

export interface AdmissionTools {
  readonly authenticate: Authenticate;
  readonly logger: Logger;
  readonly clock: Clock;
}

export function createAdmission({ authenticate, logger, clock }: AdmissionTools): ServerInterceptor {
  const refusals = createRefusalLog(logger, clock);
  return (method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, admit) {
            if (!method.path.startsWith(OPEN)) {
              try {
                authenticate(callerOf(metadata));
              } catch (error) {
                refusals.note(method.path, call.getPeer(), error);
                refuse(call, statusOf(error));
                return;
              }
            }
            admit(metadata);
          },
        }),
    });
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
      const host = peer.replace(/:\d+$/, '');
      const known = peers.get(host);
      if (known !== undefined && clock.now() - known.toldAt < QUIET_MS) {
        known.unsaid += 1;
        return;
      }
      if (known === undefined && !makeRoom(peers, clock.now() - QUIET_MS)) {
        return;
      }
      peers.set(host, { toldAt: clock.now(), unsaid: 0 });
      const facts = { peer: host, call: path, reason: refusalReason(error), refused: 1 + (known?.unsaid ?? 0), total };
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
