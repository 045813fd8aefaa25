/** `GET /tasks` -> Task. */
import { z } from 'zod';
import { TASK_STATES, type Task } from '../model/snapshot.ts';
import { listOf, oneOf } from './parse.ts';
import { addressOf, distinctPorts, list, publishedPort, timestamp, version } from './shapes.ts';

const state = z.string().toLowerCase().pipe(z.enum(TASK_STATES));

const task = z
  .object({
    ID: z.string(),
    Version: version,
    CreatedAt: timestamp,
    UpdatedAt: timestamp,
    /** Missing for a network attachment of a plain container: a task without a service. */
    ServiceID: z.string().nullish(),
    NodeID: z.string().nullish(),
    Status: z.object({
      State: state,
      PortStatus: z.object({ Ports: list(publishedPort) }).nullish(),
    }),
    DesiredState: state,
    NetworksAttachments: list(
      z.object({ Network: z.object({ ID: z.string() }).nullish(), Addresses: list(z.string()) }),
    ),
  })
  .transform(
    (raw): Task => ({
      id: raw.ID,
      serviceId: raw.ServiceID ?? '',
      nodeId: raw.NodeID == null || raw.NodeID === '' ? undefined : raw.NodeID,
      version: raw.Version,
      state: raw.Status.State,
      desiredState: raw.DesiredState,
      attachments: raw.NetworksAttachments.flatMap((attachment) =>
        attachment.Network == null
          ? []
          : [
              {
                networkId: attachment.Network.ID,
                addresses: attachment.Addresses.flatMap((text) => addressOf(text) ?? []),
              },
            ],
      ),
      hostPorts: distinctPorts((raw.Status.PortStatus?.Ports ?? []).filter((port) => port.mode === 'host')),
      createdAt: raw.CreatedAt,
      updatedAt: raw.UpdatedAt,
    }),
  );

export const parseTask: (raw: unknown) => Task = oneOf('task', task);
export const parseTasks: (raw: unknown) => readonly Task[] = listOf('task', parseTask);
