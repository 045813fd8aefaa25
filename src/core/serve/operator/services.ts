/** Services as core sees them: their labels and what they say, their networks, and how their tasks fare. */
import { parseLabels } from '../../../labels/parse-labels.ts';
import { compareText } from '../../../model/cluster.ts';
import { nearestName } from '../../../model/nearest-name.ts';
import type { Service, Snapshot, Task } from '../../../model/snapshot.ts';
import { isOperational } from '../../../runtime/errors.ts';
import { refusal } from '../../../wire/errors.ts';
import type { ServicesReport, ServicesRequest, ServiceView, TaskView } from '../../../wire/swarm-view.ts';
import type { EngineApi } from '../../engine/engine-api.ts';
import { nodeNames } from './node-names.ts';
import type { StatusParts } from './status.ts';

/** More are nobody's question. */
const MAX_SERVICES = 20;
const MAX_TASKS = 20;
const MAX_LABELS = 500;
const MAX_VALUE = 1_024;
const MAX_SIMILAR = 5;

export interface ServicesParts extends Pick<StatusParts, 'snapshots'> {
  readonly engine: Pick<EngineApi, 'listTaskFates'>;
}

export async function servicesReport(
  parts: ServicesParts,
  { names, mentions }: ServicesRequest,
  signal: AbortSignal,
): Promise<ServicesReport> {
  const snapshot = parts.snapshots.get();
  if (snapshot === undefined) {
    throw refusal('precondition', 'core has no complete picture of this Swarm yet');
  }
  const named = names.slice(0, MAX_SERVICES).map((name) => ({ name, found: findService(snapshot, name) }));
  const mentioning = mentions === '' ? [] : snapshot.services.filter((service) => isMentioned(service, mentions));
  const found = new Set([...named.flatMap((one) => one.found), ...mentioning].slice(0, MAX_SERVICES));
  const views = [...found].map(async (service) =>
    viewOf(snapshot, service, await errorsOf(parts.engine, service, signal)),
  );
  return {
    services: (await Promise.all(views)).sort((a, b) => compareText(a.name, b.name)),
    similar: named.flatMap(({ name, found: own }) => (own.length > 0 ? [] : similarNames(snapshot, name))),
  };
}

/** By full name or id; else by the name without its stack, which several may have. */
function findService({ services }: Snapshot, name: string): readonly Service[] {
  const exact = services.filter((service) => service.name === name || service.id === name);
  return exact.length > 0 ? exact : services.filter((service) => name !== '' && service.name.endsWith(`_${name}`));
}

function similarNames({ services }: Snapshot, name: string): readonly string[] {
  const names = services.map((service) => service.name);
  const lower = name.toLowerCase();
  const near = nearestName(name, names);
  const containing = names.filter((one) => lower !== '' && one.toLowerCase().includes(lower)).sort(compareText);
  return [...new Set([...(near === undefined ? [] : [near]), ...containing])].slice(0, MAX_SIMILAR);
}

function isMentioned({ labels, containerLabels }: Service, text: string): boolean {
  const lower = text.toLowerCase();
  return [labels, containerLabels].some((each) =>
    Object.values(each).some((value) => value.toLowerCase().includes(lower)),
  );
}

/** Why tasks do not start or ended, by task: only the engine knows. Without its answer there is only less to say. */
async function errorsOf(
  engine: ServicesParts['engine'],
  { id }: Service,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  try {
    const fates = await engine.listTaskFates(id, signal);
    return new Map(fates.flatMap((fate) => (fate.error === undefined ? [] : [[fate.id, fate.error] as const])));
  } catch (error) {
    signal.throwIfAborted();
    if (isOperational(error)) {
      return new Map();
    }
    throw error;
  }
}

function viewOf(snapshot: Snapshot, service: Service, errors: ReadonlyMap<string, string>): ServiceView {
  const outcome = parseLabels(service);
  const intent = outcome.kind === 'intent' ? outcome.intent : undefined;
  const tasks = snapshot.tasks.filter(({ serviceId }) => serviceId === service.id);
  const names = nodeNames(snapshot);
  const { mode } = service;
  return {
    id: service.id,
    name: service.name,
    labels: bounded(service.labels),
    containerLabels: bounded(service.containerLabels),
    reading: outcome.kind === 'not-ours' ? 'none' : outcome.kind === 'intent' ? 'routed' : 'unusable',
    serviceCluster: intent?.serviceCluster ?? '',
    hosts: intent?.hosts ?? [],
    wanted: mode.kind === 'replicated' ? mode.replicas : tasks.filter((task) => task.desiredState === 'running').length,
    updateState: service.updateState,
    networks: networksOf(snapshot, service),
    tasks: tasks
      .map((task) => taskView(task, names, errors.get(task.id)))
      .sort((a, b) => compareText(b.updatedAt, a.updatedAt))
      .slice(0, MAX_TASKS),
  };
}

function taskView(task: Task, names: ReadonlyMap<string, string>, error: string | undefined): TaskView {
  const { id, nodeId = '', state, desiredState, updatedAt } = task;
  return { id, nodeId, node: names.get(nodeId) ?? '', state, desiredState, error, updatedAt };
}

function networksOf({ networks }: Snapshot, { networkIds }: Service): readonly string[] {
  return networks
    .filter(({ id, ingress }) => !ingress && networkIds.includes(id))
    .map(({ name }) => name)
    .sort(compareText);
}

function bounded(labels: Service['labels']): Service['labels'] {
  return Object.fromEntries(
    Object.entries(labels)
      .sort(([a], [b]) => compareText(a, b))
      .slice(0, MAX_LABELS)
      .map(([name, value]) => [name.slice(0, MAX_VALUE), value.slice(0, MAX_VALUE)]),
  );
}
