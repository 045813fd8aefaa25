/** `GET /nodes` -> Node. */
import { z } from 'zod';
import type { IpAddress } from '../model/names.ts';
import type { Node } from '../model/snapshot.ts';
import { listOf, oneOf } from './parse.ts';
import { addressOf, labels, version } from './shapes.ts';

const node = z
  .object({
    ID: z.string(),
    Version: version,
    Spec: z.object({
      Role: z.enum(['manager', 'worker']),
      Availability: z.enum(['active', 'pause', 'drain']).nullish(),
      Labels: labels,
    }),
    /** Missing until the node has reported for the first time. */
    Description: z.object({ Hostname: z.string().nullish() }).nullish(),
    Status: z
      .object({
        State: z.enum(['unknown', 'down', 'ready', 'disconnected']).catch('unknown'),
        Addr: z.string().nullish(),
      })
      .nullish(),
    ManagerStatus: z.object({ Addr: z.string().nullish() }).nullish(),
  })
  .transform(
    (raw): Node => ({
      id: raw.ID,
      hostname: raw.Description?.Hostname ?? '',
      version: raw.Version,
      role: raw.Spec.Role,
      availability: raw.Spec.Availability ?? 'active',
      state: raw.Status?.State ?? 'unknown',
      address: nodeAddress(raw.Status?.Addr ?? '', raw.ManagerStatus?.Addr ?? ''),
      labels: raw.Spec.Labels,
    }),
  );

/** A manager that talks to itself is seen as `0.0.0.0`; its raft address (`10.0.0.5:2377`, `[fd00::5]:2377`) is a real one. */
export function nodeAddress(statusAddr: string, managerAddr: string): IpAddress | undefined {
  const seen = addressOf(statusAddr);
  return seen === undefined || seen === '0.0.0.0' || seen === '::' ? addressOf(hostPart(managerAddr)) : seen;
}

function hostPart(hostPort: string): string {
  return hostPort.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}

export const parseNode: (raw: unknown) => Node = oneOf('node', node);
export const parseNodes: (raw: unknown) => readonly Node[] = listOf('node', parseNode);
