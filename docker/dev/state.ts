/** What `up` made, written down before it is made, so that `down` finds it whatever happened. One JSON file in the state folder. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { StepFailure } from './report.ts';

export interface Places {
  /** The checkout. */
  readonly root: string;
  /** Everything that is written: INTERLOCK_STATE, or .interlock in the checkout. */
  readonly state: string;
  /** What belongs to one `up`; removed by `down`. */
  readonly up: string;
  /** Image archives, kept as a cache. */
  readonly images: string;
  readonly bed: string;
}

export function findPlaces(env: NodeJS.ProcessEnv): Places {
  const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
  const state = resolve(env['INTERLOCK_STATE'] ?? join(root, '.interlock'));
  return { root, state, up: join(state, 'up'), images: join(state, 'images'), bed: join(root, 'docker/bed') };
}

const ENGINE = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('private'), name: z.string() }),
  z.object({
    kind: z.literal('existing'),
    /** In the form of DOCKER_HOST. */
    host: z.string(),
    /** The engine's own id: another engine may answer at the same address later. */
    id: z.string(),
    /** `up --init-swarm` made it a Swarm. */
    swarmIsOurs: z.boolean(),
    /** docker_gwbridge came with that Swarm. */
    gatewayIsOurs: z.boolean(),
  }),
]);

const RECORD = z.object({
  version: z.literal(1),
  engine: ENGINE,
  port: z.number(),
  tlsPort: z.number(),
  url: z.string().optional(),
  stacks: z.array(z.string()),
  /** Names of images that were not in the engine before. */
  images: z.array(z.string()),
  builtWithBuildKit: z.boolean(),
});

export type EngineRecord = Readonly<z.infer<typeof ENGINE>>;
export type UpRecord = Readonly<z.infer<typeof RECORD>>;

export interface Ledger {
  /** Undefined when there is nothing of `up`. */
  read(): UpRecord | undefined;
  write(record: UpRecord): Promise<void>;
  /** Writes the record with some entries changed; there must be one. */
  change(change: Partial<UpRecord>): Promise<void>;
  clear(): Promise<void>;
}

/** Throws StepFailure when the file is there and makes no sense. */
export async function openLedger(places: Places): Promise<Ledger> {
  const file = join(places.up, 'up.json');
  const state = { record: await readRecord(file) };
  async function write(record: UpRecord): Promise<void> {
    await mkdir(places.up, { recursive: true });
    await writeFile(`${file}.tmp`, `${JSON.stringify(record, null, 2)}\n`);
    await rename(`${file}.tmp`, file);
    state.record = record;
  }
  return {
    read: () => state.record,
    write,
    async change(change) {
      if (state.record === undefined) throw new Error('nothing is recorded yet');
      await write({ ...state.record, ...change });
    },
    async clear() {
      await rm(places.up, { recursive: true, force: true });
      state.record = undefined;
    },
  };
}

async function readRecord(file: string): Promise<UpRecord | undefined> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    return RECORD.parse(JSON.parse(text));
  } catch (error) {
    throw new StepFailure(
      `${file} is not what npm run up writes`,
      'Correct it or remove it; then nothing is known of what was made, and it has to be removed by hand.',
      { cause: error },
    );
  }
}
