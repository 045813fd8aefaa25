/** The Engine's JSON as far as the fake fills it in. Everything is mutable: these are the fake's own objects. */

export type Labels = Record<string, string>;

export interface RawObject {
  ID: string;
  Version: { Index: number };
  CreatedAt: string;
  UpdatedAt: string;
}

export interface RawPort {
  Protocol: string;
  TargetPort: number;
  PublishedPort?: number;
  PublishMode: string;
}

export interface RawReference {
  ConfigID?: string;
  ConfigName?: string;
  SecretID?: string;
  SecretName?: string;
}

export interface RawTemplate {
  ContainerSpec?: {
    Image?: string;
    Labels?: Labels;
    Configs?: RawReference[];
    Secrets?: RawReference[];
    [field: string]: unknown;
  };
  Networks?: { Target: string; [field: string]: unknown }[];
  Placement?: { Constraints?: string[] };
  RestartPolicy?: { Condition?: string; Delay?: number };
  ForceUpdate?: number;
  Runtime?: string;
  [field: string]: unknown;
}

export interface RawUpdateConfig {
  Parallelism?: number;
  Delay?: number;
  Monitor?: number;
  FailureAction?: string;
  Order?: string;
}

export interface RawServiceSpec {
  Name: string;
  Labels: Labels;
  TaskTemplate: RawTemplate;
  Mode: { Replicated?: { Replicas?: number }; Global?: object; ReplicatedJob?: object; GlobalJob?: object };
  UpdateConfig?: RawUpdateConfig;
  EndpointSpec?: { Mode?: string; Ports?: RawPort[] };
  Networks?: { Target: string }[];
  [field: string]: unknown;
}

export interface RawService extends RawObject {
  Spec: RawServiceSpec;
  PreviousSpec?: RawServiceSpec;
  Endpoint: { Spec: object; Ports?: RawPort[]; VirtualIPs?: { NetworkID: string; Addr: string }[] };
  UpdateStatus?: { State: string; StartedAt: string; CompletedAt?: string; Message: string };
}

export interface RawTask extends RawObject {
  Labels: Labels;
  Spec: RawTemplate;
  ServiceID: string;
  Slot?: number;
  NodeID?: string;
  Status: {
    Timestamp: string;
    State: string;
    Message: string;
    Err?: string;
    ContainerStatus?: { ContainerID: string; PID: number; ExitCode: number };
    PortStatus: { Ports?: RawPort[] };
  };
  DesiredState: string;
  NetworksAttachments?: { Network: RawObject & { Spec: object }; Addresses: string[] }[];
}

export interface RawNode extends RawObject {
  Spec: { Labels: Labels; Role: string; Availability: string };
  Description: { Hostname: string };
  Status: { State: string; Addr: string };
  ManagerStatus?: { Leader: boolean; Reachability: string; Addr: string };
}

export interface RawNetwork {
  Id: string;
  Name: string;
  Created: string;
  Scope: string;
  Driver: string;
  Attachable: boolean;
  Ingress: boolean;
  Labels: Labels;
}

/** Configs and secrets; a secret's `Data` is never printed. */
export interface RawBlob extends RawObject {
  Spec: { Name: string; Labels: Labels; Data?: string };
}

/** What the Engine refuses, with its own words and status. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, words: string) {
    super(words);
    this.name = 'Refusal';
    this.status = status;
  }
}
