/**
 * The standard health service for one server. Written here because it is forty lines; the package that offers it
 * adds a second copy of the proto and its own service registry.
 */
import { type Cell, createCell } from '../runtime/cell.ts';
import { refusal } from './errors.ts';
import type { HealthCheckRequestMessage, HealthCheckResponseMessage } from './messages.ts';
import { messageType } from './proto.ts';

const REQUEST = messageType<HealthCheckRequestMessage>('grpc.health.v1.HealthCheckRequest');
const RESPONSE = messageType<HealthCheckResponseMessage>('grpc.health.v1.HealthCheckResponse');

export type Serving = 'SERVING' | 'NOT_SERVING';

export interface Health {
  set(serving: Serving): void;
  /** Throws a refusal (`not-found`) for a name we do not serve. */
  check(request: Uint8Array): Buffer;
  watch(request: Uint8Array, signal: AbortSignal): AsyncIterable<Buffer>;
}

/** Answers for `names`; `''` is the server as a whole. Begins as `NOT_SERVING`. */
export function createHealth(names: readonly string[]): Health {
  const state: Cell<Serving> = createCell<Serving>('NOT_SERVING');
  return {
    set: (serving) => state.set(serving),
    check(request) {
      const { service } = REQUEST.decode(request);
      if (!names.includes(service)) {
        throw refusal('not-found', 'no such service');
      }
      return RESPONSE.encode({ status: state.get() ?? 'UNKNOWN' });
    },
    async *watch(request, signal) {
      const { service } = REQUEST.decode(request);
      const known = names.includes(service);
      for await (const serving of state.watch(signal)) {
        yield RESPONSE.encode({ status: known ? serving : 'SERVICE_UNKNOWN' });
      }
    },
  };
}
