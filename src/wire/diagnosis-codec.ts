/** A diagnosis <-> bytes. */
import { type Check, type Diagnosis, VERDICTS } from './diagnosis.ts';
import { at, each, malformed, type Place, place } from './door.ts';
import type { EmptyMessage } from './messages.ts';
import { messageType } from './proto.ts';

type CheckMessage = Omit<Check, 'verdict' | 'todo'> & { readonly verdict: string; readonly todo: string };

const REQUEST = messageType<EmptyMessage>('interlock.v1.DiagnoseRequest');
const REPLY = messageType<{ readonly checks: readonly CheckMessage[] }>('interlock.v1.DiagnoseReply');

export function encodeDiagnoseRequest(): Buffer {
  return REQUEST.encode({});
}

/** Throws `WIRE.MALFORMED`. */
export function decodeDiagnoseRequest(bytes: Uint8Array): EmptyMessage {
  REQUEST.decode(bytes);
  return {};
}

export function encodeDiagnosis({ checks }: Diagnosis): Buffer {
  return REPLY.encode({ checks: checks.map((check) => ({ ...check, todo: check.todo ?? '' })) });
}

/** Throws `WIRE.MALFORMED`. */
export function decodeDiagnosis(bytes: Uint8Array): Diagnosis {
  return { checks: each(REPLY.decode(bytes).checks, at(place('DiagnoseReply'), 'checks'), checkOf) };
}

function checkOf({ verdict, todo, ...rest }: CheckMessage, where: Place): Check {
  const known = VERDICTS.find((word) => word === verdict);
  if (known === undefined) {
    throw malformed(at(where, 'verdict'), `is none of ${VERDICTS.join(', ')}`);
  }
  return { ...rest, verdict: known, todo: todo === '' ? undefined : todo };
}
