/** `GET /tasks` -> the secrets of each task that has not ended. */
import { z } from 'zod';
import { oneOf } from './parse.ts';
import { list } from './shapes.ts';

/** A task in one of these holds nothing any more. `orphaned`: its node was away for so long that Swarm has given it up. */
const ENDED: ReadonlySet<string> = new Set(['complete', 'shutdown', 'failed', 'rejected', 'remove', 'orphaned']);

const taskSecrets = z
  .object({
    Status: z.object({ State: z.string().toLowerCase() }),
    Spec: z
      .object({ ContainerSpec: z.object({ Secrets: list(z.object({ SecretID: z.string() })) }).nullish() })
      .nullish(),
  })
  .transform((raw): readonly string[] =>
    ENDED.has(raw.Status.State) ? [] : (raw.Spec?.ContainerSpec?.Secrets ?? []).map(({ SecretID }) => SecretID),
  );

/** Secret ids; none for a task that has ended. */
export const parseTaskSecrets: (raw: unknown) => readonly string[] = oneOf('task', taskSecrets);
