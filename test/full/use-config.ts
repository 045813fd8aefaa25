/** config.toml changed by the documented steps: a new Docker Config, and core's service moved onto it. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../support/eventually.ts';
import { type Interlock, STACK } from '../support/interlock.ts';

const CORE = `${STACK}_core`;

export interface UseOptions {
  /** More words for the same `docker service update`. */
  readonly also?: readonly string[];
  /** `rollback_completed`: Swarm went back; `updating`: it has begun, and core may never be well. Default `completed`. */
  readonly until?: 'completed' | 'rollback_completed' | 'updating';
}

/** Returns when core's service has rolled onto it, or as `until` says. */
export async function useConfig(
  interlock: Interlock,
  toml: string,
  { also = [], until = 'completed' }: UseOptions = {},
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'interlock-config-'));
  const name = `interlock.${randomUUID().slice(0, 8)}`;
  await writeFile(join(folder, name), toml);
  await interlock.cli('config', 'create', name, join(folder, name));
  await rm(folder, { recursive: true });
  const { ContainerSpec } = (await interlock.inspectService(CORE)).Spec.TaskTemplate;
  const mounted = (ContainerSpec['Configs'] as readonly { readonly ConfigName: string }[]).map((one) => one.ConfigName);
  const gone = mounted.flatMap((one) => ['--config-rm', one]);
  const added = ['--config-add', `source=${name},target=/config.toml`];
  await interlock.cli('service', 'update', '--detach', '--no-resolve-image', ...also, ...gone, ...added, CORE);
  await eventually(
    async () => {
      const { Spec, UpdateStatus } = await interlock.inspectService(CORE);
      const isOnIt = JSON.stringify(Spec).includes(name);
      if (isOnIt !== (until !== 'rollback_completed') || UpdateStatus?.State !== until) {
        throw new Error(`core's update is ${UpdateStatus?.State ?? 'not begun'}`);
      }
    },
    { timeoutMs: 120_000, everyMs: 250 },
  );
}
