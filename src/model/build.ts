/**
 * Snapshot and intents in, one ClusterModel per cluster out. Pure: the order of the input never matters, and what cannot be used
 * becomes a finding that harms its own service only.
 *
 * Rules (design: several services, same host): one pool per host and path; services that share both share the pool; the oldest
 * service (creation time, then id) decides the options, the others get a finding.
 */
import type { ClusterModel } from './cluster.ts';
import { type Changes, type ClusterDefinition, createClusterBuilder } from './cluster-builder.ts';
import { boundFindings, createFinding, type Finding } from './finding.ts';
import type { RoutingIntent } from './intent.ts';
import { editBetween, exchanged, FEW, sameItems } from './lists.ts';
import { compareAge } from './member.ts';
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
      const clusters = divideAnew(last?.clusters, intents, names);
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

/** Sorting thousands of ages costs more than all the rest, and mostly one service is another. */
function divideAnew(last: Clusters | undefined, intents: readonly RoutingIntent[], names: readonly string[]): Clusters {
  if (last?.intents === intents) {
    return last;
  }
  const edit = last && editBetween(last.intents, intents);
  if (last === undefined || edit === undefined || edit.removed.length + edit.added.length > FEW) {
    return divide(intents, names);
  }
  const touched = new Set([...edit.removed, ...edit.added].map(({ serviceCluster }) => serviceCluster));
  if ([...touched].some((name) => !names.includes(name))) {
    return divide(intents, names);
  }
  const byName = new Map(last.byName);
  for (const name of touched) {
    const ofCluster = ({ serviceCluster }: RoutingIntent) => serviceCluster === name;
    const [removed, added] = [edit.removed.filter(ofCluster), edit.added.filter(ofCluster)];
    byName.set(name, exchanged(last.byName.get(name) ?? [], compareAge, { removed, added }));
  }
  return { intents, byName, findings: last.findings };
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
    return { networks: true, surroundings: true, services: undefined, tasks: undefined, tasksOf: () => true };
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
    services: editBetween(last.snapshot.services, next.snapshot.services),
    tasks,
    tasksOf: (id) => tasks?.has(id) ?? !sameItems(listOf(last, id), listOf(next, id)),
  };
}

/** Whether two lists differ in what a model shows of them; objects are written more often than that changes. */
function differ<Item>(before: readonly Item[], after: readonly Item[], show: (item: Item) => string): boolean {
  return before !== after && !sameItems(before.map(show).sort(), after.map(show).sort());
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
