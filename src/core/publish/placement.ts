/**
 * Where extension and proxies may run when config.toml does not say: on workers when there are workers, on managers when there are
 * none. And what can be said of constraints and preferences that match nothing here. Pure.
 *
 * Only what an operator does to nodes counts (join, leave, promote, demote, drain), not what becomes of them (a worker that is down
 * for a moment), because every change of a constraint rolls the service. Except when all workers are lost (`worker-watch.ts`).
 *
 *   the table has Constraints / ProxyConstraints of its own     -> those, and nothing is added
 *   there is no worker, or all are drained, or all are lost     -> none
 *   proxies in host mode, more of them than there are workers   -> none: a host port is one proxy's, the others would never start
 *   else                                                        -> node.role==worker
 *
 * A worker that is drained beside others still counts: its proxies wait for it or go to the others, and nothing that runs is rolled.
 */
import { createFinding, type Finding } from '../../model/finding.ts';
import type { Node, Service, Snapshot } from '../../model/snapshot.ts';
import type { ExtensionSettings } from '../../settings/core-settings.ts';
import { matchesNode, readConstraint } from './constraint.ts';
import { isAWorkerThere } from './worker-watch.ts';

const ON_WORKERS: readonly string[] = ['node.role==worker'];

/** The same settings with the constraints that hold now. `tables`: all of config.toml, whose proxies may want the same host ports. */
export function placed(
  settings: ExtensionSettings,
  { nodes, services }: Pick<Snapshot, 'nodes' | 'services'>,
  tables: readonly ExtensionSettings[],
  areWorkersLost = false,
): ExtensionSettings {
  const workers = areWorkersLost ? 0 : workersOf(nodes);
  const { constraints, proxyConstraints } = settings;
  const isRoomy = settings.publishMode !== 'host' || hostPortDemand(settings, tables, services) <= workers;
  return {
    ...settings,
    constraints: constraints.length === 0 && workers > 0 ? ON_WORKERS : constraints,
    proxyConstraints: proxyConstraints.length === 0 && workers > 0 && isRoomy ? ON_WORKERS : proxyConstraints,
  };
}

/** What of the nodes decides here: when this text changes, it is time to plan anew. */
export function nodesOf({ nodes }: Pick<Snapshot, 'nodes'>): string {
  return JSON.stringify([
    nodes.map(({ id, role, availability, labels }) => [id, role, availability === 'drain', labels]).sort(),
    isAWorkerThere(nodes),
  ]);
}

function workersOf(nodes: readonly Node[]): number {
  const workers = nodes.filter(({ role }) => role === 'worker');
  return workers.some(({ availability }) => availability !== 'drain') ? workers.length : 0;
}

/** Proxies that want one of the table's published ports for themselves, on a node of their own each. */
function hostPortDemand(
  settings: ExtensionSettings,
  tables: readonly ExtensionSettings[],
  services: readonly Service[],
): number {
  const ports = new Set(publishedPorts(settings));
  return tables
    .filter((table) => table.publishMode === 'host' && publishedPorts(table).some((port) => ports.has(port)))
    .reduce((sum, table) => sum + replicasOf(table, services), 0);
}

function publishedPorts({ publishedPort, publishedSslPort }: ExtensionSettings): readonly number[] {
  return [publishedPort, publishedSslPort].filter((port) => port !== undefined);
}

/** As config.toml says, or as many more as `docker service scale` made of it. */
function replicasOf({ proxyServiceName, proxyReplicas }: ExtensionSettings, services: readonly Service[]): number {
  const mode = services.find(({ name }) => name === proxyServiceName)?.mode;
  return Math.max(proxyReplicas, mode?.kind === 'replicated' ? mode.replicas : 0);
}

/** Constraints of the operator's own that no node of this Swarm meets, and preferences that make no difference. */
export function placementFindings(settings: ExtensionSettings, { nodes }: Pick<Snapshot, 'nodes'>): readonly Finding[] {
  if (nodes.length === 0) {
    return [];
  }
  const { name, serviceName, proxyServiceName, serviceCluster } = settings;
  const of = (service: string, key: string) => ({ service, serviceCluster, subject: `Extensions.${name}.${key}` });
  return [
    ...unmatched(settings.constraints, nodes, of(serviceName, 'Constraints')),
    ...unmatched(settings.proxyConstraints, nodes, of(proxyServiceName, 'ProxyConstraints')),
    ...idle(settings.placementPreferences, nodes, of(serviceName, 'PlacementPreferences')),
    ...idle(settings.proxyPlacementPreferences, nodes, of(proxyServiceName, 'ProxyPlacementPreferences')),
  ];
}

interface About {
  readonly service: string;
  readonly serviceCluster: string;
  readonly subject: string;
}

/** Each that no node meets; where each has its node and no node meets them all, they are named together. */
function unmatched(constraints: readonly string[], nodes: readonly Node[], about: About): readonly Finding[] {
  const read = constraints.map(readConstraint);
  if (nodes.some((node) => read.every((constraint) => matchesNode(constraint, node)))) {
    return [];
  }
  const alone = constraints.filter((_, index) => {
    const constraint = read[index];
    return constraint !== undefined && !nodes.some((node) => matchesNode(constraint, node));
  });
  const named = alone.length > 0 ? alone : [constraints.join(' and ')];
  return named.map((value) =>
    createFinding('PUBLISH.CONSTRAINT_UNMATCHED', `No node of this Swarm meets it. ${remedyFor(value)}`, {
      ...about,
      value,
    }),
  );
}

function remedyFor(constraint: string): string {
  if (constraint.includes('com.docker.ucp.')) {
    return 'It is of another product, which labels its nodes by itself: take it out, or write one that your nodes meet.';
  }
  const label = /^node\.labels\.(\S+?)\s*==\s*(\S+)$/.exec(constraint);
  return label === null
    ? 'Correct it, or take it out.'
    : `Label the nodes that are meant (docker node update --label-add ${label[1] ?? ''}=${label[2] ?? ''} NODE), or take it out.`;
}

/** Swarm spreads over labels only; nodes without the label are one group. Labels of engines are not in what we see of nodes. */
function idle(preferences: readonly string[], nodes: readonly Node[], about: About): readonly Finding[] {
  return preferences
    .filter((descriptor) => !/^engine\.labels\./i.test(descriptor))
    .filter((descriptor) => {
      const label = /^node\.labels\.(.+)$/i.exec(descriptor)?.[1];
      return label === undefined || nodes.every(({ labels }) => labels[label] === undefined);
    })
    .map((descriptor) =>
      createFinding(
        'PUBLISH.PREFERENCE_UNMATCHED',
        'No node of this Swarm has this label, or it is none: Swarm spreads over node.labels.NAME and engine.labels.NAME. Label the nodes, or take it out.',
        { ...about, value: descriptor },
      ),
    );
}
