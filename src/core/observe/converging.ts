/** Which services are on the move, so that their tasks are worth a closer look. */
import type { Service, Snapshot, Task } from '../../model/snapshot.ts';

/** A service that changed less than this ago counts as converging, whatever its tasks say. */
export const RECENT_MS = 10_000;

/** What a picture tells of one service, whenever it is asked. */
interface Standing {
  readonly id: string;
  /** By its update or by its tasks. */
  readonly isMoving: boolean;
  readonly updatedAtMs: number;
}

/** By polling the same picture is asked twice a round, up to eight times a second: what does not depend on the time is worked out once. */
const standings = new WeakMap<Snapshot, readonly Standing[]>();

export function convergingServices(snapshot: Snapshot, nowMs: number): readonly string[] {
  const known = standings.get(snapshot) ?? standingsIn(snapshot);
  standings.set(snapshot, known);
  return known.filter((standing) => standing.isMoving || isRecent(standing, nowMs)).map(({ id }) => id);
}

function standingsIn(snapshot: Snapshot): readonly Standing[] {
  const tasks = snapshot.tasksByService ?? groupTasks(snapshot.tasks);
  return snapshot.services.map((service) => ({
    id: service.id,
    isMoving: isUpdating(service) || hasUnmetReplicas(service, tasks.get(service.id) ?? []),
    updatedAtMs: updatedAtMs(service),
  }));
}

function groupTasks(tasks: readonly Task[]): ReadonlyMap<string, readonly Task[]> {
  const groups = new Map<string, Task[]>();
  for (const task of tasks) {
    const group = groups.get(task.serviceId);
    if (group === undefined) {
      groups.set(task.serviceId, [task]);
    } else {
      group.push(task);
    }
  }
  return groups;
}

function isUpdating({ updateState }: Service): boolean {
  return updateState === 'updating' || updateState === 'rollback_started';
}

/** The same service is in picture after picture, and reading a time with nanoseconds is slow. */
const updates = new WeakMap<Service, number>();

function updatedAtMs(service: Service): number {
  const known = updates.get(service) ?? Date.parse(service.updatedAt);
  updates.set(service, known);
  return known;
}

/** By the leader's clock, which may be ahead of ours. */
function isRecent({ updatedAtMs }: Standing, nowMs: number): boolean {
  return Math.abs(nowMs - updatedAtMs) < RECENT_MS;
}

/** Wanted but not running, or more than wanted. */
function hasUnmetReplicas(service: Service, tasks: readonly Task[]): boolean {
  const wanted = tasks.filter((task) => task.desiredState === 'running');
  const running = wanted.filter((task) => task.state === 'running').length;
  switch (service.mode.kind) {
    case 'replicated':
      return running !== service.mode.replicas;
    case 'global':
      return running !== wanted.length;
    case 'job':
      return false;
  }
}
