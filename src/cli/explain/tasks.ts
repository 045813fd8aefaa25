/** Why a service has no endpoint, or fewer than asked for: by how its tasks fare. Pure. */
import type { ServiceView, TaskView } from '../../wire/swarm-view.ts';
import { bad, note, ok, type Step } from './explanation.ts';

/** One step for the service, and why its newest task is not running. */
export function taskStep({ name, wanted, tasks, updateState }: ServiceView): Step {
  const running = tasks.filter(({ state, desiredState }) => state === 'running' && desiredState === 'running');
  const moving = updateState === 'updating' || updateState === 'rollback_started' ? `, ${updateState}` : '';
  const counts = `${name}: ${running.length} of ${wanted} tasks run${moving}`;
  if (wanted === 0) {
    return bad(`${name} is scaled to 0`, `docker service scale ${name}=1`);
  }
  if (running.length > 0) {
    return running.length < wanted ? note(`${counts}; ${whyNot(tasks)}`) : ok(counts);
  }
  return bad(`${counts}; ${whyNot(tasks)}`, `docker service ps --no-trunc ${name}`);
}

/** The newest task that Swarm wants and that does not run; else the last one that ended. */
function whyNot(tasks: readonly TaskView[]): string {
  const waiting = tasks.find(({ state, desiredState }) => state !== 'running' && desiredState === 'running');
  const failed = tasks.find(({ error }) => error !== undefined);
  const task = waiting ?? failed ?? tasks[0];
  if (task === undefined) {
    return 'Swarm has made no task yet';
  }
  const where = task.node === '' ? 'on no node yet' : `on ${task.node}`;
  const error = task.error ?? failed?.error;
  const cause = error === undefined ? '' : `: ${error}`;
  return `the newest is ${task.state} ${where}${cause}`;
}
