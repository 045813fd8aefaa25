/**
 * One reconciliation: observe, plan, execute, and again until nothing is left that can be done now.
 * A step that the Engine refuses for good becomes a finding and does not keep the others from being carried out.
 */
import type { Finding } from '../../model/finding.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { ReadableCell } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isOperational, type OperationalError, toError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logging.ts';
import type { Board, ExtensionBoard } from '../board.ts';
import type { EngineApi } from '../engine/engine-api.ts';
import type { Home } from './desired.ts';
import { type EngineStep, executeStep } from './execute.ts';
import { type Memory, RECREATE_AFTER_MS } from './memory.ts';
import { LABELS } from './names.ts';
import { createOwnView, type OwnView } from './observe-own.ts';
import { type Observed, planExtension, type Step } from './plan.ts';
import { refusedFinding, stepKey, triage } from './triage.ts';

export interface Publishing {
  readonly engine: EngineApi;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly home: Home;
  readonly board: Board;
  readonly extension: ExtensionBoard;
  readonly snapshots: ReadableCell<Snapshot>;
  readonly memory: Memory;
}

/** A plan that does not settle in this many passes is a fight with somebody, or a bug: wait for new input instead of writing on. */
const MAX_PASSES = 8;

/**
 * Returns a time to look again, in ms, when a step had to be held back.
 * @throws OperationalError when reading failed, when somebody else wrote first, or when the Engine could not carry out a step just now.
 */
export async function reconcile(publishing: Publishing, signal: AbortSignal): Promise<number | undefined> {
  const { engine, extension, board, logger } = publishing;
  if (publishing.snapshots.get() === undefined) {
    return undefined;
  }
  const view = createOwnView(engine, namesOf(extension));
  const refused = new Map<string, Finding>();
  for (let pass = 0; pass < MAX_PASSES; pass += 1) {
    const observed = await view.observe(signal);
    const { now, holdMs, findings } = decide(publishing, observed, refused);
    if (now.length === 0) {
      board.setFindings(`publish ${extension.settings.name}`, findings);
      return holdMs;
    }
    if (needsHome(now) && !(await coreIsStillThere(publishing, signal))) {
      logger.info('the service of core itself is gone: leaving everything as it is');
      return RECREATE_AFTER_MS;
    }
    await executeAll(publishing, { steps: now, view, refused }, signal);
  }
  logger.warn({ passes: MAX_PASSES }, 'the plan does not settle, waiting for the next change');
  return undefined;
}

function namesOf({ settings }: ExtensionBoard) {
  return { extension: settings.name, serviceName: settings.serviceName, proxyServiceName: settings.proxyServiceName };
}

function decide(publishing: Publishing, observed: Observed, refused: ReadonlyMap<string, Finding>) {
  const { extension, memory } = publishing;
  const steps = planSteps(publishing, observed);
  memory.saw(observed, steps);
  noteDelivered(extension, observed);
  const deliveryIsNewest = extension.rendered.get()?.revision.digest === extension.model.get()?.revision.digest;
  return triage(steps, { memory, refused, deliveryIsNewest });
}

function planSteps({ extension, home, memory, snapshots }: Publishing, observed: Observed): readonly Step[] {
  return planExtension(
    {
      settings: extension.settings,
      home,
      delivery: extension.rendered.get(),
      secrets: new Map(snapshots.get()?.secrets.map(({ name, id }) => [name, id])),
      takenSequence: memory.takenSequence(),
    },
    observed,
  );
}

/** The proxy service's spec is the record of what the proxies were told. */
function noteDelivered(extension: ExtensionBoard, { proxy, configs }: Observed): void {
  const digest = proxy?.labels[LABELS.digest];
  const config = configs.find(({ labels }) => labels[LABELS.digest] === digest);
  if (digest !== undefined && config !== undefined && extension.published.get()?.artifactDigest !== digest) {
    extension.published.set({ artifactDigest: digest, configName: config.name });
  }
}

function needsHome(steps: readonly EngineStep[]): boolean {
  return steps.some((step) => step.kind === 'create-service' || step.kind === 'create-config');
}

async function coreIsStillThere({ engine, home }: Publishing, signal: AbortSignal): Promise<boolean> {
  return home.serviceId === undefined || (await engine.inspectService(home.serviceId, signal)) !== undefined;
}

interface Work {
  readonly steps: readonly EngineStep[];
  readonly view: OwnView;
  /** Grows: refused steps are not tried again in this reconciliation. */
  readonly refused: Map<string, Finding>;
}

/** The steps of one pass do not build on each other. A conflict is thrown when all were tried, an engine in trouble at once. */
async function executeAll(publishing: Publishing, { steps, view, refused }: Work, signal: AbortSignal): Promise<void> {
  let conflict: OperationalError | undefined;
  for (const step of steps) {
    const failure = await executeOne(publishing, step, view, signal);
    if (failure?.class === 'permanent') {
      refused.set(stepKey(step), refusedFinding(step, failure));
    }
    conflict ??= failure?.class === 'conflict' ? failure : undefined;
  }
  if (conflict !== undefined) {
    throw conflict;
  }
}

/** Returns the failure that concerns this step alone. */
async function executeOne(
  { engine, clock, logger, memory }: Publishing,
  step: EngineStep,
  view: OwnView,
  signal: AbortSignal,
): Promise<OperationalError | undefined> {
  const startedAt = clock.now();
  try {
    note(step, await executeStep(engine, step, signal), view);
  } catch (error) {
    if (signal.aborted || !isOperational(error) || error.class === 'retryable') {
      throw error;
    }
    logger.debug({ ...factsOf(step), err: toError(error), code: error.code }, 'step failed');
    return learnFrom(error, step, memory);
  }
  memory.did(step);
  logger.info({ ...factsOf(step), durationMs: clock.now() - startedAt }, 'step executed');
  return undefined;
}

function note(step: EngineStep, createdId: string | undefined, view: OwnView): void {
  if (step.kind === 'create-config' && createdId !== undefined) {
    view.added({ ...step.config, id: createdId });
  }
  if (step.kind === 'remove-config') {
    view.removed(step.config.id);
  }
}

/** Returns the failure, unless what was learned from it is enough. */
function learnFrom(error: OperationalError, step: EngineStep, memory: Memory): OperationalError | undefined {
  if (step.kind === 'remove-config' && (error.code === 'ENGINE.IN_USE' || error.code === 'ENGINE.NOT_FOUND')) {
    memory.noteInUse(step.config.id);
    return undefined;
  }
  if (step.kind === 'create-config' && error.code === 'ENGINE.NAME_TAKEN') {
    memory.noteTaken(Number(step.config.labels[LABELS.sequence]));
  }
  return error;
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
