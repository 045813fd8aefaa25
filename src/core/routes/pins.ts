/**
 * Pins: a cluster whose routes are held at a stored revision, whatever its labels say since. A pin is a Docker Config with its own copy
 * of the routes, so it outlives a restart of core and the revision's place in history; the newest one of a cluster counts.
 *
 *   look: list pins --changed--> read the newest of each cluster, onto the board
 *                            '--cannot be read--> a finding; what is known holds, nothing is removed
 *   then wait for somebody here who changes a pin, or for the next check (another core may have changed one)
 *
 * No model is made before the first look: a core that starts must not serve the labels of a pinned cluster for a moment.
 */
import { createFinding, type Finding } from '../../model/finding.ts';
import { createBackoff } from '../../runtime/backoff.ts';
import { isOperational, OperationalError, toError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logging.ts';
import { createOneAtATime } from '../../runtime/one-at-a-time.ts';
import type { Component } from '../../runtime/supervisor.ts';
import { refusal } from '../../wire/errors.ts';
import type { Board, ExtensionBoard, Pin } from '../board.ts';
import { isHomeThere, type OwnPlace } from '../home.ts';
import type { HistoryEntry, RoutesTools } from './history.ts';
import {
  type ConfigEngine,
  type Listed,
  listAll,
  NO_CHANGES,
  type Owner,
  removeStored,
  type Stored,
  storeOrJoin,
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
  const logger = tools.logger.child({ area: 'pins' });
  const alone = createOneAtATime();
  const lookOnce = async (signal: AbortSignal): Promise<void> => {
    const all = await listAll(engine, 'pin', { stack: home.stack, serviceName: home.serviceName }, signal);
    const findings: Finding[] = [];
    for (const [name, extension] of board.extensions) {
      const own = {
        stored: all.stored.filter((pin) => pin.extension === name),
        damaged: all.damaged.filter((pin) => pin.extension === name),
      };
      const unreadable = await lookAt({ engine, logger }, own, extension, signal);
      findings.push(...pinnedFinding(extension), ...unreadable.map((name) => unreadableFinding(extension, name)));
    }
    board.setFindings('pins', findings);
  };
  const look = async (signal: AbortSignal): Promise<void> => {
    try {
      await lookOnce(signal);
    } catch (error) {
      if (!isOperational(error, 'ENGINE.NOT_FOUND')) {
        throw error;
      }
      await lookOnce(signal); // another core has just put a newer one in its place
    }
  };
  return {
    pin: (extension, { packed, digest, sequence: revision }, signal) =>
      alone(async () => {
        const owner = ownerOf(extension, home);
        if (!(await isHomeThere(engine, home, signal))) {
          throw refusal('precondition', 'the service of core was removed: nothing is pinned any more');
        }
        const before = await listAll(engine, 'pin', owner, signal);
        const sequence = (before.stored.at(-1)?.sequence ?? 0) + 1;
        const wanted = { sequence, revision, digest, atMs: clock.now(), changes: NO_CHANGES, packed };
        await storeOrJoin(engine, 'pin', owner, wanted, signal);
        for (const damaged of before.damaged) {
          await removeStored(engine, damaged, signal); // the operator's word is newer than whatever it said
        }
        await look(signal);
        const holds = extension.pin.get();
        if (holds?.digest !== digest) {
          throw refusal('precondition', `revision ${revision} does not hold: at the same time ${wordsFor(holds)}`);
        }
      }),
    unpin: (extension, signal) =>
      alone(async () => {
        const { stored, damaged } = await listAll(engine, 'pin', ownerOf(extension, home), signal);
        for (const pin of [...damaged, ...stored]) {
          await removeStored(engine, pin, signal);
        }
        await look(signal);
        const holds = extension.pin.get();
        if (holds !== undefined && holds !== null) {
          throw refusal('precondition', `the pin is not gone: at the same time ${wordsFor(holds)}`);
        }
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

function ownerOf({ settings }: ExtensionBoard, { stack, serviceName }: OwnPlace): Owner {
  return { extension: settings.name, stack, serviceName };
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
    logger[firstTry && error.class !== 'conflict' ? 'warn' : 'debug'](
      { err: toError(error), code: error.code },
      'pins cannot be read, those known stay in effect',
    );
    return false;
  }
}

/** Returns the names of those that cannot be read and are newer than what holds, as far as their labels tell. */
async function lookAt(
  { engine, logger }: { readonly engine: ConfigEngine; readonly logger: Logger },
  { stored, damaged }: Listed,
  extension: ExtensionBoard,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const before = extension.pin.get();
  const damagedNames = damaged.map(({ name }) => name);
  if (before !== undefined && before?.configId === stored.at(-1)?.configId) {
    return damagedNames;
  }
  const { pin, unreadable } = await newestReadable(engine, stored, signal);
  const names = [...damagedNames, ...unreadable];
  // One that was known, also to be none, holds against what cannot be read: what that says may be anything.
  const next = before === undefined || unreadable.length === 0 ? pin : before;
  const holds = next === null && damaged.length > 0 ? (before ?? null) : next;
  if (holds !== before) {
    tellOf(holds, before, extension, logger);
    extension.pin.set(holds);
  }
  for (const old of holds === null || names.length > 0 ? [] : stored.filter((one) => one.configId !== holds.configId)) {
    await removeStored(engine, old, signal);
  }
  return names;
}

function tellOf(pin: Pin | null, before: Pin | null | undefined, { settings }: ExtensionBoard, logger: Logger): void {
  if (before !== undefined || pin !== null) {
    logger.info({ extension: settings.name, revision: pin?.revision, digest: pin?.digest.slice(0, 12) }, 'pin changed');
  }
}

/** And the names of those newer ones that are no pin of this version. @throws OperationalError ENGINE.NOT_FOUND: listed, and gone since. */
async function newestReadable(
  engine: ConfigEngine,
  stored: readonly Stored[],
  signal: AbortSignal,
): Promise<{ readonly pin: Pin | null; readonly unreadable: readonly string[] }> {
  const unreadable: string[] = [];
  for (const { configId, name, revision, digest, atMs } of [...stored].reverse()) {
    const packed = await engine.readConfig(configId, signal);
    if (packed === undefined) {
      throw new OperationalError('ENGINE.NOT_FOUND', `the pin ${name} was removed while it was read`);
    }
    const routes = unpackRoutes(packed);
    if (routes !== undefined) {
      return { pin: { configId, revision, digest, sinceMs: atMs, routes }, unreadable };
    }
    unreadable.push(name);
  }
  return { pin: null, unreadable };
}

function wordsFor(pin: Pin | null | undefined): string {
  return pin === undefined || pin === null
    ? 'another core let go of all pins'
    : `another core pinned revision ${pin.revision}, which holds now. See "interlock revisions"`;
}

function unreadableFinding({ pin, settings: { serviceCluster } }: ExtensionBoard, name: string): Finding {
  const holds = pin.get() ? 'The pin that was known before holds' : 'The labels hold';
  const option = serviceCluster === '' ? '' : ` --cluster ${serviceCluster}`;
  return createFinding(
    'ROUTE.PIN_UNREADABLE',
    `This Docker Config is a pin, but damaged or of another version of Interlock. ${holds}. Pin again with "interlock rollback${option} REVISION", or remove it with "interlock unpin${option}".`,
    { serviceCluster, value: name },
  );
}

function pinnedFinding({ pin: cell, settings }: ExtensionBoard): readonly Finding[] {
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
