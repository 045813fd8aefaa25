/** `GET /networks` -> Network, those of the engine's own scope included. */
import { z } from 'zod';
import type { Network } from '../model/snapshot.ts';
import { listOf, oneOf } from './parse.ts';
import { labels } from './shapes.ts';

const network = z
  .object({
    Id: z.string(),
    Name: z.string(),
    Driver: z.string().nullish(),
    Scope: z.string().nullish(),
    Ingress: z.boolean().nullish(),
    Labels: labels,
  })
  .transform(
    (raw): Network => ({
      id: raw.Id,
      name: raw.Name,
      driver: raw.Driver ?? '',
      scope: raw.Scope ?? 'local',
      ingress: raw.Ingress ?? false,
      labels: raw.Labels,
    }),
  );

export const parseNetwork: (raw: unknown) => Network = oneOf('network', network);
export const parseNetworks: (raw: unknown) => readonly Network[] = listOf('network', parseNetwork);
