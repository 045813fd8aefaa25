/**
 * What the tests of failures ask of a cluster: which endpoints a proxy's NGINX was given, which Swarm says are there, and the version
 * indexes of all that core could write.
 */
import { expect } from 'vitest';
import { LABELS } from '../../src/core/publish/names.ts';
import type { StatusReport } from '../../src/wire/status-report.ts';
import type { Swarm } from '../support/bed.ts';
import { eventually } from '../support/eventually.ts';
import { type Interlock, STACK, type TaskJson } from '../support/interlock.ts';

/**
 * A new leader, and the only manager after its restart, gives nodes six heartbeats to find it, and declares the others down: Swarm itself
 * then ends their tasks and starts others. Where that is not the case at hand, the heartbeat is this one, in place of Swarm's 5 s.
 */
export const UNHURRIED = '20s';

/** Every wait ends within this time, or says what it waited for. */
export const PATIENCE = { timeoutMs: 120_000, everyMs: 100 };

interface AttachedTask extends TaskJson {
  readonly NetworksAttachments?: readonly { readonly Addresses?: readonly string[] }[];
}

interface NodeJson {
  readonly ID: string;
  readonly Description: { readonly Hostname: string };
  readonly Status: { readonly State: string };
  readonly ManagerStatus?: { readonly Leader?: boolean };
}

/** `http://address:8080` of node `index`. */
export function baseOf(swarm: Swarm, index: number): string {
  return `http://${swarm.nodes[index - 1]?.address ?? '0.0.0.0'}:8080`;
}

export async function nodesOf({ docker }: Interlock): Promise<readonly NodeJson[]> {
  // Shape: Engine API `GET /nodes`.
  return (await docker.listNodes()) as readonly NodeJson[];
}

export async function stateOf(interlock: Interlock, hostname: string): Promise<string> {
  const nodes = await nodesOf(interlock);
  return nodes.find(({ Description }) => Description.Hostname === hostname)?.Status.State ?? 'not there';
}

export interface Running {
  readonly id: string;
  /** `n1`, `n2`… */
  readonly hostname: string;
  readonly address: string;
  readonly container: string;
}

/** The tasks of a service that run and shall, on nodes that are not down. */
export async function runningOf(interlock: Interlock, service: string): Promise<readonly Running[]> {
  const nodes = new Map((await nodesOf(interlock)).map((node) => [node.ID, node]));
  // Shape: Engine API `GET /tasks`.
  const tasks = (await interlock.docker.listTasks({ filters: { service: [service] } })) as readonly AttachedTask[];
  return tasks
    .filter(({ DesiredState, Status }) => DesiredState === 'running' && Status.State === 'running')
    .filter(({ NodeID }) => nodes.get(NodeID ?? '')?.Status.State !== 'down')
    .map(({ ID, NodeID, NetworksAttachments, Status }) => ({
      id: ID,
      hostname: nodes.get(NodeID ?? '')?.Description.Hostname ?? '',
      address: NetworksAttachments?.[0]?.Addresses?.[0]?.split('/')[0] ?? '',
      container: Status.ContainerStatus?.ContainerID ?? '',
    }));
}

/** The addresses in the file that the NGINX on a node runs from, in order. */
export async function servedBy(swarm: Swarm, index: number): Promise<readonly string[]> {
  const proxy = 'label=com.docker.swarm.service.name=interlock-proxy';
  const { stdout: id } = await swarm.exec(index, ['docker', 'ps', '-q', '--filter', proxy]);
  const read = ['docker', 'exec', id.trim().split('\n')[0] ?? '', 'cat', '/run/interlock/conf/nginx.conf'];
  const { stdout } = await swarm.exec(index, read);
  const addresses = [...stdout.matchAll(/^\s*server (\d+\.\d+\.\d+\.\d+):\d+/gm)].map(([, address = '']) => address);
  return [...new Set(addresses)].sort();
}

/** How many tasks each service runs. */
export type Counts = Readonly<Record<string, number>>;

/** Waits until the services run that many tasks, on nodes that are there, and the proxies on these nodes serve exactly those. */
export async function untilServed(interlock: Interlock, counts: Counts, proxies: readonly number[]): Promise<void> {
  await eventually(async () => {
    const services = Object.keys(counts);
    const running = await Promise.all(services.map((service) => runningOf(interlock, service)));
    expect(Object.fromEntries(services.map((service, n) => [service, running[n]?.length]))).toEqual(counts);
    const addresses = running.flat().map(({ address }) => address);
    for (const index of proxies) {
      expect(await servedBy(interlock.swarm, index)).toEqual(addresses.sort());
    }
  }, PATIENCE);
}

interface Versioned {
  readonly Version: { readonly Index: number };
  readonly Spec: { readonly Name: string; readonly Labels?: Readonly<Record<string, string>> };
}

/** By kind and name: equal before and after means that nothing was written. */
export async function versionsOf({ docker }: Interlock): Promise<Readonly<Record<string, number>>> {
  const lists = {
    service: await docker.listServices(),
    config: await docker.listConfigs(),
    secret: await docker.listSecrets(),
  } as unknown as Readonly<Record<string, readonly Versioned[]>>;
  return Object.fromEntries(
    Object.entries(lists).flatMap(([kind, all]) =>
      all.map(({ Spec, Version }) => [`${kind} ${Spec.Name}`, Version.Index] as const),
    ),
  );
}

/**
 * Whether what the proxies serve is stored. That may be long in coming: two artifacts are stored 30 s apart at least (STORE_PACE), so one
 * that follows a stored one soon after is not there yet when all has been quiet for some seconds, and a core that starts stores it at once.
 */
async function untilStored(interlock: Interlock): Promise<void> {
  await eventually(async () => {
    // It exits with 1 where something is wrong, which is no matter here.
    const text = await interlock.exec(`${STACK}_core`, ['sh', '-c', 'interlock status --json || true']);
    const proxies = (JSON.parse(text) as StatusReport).clusters.flatMap((cluster) => cluster.proxies);
    const running = proxies.filter(({ state, desiredState }) => state === 'running' && desiredState === 'running');
    expect(running).not.toEqual([]);
    const configs = (await interlock.docker.listConfigs()) as unknown as readonly Versioned[];
    const stored = new Set(configs.map(({ Spec }) => Spec.Labels?.[LABELS.digest]));
    expect(running.filter(({ artifactDigest }) => !stored.has(artifactDigest))).toEqual([]);
  }, PATIENCE);
}

/** Longer than core waits before it stores routes that have come to rest. */
const REST_MS = 8_000;

/** Waits until all is stored, nothing is written any more and no roll is under way. */
export async function untilAtRest(interlock: Interlock): Promise<Readonly<Record<string, number>>> {
  return eventually(async () => {
    await untilStored(interlock);
    const before = await versionsOf(interlock);
    await new Promise((resolve) => setTimeout(resolve, REST_MS));
    expect(await versionsOf(interlock)).toEqual(before);
    for (const name of ['interlock-extension', 'interlock-proxy']) {
      const { UpdateStatus } = await interlock.inspectService(name);
      expect([undefined, 'completed']).toContain(UpdateStatus?.State);
    }
    return before;
  }, PATIENCE);
}

/** `<service> on <node>: <container>` of all that run, sorted: equal before and after means that Swarm replaced no task. */
export async function containersOf(interlock: Interlock, services: readonly string[]): Promise<readonly string[]> {
  const all = await Promise.all(services.map((service) => runningOf(interlock, service)));
  return services
    .flatMap((service, n) => (all[n] ?? []).map(({ hostname, container }) => `${service} on ${hostname}: ${container}`))
    .sort();
}
