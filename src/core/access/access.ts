/**
 * Role tokens: makes them, gives the publisher their secrets to attach, and lets callers in by their hashes.
 *
 *   look: list secrets --missing one--> make it, list again
 *              |--all there--> accept all listed, current ones onto the board
 *              '--leftovers that no task and no service uses--> remove
 *   then wait for a change of the secrets, for an unknown token, for a rotation, or for the next check
 *
 * A token's text lives from its making to the end of one call. Its hash is in the secret's label, so a restart loses nothing.
 * While the engine is away, what was accepted last stays accepted.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Secret, Snapshot } from '../../model/snapshot.ts';
import { createBackoff } from '../../runtime/backoff.ts';
import { createTrigger, type ReadableCell, type Trigger } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isOperational, OperationalError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logging.ts';
import type { Component } from '../../runtime/supervisor.ts';
import type { Authenticate } from '../../wire/admission.ts';
import type { Board, ExtensionBoard } from '../board.ts';
import type { EngineApi } from '../engine/engine-api.ts';
import { isHomeThere, type OwnPlace } from '../home.ts';
import { homeLabels } from '../publish/home-labels.ts';
import { waitAtMost } from '../wait-at-most.ts';
import { createTokenDoor, type TokenDoor } from './door.ts';
import { TOKEN_LABELS, TOKEN_TYPE, type TokenRole } from './names.ts';
import { type NewToken, planTokens, type Rotation, type TokenPlan, type TokenSecret } from './plan.ts';

export interface AccessTools {
  readonly engine: Pick<
    EngineApi,
    'listSecrets' | 'createSecret' | 'removeSecret' | 'secretsOfTasks' | 'listServiceObjects' | 'inspectService'
  >;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Access {
  readonly authenticate: Authenticate;
  /**
   * Replaces a role's token: a new secret is made and attached by a roll of the service; the old one is accepted until no task uses
   * it, then removed. Returns at once. Asking twice before it is made makes one. Unknown extensions are ignored.
   */
  rotate(extension: string, role: TokenRole): void;
  /** The tokens of one role that are accepted now. */
  holding(extension: string, role: TokenRole): Holding;
  readonly components: readonly Component[];
}

export interface Holding {
  /** A new one was asked for, or there is none yet, and it is not made. */
  readonly isMaking: boolean;
  /** The newest one's secret. */
  readonly current: string | undefined;
  /** Secrets of older ones, which tasks still use. */
  readonly older: readonly string[];
}

/** 256 bits. */
const TOKEN_BYTES = 32;
/** Also with nothing to react to. */
const RECHECK_MS = 60_000;
/** While old tokens wait for their last task to go. */
const LEFTOVERS_MS = 5_000;
/** Between two looks that unknown tokens can ask for: bad callers must not make core list secrets all the time. */
const UNKNOWN_MS = 5_000;
/** A secret that was made is in the next list; if not, something is wrong with the engine. */
const MAX_ROUNDS = 5;

/** `operatorToken`: see `createTokenDoor`. */
export function createAccess(
  tools: AccessTools,
  home: OwnPlace,
  board: Board,
  snapshots: ReadableCell<Snapshot>,
  operatorToken?: string,
): Access {
  const look = createTrigger();
  const rotations = new Map<string, Rotation>();
  const onUnknown = atMostEvery(UNKNOWN_MS, tools.clock, () => look.fire());
  const door = createTokenDoor(onUnknown, operatorToken);
  const desk: Desk = { ...tools, logger: tools.logger.child({ area: 'access' }), home, board, door, rotations };
  return {
    authenticate: door.authenticate,
    rotate(extension, role) {
      const current = board.extensions.get(extension)?.tokens.get()?.[role];
      const above = Number(current?.name.split('.').at(-1) ?? 0);
      rotations.set(`${role} ${extension}`, { extension, role, above });
      look.fire();
    },
    holding(extension, role) {
      const own = door.accepted().filter((token) => token.extension === extension && token.role === role);
      const [current, ...older] = [...own].sort((a, b) => b.generation - a.generation).map(({ name }) => name);
      return { isMaking: current === undefined || rotations.has(`${role} ${extension}`), current, older };
    },
    components: [
      { name: 'access.watch', run: (signal) => fireOnSecrets(snapshots, look, signal) },
      { name: 'access', run: (signal) => lookForEver(desk, look, signal) },
    ],
  };
}

interface Desk extends AccessTools {
  readonly home: OwnPlace;
  readonly board: Board;
  readonly door: TokenDoor;
  readonly rotations: Map<string, Rotation>;
}

function atMostEvery(ms: number, clock: Clock, act: () => void): () => void {
  let last = Number.NEGATIVE_INFINITY;
  return () => {
    if (clock.monotonic() - last >= ms) {
      last = clock.monotonic();
      act();
    }
  };
}

async function fireOnSecrets(snapshots: ReadableCell<Snapshot>, look: Trigger, signal: AbortSignal): Promise<void> {
  let seen: string | undefined;
  for await (const { secrets } of snapshots.watch(signal)) {
    const identity = secrets
      .filter(({ labels }) => labels[TOKEN_LABELS.type] === TOKEN_TYPE)
      .map(({ id, version }) => `${id}:${version}`)
      .sort()
      .join();
    if (identity !== seen) {
      seen = identity;
      look.fire();
    }
  }
}

async function lookForEver(desk: Desk, trigger: Trigger, signal: AbortSignal): Promise<void> {
  let backoff = createBackoff(desk.clock);
  for (;;) {
    backoff.begin();
    const left = await lookSafely(desk, backoff.streak() === 0, signal);
    if (left === 'failed') {
      await backoff.wait(signal);
    } else {
      backoff = createBackoff(desk.clock); // a look is short: none would count as a healthy spell by its length
      await waitAtMost(left === 0 ? RECHECK_MS : LEFTOVERS_MS, trigger, desk.clock, signal);
    }
  }
}

/** How many leftovers are still in use. */
async function lookSafely(desk: Desk, firstTry: boolean, signal: AbortSignal): Promise<number | 'failed'> {
  try {
    const plan = await untilNoneMissing(desk, signal);
    forgetDone(desk.rotations, plan);
    const accepted = [...plan.accepted, ...damagedSince(desk.door.accepted(), plan)];
    desk.door.accept(accepted);
    for (const extension of desk.board.extensions.values()) {
      offer(extension, plan);
    }
    const removed = await removeUnused(desk, plan.leftovers, signal);
    desk.door.accept(accepted.filter(({ id }) => !removed.has(id)));
    return plan.leftovers.length - removed.size;
  } catch (error) {
    if (signal.aborted || !isOperational(error)) {
      throw error;
    }
    desk.logger[firstTry && error.class !== 'conflict' ? 'warn' : 'debug'](
      { err: error, code: error.code },
      'tokens cannot be looked after, those known stay accepted',
    );
    return 'failed';
  }
}

async function untilNoneMissing(desk: Desk, signal: AbortSignal): Promise<TokenPlan> {
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const plan = planTokens(await desk.engine.listSecrets(signal), {
      extensions: [...desk.board.extensions.keys()],
      home: desk.home,
      rotations: [...desk.rotations.values()],
    });
    if (plan.missing.length === 0) {
      return plan;
    }
    if (!(await isHomeThere(desk.engine, desk.home, signal))) {
      throw new OperationalError('ENGINE.NOT_FOUND', "core's own service is gone, so no token is made any more");
    }
    for (const missing of plan.missing) {
      await makeToken(desk, missing, signal);
    }
  }
  throw new OperationalError('ENGINE.FAILED', 'token secrets were made and do not appear in the list of secrets');
}

/** The text goes from here into the secret, and nowhere else. */
async function makeToken({ engine, home, logger }: Desk, { extension, role, name }: NewToken, signal: AbortSignal) {
  const text = randomBytes(TOKEN_BYTES).toString('base64url');
  const labels = {
    ...homeLabels(home),
    [TOKEN_LABELS.type]: TOKEN_TYPE,
    [TOKEN_LABELS.extension]: extension,
    [TOKEN_LABELS.role]: role,
    [TOKEN_LABELS.sha256]: createHash('sha256').update(text).digest('hex'),
  };
  try {
    await engine.createSecret({ name, labels, bytes: Buffer.from(text) }, signal);
    logger.info({ extension, role, secret: name }, 'token made');
  } catch (error) {
    if (!isOperational(error, 'ENGINE.NAME_TAKEN')) {
      throw error;
    }
    logger.debug({ extension, role, secret: name }, 'another core made the same token first');
  }
}

/** Known by their hash from before somebody changed their labels: their tasks are let in until they run on a new token. */
function damagedSince(known: readonly TokenSecret[], { accepted, leftovers }: TokenPlan): readonly TokenSecret[] {
  return known.filter(({ id }) => !accepted.some((token) => token.id === id) && leftovers.some((one) => one.id === id));
}

function forgetDone(rotations: Map<string, Rotation>, { current }: TokenPlan): void {
  for (const [key, { extension, role, above }] of rotations) {
    const done = current.some(
      (token) => token.extension === extension && token.role === role && token.generation > above,
    );
    if (done) {
      rotations.delete(key);
    }
  }
}

/** Onto the board, when it is news. */
function offer({ settings, tokens }: ExtensionBoard, { current }: TokenPlan): void {
  const own = current.filter((token) => token.extension === settings.name);
  const extension = own.find(({ role }) => role === 'extension');
  const proxy = own.find(({ role }) => role === 'proxy');
  const before = tokens.get();
  if (extension && proxy && (before?.extension.id !== extension.id || before.proxy.id !== proxy.id)) {
    tokens.set({
      extension: { id: extension.id, name: extension.name },
      proxy: { id: proxy.id, name: proxy.name },
    });
  }
}

/**
 * Swarm itself keeps what a service's spec names. A task that runs on an older spec, and an update that may be rolled back to one, it
 * does not count: these are asked for here.
 */
async function removeUnused(
  { engine, logger }: Desk,
  leftovers: readonly Secret[],
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const removed = new Set<string>();
  if (leftovers.length === 0) {
    return removed;
  }
  const [held, services] = await Promise.all([
    engine.secretsOfTasks(signal),
    engine.listServiceObjects([TOKEN_LABELS.extension], signal),
  ]);
  const moving = services
    .filter(({ updateState }) => updateState !== 'none' && updateState !== 'completed')
    .map(({ previousSpec }) => JSON.stringify(previousSpec ?? {}));
  for (const { id, name } of leftovers) {
    const inUse = held.has(id) || moving.some((spec) => spec.includes(`"${id}"`));
    if (!inUse && (await removeOne(engine, id, signal))) {
      removed.add(id);
      logger.info({ secret: name }, 'token retired');
    }
  }
  return removed;
}

/** False while a service names it. */
async function removeOne(engine: AccessTools['engine'], id: string, signal: AbortSignal): Promise<boolean> {
  try {
    await engine.removeSecret(id, signal);
    return true;
  } catch (error) {
    if (isOperational(error, 'ENGINE.IN_USE')) {
      return false;
    }
    if (isOperational(error, 'ENGINE.NOT_FOUND')) {
      return true;
    }
    throw error;
  }
}
