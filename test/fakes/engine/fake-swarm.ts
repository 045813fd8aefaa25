/** The Swarm in the fake Engine as tests arrange it and look at it. Everything goes through the same rules as over HTTP. */
import { createAllocator } from './addresses.ts';
import { type ControlApi, createControlApi } from './control-api.ts';
import { createOrchestrator, type Outcome } from './orchestrator.ts';
import type { RawNetwork, RawNode, RawService, RawServiceSpec, RawTask } from './raw.ts';
import { createStore, type Store } from './store.ts';
import { type FakeTime, realTime } from './time.ts';

export interface NewNode {
  readonly hostname: string;
  readonly role: 'manager' | 'worker';
  readonly labels?: Record<string, string>;
  readonly address?: string;
}

export interface FakeSwarm {
  readonly store: Store;
  readonly api: ControlApi;
  versionIndex(): number;
  isManager(): boolean;
  /** `false`: Swarm routes answer 503 as on a worker. */
  setManager(isManager: boolean): void;

  addNode(node: NewNode): string;
  /** A node that goes down keeps its tasks' states; they are replaced elsewhere. */
  setNode(idOrName: string, change: { state?: string; availability?: string; labels?: Record<string, string> }): void;
  removeNode(idOrName: string): void;

  addNetwork(name: string, labels?: Record<string, string>): string;
  /** A service with sensible defaults: image `app:1`, one replica. Returns its id. */
  addService(spec: Partial<RawServiceSpec> & { Name: string }): string;
  /** Reads, changes and writes the spec, with the right version. */
  updateService(idOrName: string, change: (spec: RawServiceSpec) => void): void;
  addSecret(name: string, data?: string, labels?: Record<string, string>): string;

  service(idOrName: string): RawService;
  /** In order of creation, history included. */
  tasksOf(serviceIdOrName: string): readonly RawTask[];
  runningTasksOf(serviceIdOrName: string): readonly RawTask[];
  /** The process dies; Swarm restarts it as the policy says. */
  killTask(id: string, err?: string): void;
  /** Writes states as they are given; the task leads no life of its own from then on. */
  setTask(id: string, change: { readonly state?: string; readonly desiredState?: string }): void;
  /** What becomes of tasks that start from now on; default: they run. */
  setOutcome(outcome: (task: RawTask, service: RawService) => Outcome): void;
  /** No task makes a step any more. */
  stopTime(): void;
}

export interface FakeSwarmOptions {
  readonly nodes?: readonly NewNode[];
  readonly stepMs?: number;
  readonly stopMs?: number;
  readonly speed?: number;
  readonly time?: FakeTime;
}

export function createFakeSwarm(options: FakeSwarmOptions = {}): FakeSwarm {
  const time = stoppable(options.time ?? realTime);
  const pace = { stepMs: options.stepMs ?? 2, stopMs: options.stopMs ?? 20, speed: options.speed ?? 100 };
  const store = createStore(time);
  const allocator = createAllocator(store);
  const orchestrator = createOrchestrator(store, allocator, time, pace);
  const api = createControlApi(store, allocator, orchestrator, (step) => void time.after(pace.stepMs, step));
  const role = { manager: true };
  const tasksOf = (idOrName: string) => {
    const id = [...store.services.values()].find((one) => one.Spec.Name === idOrName)?.ID ?? idOrName;
    return [...store.tasks.values()].filter((task) => task.ServiceID === id);
  };

  /** As it is once the allocator has seen it. */
  const settledNetwork = (wanted: Partial<RawNetwork>) => {
    const network = api.network(api.createNetwork(wanted));
    network.Driver = 'overlay';
    return network.Id;
  };

  const swarm: FakeSwarm = {
    store,
    api,
    versionIndex: store.index,
    isManager: () => role.manager,
    setManager(isManager) {
      role.manager = isManager;
    },
    addNode(wanted) {
      const node = newNode(store, wanted);
      store.nodes.set(node.ID, node);
      store.emit('node', 'create', node.ID, { name: wanted.hostname });
      orchestrator.reconcileAll();
      return node.ID;
    },
    setNode(idOrName, change) {
      const node = api.node(idOrName);
      changeNode(store, node, change);
      // A node that is back reports what it was told to stop meanwhile.
      for (const task of [...store.tasks.values()].filter((one) => one.NodeID === node.ID)) {
        if (node.Status.State === 'ready' && (task.DesiredState === 'shutdown' || task.DesiredState === 'remove')) {
          orchestrator.stop(task, task.DesiredState);
        }
      }
      orchestrator.reconcileAll();
    },
    removeNode(idOrName) {
      const node = api.node(idOrName);
      store.nodes.delete(node.ID);
      store.emit('node', 'remove', node.ID, { name: node.Description.Hostname });
      orchestrator.reconcileAll();
    },
    addNetwork: (name, labels = {}) => settledNetwork({ Name: name, Labels: labels, Attachable: true }),
    addService: (spec) => api.createService({ TaskTemplate: { ContainerSpec: { Image: 'app:1' } }, ...spec }),
    updateService(idOrName, change) {
      const service = api.service(idOrName);
      const spec = structuredClone(service.Spec);
      change(spec);
      api.updateService(service.ID, String(service.Version.Index), spec);
    },
    addSecret: (name, data = 'secret', labels = {}) =>
      api.createBlob('secret', { Name: name, Labels: labels, Data: Buffer.from(data).toString('base64') }),
    service: api.service,
    tasksOf,
    runningTasksOf: (idOrName) =>
      tasksOf(idOrName).filter((task) => task.Status.State === 'running' && task.DesiredState === 'running'),
    killTask: (id, err = 'task: non-zero exit (137)') => orchestrator.end(taskOf(store, id), 'failed', err),
    setTask: (id, change) => orchestrator.hold(taskOf(store, id), change),
    setOutcome: orchestrator.setOutcome,
    stopTime: time.stop,
  };

  settledNetwork({ Name: 'ingress', Ingress: true });
  for (const node of options.nodes ?? [{ hostname: 'm1', role: 'manager' as const }]) {
    swarm.addNode(node);
  }
  return swarm;
}

function taskOf(store: Store, id: string): RawTask {
  const task = store.tasks.get(id);
  if (task === undefined) {
    throw new Error(`the fake swarm has no task ${id}`);
  }
  return task;
}

function newNode(store: Store, { hostname, role, labels = {}, address }: NewNode): RawNode {
  const addr = address ?? `192.0.2.${store.nodes.size + 1}`;
  return {
    ...store.born(),
    Spec: { Labels: labels, Role: role, Availability: 'active' },
    Description: { Hostname: hostname },
    Status: { State: 'ready', Addr: addr },
    ...(role === 'manager'
      ? { ManagerStatus: { Leader: store.nodes.size === 0, Reachability: 'reachable', Addr: `${addr}:2377` } }
      : {}),
  };
}

function changeNode(
  store: Store,
  node: RawNode,
  { state, availability, labels }: { state?: string; availability?: string; labels?: Record<string, string> },
): void {
  const attributes: Record<string, string> = { name: node.Description.Hostname };
  if (state !== undefined) {
    Object.assign(attributes, { 'state.old': node.Status.State, 'state.new': state });
    node.Status.State = state;
  }
  if (availability !== undefined) {
    Object.assign(attributes, { 'availability.old': node.Spec.Availability, 'availability.new': availability });
    node.Spec.Availability = availability;
  }
  node.Spec.Labels = labels ?? node.Spec.Labels;
  store.touch(node);
  store.emit('node', 'update', node.ID, attributes);
}

/** Steps that are still waiting when the test ends are dropped. */
function stoppable(time: FakeTime): FakeTime & { stop(): void } {
  const waiting = new Set<() => void>();
  const state = { stopped: false };
  return {
    now: time.now,
    after(ms, step) {
      if (state.stopped) {
        return () => undefined;
      }
      const cancel = time.after(ms, () => {
        waiting.delete(cancel);
        step();
      });
      waiting.add(cancel);
      return () => {
        waiting.delete(cancel);
        cancel();
      };
    },
    stop() {
      state.stopped = true;
      for (const cancel of waiting) {
        cancel();
      }
    },
  };
}
