/** How things stand: of core, of each cluster and its proxies, what moves, and all findings. */
import { compareText } from '../../../model/cluster.ts';
import type { Snapshot, Task } from '../../../model/snapshot.ts';
import type { ReadableCell } from '../../../runtime/cell.ts';
import type { Clock } from '../../../runtime/clock.ts';
import type { ClusterStatus, MovingService, ProxyStatus, StatusReport } from '../../../wire/status-report.ts';
import type { Board } from '../../board.ts';
import { convergingServices } from '../../observe/converging.ts';
import type { ClusterSessions, Handlers, ServeFacts } from '../handlers.ts';
import { nodeNames } from './node-names.ts';
import { proxyServiceOf } from './proxy-service.ts';

export interface StatusParts {
  readonly board: Pick<Board, 'findings'>;
  readonly handlers: Pick<Handlers, 'clusters'>;
  readonly facts: Pick<ServeFacts, 'version' | 'epoch' | 'taskFeed'>;
  readonly snapshots: ReadableCell<Snapshot>;
  readonly clock: Pick<Clock, 'now'>;
  readonly startedAtMs: number;
}

export function statusReport({ board, handlers, facts, snapshots, clock, startedAtMs }: StatusParts): StatusReport {
  const snapshot = snapshots.get();
  const nowMs = clock.now();
  return {
    version: facts.version,
    epoch: facts.epoch,
    nowMs,
    startedAtMs,
    observedAtMs: snapshot?.observedAtMs,
    taskFeed: facts.taskFeed(),
    clusters: handlers.clusters().map((cluster) => withTasks(cluster, board, snapshot)),
    moving: snapshot === undefined ? [] : movingServices(snapshot, nowMs),
    findings: board.findings(),
  };
}

/** Each task once: with its session where there is one. A session may outlive what Swarm lists, and the other way round. */
function withTasks(
  { sessions, ...cluster }: ClusterSessions,
  board: StatusParts['board'],
  snapshot: Snapshot | undefined,
): ClusterStatus {
  const names = nodeNames(snapshot);
  const service = proxyServiceOf(snapshot, board, cluster.proxyService);
  const tasks = (snapshot?.tasks ?? []).filter(({ serviceId }) => serviceId === service?.id);
  const byTask = new Map(sessions.map((session) => [session.taskId, session]));
  const wanted = tasks.filter(({ id, desiredState }) => desiredState === 'running' || byTask.has(id));
  const known = new Map(wanted.map((task) => [task.id, task]));
  const ids = [...new Set([...known.keys(), ...byTask.keys()])];
  const proxies = ids.map((taskId): ProxyStatus => {
    const task = known.get(taskId);
    const session = byTask.get(taskId);
    const nodeId = task?.nodeId ?? session?.nodeId ?? '';
    return {
      taskId,
      nodeId,
      node: names.get(nodeId) ?? '',
      ...statesOf(task),
      connected: session !== undefined,
      artifactDigest: session?.artifactDigest,
      appliedAtMs: session?.appliedAtMs,
      refused: session?.refused,
    };
  });
  return {
    ...cluster,
    proxies: proxies.sort((a, b) => compareText(a.node, b.node) || compareText(a.taskId, b.taskId)),
  };
}

function statesOf(task: Task | undefined): Pick<ProxyStatus, 'state' | 'desiredState'> {
  return { state: task?.state ?? '', desiredState: task?.desiredState ?? '' };
}

function movingServices(snapshot: Snapshot, nowMs: number): readonly MovingService[] {
  const moving = new Set(convergingServices(snapshot, nowMs));
  const tasks = snapshot.tasks.filter(
    ({ serviceId, desiredState }) => moving.has(serviceId) && desiredState === 'running',
  );
  return snapshot.services
    .filter(({ id }) => moving.has(id))
    .map(({ id, name, mode, updateState }) => {
      const own = tasks.filter(({ serviceId }) => serviceId === id);
      return {
        service: name,
        wanted: mode.kind === 'replicated' ? mode.replicas : own.length,
        running: own.filter(({ state }) => state === 'running').length,
        updateState,
      };
    })
    .sort((a, b) => compareText(a.service, b.service));
}
