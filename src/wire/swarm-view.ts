/** What operators are told of routes and services. `routes-codec.ts` and `services-codec.ts` translate. */
import type { ClusterModel } from '../model/cluster.ts';
import type { RevisionRef } from './contract.ts';

export interface RoutesRequest {
  /** `undefined`: all; `''`: the default cluster. */
  readonly serviceCluster: string | undefined;
}

export interface RoutesReport {
  /** In the order of config.toml; those without a revision yet are left out. */
  readonly clusters: readonly ClusterRoutes[];
  /** Those that endpoints run on, sorted by id. */
  readonly nodes: readonly NodeView[];
}

export interface ClusterRoutes {
  readonly revision: RevisionRef;
  readonly model: ClusterModel;
}

export interface NodeView {
  readonly id: string;
  readonly hostname: string;
  /** Swarm's word: `ready`, `down`, ... */
  readonly state: string;
}

export interface ServicesRequest {
  /** Full names, names without the stack, or ids. */
  readonly names: readonly string[];
  /** Also those with this text in the value of a label, the container's too; `''`: no others. */
  readonly mentions: string;
}

export interface ServicesReport {
  /** Sorted by name; at most `MAX_SERVICES`. */
  readonly services: readonly ServiceView[];
  /** Names of services like those that were not found. */
  readonly similar: readonly string[];
}

export interface ServiceView {
  readonly id: string;
  readonly name: string;
  /** Values are cut to 1,024 characters. */
  readonly labels: Readonly<Record<string, string>>;
  readonly containerLabels: Readonly<Record<string, string>>;
  /** `none`: no label of ours; `routed`: its labels can be used; `unusable`: they cannot, and findings say why. */
  readonly reading: 'none' | 'routed' | 'unusable';
  /** `''`: the default one. */
  readonly serviceCluster: string;
  readonly hosts: readonly string[];
  /** Tasks that Swarm is asked for. */
  readonly wanted: number;
  readonly updateState: string;
  /** Names; the ingress network is not among them. */
  readonly networks: readonly string[];
  /** Newest first; those that have ended too, as far back as Swarm remembers. */
  readonly tasks: readonly TaskView[];
}

export interface TaskView {
  readonly id: string;
  /** `''`: none yet. */
  readonly nodeId: string;
  /** Host name; `''`: not known. */
  readonly node: string;
  /** Swarm's words. */
  readonly state: string;
  readonly desiredState: string;
  /** Why it does not start, or ended. */
  readonly error: string | undefined;
  /** RFC 3339. */
  readonly updatedAt: string;
}
