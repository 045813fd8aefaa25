/** Which services are on the move, so that their tasks are worth a closer look. Pure. */
import type { Service, Snapshot, Task } from '../../model/snapshot.ts';

/** A service that changed less than this ago counts as converging, whatever its tasks say. */
export const RECENT_MS = 10_000;

export function convergingServices(snapshot: Snapshot, nowMs: number): readonly string[] {
  const tasks = snapshot.tasksByService ?? groupTasks(snapshot.tasks);
  return snapshot.services
    .filter((service) => isConverging(service, tasks.get(service.id) ?? [], nowMs))
    .map((service) => service.id);
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

function isConverging(service: Service, tasks: readonly Task[], nowMs: number): boolean {
  return (
    service.updateState === 'updating' ||
    service.updateState === 'rollback_started' ||
    isRecent(service, nowMs) ||
    hasUnmetReplicas(service, tasks)
  );
}

/** By the leader's clock, which may be ahead of ours. */
function isRecent(service: Service, nowMs: number): boolean {
  return Math.abs(nowMs - Date.parse(service.updatedAt)) < RECENT_MS;
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
