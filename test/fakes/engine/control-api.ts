/** What Swarm's control API accepts and refuses, in the words and with the statuses of Docker 28.5. */
import type { Allocator } from './addresses.ts';
import type { Orchestrator } from './orchestrator.ts';
import {
  type RawBlob,
  type RawNetwork,
  type RawNode,
  type RawPort,
  type RawService,
  type RawServiceSpec,
  Refusal,
} from './raw.ts';
import { find, newId, type Store } from './store.ts';

export type BlobKind = 'config' | 'secret';

export interface ControlApi {
  createService(spec: Partial<RawServiceSpec>): string;
  updateService(idOrName: string, version: string | null, spec: Partial<RawServiceSpec> | 'previous'): void;
  removeService(idOrName: string): void;
  service(idOrName: string): RawService;
  createBlob(kind: BlobKind, spec: { Name?: string; Labels?: Record<string, string>; Data?: string }): string;
  removeBlob(kind: BlobKind, idOrName: string): void;
  blob(kind: BlobKind, idOrName: string): RawBlob;
  createNetwork(wanted: Partial<RawNetwork>): string;
  removeNetwork(idOrName: string): void;
  network(idOrName: string): RawNetwork;
  node(idOrName: string): RawNode;
  updateNode(idOrName: string, version: string | null, spec: Partial<RawNode['Spec']>): void;
}

/** Swarm wants fewer than this: 1,024,000 bytes are refused, 1,023,999 are not. */
const MAX_BLOB_BYTES = 1_024_000;

export function createControlApi(
  store: Store,
  allocator: Allocator,
  orchestrator: Orchestrator,
  after: (step: () => void) => void,
): ControlApi {
  const service = (idOrName: string) =>
    found(
      'service',
      idOrName,
      find(store.services, idOrName, (one) => one.Spec.Name),
    );
  const network = (idOrName: string) =>
    found(
      'network',
      idOrName,
      find(store.networks, idOrName, (one) => one.Name),
    );
  const node = (idOrName: string) =>
    found(
      'node',
      idOrName,
      find(store.nodes, idOrName, (one) => one.Description.Hostname),
    );
  const blobs = (kind: BlobKind) => (kind === 'config' ? store.configs : store.secrets);
  const blob = (kind: BlobKind, idOrName: string) =>
    found(
      kind,
      idOrName,
      find(blobs(kind), idOrName, (one) => one.Spec.Name),
    );

  function accepted(spec: Partial<RawServiceSpec>, updated?: RawService): RawServiceSpec {
    checkName(spec.Name ?? '');
    checkTemplate(spec);
    checkPorts(store, spec, updated);
    const whole = withDefaults(spec);
    for (const target of whole.TaskTemplate.Networks ?? []) {
      const id = find(store.networks, target.Target, (one) => one.Name)?.Id;
      if (id === undefined) {
        throw new Refusal(500, `network ${target.Target} not found`);
      }
      target.Target = id;
    }
    checkReferences(store, whole);
    return whole;
  }

  /** The allocator is another loop: a service with addresses gets its second version a moment later. */
  function allocate(object: RawService): void {
    after(() => {
      if (store.services.has(object.ID) && allocator.allocateService(object)) {
        store.touch(object);
        store.emit('service', 'update', object.ID, { name: object.Spec.Name });
      }
      orchestrator.reconcile(object.ID);
    });
  }

  return {
    service,
    network,
    node,
    blob,
    createService(wanted) {
      const spec = accepted(wanted);
      if ([...store.services.values()].some((one) => one.Spec.Name === spec.Name)) {
        throw swarmRefusal(
          409,
          'AlreadyExists',
          `name conflicts with an existing object: service ${spec.Name} already exists`,
        );
      }
      const object: RawService = { ...store.born(), Spec: spec, Endpoint: { Spec: {} } };
      store.services.set(object.ID, object);
      store.emit('service', 'create', object.ID, { name: spec.Name });
      allocate(object);
      return object.ID;
    },
    updateService(idOrName, version, wanted) {
      const index = parseVersion('service', version);
      const object = service(idOrName);
      const spec = wanted === 'previous' ? object.PreviousSpec : accepted(wanted, object);
      if (spec === undefined) {
        throw swarmRefusal(400, 'FailedPrecondition', `service ${object.ID} does not have a previous spec`);
      }
      checkVersion(object.Version.Index, index);
      if (spec.Name !== object.Spec.Name) {
        throw swarmRefusal(501, 'Unimplemented', 'renaming services is not supported');
      }
      object.PreviousSpec = object.Spec;
      object.Spec = spec;
      orchestrator.specChanged(object);
      store.touch(object);
      store.emit('service', 'update', object.ID, { name: spec.Name });
      allocate(object);
    },
    removeService(idOrName) {
      const object = service(idOrName);
      store.services.delete(object.ID);
      store.emit('service', 'remove', object.ID, { name: object.Spec.Name });
      for (const task of [...store.tasks.values()].filter((one) => one.ServiceID === object.ID)) {
        orchestrator.stop(task, 'remove');
      }
    },
    createBlob(kind, { Name = '', Labels = {}, Data = '' }) {
      checkBlob(kind, Name, Data);
      if ([...blobs(kind).values()].some((one) => one.Spec.Name === Name)) {
        throw swarmRefusal(409, 'AlreadyExists', `${kind} ${Name} already exists`);
      }
      const object: RawBlob = { ...store.born(), Spec: { Name, Labels, Data } };
      blobs(kind).set(object.ID, object);
      store.emit(kind, 'create', object.ID, { name: Name });
      return object.ID;
    },
    removeBlob(kind, idOrName) {
      const object = blob(kind, idOrName);
      const users = [...store.services.values()].filter((one) => references(one.Spec, kind).includes(object.ID));
      if (users.length > 0) {
        const names = users.map((one) => one.Spec.Name).join(', ');
        const noun = users.length === 1 ? 'service' : 'services';
        throw swarmRefusal(
          400,
          'InvalidArgument',
          `${kind} '${object.Spec.Name}' is in use by the following ${noun}: ${names}`,
        );
      }
      blobs(kind).delete(object.ID);
      store.emit(kind, 'remove', object.ID, { name: object.Spec.Name });
    },
    createNetwork({ Name = '', Driver = 'overlay', Labels = {}, Attachable = false, Ingress = false }) {
      if ([...store.networks.values()].some((one) => one.Name === Name)) {
        throw new Refusal(409, `network with name ${Name} already exists`);
      }
      const Id = newId();
      const network = { Id, Name, Driver: '', Labels, Attachable, Ingress, Scope: 'swarm', Created: store.timestamp() };
      store.networks.set(Id, network);
      store.emit('network', 'create', Id, { name: Name });
      // The driver is the allocator's word, and it speaks a moment later.
      after(() => {
        network.Driver = Driver;
        store.emit('network', 'update', Id, { name: Name });
      });
      return Id;
    },
    removeNetwork(idOrName) {
      const object = network(idOrName);
      const user = [...store.services.values()].find((one) =>
        one.Spec.TaskTemplate.Networks?.some((target) => target.Target === object.Id),
      );
      const task = [...store.tasks.values()].find((one) =>
        one.NetworksAttachments?.some((attachment) => attachment.Network.ID === object.Id),
      );
      const by = user !== undefined ? `service ${user.ID}` : task !== undefined ? `task ${task.ID}` : undefined;
      if (by !== undefined) {
        throw swarmRefusal(400, 'FailedPrecondition', `network ${object.Id} is in use by ${by}`);
      }
      store.networks.delete(object.Id);
      store.emit('network', 'remove', object.Id, { name: object.Name });
    },
    updateNode(idOrName, version, spec) {
      const index = parseVersion('node', version);
      const object = node(idOrName);
      checkVersion(object.Version.Index, index);
      object.Spec = { ...object.Spec, ...spec };
      store.touch(object);
      store.emit('node', 'update', object.ID, { name: object.Description.Hostname });
      after(() => orchestrator.reconcileAll());
    },
  };
}

function found<Item>(kind: string, idOrName: string, item: Item | undefined): Item {
  if (item === undefined) {
    throw new Refusal(404, `${kind} ${idOrName} not found`);
  }
  return item;
}

function swarmRefusal(status: number, code: string, words: string): Refusal {
  return new Refusal(status, `rpc error: code = ${code} desc = ${words}`);
}

function parseVersion(kind: string, text: string | null): number {
  if (text === null || !/^\d+$/.test(text)) {
    throw new Refusal(
      400,
      `invalid ${kind} version '${text ?? ''}': strconv.ParseUint: parsing "${text ?? ''}": invalid syntax`,
    );
  }
  return Number(text);
}

function checkVersion(actual: number, given: number): void {
  if (actual !== given) {
    throw swarmRefusal(500, 'Unknown', 'update out of sequence');
  }
}

function checkName(name: string): void {
  if (name.length > 63) {
    throw swarmRefusal(400, 'InvalidArgument', 'name must be 63 characters or fewer');
  }
  if (!/^[a-zA-Z0-9](?:[-_]*[a-zA-Z0-9]+)*$/.test(name)) {
    throw swarmRefusal(400, 'InvalidArgument', 'name must be valid as a DNS name component');
  }
}

function checkTemplate(spec: Partial<RawServiceSpec>): void {
  const container = spec.TaskTemplate?.ContainerSpec;
  if (container === undefined) {
    throw new Refusal(400, 'mismatched Runtime and *Spec fields');
  }
  if ((container.Image ?? '') === '') {
    throw swarmRefusal(400, 'InvalidArgument', 'ContainerSpec: image reference must be provided');
  }
  for (const constraint of spec.TaskTemplate?.Placement?.Constraints ?? []) {
    if (!/==|!=/.test(constraint)) {
      throw swarmRefusal(500, 'Unknown', 'constraint expected one operator from ==, !=');
    }
  }
}

/** A port of the routing mesh is one service's; it has it for as long as the allocator has not taken it back. */
function checkPorts(store: Store, { EndpointSpec }: Partial<RawServiceSpec>, updated: RawService | undefined): void {
  for (const other of [...store.services.values()].filter((one) => one !== updated)) {
    const ports = [...(other.Spec.EndpointSpec?.Ports ?? []), ...(other.Endpoint.Ports ?? [])];
    for (const wanted of EndpointSpec?.Ports ?? []) {
      const taken = ports.find((port) => isSamePort(wanted, port) && (isOfMesh(wanted) || isOfMesh(port)));
      if (taken !== undefined) {
        const by = `service '${other.Spec.Name}' (${other.ID})`;
        const how = isOfMesh(taken) ? 'an ingress port' : 'a host-published port';
        const words = `port '${wanted.PublishedPort ?? ''}' is already in use by ${by} as ${how}`;
        throw swarmRefusal(400, 'InvalidArgument', words);
      }
    }
  }
}

function isSamePort({ PublishedPort, Protocol = 'tcp' }: Partial<RawPort>, other: Partial<RawPort>): boolean {
  return PublishedPort !== undefined && PublishedPort === other.PublishedPort && Protocol === (other.Protocol ?? 'tcp');
}

function isOfMesh({ PublishMode = 'ingress' }: Partial<RawPort>): boolean {
  return PublishMode !== 'host';
}

/** What the Engine fills in before it stores a spec. */
function withDefaults(wanted: Partial<RawServiceSpec>): RawServiceSpec {
  const spec = structuredClone(wanted);
  const template = spec.TaskTemplate ?? {};
  return {
    ...spec,
    Name: spec.Name ?? '',
    Labels: spec.Labels ?? {},
    TaskTemplate: {
      ...template,
      ContainerSpec: { ...template.ContainerSpec, Isolation: 'default' },
      ForceUpdate: template.ForceUpdate ?? 0,
      Runtime: 'container',
    },
    Mode: spec.Mode ?? { Replicated: { Replicas: 1 } },
    ...(spec.EndpointSpec === undefined
      ? {}
      : { EndpointSpec: { ...spec.EndpointSpec, Mode: spec.EndpointSpec.Mode ?? 'vip' } }),
  };
}

function references(spec: RawServiceSpec, kind: BlobKind): readonly string[] {
  const { Configs = [], Secrets = [] } = spec.TaskTemplate.ContainerSpec ?? {};
  return kind === 'config' ? Configs.map((one) => one.ConfigID ?? '') : Secrets.map((one) => one.SecretID ?? '');
}

function checkReferences(store: Store, spec: RawServiceSpec): void {
  for (const [kind, known] of [
    ['config', store.configs],
    ['secret', store.secrets],
  ] as const) {
    const missing = references(spec, kind).find((id) => !known.has(id));
    if (missing !== undefined) {
      throw swarmRefusal(400, 'InvalidArgument', `${kind} not found: ${missing}`);
    }
  }
}

function checkBlob(kind: BlobKind, name: string, data: string): void {
  if (!/^[a-zA-Z0-9](?:[a-zA-Z0-9-_.]{0,62}[a-zA-Z0-9])?$/.test(name)) {
    const rule = 'only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]';
    throw swarmRefusal(400, 'InvalidArgument', `invalid name, ${rule}`);
  }
  const limit = kind === 'config' ? MAX_BLOB_BYTES : 512_000;
  const size = Buffer.from(data, 'base64').length;
  if (size === 0 || size >= limit) {
    throw swarmRefusal(400, 'InvalidArgument', `${kind} data must be larger than 0 and less than ${limit} bytes`);
  }
}
