/**
 * Brings Swarm onto what core wants: per extension, observe what is there, plan, execute, and again until the plan is empty.
 * If anything here fails, the proxies keep what they serve. Nothing is written when nothing differs.
 *
 *   look --reconcile--> settled --------------------------> wait for the next look
 *                    |- held (a step is not due yet) -----> wait for the next look or for its time
 *                    |- failed (engine away, conflict) ---> back off, look again
 *                    '- refused for good -----------------> wait for the next look
 */
import { createSelection } from '../../model/lists.ts';
import { canonicalJson } from '../../model/revision.ts';
import type { Service, Snapshot } from '../../model/snapshot.ts';
import { createBackoff } from '../../runtime/backoff.ts';
import { createTrigger, type ReadableCell, type Trigger } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isOperational, toError } from '../../runtime/errors.ts';
import type { Component } from '../../runtime/supervisor.ts';
import type { AgentsState, Board, ExtensionBoard, Rendered } from '../board.ts';
import { waitAtMost } from '../wait-at-most.ts';
import { earliest, noteArtifact, runningTasks } from './circumstances.ts';
import type { Home } from './desired.ts';
import { createLeftoverRemoval } from './leftovers.ts';
import { createMemory } from './memory.ts';
import { nodesOf } from './placement.ts';
import { createWatches, type Patience, type PublisherTools, type Publishing } from './publishing.ts';
import { reconcile, storeNewest } from './reconcile.ts';
import { isSettled } from './roll-watch.ts';

/** Also with nothing to react to: what an operator removed or changed is put right at least this often. */
const RECHECK_MS = 60_000;

export function createPublisher(
  tools: PublisherTools,
  home: Home,
  board: Board,
  snapshots: ReadableCell<Snapshot>,
  patience: Patience,
): readonly Component[] {
  const extensions = [...board.extensions.values()];
  return [
    ...createLeftoverRemoval(
      tools,
      home,
      extensions.map(({ settings }) => settings),
      snapshots,
    ),
    ...extensions.map((extension) => publishExtension({ ...tools, home, board, extension, snapshots, patience })),
  ];
}

function publishExtension(parts: Omit<Publishing, 'memory' | 'watches'>): Component {
  const { engine, clock, extension, snapshots } = parts;
  const { name, serviceCluster } = extension.settings;
  const logger = parts.logger.child({ area: 'publish', extension: name, serviceCluster });
  return {
    name: `publish.${name}`,
    async run(signal) {
      const look = createLook();
      const publishing = { ...parts, logger, memory: createMemory(clock), watches: createWatches(engine, clock) };
      try {
        await runAll(signal, [
          (scope) => fireOnChange(snapshots, relevantTo(extension), look.whole, scope),
          (scope) => fireOnChange(extension.agents, sessionsOf, look.whole, scope),
          (scope) => fireOnChange(extension.tokens, canonicalJson, look.whole, scope),
          (scope) => fireOnChange(extension.rendered, needsOf, look.whole, scope),
          (scope) => fireOnChange(extension.rendered, artifactOf, look.artifact, scope),
          (scope) => fireOnChange(extension.confirmed, needsOf, look.whole, scope),
          (scope) => fireEvery(RECHECK_MS, clock, look.whole, scope),
          (scope) =>
            fireOnChange(snapshots, versionsOfOthers(publishing), () => lookIfRefused(publishing, look), scope),
          (scope) => reconcileLoop(publishing, look, scope),
        ]);
      } finally {
        await storeAtStop(publishing, signal);
      }
    },
  };
}

/** The same artifact is another one once the whole of it was checked. */
function artifactOf({ artifact, checkPending }: Rendered): string {
  return `${artifact.digest} ${String(checkPending === true)}`;
}

/** Two reasons to look again: something that only Swarm itself can tell, or a new artifact and nothing else. */
interface Look {
  readonly trigger: Trigger;
  readonly whole: () => void;
  readonly artifact: () => void;
  /** Whether a whole look is due; asking settles it. */
  takeWhole(): boolean;
}

function createLook(): Look {
  const trigger = createTrigger();
  let isWhole = true;
  return {
    trigger,
    whole() {
      isWhole = true;
      trigger.fire();
    },
    artifact: () => trigger.fire(),
    takeWhole() {
      const was = isWhole;
      isWhole = false;
      return was;
    },
  };
}

const STOP_WITHIN_MS = 3_000;

/** The proxies go on whatever happens here: a core that is told to stop must not hang on an engine that does not answer. */
async function storeAtStop(publishing: Publishing, signal: AbortSignal): Promise<void> {
  if (!signal.aborted || publishing.extension.delivery.get()?.mode !== 'hitless') {
    return;
  }
  const scope = new AbortController();
  const late = publishing.clock.sleep(STOP_WITHIN_MS, scope.signal);
  try {
    await Promise.race([storeNewest(publishing, scope.signal), late]);
  } catch (error) {
    publishing.logger.warn({ err: toError(error) }, 'the newest configuration could not be stored at the stop');
  } finally {
    scope.abort();
    await Promise.allSettled([late]);
  }
}

/** The first that fails stops the others. */
async function runAll(signal: AbortSignal, parts: readonly ((scope: AbortSignal) => Promise<void>)[]): Promise<void> {
  const scope = new AbortController();
  const either = AbortSignal.any([signal, scope.signal]);
  const running = parts.map((part) => part(either));
  try {
    await Promise.race(running);
  } finally {
    scope.abort();
    await Promise.allSettled(running);
  }
}

async function fireOnChange<Value>(
  cell: ReadableCell<Value>,
  identityOf: (value: Value) => string,
  fire: () => void,
  signal: AbortSignal,
): Promise<void> {
  let seen: string | undefined;
  for await (const value of cell.watch(signal)) {
    const identity = identityOf(value);
    if (identity !== seen) {
      seen = identity;
      fire();
    }
  }
}

async function fireEvery(ms: number, clock: Clock, fire: () => void, signal: AbortSignal): Promise<void> {
  for (;;) {
    await clock.sleep(ms, signal);
    fire();
  }
}

/**
 * Our own services' versions, which of their tasks run and whether some do not, the secrets and networks that a proxy may need, and
 * where it may run.
 */
function relevantTo({ settings }: ExtensionBoard): (snapshot: Snapshot) => string {
  const names = new Set([settings.serviceName, settings.proxyServiceName]);
  const oursIn = createSelection<Service>(({ name }) => names.has(name));
  return (snapshot) =>
    JSON.stringify([
      oursIn(snapshot.services).map((service) => [
        service.id,
        service.version,
        runningTasks(snapshot, service.id),
        isSettled(service, snapshot),
      ]),
      snapshot.secrets.map(({ id, name }) => [id, name]),
      settings.networks === undefined ? [] : snapshot.networks.map(({ id, name }) => [id, name]),
      nodesOf(snapshot),
    ]);
}

/** The services of the other tables: one of them may have let go of a port. */
function versionsOfOthers({ board, extension }: Publishing): (snapshot: Snapshot) => string {
  const names = new Set(
    [...board.extensions.values()]
      .filter(({ settings }) => settings.name !== extension.settings.name)
      .flatMap(({ settings }) => [settings.serviceName, settings.proxyServiceName]),
  );
  const othersIn = createSelection<Service>(({ name }) => names.has(name));
  return ({ services }) => JSON.stringify(othersIn(services).map(({ id, version }) => [id, version]));
}

function lookIfRefused({ watches }: Publishing, look: Look): void {
  if (watches.refusals.isRefused) {
    look.whole();
  }
}

/** Who is connected and what was refused; what was applied is reported all the time and changes nothing here. */
function sessionsOf({ sessions }: AgentsState): string {
  return JSON.stringify(sessions.map(({ taskId, refused }) => [taskId, refused?.artifactDigest]).sort());
}

function needsOf({ requirements }: Rendered): string {
  return canonicalJson(requirements);
}

async function reconcileLoop(publishing: Publishing, look: Look, signal: AbortSignal): Promise<void> {
  const { clock } = publishing;
  let backoff = createBackoff(clock);
  /** When the last whole look wanted the next one. */
  let wholeAtMs: number | undefined;
  await look.trigger.wait(signal);
  for (;;) {
    backoff.begin();
    const untilWholeMs = wholeAtMs === undefined ? undefined : wholeAtMs - clock.monotonic();
    const storeInMs = artifactAlone(publishing, look, untilWholeMs);
    if (storeInMs !== undefined) {
      await waitOrDue(earliest([storeInMs, untilWholeMs]), look, clock, signal);
      continue;
    }
    const outcome = await reconcileSafely(publishing, backoff.streak() === 0, signal);
    if (outcome.kind === 'failed') {
      look.whole();
      await backoff.wait(signal); // not cut short by a look: an engine in trouble is not helped by more calls
    } else {
      // A reconciliation is short, so no attempt would ever count as a healthy spell by its length.
      backoff = createBackoff(clock);
      wholeAtMs = outcome.holdMs === undefined ? undefined : clock.monotonic() + outcome.holdMs;
      await waitOrDue(outcome.holdMs, look, clock, signal);
    }
  }
}

async function waitOrDue(ms: number | undefined, look: Look, clock: Clock, signal: AbortSignal): Promise<void> {
  if (ms === undefined) {
    await look.trigger.wait(signal);
  } else if (!(await waitAtMost(ms, look.trigger, clock, signal))) {
    look.whole(); // the time has come
  }
}

/** In hitless mode a new artifact alone costs no call: returns when it is due to be stored, in ms; `undefined`: look at Swarm. */
function artifactAlone(publishing: Publishing, look: Look, untilWholeMs: number | undefined): number | undefined {
  const isWhole = look.takeWhole();
  if (isWhole || publishing.extension.delivery.get()?.mode !== 'hitless' || (untilWholeMs ?? 1) <= 0) {
    return undefined;
  }
  const storeInMs = noteArtifact(publishing);
  return storeInMs > 0 ? storeInMs : undefined;
}

type Outcome = { readonly kind: 'settled'; readonly holdMs: number | undefined } | { readonly kind: 'failed' };

async function reconcileSafely(publishing: Publishing, firstTry: boolean, signal: AbortSignal): Promise<Outcome> {
  try {
    return { kind: 'settled', holdMs: await reconcile(publishing, signal) };
  } catch (error) {
    if (signal.aborted || !isOperational(error)) {
      throw error;
    }
    publishing.logger[firstTry && error.class !== 'conflict' ? 'warn' : 'debug'](
      { err: error, code: error.code },
      'publishing failed, proxies keep their last configuration',
    );
    // A permanent refusal would be refused again: the recheck and new input try it anew.
    return error.class === 'permanent' ? { kind: 'settled', holdMs: undefined } : { kind: 'failed' };
  }
}
