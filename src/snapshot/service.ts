/** `GET /services` -> Service. */
import { z } from 'zod';
import type { Service, ServiceMode, UpdateState, VirtualIp } from '../model/snapshot.ts';
import { listOf, oneOf } from './parse.ts';
import { addressOf, labels, list, publishedPort, timestamp, version } from './shapes.ts';

const mode = z
  .object({
    Replicated: z.object({ Replicas: z.number().int().nonnegative().nullish() }).nullish(),
    Global: z.looseObject({}).nullish(),
    ReplicatedJob: z.looseObject({}).nullish(),
    GlobalJob: z.looseObject({}).nullish(),
  })
  .nullish()
  .transform((value): ServiceMode => {
    if (value?.ReplicatedJob != null || value?.GlobalJob != null) {
      return { kind: 'job' };
    }
    // Swarm runs one replica where the number is left out.
    return value?.Global != null
      ? { kind: 'global' }
      : { kind: 'replicated', replicas: value?.Replicated?.Replicas ?? 1 };
  });

const networks = list(z.object({ Target: z.string() }));

const spec = z.object({
  Name: z.string(),
  Labels: labels,
  TaskTemplate: z.object({ ContainerSpec: z.object({ Labels: labels }).nullish(), Networks: networks }).nullish(),
  /** Where clients before API 1.25 put them. */
  Networks: networks,
  Mode: mode,
  EndpointSpec: z.object({ Mode: z.enum(['vip', 'dnsrr']).nullish() }).nullish(),
});

const endpoint = z
  .object({
    Spec: z.object({ Mode: z.enum(['vip', 'dnsrr']).nullish() }).nullish(),
    Ports: list(publishedPort),
    VirtualIPs: list(z.object({ NetworkID: z.string(), Addr: z.string().nullish() })),
  })
  .nullish();

/** A state that we do not know is no reason to stop routing: it only says how a roll goes on. */
export const updateStatus = z
  .object({
    State: z
      .enum(['updating', 'paused', 'completed', 'rollback_started', 'rollback_paused', 'rollback_completed'])
      .nullish()
      .catch(undefined),
    Message: z.string().nullish(),
  })
  .nullish();

export function updateStateOf(status: z.output<typeof updateStatus>): UpdateState {
  return status?.State ?? 'none';
}

const service = z
  .object({
    ID: z.string(),
    Version: version,
    CreatedAt: timestamp,
    UpdatedAt: timestamp,
    Spec: spec,
    Endpoint: endpoint,
    UpdateStatus: updateStatus,
  })
  .transform(
    (raw): Service => ({
      id: raw.ID,
      name: raw.Spec.Name,
      version: raw.Version,
      createdAt: raw.CreatedAt,
      updatedAt: raw.UpdatedAt,
      labels: raw.Spec.Labels,
      containerLabels: raw.Spec.TaskTemplate?.ContainerSpec?.Labels ?? {},
      mode: raw.Spec.Mode,
      networkIds: networkIdsOf(raw.Spec),
      endpointMode: raw.Endpoint?.Spec?.Mode ?? raw.Spec.EndpointSpec?.Mode ?? 'vip',
      virtualIps: (raw.Endpoint?.VirtualIPs ?? []).flatMap(virtualIpOf),
      ports: raw.Endpoint?.Ports ?? [],
      updateState: updateStateOf(raw.UpdateStatus),
    }),
  );

/** Swarm stores ids, whatever the client wrote; the template's networks win over the old place. */
function networkIdsOf(raw: z.output<typeof spec>): readonly string[] {
  const inTemplate = raw.TaskTemplate?.Networks ?? [];
  return (inTemplate.length > 0 ? inTemplate : raw.Networks).map((network) => network.Target);
}

/** A network with no address yet, and every network of a dnsrr service, has none. */
function virtualIpOf(raw: { NetworkID: string; Addr?: string | null | undefined }): readonly VirtualIp[] {
  const address = addressOf(raw.Addr ?? '');
  return address === undefined ? [] : [{ networkId: raw.NetworkID, address }];
}

export const parseService: (raw: unknown) => Service = oneOf('service', service);
export const parseServices: (raw: unknown) => readonly Service[] = listOf('service', parseService);
