/**
 * One reconciliation: observe, plan, execute, and again until nothing is left that can be done now.
 * A step that the Engine refuses for good becomes a finding and does not keep the others from being carried out.
 */
import type { Finding } from '../../model/finding.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { isOperational, type OperationalError, toError } from '../../runtime/errors.ts';
import type { ExtensionBoard } from '../board.ts';
import type { EngineApi, ServiceObject } from '../engine/engine-api.ts';
import { type Circumstances, earliest, lookAround } from './circumstances.ts';
import { missingClientTls } from './client-tls.ts';
import { type EngineStep, executeStep } from './execute.ts';
import { type Memory, RECREATE_AFTER_MS } from './memory.ts';
import { LABELS } from './names.ts';
import { createOwnView, type OwnNames, type OwnView } from './observe-own.ts';
import { type Observed, planExtension } from './plan.ts';
import type { Publishing } from './publishing.ts';
import { isTooLarge, tooLargeFinding } from './too-large.ts';
import { isOfService, refusedFinding, stepKey, triage } from './triage.ts';

/** A plan that does not settle in this many passes is a fight with somebody, or a bug: wait for new input instead of writing on. */
const MAX_PASSES = 8;

/**
 * Returns a time to look again, in ms, when a step had to be held back.
 * @throws OperationalError when reading failed, when somebody else wrote first, or when the Engine could not carry out a step just now.
 */
export async function reconcile(publishing: Publishing, signal: AbortSignal): Promise<number | undefined> {
  const { engine, extension, board, logger } = publishing;
  const snapshot = publishing.snapshots.get();
  if (snapshot === undefined || extension.tokens.get() === undefined) {
    return undefined;
  }
  const lacking = missingClientTls(publishing.home.clientTls, namesAndIds(snapshot));
  if (lacking.length > 0) {
    board.setFindings(`publish ${extension.settings.name}`, lacking);
    return undefined;
  }
  const view = createOwnView(engine, namesOf(publishing));
  const refused = new Map<string, Finding>();
  const rolls = await publishing.watches.rolls.look(snapshot, serviceNamesOf(extension), signal);
  for (let pass = 0; pass < MAX_PASSES; pass += 1) {
    const observed = await view.observe(signal);
    await learnFates(publishing, observed, signal);
    const around = lookAround(publishing, snapshot, observed);
    const { now, holdMs, findings } = decide(publishing, observed, around, {
      refused,
      isStuck: rolls.givenUp.has(extension.settings.proxyServiceName),
    });
    if (now.length === 0) {
      const retryMs = publishing.watches.refusals.note([...refused.keys()].filter(isOfService));
      const ofRolls = rolls.findings.filter((finding) => !isForeign(observed, finding));
      board.setFindings(`publish ${extension.settings.name}`, [...findings, ...around.findings, ...ofRolls]);
      return earliest([holdMs, around.holdMs, rolls.holdMs, retryMs]);
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

/** How a foreign service fares is not ours to complain about. */
function isForeign({ foreign }: Observed, { service }: Finding): boolean {
  return [foreign?.extension, foreign?.proxy].some((one) => one !== undefined && one.service.name === service);
}

/** At core's stop: what only the agents have so far is stored, so that tasks which start while core is away have it too. */
export async function storeNewest(publishing: Publishing, signal: AbortSignal): Promise<void> {
  const snapshot = publishing.snapshots.get();
  if (snapshot === undefined || publishing.extension.tokens.get() === undefined) {
    return;
  }
  const view = createOwnView(publishing.engine, namesOf(publishing));
  // Twice, because it may have to be packed to fit.
  for (let pass = 0; pass < 2; pass += 1) {
    const observed = await view.observe(signal);
    const { desired } = lookAround(publishing, snapshot, observed);
    const steps = planExtension(desired, observed).filter((step) => step.kind === 'create-config');
    const isThere = observed.proxy !== undefined && steps.length > 0 && (await coreIsStillThere(publishing, signal));
    if (isThere) {
      await executeAll(publishing, { steps, view, refused: new Map() }, signal);
    }
  }
}

function namesAndIds({ secrets }: Snapshot): ReadonlyMap<string, string> {
  return new Map(secrets.map(({ name, id }) => [name, id]));
}

function namesOf({ home, board, extension: { settings } }: Publishing): OwnNames {
  const { name: extension, serviceName, proxyServiceName } = settings;
  return { home, tables: new Set(board.extensions.keys()), extension, serviceName, proxyServiceName };
}

function serviceNamesOf({ settings }: ExtensionBoard): ReadonlySet<string> {
  return new Set([settings.serviceName, settings.proxyServiceName]);
}

/** After a restart, what Swarm rolled back is known only from the tasks that failed. */
async function learnFates({ engine, memory }: Publishing, observed: Observed, signal: AbortSignal): Promise<void> {
  for (const service of [observed.extension, observed.proxy]) {
    if (service !== undefined && memory.isUnclear(service)) {
      memory.noteFailed(service.id, await failedMarks(engine, service, signal));
    }
  }
}

async function failedMarks(
  engine: EngineApi,
  { id }: ServiceObject,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const fates = await engine.listTaskFates(id, signal);
  const marks = fates.map(({ state, containerLabels }) =>
    state === 'failed' || state === 'rejected' ? containerLabels[LABELS.template] : undefined,
  );
  return new Set(marks.filter((mark) => mark !== undefined));
}

function decide(
  publishing: Publishing,
  observed: Observed,
  { desired, storeInMs, gatherMs }: Circumstances,
  pass: { readonly refused: ReadonlyMap<string, Finding>; readonly isStuck: boolean },
) {
  const { extension, memory } = publishing;
  const steps = planExtension(desired, observed);
  memory.saw(observed, steps);
  const model = extension.model.get();
  const deliveryIsNewest = extension.rendered.get()?.revision.digest === model?.revision.digest;
  const { proxy } = observed;
  return triage(steps, {
    memory,
    ...pass,
    mode: desired.mode,
    deliveryIsNewest,
    model: model?.model,
    proxy,
    storeInMs,
    gatherMs,
  });
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
      refused.set(stepKey(step), findingFor(publishing, step, failure));
    }
    conflict ??= failure?.class === 'conflict' ? failure : undefined;
  }
  if (conflict !== undefined) {
    throw conflict;
  }
}

function findingFor({ extension }: Publishing, step: EngineStep, failure: OperationalError): Finding {
  return step.kind === 'create-config' && isTooLarge(step, failure)
    ? tooLargeFinding(step.config.bytes.byteLength, true, extension.model.get()?.model)
    : refusedFinding(step, failure);
}

/** Returns the failure that concerns this step alone. */
async function executeOne(
  { engine, clock, logger, memory, watches }: Publishing,
  step: EngineStep,
  view: OwnView,
  signal: AbortSignal,
): Promise<OperationalError | undefined> {
  const startedAt = clock.monotonic();
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
  // One that a roll could not wait for does not put off the next that is stored for its own sake.
  if (step.kind === 'create-config' && (step.purpose === 'store' || watches.store.dueInMs() === 0)) {
    watches.store.done();
  }
  logger.info({ ...factsOf(step), durationMs: clock.monotonic() - startedAt }, 'step executed');
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
  if (step.kind === 'create-config' && step.encoding === 'plain' && isTooLarge(step, error)) {
    memory.noteTooLarge(step.config.bytes.byteLength);
    return undefined;
  }
  return error;
}

function factsOf(step: EngineStep): Record<string, unknown> {
  switch (step.kind) {
    case 'create-config':
      return {
        step: step.kind,
        config: step.config.name,
        sizeBytes: step.config.bytes.byteLength,
        encoding: step.encoding,
        purpose: step.purpose,
      };
    case 'create-service':
      return { step: step.kind, service: step.spec['Name'] };
    case 'update-service':
      return { step: step.kind, service: step.service.name, changed: step.why };
    case 'remove-config':
      return { step: step.kind, config: step.config.name };
  }
}
