/** The manager's events -> changes of Snapshot parts, equal to what the Engine's JSON gives for the same object. Pure. */
import {
  type Network,
  type Node,
  type PublishedPort,
  type Service,
  type ServiceMode,
  TASK_STATES,
  type Task,
  type TaskState,
} from '../model/snapshot.ts';
import { nodeAddress } from '../snapshot/node.ts';
import { addressOf, distinctPorts } from '../snapshot/shapes.ts';
import type {
  EventMessage,
  NetworkMessage,
  NodeMessage,
  PortMessage,
  ServiceMessage,
  TaskMessage,
  TaskSpecMessage,
  TimestampMessage,
  WatchMessage,
} from './messages.ts';

/** `version` is the object's `Version.Index`; a removal carries that of the object's last write. */
export type Change =
  | ChangeOf<'service', Service>
  | ChangeOf<'task', Task>
  | ChangeOf<'node', Node>
  | ChangeOf<'network', Network>;

export type ChangeOf<Kind extends string, Part> =
  | {
      readonly kind: Kind;
      readonly action: 'upsert';
      readonly id: string;
      readonly version: number;
      readonly part: Part;
    }
  | { readonly kind: Kind; readonly action: 'remove'; readonly id: string; readonly version: number };

/**
 * In the manager's order. Left out is what the Engine's lists leave out too: tasks and services that run no container, networks that
 * every node has anyway.
 * @throws Error for an event without an object, or an object without an id or a version: then changes may have been missed.
 */
export function changesOf(message: WatchMessage): readonly Change[] {
  return message.events.flatMap(changeOf);
}

function changeOf({ action, object }: EventMessage): readonly Change[] {
  const removed = action === 'WATCH_ACTION_REMOVE';
  if (object?.task) {
    return runsContainer(object.task.spec) ? [change('task', removed, object.task, taskOf)] : [];
  }
  if (object?.service) {
    return runsContainer(object.service.spec?.task) ? [change('service', removed, object.service, serviceOf)] : [];
  }
  if (object?.node) {
    return [change('node', removed, object.node, nodeOf)];
  }
  if (object?.network) {
    return isPredefined(object.network) ? [] : [change('network', removed, object.network, networkOf)];
  }
  throw new Error(`an event (${action}) without an object of a kind that was asked for`);
}

function change<Kind extends Change['kind'], Message extends Versioned, Part>(
  kind: Kind,
  removed: boolean,
  message: Message,
  partOf: (message: Message, version: number) => Part,
): ChangeOf<Kind, Part> {
  const { id } = message;
  const version = message.meta?.version?.index;
  if (id === '' || version === undefined || !Number.isSafeInteger(version)) {
    throw new Error(`an event about a ${kind} without an id or a version`);
  }
  return removed
    ? { kind, action: 'remove', id, version }
    : { kind, action: 'upsert', id, version, part: partOf(message, version) };
}

type Versioned = Pick<TaskMessage, 'id' | 'meta'>;

/** Swarm also keeps tasks for plain containers on attachable networks, and for plugins; `GET /tasks` and `GET /services` do not list them. */
function runsContainer(spec: TaskSpecMessage | null | undefined): boolean {
  return spec?.runtime === undefined || spec.runtime === 'container';
}

/** The nodes' own `host` and `bridge`, which Swarm keeps objects for and `GET /networks` does not list. */
function isPredefined({ spec }: NetworkMessage): boolean {
  return 'com.docker.swarm.predefined' in (spec?.annotations?.labels ?? {});
}

function taskOf(message: TaskMessage, version: number): Task {
  return {
    id: message.id,
    serviceId: message.serviceId,
    nodeId: message.nodeId === '' ? undefined : message.nodeId,
    version,
    state: stateOf(message.status?.state ?? 'NEW'),
    desiredState: stateOf(message.desiredState),
    attachments: message.networks.flatMap(({ network, addresses }) =>
      network === null
        ? []
        : [{ networkId: network.id, addresses: addresses.flatMap((text) => addressOf(text) ?? []) }],
    ),
    hostPorts: distinctPorts((message.status?.portStatus?.ports ?? []).map(portOf).filter(isHostPort)),
    createdAt: timeOf(message.meta?.createdAt),
    updatedAt: timeOf(message.meta?.updatedAt),
  };
}

function isHostPort(port: PublishedPort): boolean {
  return port.mode === 'host';
}

const STATES: ReadonlySet<string> = new Set(TASK_STATES);

/** A state that this proto does not know comes as its number. */
function stateOf(name: string | number): TaskState {
  const state = String(name).toLowerCase();
  if (!STATES.has(state)) {
    throw new Error(`a task in state ${name}`);
  }
  return state as TaskState; // one of the set
}

function serviceOf(message: ServiceMessage, version: number): Service {
  const { spec, endpoint } = message;
  const inTemplate = spec?.task?.networks ?? [];
  return {
    id: message.id,
    name: spec?.annotations?.name ?? '',
    version,
    createdAt: timeOf(message.meta?.createdAt),
    updatedAt: timeOf(message.meta?.updatedAt),
    labels: spec?.annotations?.labels ?? {},
    containerLabels: spec?.task?.container?.labels ?? {},
    mode: modeOf(spec),
    networkIds: (inTemplate.length > 0 ? inTemplate : (spec?.networks ?? [])).map(({ target }) => target),
    endpointMode: (endpoint?.spec ?? spec?.endpoint)?.mode === 'DNSRR' ? 'dnsrr' : 'vip',
    virtualIps: (endpoint?.virtualIps ?? []).flatMap(({ networkId, addr }) => {
      const address = addressOf(addr);
      return address === undefined ? [] : [{ networkId, address }];
    }),
    ports: (endpoint?.ports ?? []).map(portOf),
    updateState: UPDATE_STATES[message.updateStatus?.state ?? 'UNKNOWN'] ?? 'none',
  };
}

function modeOf(spec: ServiceMessage['spec']): ServiceMode {
  switch (spec?.mode) {
    case 'global':
      return { kind: 'global' };
    case 'replicatedJob':
    case 'globalJob':
      return { kind: 'job' };
    case 'replicated':
    case undefined:
      // The spec says 0 where it says nothing; only a spec without any mode means one replica.
      return { kind: 'replicated', replicas: spec?.replicated?.replicas ?? 1 };
  }
}

const UPDATE_STATES: Readonly<Record<string, Service['updateState']>> = {
  UPDATING: 'updating',
  PAUSED: 'paused',
  COMPLETED: 'completed',
  ROLLBACK_STARTED: 'rollback_started',
  ROLLBACK_PAUSED: 'rollback_paused',
  ROLLBACK_COMPLETED: 'rollback_completed',
};

const PROTOCOLS: Readonly<Record<string, PublishedPort['protocol']>> = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' };

function portOf({ protocol, publishMode, targetPort, publishedPort }: PortMessage): PublishedPort {
  return {
    protocol: PROTOCOLS[protocol] ?? 'tcp',
    mode: publishMode === 'HOST' ? 'host' : 'ingress',
    targetPort,
    publishedPort: publishedPort === 0 ? undefined : publishedPort,
  };
}

function networkOf({ id, spec, driverState }: NetworkMessage): Network {
  return {
    id,
    name: spec?.annotations?.name ?? '',
    driver: driverState?.name ?? '',
    scope: 'swarm',
    ingress: spec?.ingress ?? false,
    labels: spec?.annotations?.labels ?? {},
  };
}

const NODE_STATES: Readonly<Record<string, Node['state']>> = {
  DOWN: 'down',
  READY: 'ready',
  DISCONNECTED: 'disconnected',
};
const AVAILABILITIES: Readonly<Record<string, Node['availability']>> = { PAUSE: 'pause', DRAIN: 'drain' };

/** The address of a manager that talks to itself is known to the Engine's lists only: it is `undefined` here. */
function nodeOf(message: NodeMessage, version: number): Node {
  return {
    id: message.id,
    hostname: message.description?.hostname ?? '',
    version,
    role: message.spec?.desiredRole === 'MANAGER' ? 'manager' : 'worker',
    availability: AVAILABILITIES[message.spec?.availability ?? ''] ?? 'active',
    state: NODE_STATES[message.status?.state ?? ''] ?? 'unknown',
    address: nodeAddress(message.status?.addr ?? '', message.managerStatus?.addr ?? ''),
    labels: message.spec?.annotations?.labels ?? {},
  };
}

/** RFC 3339 with nine digits, as the snapshot room writes it, so that text order is time order. */
function timeOf(time: TimestampMessage | null | undefined): string {
  const { seconds, nanos } = time ?? { seconds: 0, nanos: 0 };
  return `${new Date(seconds * 1_000).toISOString().slice(0, 19)}.${String(nanos).padStart(9, '0')}Z`;
}
