/** A Snapshot by the keys that building a model asks for. */
import { editBetween } from './lists.ts';
import type { Network, Node, Secret, Service, Snapshot, Task } from './snapshot.ts';

export interface SnapshotIndex {
  readonly services: ServiceTable;
  readonly networks: ReadonlyMap<string, Network>;
  readonly nodes: ReadonlyMap<string, Node>;
  /** By service. */
  readonly tasks: { get(serviceId: string): readonly Task[] | undefined };
  /** By name. */
  readonly secrets: ReadonlyMap<string, Secret>;
}

/** Services by id. */
export interface ServiceTable {
  readonly list: readonly Service[];
  get(id: string): Service | undefined;
  /** The table of a list that is mostly the same: what is different in it is written down, and not the rest once more. */
  next(list: readonly Service[]): ServiceTable;
}

/** `last`: of another Snapshot; what was made of the very same list is taken from it. */
export function indexSnapshot(
  snapshot: Snapshot,
  last?: { readonly snapshot: Snapshot; readonly index: SnapshotIndex },
): SnapshotIndex {
  const same = (part: 'services' | 'networks' | 'nodes' | 'secrets') =>
    last !== undefined && last.snapshot[part] === snapshot[part] ? last.index : undefined;
  const { services, networks, nodes, secrets } = snapshot;
  return {
    services: same('services')?.services ?? last?.index.services.next(services) ?? tableOf(services),
    networks: same('networks')?.networks ?? new Map(networks.map((network) => [network.id, network])),
    nodes: same('nodes')?.nodes ?? new Map(nodes.map((node) => [node.id, node])),
    tasks: snapshot.tasksByService ?? groupTasks(snapshot.tasks),
    secrets: same('secrets')?.secrets ?? new Map(secrets.map((secret) => [secret.name, secret])),
  };
}

function tableOf(list: readonly Service[]): ServiceTable {
  return tableOver(new Map(list.map((service) => [service.id, service])), new Map(), list);
}

/** With more differences a table is made anew. */
const MOST_DIFFERENCES = 64;

/** `differences` come before `base`; `undefined`: it is gone. */
function tableOver(
  base: ReadonlyMap<string, Service>,
  differences: ReadonlyMap<string, Service | undefined>,
  list: readonly Service[],
): ServiceTable {
  return {
    list,
    get: (id) => (differences.has(id) ? differences.get(id) : base.get(id)),
    next(later) {
      const { removed, added } = editBetween(list, later);
      if (differences.size + removed.length + added.length > MOST_DIFFERENCES) {
        return tableOf(later);
      }
      const next = new Map(differences);
      for (const { id } of removed) {
        next.set(id, undefined);
      }
      for (const service of added) {
        next.set(service.id, service);
      }
      return tableOver(base, next, later);
    },
  };
}

function groupTasks(tasks: readonly Task[]): ReadonlyMap<string, readonly Task[]> {
  const groups = new Map<string, Task[]>();
  for (const task of tasks) {
    addTo(groups, task.serviceId, task);
  }
  return groups;
}

/** Adds to the list under a key, which is made when it is missing. */
export function addTo<Key, Item>(groups: Map<Key, Item[]>, key: Key, item: Item): void {
  const group = groups.get(key);
  if (group === undefined) {
    groups.set(key, [item]);
  } else {
    group.push(item);
  }
}
