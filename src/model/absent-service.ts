import type { ServiceRef } from './intent.ts';
import type { Service } from './snapshot.ts';

/** A service that Swarm does not have (any more), with nothing behind it: no tasks, networks, ports or addresses. */
export function absentService({ id, name, createdAt }: ServiceRef, labels: Service['labels']): Service {
  return {
    id,
    name,
    version: 0,
    createdAt,
    updatedAt: createdAt,
    labels,
    containerLabels: {},
    mode: { kind: 'replicated', replicas: 0 },
    networkIds: [],
    endpointMode: 'dnsrr',
    virtualIps: [],
    ports: [],
    updateState: 'none',
  };
}
