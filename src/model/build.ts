/**
 * Snapshot and intents in, one ClusterModel per cluster out. Pure: the order of the input never matters, and what cannot be used
 * becomes a finding that harms its own service only.
 *
 * Rules (design: several services, same host): one pool per host and path; services that share both share the pool; the oldest
 * service (creation time, then id) decides the options, the others get a finding.
 */
import { type ClusterModel, compareText } from './cluster.ts';
import { type Changes, type ClusterDefinition, createClusterBuilder, sameItems } from './cluster-builder.ts';
import { boundFindings, createFinding, type Finding } from './finding.ts';
import type { RoutingIntent } from './intent.ts';
import type { Snapshot } from './snapshot.ts';
import { addTo, indexSnapshot, type SnapshotIndex } from './snapshot-index.ts';

export type { ClusterDefinition } from './cluster-builder.ts';

export interface BuiltModels {
  /** One per definition, in the order of the definitions. */
  readonly models: readonly ClusterModel[];
  readonly findings: readonly Finding[];
}

const NO_INTENTS: readonly RoutingIntent[] = [];

/** Remembers the last update, so that the next one costs what is different in it. The outcome is the same as without memory. */
export interface ModelBuilder {
  update(snapshot: Snapshot, intents: readonly RoutingIntent[]): BuiltModels;
}

export function buildModels(
  snapshot: Snapshot,
  intents: readonly RoutingIntent[],
  definitions: readonly ClusterDefinition[],
): BuiltModels {
  return createModelBuilder(definitions).update(snapshot, intents);
}

export function createModelBuilder(definitions: readonly ClusterDefinition[]): ModelBuilder {
  const builders = definitions.map((definition) => ({
    cluster: definition.header.serviceCluster,
    builder: createClusterBuilder(definition),
  }));
  const names = builders.map(({ cluster }) => cluster);
  let last: { readonly snapshot: Snapshot; readonly index: SnapshotIndex; readonly clusters: Clusters } | undefined;
  return {
    update(snapshot, intents) {
      const index = indexSnapshot(snapshot, last);
      const clusters = last?.clusters.intents === intents ? last.clusters : divide(intents, names);
      const changes = changesBetween(last, { snapshot, index });
      last = { snapshot, index, clusters };
      const built = builders.map(({ cluster, builder }) =>
        builder.update(index, clusters.byName.get(cluster) ?? NO_INTENTS, changes),
      );
      const findings = [...clusters.findings, ...built.flatMap((one) => one.findings)];
      return { models: built.map(({ model }) => model), findings: boundFindings(findings) };
    },
  };
}

interface Clusters {
  readonly intents: readonly RoutingIntent[];
  /** Oldest first. */
  readonly byName: ReadonlyMap<string, readonly RoutingIntent[]>;
  readonly findings: readonly Finding[];
}

function divide(intents: readonly RoutingIntent[], names: readonly string[]): Clusters {
  const byName = new Map<string, RoutingIntent[]>();
  for (const intent of [...intents].sort(compareAge)) {
    addTo(byName, intent.serviceCluster, intent);
  }
  const unknown = [...byName].filter(([name]) => !names.includes(name)).flatMap(([, list]) => list);
  return { intents, byName, findings: unknown.map((intent) => unknownCluster(intent, names)) };
}

interface Seen {
  readonly snapshot: Snapshot;
  readonly index: SnapshotIndex;
}

function changesBetween(last: Seen | undefined, next: Seen): Changes {
  if (last === undefined) {
    return { networks: true, surroundings: true, tasks: undefined, tasksOf: () => true };
  }
  const listOf = (seen: Seen, id: string) => seen.index.tasks.get(id) ?? [];
  const [before, after] = [last.snapshot.tasksByService, next.snapshot.tasksByService];
  const tasks = before && after?.changedSince(before);
  return {
    networks: differ(
      last.snapshot.networks,
      next.snapshot.networks,
      ({ id, name, ingress }) => `${id} ${name} ${ingress}`,
    ),
    surroundings:
      differ(last.snapshot.nodes, next.snapshot.nodes, ({ id, state, address }) => `${id} ${state} ${address}`) ||
      differ(last.snapshot.secrets, next.snapshot.secrets, ({ name, labels }) => `${name} ${labels['type']}`),
    tasks,
    tasksOf: (id) => tasks?.has(id) ?? !sameItems(listOf(last, id), listOf(next, id)),
  };
}

/** Whether two lists differ in what a model shows of them; objects are written more often than that changes. */
function differ<Item>(before: readonly Item[], after: readonly Item[], show: (item: Item) => string): boolean {
  return before !== after && !sameItems(before.map(show).sort(), after.map(show).sort());
}

function compareAge(a: RoutingIntent, b: RoutingIntent): number {
  return compareText(a.service.createdAt, b.service.createdAt) || compareText(a.service.id, b.service.id);
}

function unknownCluster(intent: RoutingIntent, known: readonly string[]): Finding {
  const names = known.map((name) => (name === '' ? '"" (no label)' : `"${name}"`)).join(', ');
  return createFinding(
    'LABEL.SERVICE_CLUSTER_UNKNOWN',
    `No extension in config.toml has this ServiceCluster; write one of: ${names}.`,
    {
      service: intent.service.name,
      serviceCluster: intent.serviceCluster,
      subject: 'com.docker.lb.service_cluster',
      value: intent.serviceCluster,
    },
  );
}
