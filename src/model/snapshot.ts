/**
 * One complete, parsed picture of Swarm. The words are Swarm's own (service, task, node, network, secret) with Swarm's meaning.
 * Only what we read is here; everything is immutable.
 */
import type { IpAddress } from './names.ts';

/** Which stack a Swarm object was deployed with; names in the stack's file lack `<stack>_`. */
export const STACK_LABEL = 'com.docker.stack.namespace';

/** All parts at one moment. `Version.Index` values of Swarm objects come from one raft log, so they can be ordered against each other. */
export interface Snapshot {
  /** The highest `Version.Index` among the parts. */
  readonly versionIndex: number;
  /** When the last part was read, in milliseconds since the epoch. */
  readonly observedAtMs: number;
  readonly services: readonly Service[];
  readonly tasks: readonly Task[];
  readonly nodes: readonly Node[];
  readonly networks: readonly Network[];
  readonly secrets: readonly Secret[];
  /** `tasks` by service. Missing in snapshots that were not observed (tests, files). */
  readonly tasksByService?: TasksByService;
}

/** A service whose tasks did not change has the same array in the next Snapshot. */
export interface TasksByService {
  get(serviceId: string): readonly Task[] | undefined;
  /** Ids of the services that have other tasks than in an earlier view, at the cost of those; `undefined`: not known. */
  changedSince(earlier: TasksByService): ReadonlySet<string> | undefined;
  values(): Iterable<readonly Task[]>;
}

/** The tasks of one service, without a look at the others where the Snapshot knows them apart. */
export function tasksOf(snapshot: Snapshot, serviceId: string): readonly Task[] {
  const { tasksByService } = snapshot;
  return tasksByService === undefined
    ? snapshot.tasks.filter((task) => task.serviceId === serviceId)
    : (tasksByService.get(serviceId) ?? []);
}

export interface Service {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  /** RFC 3339, as the Engine prints it; compares as text within one Swarm. */
  readonly createdAt: string;
  readonly updatedAt: string;
  /** Service labels (`deploy.labels` in a stack file). */
  readonly labels: Readonly<Record<string, string>>;
  /** Labels on the tasks' containers (`labels` in a stack file). */
  readonly containerLabels: Readonly<Record<string, string>>;
  readonly mode: ServiceMode;
  /** Ids of the networks in the task template, in its order. */
  readonly networkIds: readonly string[];
  readonly endpointMode: 'vip' | 'dnsrr';
  readonly virtualIps: readonly VirtualIp[];
  /** Ports of the endpoint; `publishedPort` is set once Swarm has chosen one. */
  readonly ports: readonly PublishedPort[];
  readonly updateState: UpdateState;
}

export type ServiceMode =
  | { readonly kind: 'replicated'; readonly replicas: number }
  | { readonly kind: 'global' }
  | { readonly kind: 'job' };

export type UpdateState =
  | 'none'
  | 'updating'
  | 'paused'
  | 'completed'
  | 'rollback_started'
  | 'rollback_paused'
  | 'rollback_completed';

export interface VirtualIp {
  readonly networkId: string;
  readonly address: IpAddress;
}

export interface PublishedPort {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly mode: 'ingress' | 'host';
  readonly targetPort: number;
  readonly publishedPort: number | undefined;
}

export interface Task {
  readonly id: string;
  readonly serviceId: string;
  readonly nodeId: string | undefined;
  readonly version: number;
  readonly state: TaskState;
  readonly desiredState: TaskState;
  readonly attachments: readonly NetworkAttachment[];
  /** Host-mode ports of this task, from its `PortStatus`. */
  readonly hostPorts: readonly PublishedPort[];
  readonly createdAt: string;
  readonly updatedAt: string;
}

/** `moby/swarmkit:design/task_model.md`, in order of progress. */
export const TASK_STATES = [
  'new',
  'allocated',
  'pending',
  'assigned',
  'accepted',
  'preparing',
  'ready',
  'starting',
  'running',
  'complete',
  'shutdown',
  'failed',
  'rejected',
  'remove',
  'orphaned',
] as const;
export type TaskState = (typeof TASK_STATES)[number];

export interface NetworkAttachment {
  readonly networkId: string;
  readonly addresses: readonly IpAddress[];
}

export interface Node {
  readonly id: string;
  readonly hostname: string;
  readonly version: number;
  readonly role: 'manager' | 'worker';
  readonly availability: 'active' | 'pause' | 'drain';
  readonly state: 'unknown' | 'down' | 'ready' | 'disconnected';
  readonly address: IpAddress | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Network {
  readonly id: string;
  readonly name: string;
  readonly driver: string;
  readonly scope: string;
  readonly ingress: boolean;
  readonly labels: Readonly<Record<string, string>>;
}

/** Names and labels only: core never sees a secret's bytes. */
export interface Secret {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly labels: Readonly<Record<string, string>>;
}
