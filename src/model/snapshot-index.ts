/** A Snapshot by the keys that building a model asks for. */
import type { Network, Node, Secret, Service, Snapshot, Task } from './snapshot.ts';

export interface SnapshotIndex {
  readonly services: ReadonlyMap<string, Service>;
  readonly servicesByName: ReadonlyMap<string, Service>;
  readonly networks: ReadonlyMap<string, Network>;
  readonly nodes: ReadonlyMap<string, Node>;
  readonly tasks: ReadonlyMap<string, readonly Task[]>;
  /** By name. */
  readonly secrets: ReadonlyMap<string, Secret>;
}

export function indexSnapshot(snapshot: Snapshot): SnapshotIndex {
  const tasks = new Map<string, Task[]>();
  for (const task of snapshot.tasks) {
    addTo(tasks, task.serviceId, task);
  }
  return {
    services: new Map(snapshot.services.map((service) => [service.id, service])),
    servicesByName: new Map(snapshot.services.map((service) => [service.name, service])),
    networks: new Map(snapshot.networks.map((network) => [network.id, network])),
    nodes: new Map(snapshot.nodes.map((node) => [node.id, node])),
    tasks,
    secrets: new Map(snapshot.secrets.map((secret) => [secret.name, secret])),
  };
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
