/**
 * Brings Swarm onto what core wants: per extension, observe what is there, plan, execute, and again until the plan is empty.
 * If anything here fails, the proxies keep what they serve. Nothing is written when nothing differs.
 */
import { createFinding, type Finding } from '../../model/finding.ts';
import { canonicalJson } from '../../model/revision.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { type Backoff, createBackoff } from '../../runtime/backoff.ts';
import { createTrigger, type ReadableCell, type Trigger } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isOperational, toError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logging.ts';
import type { Component } from '../../runtime/supervisor.ts';
import type { Board, ExtensionBoard } from '../board.ts';
import type { EngineApi, ServiceObject } from '../engine/engine-api.ts';
import type { Home } from './desired.ts';
import { type EngineStep, executeStep } from './execute.ts';
import { LABELS } from './names.ts';
import { observeOwn } from './observe-own.ts';
import { type Observed, planExtension, type Role, type Step } from './plan.ts';

export interface PublisherTools {
  readonly engine: EngineApi;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A plan that does not settle in this many passes is a fight with somebody, or a bug: wait for new input instead of writing on. */
const MAX_PASSES = 8;

/**
 * A service of ours that was there and is gone stays gone this long before it is made again: `docker stack rm` removes services one by
 * one, and core, told last, must not put back what was just taken away.
 */
const RECREATE_AFTER_MS = 5_000;

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
  const { settings } = extension;
  const logger = tools.logger.child({
    area: 'publish',
    extension: settings.name,
    serviceCluster: settings.serviceCluster,
  });
  return {
    name: `publish.${settings.name}`,
    async run(signal) {
      const look = createTrigger();
      const backoff = createBackoff(tools.clock);
      const memory = createMemory(tools.clock);
      const loop = { ...tools, logger, home, board, extension, snapshots, memory, look, backoff };
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
        (scope) => reconcileLoop(loop, scope),
      ]);
    },
  };
}

interface Loop extends PublisherTools {
  readonly home: Home;
  readonly board: Board;
  readonly extension: ExtensionBoard;
  readonly snapshots: ReadableCell<Snapshot>;
  readonly memory: Memory;
  readonly look: Trigger;
  readonly backoff: Backoff;
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

async function reconcileLoop(loop: Loop, signal: AbortSignal): Promise<void> {
  for (;;) {
    await loop.look.wait(signal);
    loop.backoff.begin();
    const again = await reconcileSafely(loop, signal);
    if (again !== undefined) {
      await again(signal);
      loop.look.fire();
    }
  }
}

type Wait = (signal: AbortSignal) => Promise<unknown>;

/** Returns how long to wait before looking again; `undefined`: until something changes. */
async function reconcileSafely(loop: Loop, signal: AbortSignal): Promise<Wait | undefined> {
  try {
    const holdMs = await reconcile(loop, signal);
    return holdMs === undefined ? undefined : (scope) => loop.clock.sleep(holdMs, scope);
  } catch (error) {
    if (signal.aborted || !isOperational(error)) {
      throw error;
    }
    const first = loop.backoff.streak() === 0;
    loop.logger[first && error.class !== 'conflict' ? 'warn' : 'debug'](
      { err: error, code: error.code },
      'publishing failed, proxies keep their last configuration',
    );
    // A permanent refusal would be refused again: the recheck and new input try it anew.
    return error.class === 'permanent' ? undefined : (scope) => loop.backoff.wait(scope);
  }
}

/** Passes until the plan is empty. Returns a time to look again when a step had to be held back. */
async function reconcile(loop: Loop, signal: AbortSignal): Promise<number | undefined> {
  const { extension, snapshots, memory } = loop;
  const snapshot = snapshots.get();
  if (snapshot === undefined) {
    return undefined;
  }
  for (let pass = 0; pass < MAX_PASSES; pass += 1) {
    const observed = await observeOwn(loop.engine, namesOf(extension), signal);
    memory.saw(observed);
    const rendered = extension.rendered.get();
    const steps = planExtension(
      {
        settings: extension.settings,
        home: loop.home,
        delivery: rendered,
        secrets: new Map(snapshots.get()?.secrets.map(({ name, id }) => [name, id])),
      },
      observed,
    );
    const { now, holdMs, findings } = triage(steps, memory);
    loop.board.setFindings(`publish ${extension.settings.name}`, findings);
    noteDelivered(extension, observed);
    if (now.length === 0) {
      return holdMs;
    }
    if (needsHome(now) && !(await coreIsStillThere(loop, signal))) {
      loop.logger.info('the service of core itself is gone: leaving everything as it is');
      return RECREATE_AFTER_MS;
    }
    await executeAll(loop, now, signal);
  }
  loop.logger.warn({ passes: MAX_PASSES }, 'the plan does not settle, waiting for the next change');
  return undefined;
}

function namesOf({ settings }: ExtensionBoard) {
  return { extension: settings.name, serviceName: settings.serviceName, proxyServiceName: settings.proxyServiceName };
}

interface Triage {
  readonly now: readonly EngineStep[];
  readonly holdMs: number | undefined;
  readonly findings: readonly Finding[];
}

function triage(steps: readonly Step[], memory: Memory): Triage {
  const now: EngineStep[] = [];
  const findings: Finding[] = [];
  let holdMs: number | undefined;
  for (const step of steps) {
    const waitMs = step.kind === 'create-service' ? memory.holdCreate(step.role) : 0;
    if (step.kind === 'remove-config' && memory.isInUse(step.config.id)) {
      continue;
    }
    if (step.kind === 'refuse-service') {
      findings.push(nameTaken(step.service));
    } else if (step.kind === 'update-service' && memory.hasFailed(step.service, step.spec)) {
      findings.push(rollFailed(step.service));
    } else if (waitMs > 0) {
      holdMs = Math.min(holdMs ?? waitMs, waitMs);
    } else {
      now.push(step);
    }
  }
  return { now, holdMs, findings };
}

function nameTaken(service: ServiceObject): Finding {
  return createFinding(
    'PUBLISH.NAME_TAKEN',
    'A service that Interlock did not make has this name: rename or remove it, or set another ServiceName or ProxyServiceName.',
    { service: service.name },
  );
}

function rollFailed(service: ServiceObject): Finding {
  return createFinding(
    'PUBLISH.ROLL_FAILED',
    'Swarm rolled the service back; the same configuration is not tried again until something changes. See docker service ps.',
    { service: service.name, value: service.updateMessage ?? service.updateState },
  );
}

function needsHome(steps: readonly EngineStep[]): boolean {
  return steps.some((step) => step.kind === 'create-service' || step.kind === 'create-config');
}

async function coreIsStillThere({ engine, home }: Loop, signal: AbortSignal): Promise<boolean> {
  return home.serviceId === undefined || (await engine.inspectService(home.serviceId, signal)) !== undefined;
}

async function executeAll(loop: Loop, steps: readonly EngineStep[], signal: AbortSignal): Promise<void> {
  for (const step of steps) {
    const startedAt = loop.clock.now();
    try {
      await executeStep(loop.engine, step, signal);
    } catch (error) {
      if (step.kind === 'remove-config' && isOperational(error, 'ENGINE.IN_USE', 'ENGINE.NOT_FOUND')) {
        loop.memory.noteInUse(step.config.id);
        loop.logger.debug({ err: toError(error), config: step.config.name }, 'proxy config stays');
        continue;
      }
      throw error;
    }
    loop.memory.did(step);
    loop.logger.info({ ...factsOf(step), durationMs: loop.clock.now() - startedAt }, 'step executed');
  }
}

function factsOf(step: EngineStep): Record<string, unknown> {
  switch (step.kind) {
    case 'create-config':
      return { step: step.kind, config: step.config.name, sizeBytes: step.config.bytes.byteLength };
    case 'create-service':
      return { step: step.kind, service: step.spec['Name'] };
    case 'update-service':
      return { step: step.kind, service: step.service.name, changed: step.why };
    case 'remove-config':
      return { step: step.kind, config: step.config.name };
  }
}

/** The proxy service's spec is the record of what the proxies were told. */
function noteDelivered(extension: ExtensionBoard, { proxy, configs }: Observed): void {
  const digest = proxy?.labels[LABELS.digest];
  const config = configs.find(({ labels }) => labels[LABELS.digest] === digest);
  if (digest !== undefined && config !== undefined && extension.published.get()?.artifactDigest !== digest) {
    extension.published.set({ artifactDigest: digest, configName: config.name });
  }
}

/** What Swarm cannot tell us back: lost at a restart, which costs one more try and nothing else. */
interface Memory {
  saw(observed: Observed): void;
  did(step: EngineStep): void;
  /** Somebody refers to this Docker Config: not worth another try in this life of core. */
  noteInUse(configId: string): void;
  isInUse(configId: string): boolean;
  /** How long to wait before a service that vanished is made again, in ms. */
  holdCreate(role: Role): number;
  /** Whether Swarm rolled exactly this back. */
  hasFailed(service: ServiceObject, spec: EngineStepSpec): boolean;
}

type EngineStepSpec = Extract<EngineStep, { readonly kind: 'update-service' }>['spec'];

function createMemory(clock: Clock): Memory {
  const present = new Set<Role>();
  const missingSince = new Map<Role, number>();
  const written = new Map<string, string>();
  const inUse = new Set<string>();
  return {
    saw(observed) {
      for (const role of ['extension', 'proxy'] as const) {
        if (observed[role] !== undefined) {
          present.add(role);
          missingSince.delete(role);
        } else if (present.has(role) && !missingSince.has(role)) {
          missingSince.set(role, clock.now());
        }
      }
    },
    did(step) {
      if (step.kind === 'create-service') {
        present.add(step.role);
        missingSince.delete(step.role);
      }
      if (step.kind === 'update-service') {
        written.set(step.service.id, appliedOf(step.spec));
      }
    },
    noteInUse: (configId) => {
      inUse.add(configId);
    },
    isInUse: (configId) => inUse.has(configId),
    holdCreate(role) {
      const since = missingSince.get(role);
      return since === undefined ? 0 : Math.max(0, since + RECREATE_AFTER_MS - clock.now());
    },
    hasFailed: (service, spec) =>
      service.updateState.startsWith('rollback') && written.get(service.id) === appliedOf(spec),
  };
}

function appliedOf(spec: EngineStepSpec): string {
  const labels = spec['Labels'];
  return canonicalJson(
    typeof labels === 'object' && labels !== null && !Array.isArray(labels)
      ? (labels as Record<string, unknown>)[LABELS.applied]
      : undefined,
  );
}
