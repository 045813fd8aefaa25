/** Services for operators <-> bytes. */
import { at, each, malformed, type Place, place } from './door.ts';
import { messageType } from './proto.ts';
import type { ServicesReport, ServicesRequest, ServiceView, TaskView } from './swarm-view.ts';

type TaskMessage = Omit<TaskView, 'error'> & { readonly error: string };
type ServiceMessage = Omit<ServiceView, 'reading' | 'tasks'> & {
  readonly reading: string;
  readonly tasks: readonly TaskMessage[];
};

const REQUEST = messageType<ServicesRequest>('interlock.v1.ServicesRequest');
const REPLY = messageType<{ readonly services: readonly ServiceMessage[]; readonly similar: readonly string[] }>(
  'interlock.v1.ServicesReply',
);

export function encodeServicesRequest(request: ServicesRequest): Buffer {
  return REQUEST.encode(request);
}

/** Throws `WIRE.MALFORMED`. */
export function decodeServicesRequest(bytes: Uint8Array): ServicesRequest {
  const { names, mentions } = REQUEST.decode(bytes);
  return { names, mentions };
}

export function encodeServicesReport({ services, similar }: ServicesReport): Buffer {
  return REPLY.encode({
    services: services.map((service) => ({
      ...service,
      tasks: service.tasks.map((task) => ({ ...task, error: task.error ?? '' })),
    })),
    similar,
  });
}

/** Throws `WIRE.MALFORMED`. */
export function decodeServicesReport(bytes: Uint8Array): ServicesReport {
  const { services, similar } = REPLY.decode(bytes);
  return { services: each(services, at(place('ServicesReply'), 'services'), serviceOf), similar };
}

function serviceOf({ reading, tasks, ...rest }: ServiceMessage, where: Place): ServiceView {
  if (reading !== 'none' && reading !== 'routed' && reading !== 'unusable') {
    throw malformed(at(where, 'reading'), 'is none of none, routed, unusable');
  }
  return {
    ...rest,
    reading,
    tasks: tasks.map(({ error, ...task }) => ({ ...task, error: error === '' ? undefined : error })),
  };
}
