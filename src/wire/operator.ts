/**
 * The calls of the service `Operator`: what people ask of core, for the role operator alone. One line here per call. Its messages have a
 * codec file beside this one, its answer a file in `core/serve/operator/`; client and server need nothing more.
 */
import { decodeDiagnoseRequest, decodeDiagnosis, encodeDiagnoseRequest, encodeDiagnosis } from './diagnosis-codec.ts';
import { type BytesMethod, bytesMethod } from './proto.ts';
import {
  decodeCompareReport,
  decodeCompareRequest,
  decodeRevisionsReport,
  decodeRevisionsRequest,
  decodeRollbackReport,
  decodeRollbackRequest,
  decodeRotateReport,
  decodeRotateRequest,
  decodeUnpinReport,
  decodeUnpinRequest,
  encodeCompareReport,
  encodeCompareRequest,
  encodeRevisionsReport,
  encodeRevisionsRequest,
  encodeRollbackReport,
  encodeRollbackRequest,
  encodeRotateReport,
  encodeRotateRequest,
  encodeUnpinReport,
  encodeUnpinRequest,
} from './revisions-codec.ts';
import { decodeRoutesReport, decodeRoutesRequest, encodeRoutesReport, encodeRoutesRequest } from './routes-codec.ts';
import {
  decodeServicesReport,
  decodeServicesRequest,
  encodeServicesReport,
  encodeServicesRequest,
} from './services-codec.ts';
import { decodeStatusReport, decodeStatusRequest, encodeStatusReport, encodeStatusRequest } from './status-codec.ts';

export const OPERATOR = {
  status: call('Status', [encodeStatusRequest, decodeStatusRequest], [encodeStatusReport, decodeStatusReport]),
  routes: call('Routes', [encodeRoutesRequest, decodeRoutesRequest], [encodeRoutesReport, decodeRoutesReport]),
  services: call(
    'Services',
    [encodeServicesRequest, decodeServicesRequest],
    [encodeServicesReport, decodeServicesReport],
  ),
  revisions: call(
    'Revisions',
    [encodeRevisionsRequest, decodeRevisionsRequest],
    [encodeRevisionsReport, decodeRevisionsReport],
  ),
  compare: call(
    'CompareRevisions',
    [encodeCompareRequest, decodeCompareRequest],
    [encodeCompareReport, decodeCompareReport],
  ),
  rollback: call(
    'Rollback',
    [encodeRollbackRequest, decodeRollbackRequest],
    [encodeRollbackReport, decodeRollbackReport],
  ),
  unpin: call('Unpin', [encodeUnpinRequest, decodeUnpinRequest], [encodeUnpinReport, decodeUnpinReport]),
  rotateTokens: call(
    'RotateTokens',
    [encodeRotateRequest, decodeRotateRequest],
    [encodeRotateReport, decodeRotateReport],
  ),
  diagnose: call('Diagnose', [encodeDiagnoseRequest, decodeDiagnoseRequest], [encodeDiagnosis, decodeDiagnosis]),
} as const;

export type OperatorCallName = keyof typeof OPERATOR;
export const OPERATOR_CALL_NAMES = Object.keys(OPERATOR) as readonly OperatorCallName[];

/**
 * The same on both sides: core answers with it, a client asks through it. Core refuses by throwing, as `WireHandlers` does; a client
 * throws what `WireClient` does.
 */
export type OperatorCalls = {
  readonly [Name in OperatorCallName]: (typeof OPERATOR)[Name] extends OperatorCall<infer Request, infer Reply>
    ? (request: Request, signal: AbortSignal) => Promise<Reply>
    : never;
};

/** Each side's decoder throws `WIRE.MALFORMED`. */
export interface OperatorCall<Request, Reply> {
  readonly method: BytesMethod;
  readonly request: Codec<Request>;
  readonly reply: Codec<Reply>;
}

export interface Codec<Value> {
  readonly encode: (value: Value) => Buffer;
  readonly decode: (bytes: Uint8Array) => Value;
}

type Pair<Value> = readonly [encode: Codec<Value>['encode'], decode: Codec<Value>['decode']];

/** A declaration, because the table above is made when the file is loaded. */
function call<Request, Reply>(
  name: string,
  [encodeRequest, decodeRequest]: Pair<Request>,
  [encodeReply, decodeReply]: Pair<Reply>,
): OperatorCall<Request, Reply> {
  return {
    method: bytesMethod('interlock.v1.Operator', name),
    request: { encode: encodeRequest, decode: decodeRequest },
    reply: { encode: encodeReply, decode: decodeReply },
  };
}

/** The types of one call do not depend on which one it is: what comes in by its name goes out by the same name. */
type AnyCall = OperatorCall<unknown, unknown>;
type AnyAnswer = (request: unknown, signal: AbortSignal) => Promise<unknown>;

export async function answerOperator(
  calls: OperatorCalls,
  name: OperatorCallName,
  request: Buffer,
  signal: AbortSignal,
): Promise<Buffer> {
  const { request: asked, reply } = OPERATOR[name] as unknown as AnyCall;
  const answer = calls[name] as AnyAnswer;
  return reply.encode(await answer(asked.decode(request), signal));
}

/** `send` makes one unary call. */
export function askOperator(
  send: (method: BytesMethod, request: Buffer, signal: AbortSignal) => Promise<Buffer>,
): OperatorCalls {
  const entries = OPERATOR_CALL_NAMES.map((name): [string, AnyAnswer] => {
    const { method, request, reply } = OPERATOR[name] as unknown as AnyCall;
    return [name, async (asked, signal) => reply.decode(await send(method, request.encode(asked), signal))];
  });
  // One per name; the table's types are `OperatorCalls`'s own, and entries lose them.
  return Object.fromEntries(entries) as unknown as OperatorCalls;
}
