/** `GET /secrets` -> Secret. The Engine never prints a secret's bytes. */
import { z } from 'zod';
import type { Secret } from '../model/snapshot.ts';
import { listOf, oneOf } from './parse.ts';
import { labels, version } from './shapes.ts';

const secret = z
  .object({ ID: z.string(), Version: version, Spec: z.object({ Name: z.string(), Labels: labels }) })
  .transform((raw): Secret => ({ id: raw.ID, name: raw.Spec.Name, version: raw.Version, labels: raw.Spec.Labels }));

export const parseSecret: (raw: unknown) => Secret = oneOf('secret', secret);
export const parseSecrets: (raw: unknown) => readonly Secret[] = listOf('secret', parseSecret);
