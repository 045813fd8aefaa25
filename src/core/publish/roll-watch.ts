/** Tasks of ours that do not start, and what Swarm says about it. Fed with what the Snapshot shows; asks for errors only when needed. */
import { createFinding, type Finding } from '../../model/finding.ts';
import { type Service, type Snapshot, type Task, tasksOf } from '../../model/snapshot.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { EngineApi, TaskFate } from '../engine/engine-api.ts';
import { LABELS } from './names.ts';

/** A start takes its time (an image to pull, a first health check); nobody is told before. */
export const SLOW_START_MS = 10_000;
/** Between two looks at the errors while it lasts. */
const LOOK_AGAIN_MS = 5_000;

export interface RollWatch {
  /**
   * `names`: our services. Returns a finding for each that does not get its tasks running and whose tasks have errors, and when to look
   * again. @throws OperationalError when the Engine does not answer.
   */
  look(
    snapshot: Snapshot,
    names: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<{ readonly findings: readonly Finding[]; readonly holdMs: number | undefined }>;
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
      const isPatient = ({ id }: TaskFate) => now - (waitingSince.get(id) ?? Number.NEGATIVE_INFINITY) < SLOW_START_MS;
      const findings: Finding[] = [];
      for (const service of slow) {
        const fates = await engine.listTaskFates(service.id, signal);
        findings.push(
          ...stuckFinding(
            service,
            fates.filter((fate) => !isPatient(fate)),
          ),
        );
      }
      const waits = unsettled.length > slow.length ? SLOW_START_MS : undefined;
      return { findings, holdMs: slow.length > 0 ? LOOK_AGAIN_MS : waits };
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
  return (desiredState === 'running' || desiredState === 'ready') && state !== 'running';
}

/** Of tasks that shall run, their errors; else of those that ended last. Only tasks of the present spec count. */
function stuckFinding({ name, containerLabels }: Service, fates: readonly TaskFate[]): readonly Finding[] {
  const mark = containerLabels[LABELS.template];
  const withError = fates
    .filter((fate) => fate.error !== undefined && fate.containerLabels[LABELS.template] === mark)
    .sort((a, b) => b.updatedAt.localeCompare(a.updatedAt));
  const waiting = withError.find(({ desiredState }) => desiredState === 'running' || desiredState === 'ready');
  const error = (waiting ?? withError[0])?.error;
  return error === undefined
    ? []
    : [
        createFinding(
          'PUBLISH.ROLL_STUCK',
          'A task of the service does not start; those that run go on. See docker service ps.',
          {
            service: name,
            value: error,
          },
        ),
      ];
}
