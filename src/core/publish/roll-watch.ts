/** Tasks of ours that do not start, and what Swarm says about it. Fed with what the Snapshot shows; asks for errors only when needed. */
import { createFinding, type Finding } from '../../model/finding.ts';
import { type Service, type Snapshot, type Task, tasksOf } from '../../model/snapshot.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { EngineApi, TaskFate } from '../engine/engine-api.ts';
import { LABELS } from './names.ts';

/** A start takes its time (an image to pull, a first health check); nobody is told before. */
export const SLOW_START_MS = 10_000;
/** Swarm says nothing of a registry that does not answer: after this time it is as bad as an error … */
export const SILENT_START_MS = 60_000;
/** … but a new roll begins the pull of a large image anew, so what comes up waits for this long before it takes the roll's place. */
export const SILENT_GIVE_UP_MS = 10 * 60_000;
/** Between two looks at the errors while it lasts. */
const LOOK_AGAIN_MS = 5_000;

export interface RollWatch {
  /**
   * `names`: our services. Returns a finding for each that does not get its tasks running, with their errors, or, where they have none,
   * with what they wait in; whose roll nobody needs to wait for any more, by name; and when to look again.
   * @throws OperationalError when the Engine does not answer.
   */
  look(
    snapshot: Snapshot,
    names: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<{
    readonly findings: readonly Finding[];
    readonly givenUp: ReadonlySet<string>;
    readonly holdMs: number | undefined;
  }>;
}

export function createRollWatch(engine: EngineApi, clock: Clock): RollWatch {
  let unsettledSince: ReadonlyMap<string, number> = new Map();
  /** By task. In a roll that gets on, each task waits for its node for a moment, and the roll as a whole takes longer than that. */
  let waitingSince: ReadonlyMap<string, number> = new Map();

  return {
    async look(snapshot, names, signal) {
      const unsettled = snapshot.services.filter((service) => names.has(service.name) && !isSettled(service, snapshot));
      const now = clock.monotonic();
      unsettledSince = new Map(unsettled.map(({ id }) => [id, unsettledSince.get(id) ?? now]));
      const waiting = unsettled.flatMap(({ id }) => tasksOf(snapshot, id).filter(isWaiting));
      waitingSince = new Map(waiting.map(({ id }) => [id, waitingSince.get(id) ?? now]));
      const slow = unsettled.filter(({ id }) => now - (unsettledSince.get(id) ?? now) >= SLOW_START_MS);
      const waitedMs = ({ id }: TaskFate) => now - (waitingSince.get(id) ?? now);
      const isPatient = (fate: TaskFate) => waitingSince.has(fate.id) && waitedMs(fate) < SLOW_START_MS;
      const troubles: Trouble[] = [];
      for (const service of slow) {
        const fates = await engine.listTaskFates(service.id, signal);
        const said = fates.filter((fate) => isOfPresentSpec(fate, service) && !isPatient(fate));
        const silent = said.filter((fate) => isOnItsWay(fate) && waitedMs(fate) >= SLOW_START_MS);
        troubles.push(...troubleOf(service, said, silent, waitedMs));
      }
      const waits = unsettled.length > slow.length ? SLOW_START_MS : undefined;
      return {
        findings: troubles.map(({ finding }) => finding),
        givenUp: new Set(troubles.flatMap(({ finding, isGivenUp }) => (isGivenUp ? [finding.service ?? ''] : []))),
        holdMs: slow.length > 0 ? LOOK_AGAIN_MS : waits,
      };
    },
  };
}

/** No update is under way, all tasks that shall run do, and none waits to (a successor that is tried beside a running task). */
export function isSettled({ id, mode, updateState }: Service, snapshot: Snapshot): boolean {
  const wanted = tasksOf(snapshot, id).filter(
    ({ desiredState }) => desiredState === 'running' || desiredState === 'ready',
  );
  const replicas = mode.kind === 'replicated' ? mode.replicas : 0;
  return updateState !== 'updating' && wanted.length >= replicas && wanted.every(({ state }) => state === 'running');
}

/** For a node, an image, a first health check, or its predecessor's end. */
function isWaiting({ desiredState, state }: Task): boolean {
  return isWanted(desiredState) && state !== 'running';
}

/** Only tasks of the present spec count. */
function isOfPresentSpec({ containerLabels }: TaskFate, service: Service): boolean {
  return containerLabels[LABELS.template] === service.containerLabels[LABELS.template];
}

/** What a task waits in when Swarm has no error of it. One that is `ready` waits for its predecessor's end, however long that takes. */
const ON_THE_WAY: Readonly<Record<string, string>> = {
  new: 'Swarm has not looked at it yet',
  pending: 'Swarm has not chosen a node yet',
  assigned: 'its node has not taken it up yet',
  accepted: 'its node has not begun with it yet',
  preparing: 'the node pulls the image, or waits for a registry that does not answer',
  starting: 'its container has not passed its first health check yet',
};

function isOnItsWay({ state, desiredState, error }: TaskFate): boolean {
  return error === undefined && isWanted(desiredState) && ON_THE_WAY[state] !== undefined;
}

function isWanted(desiredState: string): boolean {
  return desiredState === 'running' || desiredState === 'ready';
}

interface Trouble {
  readonly finding: Finding;
  readonly isGivenUp: boolean;
}

/** Of tasks that shall run, their errors; else of those that ended last; else what those wait in that say nothing. */
function troubleOf(
  { name }: Service,
  said: readonly TaskFate[],
  silent: readonly TaskFate[],
  waitedMs: (fate: TaskFate) => number,
): readonly Trouble[] {
  const withError = said
    .filter(({ error }) => error !== undefined)
    .sort((a, b) => b.updatedAt.localeCompare(a.updatedAt));
  const error = (withError.find(({ desiredState }) => isWanted(desiredState)) ?? withError[0])?.error;
  if (error !== undefined) {
    const finding = createFinding(
      'PUBLISH.ROLL_STUCK',
      'A task of the service does not start; those that run go on. See docker service ps.',
      { service: name, value: error },
    );
    return [{ finding, isGivenUp: true }];
  }
  const [longest] = [...silent].sort((a, b) => waitedMs(b) - waitedMs(a));
  if (longest === undefined) {
    return [];
  }
  const finding = createFinding(
    waitedMs(longest) >= SILENT_START_MS ? 'PUBLISH.ROLL_STUCK' : 'PUBLISH.ROLL_SLOW',
    'A task of the service has not started yet, and Swarm names no error; those that run go on. See docker service ps.',
    { service: name, value: `${longest.state}: ${ON_THE_WAY[longest.state] ?? ''}` },
  );
  return [{ finding, isGivenUp: waitedMs(longest) >= SILENT_GIVE_UP_MS }];
}
