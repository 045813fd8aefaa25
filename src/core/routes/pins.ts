/**
 * Pins: a cluster whose routes are held at a stored revision, whatever its labels say since. A pin is a Docker Config with its own copy
 * of the routes, so it outlives a restart of core and the revision's place in history; the newest one of a cluster counts.
 *
 *   look: list pins --changed--> read the newest of each cluster, onto the board
 *   then wait for somebody here who changes a pin, or for the next check (another core may have changed one)
 *
 * No model is made before the first look: a core that starts must not serve the labels of a pinned cluster for a moment.
 */
import { createFinding, type Finding } from '../../model/finding.ts';
import { createBackoff } from '../../runtime/backoff.ts';
import { isOperational, toError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logging.ts';
import { createOneAtATime } from '../../runtime/one-at-a-time.ts';
import type { Component } from '../../runtime/supervisor.ts';
import { refusal } from '../../wire/errors.ts';
import type { Board, ExtensionBoard, Pin } from '../board.ts';
import { isHomeThere, type OwnPlace } from '../home.ts';
import type { HistoryEntry, RoutesTools } from './history.ts';
import {
  type ConfigEngine,
  listStored,
  NO_CHANGES,
  type Owner,
  removeStored,
  type Stored,
  store,
  unpackRoutes,
} from './stored.ts';

export interface Pins {
  /** On the board when it resolves. @throws OperationalError ENGINE.*: then nothing changed, or it shows after the next look. */
  pin(extension: ExtensionBoard, entry: HistoryEntry, signal: AbortSignal): Promise<void>;
  unpin(extension: ExtensionBoard, signal: AbortSignal): Promise<void>;
  readonly component: Component;
}

const RECHECK_MS = 10_000;

export function createPins(tools: RoutesTools, home: OwnPlace, board: Board): Pins {
  const { engine, clock } = tools;
  const { stack } = home;
  const logger = tools.logger.child({ area: 'pins' });
  const alone = createOneAtATime();
  const look = async (signal: AbortSignal): Promise<void> => {
    const stored = await listStored(engine, 'pin', { stack }, signal);
    for (const [name, extension] of board.extensions) {
      const own = stored.filter((pin) => pin.extension === name);
      await lookAt({ engine, logger }, own, extension, signal);
    }
    board.setFindings('pins', [...board.extensions.values()].flatMap(findingOf));
  };
  return {
    pin: (extension, { packed, digest, sequence: revision }, signal) =>
      alone(async () => {
        const owner = ownerOf(extension, stack);
        if (!(await isHomeThere(engine, home, signal))) {
          throw refusal('precondition', 'the service of core was removed: nothing is pinned any more');
        }
        const before = await listStored(engine, 'pin', owner, signal);
        const sequence = (before.at(-1)?.sequence ?? 0) + 1;
        const wanted = { sequence, revision, digest, atMs: clock.now(), changes: NO_CHANGES, packed };
        await storeOrJoin(engine, owner, wanted, signal);
        await look(signal);
      }),
    unpin: (extension, signal) =>
      alone(async () => {
        for (const pin of await listStored(engine, 'pin', ownerOf(extension, stack), signal)) {
          await removeStored(engine, pin, signal);
        }
        await look(signal);
      }),
    component: {
      name: 'pins',
      async run(signal) {
        let backoff = createBackoff(clock);
        for (;;) {
          backoff.begin();
          if (await lookSafely(() => alone(() => look(signal)), backoff.streak() === 0, logger, signal)) {
            backoff = createBackoff(clock);
            await clock.sleep(RECHECK_MS, signal);
          } else {
            await backoff.wait(signal);
          }
        }
      },
    },
  };
}

/** Names that things which are no pins of ours may hold: of another stack with the same table, or with damaged labels. */
const MOST_TAKEN = 10;

/** The same routes under the same name are joined when they are a pin of ours: another core was asked for the same. */
async function storeOrJoin(
  engine: ConfigEngine,
  owner: Owner,
  wanted: Parameters<typeof store>[3],
  signal: AbortSignal,
): Promise<void> {
  for (let skipped = 0; skipped < MOST_TAKEN; skipped += 1) {
    const sequence = wanted.sequence + skipped;
    try {
      await store(engine, 'pin', owner, { ...wanted, sequence }, signal);
      return;
    } catch (error) {
      if (!isOperational(error, 'ENGINE.NAME_TAKEN')) {
        throw error;
      }
    }
    const own = await listStored(engine, 'pin', owner, signal);
    if (own.some((pin) => pin.sequence >= sequence && pin.digest === wanted.digest)) {
      return;
    }
  }
  throw refusal('precondition', 'Docker Configs that are no pins of this core have the names of its pins');
}

function ownerOf({ settings }: ExtensionBoard, stack: string | undefined): Owner {
  return { extension: settings.name, stack };
}

async function lookSafely(
  look: () => Promise<void>,
  firstTry: boolean,
  logger: Logger,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await look();
    return true;
  } catch (error) {
    if (signal.aborted || !isOperational(error)) {
      throw error;
    }
    logger[firstTry ? 'warn' : 'debug'](
      { err: toError(error), code: error.code },
      'pins cannot be read, those known stay in effect',
    );
    return false;
  }
}

async function lookAt(
  { engine, logger }: { readonly engine: ConfigEngine; readonly logger: Logger },
  stored: readonly Stored[],
  extension: ExtensionBoard,
  signal: AbortSignal,
): Promise<void> {
  const before = extension.pin.get();
  if (before !== undefined && before?.configId === stored.at(-1)?.configId) {
    return;
  }
  const pin = await newestUsable({ engine, logger }, stored, signal);
  if (pin === null && before === null) {
    return;
  }
  extension.pin.set(pin);
  if (before !== undefined || pin !== null) {
    logger.info(
      { extension: extension.settings.name, revision: pin?.revision, digest: pin?.digest.slice(0, 12) },
      'pin changed',
    );
  }
  for (const old of pin === null ? [] : stored.filter(({ configId }) => configId !== pin.configId)) {
    await removeStored(engine, old, signal);
  }
}

async function newestUsable(
  { engine, logger }: { readonly engine: ConfigEngine; readonly logger: Logger },
  stored: readonly Stored[],
  signal: AbortSignal,
): Promise<Pin | null> {
  for (const { configId, name, revision, digest, atMs } of [...stored].reverse()) {
    const packed = await engine.readConfig(configId, signal);
    const routes = packed && unpackRoutes(packed);
    if (routes !== undefined) {
      return { configId, revision, digest, sinceMs: atMs, routes };
    }
    logger.error({ config: name, isThere: packed !== undefined }, 'a pin cannot be read and has no effect');
  }
  return null;
}

function findingOf({ pin: cell, settings }: ExtensionBoard): readonly Finding[] {
  const pin = cell.get();
  if (pin === undefined || pin === null) {
    return [];
  }
  const { serviceCluster } = settings;
  const option = serviceCluster === '' ? '' : ` --cluster ${serviceCluster}`;
  return [
    createFinding(
      'ROUTE.PINNED',
      `Its routes are those of revision ${pin.revision} since ${new Date(pin.sinceMs).toISOString()}, by "interlock rollback"; endpoints are live. See what the labels ask for with "interlock diff${option} served live", and let go with "interlock unpin${option}".`,
      { serviceCluster, value: `${pin.revision} ${pin.digest.slice(0, 8)}` },
    ),
  ];
}
