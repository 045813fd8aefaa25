/** A Snapshot by the keys that building a model asks for. */
import type { Network, Node, Secret, Service, Snapshot, Task } from './snapshot.ts';

export interface SnapshotIndex {
  readonly services: ReadonlyMap<string, Service>;
  readonly networks: ReadonlyMap<string, Network>;
  readonly nodes: ReadonlyMap<string, Node>;
  /** By service. */
  readonly tasks: { get(serviceId: string): readonly Task[] | undefined };
  /** By name. */
  readonly secrets: ReadonlyMap<string, Secret>;
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
    services: same('services')?.services ?? new Map(services.map((service) => [service.id, service])),
    networks: same('networks')?.networks ?? new Map(networks.map((network) => [network.id, network])),
    nodes: same('nodes')?.nodes ?? new Map(nodes.map((node) => [node.id, node])),
    tasks: snapshot.tasksByService ?? groupTasks(snapshot.tasks),
    secrets: same('secrets')?.secrets ?? new Map(secrets.map((secret) => [secret.name, secret])),
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
