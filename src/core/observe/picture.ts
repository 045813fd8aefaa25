/**
 * Owns the parts of the Snapshot, whoever tells of them, and hands out a new Snapshot when something differs. What did not change is the
 * same object in the next Snapshot (services, tasks, whole lists, a service's tasks), so that those behind can see what did.
 *
 * Nothing is handed out before every part was listed once: without a complete list, what is there would look like all there is.
 */
import type { Network, Node, Secret, Service, Snapshot, Task, TasksByService } from '../../model/snapshot.ts';
import type { Cell } from '../../runtime/cell.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Change } from '../../swarmkit/changes.ts';
import type { Known } from '../engine/engine-api.ts';
import { createObjectTable, type Difference, type Mark, type ObjectTable } from './object-table.ts';
import { createTaskGroups } from './task-groups.ts';

/** The parts that are listed as a whole; tasks come through the feed. */
export const LISTED = ['services', 'nodes', 'networks', 'secrets'] as const;
export type Listed = (typeof LISTED)[number];

export interface Lists {
  readonly services: readonly Service[];
  readonly nodes: readonly Node[];
  readonly networks: readonly Network[];
  readonly secrets: readonly Secret[];
}

export type TaskBatch =
  | { readonly kind: 'all'; readonly tasks: readonly Task[] }
  /** The complete task lists of some services. */
  | { readonly kind: 'services'; readonly serviceIds: readonly string[]; readonly tasks: readonly Task[] };

/** A change that a list brought, without the objects. */
export interface Learnt {
  readonly kind: Listed | 'tasks';
  readonly id: string;
  /** `undefined` for networks. */
  readonly version: number | undefined;
  readonly gone: boolean;
}

export interface Picture {
  /** Take one before asking for a list, and hand it back with the list. */
  mark(): Mark;
  acceptLists(lists: Partial<Lists>, since: Mark): readonly Learnt[];
  acceptTasks(batch: TaskBatch, since: Mark): readonly Learnt[];
  /** Changes that the watch told of, in its order. */
  applyChanges(changes: readonly Change[]): void;
  /** Another Swarm's log: versions known so far say nothing about the next list. */
  forgetVersions(): void;
  tasksOf(serviceId: string): readonly Task[];
  /** For list calls: what need not be read again. */
  readonly known: { readonly services: Known<Service>; readonly tasks: Known<Task> };
}

export function createPicture(cell: Cell<Snapshot>, clock: Clock): Picture {
  const versioned = { idOf: (part: { id: string }) => part.id, versionOf: (part: { version: number }) => part.version };
  const tables = {
    services: createObjectTable<Service>(versioned),
    nodes: createObjectTable<Node>({ ...versioned, complete: withKnownAddress }),
    networks: createObjectTable<Network>({ idOf: ({ id }) => id, versionOf: () => undefined }),
    secrets: createObjectTable<Secret>(versioned),
    tasks: createObjectTable<Task>(versioned),
  };
  const groups = createTaskGroups();
  const complete = new Set<Listed | 'tasks'>();
  const fresh = new Set<Listed | 'tasks'>();
  const state: { now: Mark; versionIndex: number; last: Snapshot | undefined } = {
    now: 0,
    versionIndex: 0,
    last: undefined,
  };

  const nextMark = (): Mark => {
    state.now += 1;
    return state.now;
  };

  function publish(): void {
    if (complete.size < LISTED.length + 1 || (fresh.size === 0 && state.last !== undefined)) {
      return;
    }
    const { last } = state;
    const list = <Part>(kind: Listed, table: ObjectTable<Part>, before: readonly Part[] | undefined) =>
      before === undefined || fresh.has(kind) ? [...table.values()] : before;
    const parts = {
      versionIndex: state.versionIndex,
      observedAtMs: clock.now(),
      services: list('services', tables.services, last?.services),
      nodes: list('nodes', tables.nodes, last?.nodes),
      networks: list('networks', tables.networks, last?.networks),
      secrets: list('secrets', tables.secrets, last?.secrets),
    };
    state.last =
      last?.tasksByService === undefined || fresh.has('tasks')
        ? withTasks(parts, groups.freeze())
        : withTasks(parts, last.tasksByService);
    fresh.clear();
    cell.set(state.last);
  }

  function note(kind: Listed | 'tasks', version: number | undefined): void {
    fresh.add(kind);
    state.versionIndex = Math.max(state.versionIndex, version ?? 0);
  }

  function mergeInto<Part>(
    kind: Listed | 'tasks',
    merge: () => readonly Difference<Part>[],
    each: (difference: Difference<Part>) => void = () => undefined,
  ): readonly Learnt[] {
    const differences = merge();
    complete.add(kind);
    for (const difference of differences) {
      note(kind, difference.version);
      each(difference);
    }
    return differences.map(({ id, version, after }) => ({ kind, id, version, gone: after === undefined }));
  }

  function mergePart<Part>(kind: Listed, table: ObjectTable<Part>, list: readonly Part[] | undefined, since: Mark) {
    return list === undefined ? [] : mergeInto(kind, () => table.merge(list, since));
  }

  function regroup(before: Task | undefined, after: Task | undefined): void {
    if (before !== undefined && before.serviceId !== after?.serviceId) {
      groups.remove(before);
    }
    if (after !== undefined) {
      groups.put(after);
    }
  }

  function applyChange(change: Change): void {
    const mark = nextMark();
    switch (change.kind) {
      case 'service':
        apply('services', tables.services, change, mark);
        break;
      case 'node':
        apply('nodes', tables.nodes, change, mark);
        break;
      case 'network':
        apply('networks', tables.networks, change, mark);
        break;
      case 'task': {
        const before = tables.tasks.get(change.id);
        if (apply('tasks', tables.tasks, change, mark)) {
          regroup(before, tables.tasks.get(change.id));
        }
        break;
      }
    }
  }

  function apply<Part>(
    kind: Listed | 'tasks',
    table: ObjectTable<Part>,
    change: { readonly id: string; readonly version: number } & (
      | { readonly action: 'upsert'; readonly part: Part }
      | { readonly action: 'remove' }
    ),
    mark: Mark,
  ): boolean {
    const { id, version } = change;
    const changed = change.action === 'remove' ? table.remove(id, mark) : table.upsert(id, version, change.part, mark);
    if (changed) {
      note(kind, version);
    }
    return changed;
  }

  return {
    mark: nextMark,
    acceptLists({ services, nodes, networks, secrets }, since) {
      const learnt = [
        ...mergePart('services', tables.services, services, since),
        ...mergePart('nodes', tables.nodes, nodes, since),
        ...mergePart('networks', tables.networks, networks, since),
        ...mergePart('secrets', tables.secrets, secrets, since),
      ];
      publish();
      return learnt;
    },
    acceptTasks(batch, since) {
      // Without a complete list first, a partial one would look like "there are no others".
      if (batch.kind === 'services' && !complete.has('tasks')) {
        return [];
      }
      const covers =
        batch.kind === 'all' ? undefined : { known: () => batch.serviceIds.flatMap((id) => groups.get(id)) };
      const learnt = mergeInto(
        'tasks',
        () => tables.tasks.merge(batch.tasks, since, covers),
        ({ before, after }) => regroup(before, after),
      );
      publish();
      return learnt;
    },
    applyChanges(changes) {
      for (const change of changes) {
        applyChange(change);
      }
      publish();
    },
    forgetVersions() {
      state.versionIndex = 0;
      for (const table of Object.values(tables)) {
        table.forgetVersions();
      }
    },
    tasksOf: (serviceId) => groups.get(serviceId),
    known: {
      services: (id, version) => tables.services.listed(id, version),
      tasks: (id, version) => tables.tasks.listed(id, version),
    },
  };
}

/** The watch does not tell the address of a manager that talks to itself; the lists do. */
function withKnownAddress(node: Node, known: Node): Node {
  return node.address === undefined ? { ...node, address: known.address } : node;
}

/** The flat list is made when somebody reads it, and then kept: a change of one task need not copy all of them. */
function withTasks(parts: Omit<Snapshot, 'tasks' | 'tasksByService'>, tasksByService: TasksByService): Snapshot {
  const flat: { tasks: readonly Task[] | undefined } = { tasks: undefined };
  return {
    ...parts,
    tasksByService,
    get tasks() {
      flat.tasks ??= [...tasksByService.values()].flat();
      return flat.tasks;
    },
  };
}
