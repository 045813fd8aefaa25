/** Calls the scripts of docker/bed; they become root by `sudo -n` themselves when they have to. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { attempt, run } from './command.ts';
import type { Report } from './report.ts';
import type { Places } from './state.ts';

/** stdout of `SCRIPT ARGS`; its progress on stderr is reported as it comes. */
export type Bed = (script: 'swarm.sh' | 'builder.sh' | 'debian.sh', ...args: readonly string[]) => Promise<string>;

export function createBed(places: Places, report: Report, env: NodeJS.ProcessEnv, signal: AbortSignal): Bed {
  return (script, ...args) =>
    run(['bash', join(places.bed, script), ...args], {
      signal,
      env: { ...env, INTERLOCK_STATE: places.state },
      onLine: (line) => {
        // Its last words come with the error.
        if (/^bed: (?!failed: |what to do: )/.test(line)) report.detail(line.slice('bed: '.length));
      },
    });
}

const SWARM = z.object({
  nodes: z.array(
    z.object({
      address: z.string(),
      dockerSocket: z.string(),
      netns: z.string(),
      state: z.enum(['running', 'crashed', 'off']),
    }),
  ),
});

export type PrivateNode = z.infer<typeof SWARM>['nodes'][number];

/** The one node of a private engine; undefined when there is no such engine. */
export async function findPrivateNode(places: Places, bed: Bed, name: string): Promise<PrivateNode | undefined> {
  const known = await readFile(join(places.state, 'swarm', name, 'cluster'), 'utf8').catch(() => undefined);
  if (known === undefined) return undefined;
  return SWARM.parse(JSON.parse(await bed('swarm.sh', 'env', '--json', name))).nodes[0];
}

/** Makes a socket that root made usable for this user: one who may become root without a password gains nothing by it. */
export async function openSocket(socket: string, signal: AbortSignal): Promise<void> {
  const uid = process.getuid?.() ?? 0;
  if (uid === 0) return;
  await attempt(['sudo', '-n', 'chown', String(uid), socket], { signal });
}
