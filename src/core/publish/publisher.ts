/**
 * Brings Swarm onto what core wants: per extension, observe what is there, plan, execute, and again until the plan is empty.
 * If anything here fails, the proxies keep what they serve. Nothing is written when nothing differs.
 *
 *   look --reconcile--> settled --------------------------> wait for the next look
 *                    |- held (a step is not due yet) -----> wait for the next look or for its time
 *                    |- failed (engine away, conflict) ---> back off, look again
 *                    '- refused for good -----------------> wait for the next look
 */
import type { Snapshot } from '../../model/snapshot.ts';
import { createBackoff } from '../../runtime/backoff.ts';
import { createTrigger, type ReadableCell, type Trigger } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isOperational } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logging.ts';
import type { Component } from '../../runtime/supervisor.ts';
import type { Board, ExtensionBoard } from '../board.ts';
import type { EngineApi } from '../engine/engine-api.ts';
import { waitAtMost } from '../wait-at-most.ts';
import type { Home } from './desired.ts';
import { createMemory } from './memory.ts';
import { type Publishing, reconcile } from './reconcile.ts';

export interface PublisherTools {
  readonly engine: EngineApi;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Also with nothing to react to: what an operator removed or changed is put right at least this often. */
const RECHECK_MS = 60_000;

export function createPublisher(
  tools: PublisherTools,
  home: Home,
  board: Board,
  snapshots: ReadableCell<Snapshot>,
): readonly Component[] {
  return [...board.extensions.values()].map((extension) => publishExtension(tools, home, board, extension, snapshots));
}

function publishExtension(
  tools: PublisherTools,
  home: Home,
  board: Board,
  extension: ExtensionBoard,
  snapshots: ReadableCell<Snapshot>,
): Component {
  const { name, serviceCluster } = extension.settings;
  const logger = tools.logger.child({ area: 'publish', extension: name, serviceCluster });
  return {
    name: `publish.${name}`,
    async run(signal) {
      const look = createTrigger();
      const memory = createMemory(tools.clock);
      const publishing = { ...tools, logger, home, board, extension, snapshots, memory };
      await runAll(signal, [
        (scope) => fireOnChange(snapshots, relevantTo(extension), look, scope),
        (scope) =>
          fireOnChange(
            extension.rendered,
            (rendered) => rendered.revision.digest + rendered.artifact.digest,
            look,
            scope,
          ),
        (scope) => fireEvery(RECHECK_MS, tools.clock, look, scope),
        (scope) => reconcileLoop(publishing, look, scope),
      ]);
    },
  };
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
  look: Trigger,
  signal: AbortSignal,
): Promise<void> {
  let seen: string | undefined;
  for await (const value of cell.watch(signal)) {
    const identity = identityOf(value);
    if (identity !== seen) {
      seen = identity;
      look.fire();
    }
  }
}

async function fireEvery(ms: number, clock: Clock, look: Trigger, signal: AbortSignal): Promise<void> {
  for (;;) {
    await clock.sleep(ms, signal);
    look.fire();
  }
}

/** Our own services' versions, and the secrets that a proxy may need. */
function relevantTo({ settings }: ExtensionBoard): (snapshot: Snapshot) => string {
  const names = new Set([settings.serviceName, settings.proxyServiceName]);
  return (snapshot) =>
    JSON.stringify([
      snapshot.services.filter(({ name }) => names.has(name)).map(({ id, version }) => [id, version]),
      snapshot.secrets.map(({ id, name }) => [id, name]),
    ]);
}

async function reconcileLoop(publishing: Publishing, look: Trigger, signal: AbortSignal): Promise<void> {
  const { clock } = publishing;
  let backoff = createBackoff(clock);
  await look.wait(signal);
  for (;;) {
    backoff.begin();
    const outcome = await reconcileSafely(publishing, backoff.streak() === 0, signal);
    if (outcome.kind === 'failed') {
      await backoff.wait(signal); // not cut short by a look: an engine in trouble is not helped by more calls
    } else {
      // A reconciliation is short, so no attempt would ever count as a healthy spell by its length.
      backoff = createBackoff(clock);
      await (outcome.holdMs === undefined ? look.wait(signal) : waitAtMost(outcome.holdMs, look, clock, signal));
    }
  }
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
