/**
 * Swarm's orchestrator, scheduler and agents in one, simplified.
 *
 *   new -> pending (has addresses) -> assigned (has a node) -> accepted -> preparing -> ready -> starting -> running
 *
 * A task stops at `ready` while its desired state is `ready`: so a replacement waits for its restart delay, and a stop-first
 * replacement for the old task's end. A task whose desired state has left `running` ends `stopMs` later; with desired state `remove` it vanishes then.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Allocator } from './addresses.ts';
import type { RawNode, RawService, RawTask, RawTemplate } from './raw.ts';
import type { Store } from './store.ts';
import type { FakeTime } from './time.ts';

/** What becomes of a task that starts. `hang`: it stays in `starting`. `pull`: in `preparing`, for as long as that is its outcome. */
export type Outcome = 'run' | 'fail' | 'reject' | 'hang' | 'pull';

export interface Pace {
  /** One step of a task's life. */
  readonly stepMs: number;
  /** From the order to stop until the container is gone; the notice a proxy has. */
  readonly stopMs: number;
  /** The spec's own durations (restart delay, update delay, monitor) pass this many times faster. */
  readonly speed: number;
}

export interface Orchestrator {
  reconcile(serviceId: string): void;
  reconcileAll(): void;
  /** The container ended by itself or was killed; restarted as the policy says. */
  end(task: RawTask, state: 'failed' | 'rejected' | 'complete', err: string): void;
  stop(task: RawTask, desired: 'shutdown' | 'remove'): void;
  /** Writes a task as a test wants it and leaves it alone from then on. */
  hold(task: RawTask, change: { readonly state?: string; readonly desiredState?: string }): void;
  setOutcome(outcome: (task: RawTask, service: RawService) => Outcome): void;
  /** A new spec was written: a roll that was under way starts anew. */
  specChanged(service: RawService): void;
}

const LADDER = ['new', 'pending', 'assigned', 'accepted', 'preparing', 'ready', 'starting', 'running'];
/** Task history of a slot, the living one included (Swarm's default). */
const HISTORY_LIMIT = 5;

export function isTerminal(task: RawTask): boolean {
  return !LADDER.includes(task.Status.State);
}

function isLive(task: RawTask): boolean {
  return !isTerminal(task) && (task.DesiredState === 'running' || task.DesiredState === 'ready');
}

export function createOrchestrator(store: Store, allocator: Allocator, time: FakeTime, pace: Pace): Orchestrator {
  const held = new Set<string>();
  const chosen: { outcome: (task: RawTask, service: RawService) => Outcome } = { outcome: () => 'run' };
  const scaled = (nanoseconds: number | undefined, defaultMs: number) =>
    (nanoseconds === undefined ? defaultMs : nanoseconds / 1e6) / pace.speed;

  const tasksOf = (serviceId: string) => [...store.tasks.values()].filter((task) => task.ServiceID === serviceId);

  // --- one task -------------------------------------------------------------------------------------------------------------

  function setState(task: RawTask, state: string, message: string, err?: string): void {
    task.Status = { ...task.Status, Timestamp: store.timestamp(), State: state, Message: message };
    if (err === undefined) {
      delete task.Status.Err;
    } else {
      task.Status.Err = err;
    }
    store.touch(task);
  }

  function setDesired(task: RawTask, desired: string): void {
    if (task.DesiredState !== desired) {
      task.DesiredState = desired;
      store.touch(task);
    }
  }

  function createTask(service: RawService, place: Place, desired: 'ready' | 'running'): RawTask {
    const task: RawTask = {
      ...store.born(),
      Labels: {},
      Spec: templateOf(service),
      ServiceID: service.ID,
      ...('slot' in place ? { Slot: place.slot } : { NodeID: place.nodeId }),
      Status: { Timestamp: store.timestamp(), State: 'new', Message: 'created', PortStatus: {} },
      DesiredState: desired,
    };
    store.tasks.set(task.ID, task);
    later(pace.stepMs, () => step(task));
    return task;
  }

  function step(task: RawTask): void {
    const service = store.services.get(task.ServiceID);
    const waits = task.Status.State === 'ready' && task.DesiredState === 'ready';
    if (!store.tasks.has(task.ID) || held.has(task.ID) || !isLive(task) || service === undefined || waits) {
      return;
    }
    if (advance(task, service) && task.Status.State !== 'running') {
      later(pace.stepMs, () => step(task));
    }
    if (task.Status.State === 'running') {
      becameRunning(task, service);
    }
  }

  /** One rung up; `false` when it has to wait or has ended. */
  function advance(task: RawTask, service: RawService): boolean {
    const next = LADDER[LADDER.indexOf(task.Status.State) + 1] ?? 'running';
    const outcome = chosen.outcome(task, service);
    if (next === 'pending') {
      allocator.attach(task);
      setState(task, 'pending', 'pending task scheduling');
    } else if (next === 'assigned') {
      return assign(task);
    } else if (next === 'preparing' && outcome === 'reject') {
      end(task, 'rejected', 'No such image');
      return false;
    } else if (next === 'ready' && outcome === 'pull') {
      return true; // looked at again at the next step
    } else if (next === 'running') {
      return start(task, outcome);
    } else {
      setState(task, next, MESSAGES[next] ?? next);
    }
    return true;
  }

  function start(task: RawTask, outcome: Outcome): boolean {
    if (outcome === 'fail') {
      end(task, 'failed', 'task: non-zero exit (1)');
    } else if (outcome === 'run') {
      const ports = (store.services.get(task.ServiceID)?.Spec.EndpointSpec?.Ports ?? [])
        .filter((port) => port.PublishMode === 'host')
        .map((port) => ({ ...port, PublishedPort: port.PublishedPort ?? allocator.nextHostPort() }));
      task.Status.ContainerStatus = { ContainerID: containerIdOf(task), PID: 4242, ExitCode: 0 };
      task.Status.PortStatus = ports.length === 0 ? {} : { Ports: ports };
      setState(task, 'running', 'started');
    }
    return outcome === 'run';
  }

  function assign(task: RawTask): boolean {
    const candidates = [...store.nodes.values()].filter((node) => isEligible(node, task.Spec));
    const free = candidates.filter((node) => !hostPortTaken(node, task));
    const fixed = task.Slot === undefined ? free.filter((node) => node.ID === task.NodeID) : free;
    const load = (node: RawNode) =>
      [...store.tasks.values()].filter((one) => one.NodeID === node.ID && isLive(one)).length;
    const node = fixed.sort((left, right) => load(left) - load(right))[0];
    if (node === undefined) {
      const why = candidates.length === 0 ? 'scheduling constraints not satisfied' : 'host-mode port already in use';
      const err = `no suitable node (${why} on ${store.nodes.size} node${store.nodes.size === 1 ? '' : 's'})`;
      if (task.Status.Err !== err) {
        setState(task, 'pending', 'pending task scheduling', err);
      }
      return false;
    }
    task.NodeID = node.ID;
    setState(task, 'assigned', 'scheduler assigned task to node');
    return true;
  }

  function hostPortTaken(node: RawNode, task: RawTask): boolean {
    const wanted = hostPorts(task);
    return [...store.tasks.values()].some(
      (other) =>
        other !== task &&
        other.NodeID === node.ID &&
        !isTerminal(other) &&
        hostPorts(other).some((port) => wanted.includes(port)),
    );
  }

  function hostPorts(task: RawTask): readonly string[] {
    return (store.services.get(task.ServiceID)?.Spec.EndpointSpec?.Ports ?? [])
      .filter((port) => port.PublishMode === 'host' && (port.PublishedPort ?? 0) !== 0)
      .map((port) => `${port.Protocol} ${port.PublishedPort ?? 0}`);
  }

  function stop(task: RawTask, desired: 'shutdown' | 'remove'): void {
    setDesired(task, desired);
    later(isTerminal(task) ? pace.stepMs : pace.stopMs, () => finish(task));
  }

  /** Nobody reports from a node that is down: its tasks keep the state they had. */
  function finish(task: RawTask): void {
    const nodeDown = task.NodeID !== undefined && store.nodes.get(task.NodeID)?.Status.State === 'down';
    if (!store.tasks.has(task.ID) || held.has(task.ID) || isLive(task) || nodeDown) {
      return;
    }
    if (!isTerminal(task)) {
      task.Status.PortStatus = {};
      setState(task, 'shutdown', 'shutdown');
    }
    if (task.DesiredState === 'remove') {
      store.tasks.delete(task.ID);
    }
    reconcileAll(); // a host port or a node may have become free
  }

  function end(task: RawTask, state: 'failed' | 'rejected' | 'complete', err: string): void {
    setState(task, state, MESSAGES[state] ?? state, err);
    setDesired(task, 'shutdown');
    const service = store.services.get(task.ServiceID);
    if (service === undefined) {
      return;
    }
    judgeFailure(service, task);
    const condition = task.Spec.RestartPolicy?.Condition ?? 'any';
    if (condition === 'any' || (condition === 'on-failure' && state !== 'complete')) {
      replaceLater(service, task);
    }
  }

  function replaceLater(service: RawService, task: RawTask): void {
    const place = placeOf(task);
    if (
      tasksOf(service.ID).some((other) => isLive(other) && samePlace(other, place)) ||
      !placesOf(service).some((one) => same(one, place))
    ) {
      return;
    }
    const replacement = createTask(service, place, 'ready');
    trimHistory(service.ID, place);
    later(scaled(service.Spec.TaskTemplate.RestartPolicy?.Delay, 5000), () => promote(replacement));
  }

  function promote(task: RawTask): void {
    if (task.DesiredState === 'ready' && store.tasks.has(task.ID)) {
      setDesired(task, 'running');
      if (task.Status.State === 'ready') {
        later(pace.stepMs, () => step(task));
      }
    }
  }

  function trimHistory(serviceId: string, place: Place): void {
    const ended = tasksOf(serviceId).filter((task) => isTerminal(task) && samePlace(task, place));
    for (const task of ended.slice(0, Math.max(0, ended.length - (HISTORY_LIMIT - 1)))) {
      store.tasks.delete(task.ID);
    }
  }

  // --- one service ----------------------------------------------------------------------------------------------------------

  function placesOf(service: RawService): readonly Place[] {
    if (service.Spec.Mode.Global !== undefined) {
      return [...store.nodes.values()]
        .filter((node) => isEligible(node, service.Spec.TaskTemplate))
        .map((node) => ({ nodeId: node.ID }));
    }
    return Array.from({ length: service.Spec.Mode.Replicated?.Replicas ?? 1 }, (_, index) => ({ slot: index + 1 }));
  }

  function reconcile(serviceId: string): void {
    const service = store.services.get(serviceId);
    if (service === undefined) {
      return;
    }
    const places = placesOf(service);
    leaveNodes(service);
    for (const task of tasksOf(serviceId)) {
      if (!places.some((place) => samePlace(task, place)) && task.DesiredState !== 'remove') {
        stop(task, task.Slot === undefined ? 'shutdown' : 'remove');
      } else if (isLive(task) && task.Status.State === 'pending') {
        later(pace.stepMs, () => step(task));
      }
    }
    for (const place of places) {
      const here = tasksOf(serviceId).filter((task) => samePlace(task, place));
      const restarts = (service.Spec.TaskTemplate.RestartPolicy?.Condition ?? 'any') !== 'none';
      if (!here.some(isLive) && (restarts || here.every((task) => !isTerminal(task)))) {
        createTask(service, place, 'running');
      }
    }
    roll(service);
  }

  /** Tasks on nodes that are down or drained get a successor elsewhere. */
  function leaveNodes(service: RawService): void {
    for (const task of tasksOf(service.ID).filter(isLive)) {
      const node = task.NodeID === undefined ? undefined : store.nodes.get(task.NodeID);
      const gone = task.NodeID !== undefined && node === undefined;
      if (gone || node?.Status.State === 'down' || node?.Spec.Availability === 'drain') {
        stop(task, 'shutdown');
      }
    }
  }

  function reconcileAll(): void {
    for (const id of [...store.services.keys()]) {
      reconcile(id);
    }
  }

  // --- rolling updates ------------------------------------------------------------------------------------------------------
  //
  //   (none) --dirty task--> updating --all new and monitored--> completed
  //                             |-- task fails, pause    --> paused
  //                             '-- task fails, rollback --> rollback_started --> rollback_completed (or rollback_paused)

  const resting = new Map<string, number>(); // service -> no new batch before this moment (UpdateConfig.Delay)

  function roll(service: RawService): void {
    const dirty = tasksOf(service.ID).filter((task) => isLive(task) && isOutdated(task, service));
    const state = service.UpdateStatus?.State;
    if (state === 'paused' || state === 'rollback_paused') {
      return;
    }
    if (dirty.length > 0) {
      if (state === undefined || state.endsWith('completed')) {
        setUpdateState(service, 'updating', 'update in progress');
      }
      replaceSome(service, dirty);
    } else if (state === 'updating' || state === 'rollback_started') {
      settleLater(service, state);
    }
  }

  function replaceSome(service: RawService, dirty: readonly RawTask[]): void {
    const { Parallelism = 1, Order = 'stop-first' } = service.Spec.UpdateConfig ?? {};
    const inFlight = tasksOf(service.ID).filter(
      (task) => isLive(task) && !isOutdated(task, service) && task.Status.State !== 'running',
    );
    const free = (Parallelism === 0 ? dirty.length : Parallelism) - inFlight.length;
    const untouched = dirty.filter((task) => !inFlight.some((other) => samePlace(other, placeOf(task))));
    if ((resting.get(service.ID) ?? 0) > time.now()) {
      return;
    }
    for (const task of untouched.slice(0, Math.max(0, free))) {
      replaceTask(service, task, Order);
    }
  }

  function replaceTask(service: RawService, old: RawTask, order: string): void {
    if (order === 'start-first') {
      createTask(service, placeOf(old), 'running');
      return;
    }
    const replacement = createTask(service, placeOf(old), 'ready');
    stop(old, 'shutdown');
    later(pace.stopMs + pace.stepMs, () => promote(replacement));
  }

  function becameRunning(task: RawTask, service: RawService): void {
    for (const old of tasksOf(service.ID)) {
      if (old !== task && isLive(old) && isOutdated(old, service) && samePlace(old, placeOf(task))) {
        stop(old, 'shutdown');
      }
    }
    trimHistory(service.ID, placeOf(task));
    const pauseMs = scaled(service.Spec.UpdateConfig?.Delay, 0);
    resting.set(service.ID, time.now() + pauseMs);
    later(pauseMs, () => reconcile(service.ID));
  }

  function settleLater(service: RawService, state: string): void {
    const version = service.Version.Index;
    const allRun = () =>
      tasksOf(service.ID)
        .filter(isLive)
        .every((task) => task.Status.State === 'running');
    later(scaled(service.Spec.UpdateConfig?.Monitor, 5000), () => {
      if (service.Version.Index === version && service.UpdateStatus?.State === state && allRun()) {
        const rolledBack = state === 'rollback_started';
        setUpdateState(
          service,
          rolledBack ? 'rollback_completed' : 'completed',
          rolledBack ? 'rollback completed' : 'update completed',
        );
      }
    });
  }

  function judgeFailure(service: RawService, task: RawTask): void {
    const state = service.UpdateStatus?.State;
    if ((state !== 'updating' && state !== 'rollback_started') || isOutdated(task, service)) {
      return;
    }
    const action = service.Spec.UpdateConfig?.FailureAction ?? 'pause';
    const because = `due to failure or early termination of task ${task.ID}`;
    if (state === 'rollback_started') {
      setUpdateState(service, 'rollback_paused', `rollback paused ${because}`);
    } else if (action === 'rollback' && service.PreviousSpec !== undefined) {
      service.Spec = service.PreviousSpec;
      delete service.PreviousSpec;
      setUpdateState(service, 'rollback_started', `update rolled back ${because}`);
      later(0, () => reconcile(service.ID));
    } else if (action === 'pause') {
      setUpdateState(service, 'paused', `update paused ${because}`);
    }
  }

  function setUpdateState(service: RawService, state: string, message: string): void {
    const before = service.UpdateStatus;
    const now = store.timestamp();
    service.UpdateStatus = { State: state, StartedAt: before?.StartedAt ?? now, Message: message };
    if (state.endsWith('completed')) {
      service.UpdateStatus.CompletedAt = now;
    }
    store.touch(service);
    store.emit('service', 'update', service.ID, {
      name: service.Spec.Name,
      'updatestate.new': state,
      ...(before === undefined ? {} : { 'updatestate.old': before.State }),
    });
  }

  /** A step whose service, task or node has gone meanwhile finds nothing to do. */
  function later(ms: number, run: () => void): void {
    time.after(ms, run);
  }

  return {
    reconcile,
    reconcileAll,
    end,
    stop,
    hold(task, { state, desiredState }) {
      held.add(task.ID);
      task.DesiredState = desiredState ?? task.DesiredState;
      setState(task, state ?? task.Status.State, task.Status.Message);
    },
    setOutcome(outcome) {
      chosen.outcome = outcome;
    },
    specChanged(service) {
      delete service.UpdateStatus;
      resting.delete(service.ID);
    },
  };
}

const MESSAGES: Readonly<Record<string, string>> = {
  accepted: 'accepted',
  preparing: 'preparing',
  ready: 'prepared',
  starting: 'starting',
  failed: 'started',
  rejected: 'preparing',
  complete: 'finished',
};

type Place = { readonly slot: number } | { readonly nodeId: string };

function placeOf(task: RawTask): Place {
  return task.Slot === undefined ? { nodeId: task.NodeID ?? '' } : { slot: task.Slot };
}

function same(left: Place, right: Place): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

function samePlace(task: RawTask, place: Place): boolean {
  return same(placeOf(task), place);
}

/** A running task's container id: 64 hex digits that follow from the task's id. */
export function containerIdOf(task: RawTask): string {
  return Buffer.from(task.ID.padEnd(32, '0')).toString('hex').slice(0, 64);
}

function templateOf(service: RawService): RawTemplate {
  const template = structuredClone(service.Spec.TaskTemplate);
  delete template.Runtime; // the Engine prints it in services only
  return template;
}

function isOutdated(task: RawTask, service: RawService): boolean {
  return !isDeepStrictEqual(task.Spec, templateOf(service));
}

function isEligible(node: RawNode, template: RawTemplate): boolean {
  const constraints = template.Placement?.Constraints ?? [];
  return (
    node.Status.State === 'ready' &&
    node.Spec.Availability === 'active' &&
    constraints.every((constraint) => satisfies(node, constraint))
  );
}

function satisfies(node: RawNode, constraint: string): boolean {
  const [, key = '', operator, value] = /^\s*([^!=\s]+)\s*(==|!=)\s*(.*?)\s*$/.exec(constraint) ?? [];
  const facts: Record<string, string | undefined> = {
    'node.id': node.ID,
    'node.hostname': node.Description.Hostname,
    'node.role': node.Spec.Role,
  };
  const actual = key.startsWith('node.labels.') ? node.Spec.Labels[key.slice('node.labels.'.length)] : facts[key];
  return operator === '!=' ? actual !== value : actual === value;
}
