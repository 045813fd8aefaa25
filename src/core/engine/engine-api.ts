/**
 * The port through which core sees and changes a Swarm. Reading methods return complete lists or throw an OperationalError with an
 * `ENGINE.*` code: "could not list" is never `[]`. Writes carry the version index that was read.
 */
import type { Network, Node, Secret, Service, Task } from '../../model/snapshot.ts';

export interface EngineApi {
  info(signal: AbortSignal): Promise<EngineInfo>;
  /** The container this process runs in, with what Swarm knows of it; `undefined` outside of a container of this engine or Swarm. */
  self(signal: AbortSignal): Promise<SelfInfo | undefined>;

  /** With `known`, what did not change is not read again: its item in the list is the known object itself. */
  listServices(
    signal: AbortSignal,
    options?: { readonly known?: Known<Service> | undefined },
  ): Promise<readonly Service[]>;
  /** All tasks, or those of some services. `known` as for services. */
  listTasks(signal: AbortSignal, options?: ListTasksOptions): Promise<readonly Task[]>;
  listNodes(signal: AbortSignal): Promise<readonly Node[]>;
  listNetworks(signal: AbortSignal): Promise<readonly Network[]>;
  listSecrets(signal: AbortSignal): Promise<readonly Secret[]>;

  /** By id or name, with its spec as the Engine prints it; `undefined` when there is none. */
  inspectService(idOrName: string, signal: AbortSignal): Promise<ServiceObject | undefined>;
  /** Services that carry all these labels (`key` or `key=value`). */
  listServiceObjects(labels: readonly string[], signal: AbortSignal): Promise<readonly ServiceObject[]>;
  /** How this service's tasks fared, as far back as Swarm remembers; empty when the service is gone. */
  listTaskFates(serviceId: string, signal: AbortSignal): Promise<readonly TaskFate[]>;
  /** Returns the new service's id. */
  createService(spec: ServiceSpecJson, signal: AbortSignal): Promise<string>;
  updateService(id: string, version: number, spec: ServiceSpecJson, signal: AbortSignal): Promise<void>;
  removeService(id: string, signal: AbortSignal): Promise<void>;

  /** Docker Configs that carry all these labels. `bytes` are not read. */
  listConfigs(labels: readonly string[], signal: AbortSignal): Promise<readonly ConfigObject[]>;
  /** The content of a Docker Config; `undefined` when there is none. */
  readConfig(idOrName: string, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /** Returns the new config's id. */
  createConfig(config: NewConfig, signal: AbortSignal): Promise<string>;
  removeConfig(id: string, signal: AbortSignal): Promise<void>;

  /** Returns the new secret's id. The Engine never gives the bytes back. */
  createSecret(secret: NewSecret, signal: AbortSignal): Promise<string>;
  /** Refused with ENGINE.IN_USE while the spec of a service names it; tasks that still run on an older spec do not count. */
  removeSecret(id: string, signal: AbortSignal): Promise<void>;
  /** Ids of the secrets that tasks hold which have not ended, by their own specs: services may have moved on. */
  secretsOfTasks(signal: AbortSignal): Promise<ReadonlySet<string>>;

  /** Swarm-scope events from now on. The iterable first yields one `{ kind: 'connected' }`; it throws when the connection breaks. */
  events(signal: AbortSignal): AsyncIterable<EngineEvent>;
}

/** What an earlier list said of this object in this version; Swarm counts the version up with each write of an object. */
export type Known<Part> = (id: string, version: number) => Part | undefined;

export interface ListTasksOptions {
  readonly serviceIds?: readonly string[] | undefined;
  readonly known?: Known<Task> | undefined;
}

export interface EngineInfo {
  readonly engineVersion: string;
  /** Negotiated, e.g. `1.51`. */
  readonly apiVersion: string;
  readonly nodeId: string;
  readonly swarm: 'inactive' | 'pending' | 'active' | 'error' | 'locked';
  readonly isManager: boolean;
  /** PEM of the Swarm's own certificate authority; `undefined` on workers. While it is being rotated: several certificates. */
  readonly trustRoot: string | undefined;
}

export interface SelfInfo {
  readonly containerId: string;
  readonly serviceId: string | undefined;
  /** `undefined` where another engine of the Swarm runs the container, too. */
  readonly serviceName: string | undefined;
  readonly taskId: string | undefined;
  /** Of this container, on each of its networks; docker_gwbridge is none of them. */
  readonly addresses?: readonly { readonly networkId: string; readonly address: string }[];
}

/** A service spec as the Engine's JSON has it (`POST /services/create`). Only core's publish room builds one. */
export type ServiceSpecJson = Readonly<Record<string, unknown>>;

export interface ServiceObject {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: ServiceSpecJson;
  readonly previousSpec: ServiceSpecJson | undefined;
  readonly updateState: Service['updateState'];
  readonly updateMessage: string | undefined;
}

export interface TaskFate {
  readonly id: string;
  readonly updatedAt: string;
  /** Of the spec that this task was made from. */
  readonly containerLabels: Readonly<Record<string, string>>;
  /** Lower case, `moby/swarmkit:design/task_model.md`. */
  readonly state: string;
  readonly desiredState: string;
  /** Why it does not start, or ended. */
  readonly error: string | undefined;
}

export interface ConfigObject {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: string;
}

export interface NewConfig {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly bytes: Uint8Array;
}

export interface NewSecret {
  /** 1 to 64 of `[a-zA-Z0-9-_.]`, a letter or digit at both ends. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** 1 to 511,999 bytes. */
  readonly bytes: Uint8Array;
}

export type EngineEvent =
  | { readonly kind: 'connected' }
  | {
      readonly kind: EngineEventKind;
      readonly action: string;
      readonly id: string;
      readonly attributes: Readonly<Record<string, string>>;
    };

export type EngineEventKind = 'service' | 'node' | 'network' | 'config' | 'secret';
