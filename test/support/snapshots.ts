/** Small pieces of Swarm for tests, complete and typed; each test names only what matters to it. */
import type { RoutingIntent } from '../../src/model/intent.ts';
import { DEFAULT_FAILURE_POLICY } from '../../src/model/intent.ts';
import {
  type Hostname,
  type IpAddress,
  type PathPrefix,
  type Port,
  parseHostname,
  parseIpAddress,
  parsePathPrefix,
  parseSecretName,
  ROOT_PATH,
  type SecretName,
  toPort,
} from '../../src/model/names.ts';
import type { Network, Node, Service, Snapshot, Task } from '../../src/model/snapshot.ts';

export function host(text: string): Hostname {
  return must(parseHostname(text), text);
}
export function path(text: string): PathPrefix {
  return must(parsePathPrefix(text), text);
}
export function port(value: number): Port {
  return must(toPort(value), value);
}
export function secret(text: string): SecretName {
  return must(parseSecretName(text), text);
}
export function ip(text: string): IpAddress {
  return must(parseIpAddress(text), text);
}

function must<Value>(value: Value | undefined, text: unknown): Value {
  if (value === undefined) {
    throw new Error(`not acceptable: ${String(text)}`);
  }
  return value;
}

export function snapshot(parts: Partial<Snapshot>): Snapshot {
  return {
    versionIndex: 1,
    observedAtMs: 0,
    services: [],
    tasks: [],
    nodes: [node()],
    networks: [network()],
    secrets: [],
    ...parts,
  };
}

export function network(parts: Partial<Network> = {}): Network {
  return { id: 'net1', name: 'app', driver: 'overlay', scope: 'swarm', ingress: false, labels: {}, ...parts };
}

export function node(parts: Partial<Node> = {}): Node {
  return {
    id: 'node1',
    hostname: 'n1',
    version: 1,
    role: 'manager',
    availability: 'active',
    state: 'ready',
    address: ip('10.99.0.11'),
    labels: {},
    ...parts,
  };
}

export function service(parts: Partial<Service> = {}): Service {
  return {
    id: 'svc1',
    name: 'demo',
    version: 1,
    createdAt: '2026-01-01T00:00:00Z',
    updatedAt: '2026-01-01T00:00:00Z',
    labels: {},
    containerLabels: {},
    mode: { kind: 'replicated', replicas: 1 },
    networkIds: ['net1'],
    endpointMode: 'vip',
    virtualIps: [],
    ports: [],
    updateState: 'none',
    ...parts,
  };
}

export function task(parts: Partial<Task> = {}): Task {
  return {
    id: 'task1',
    serviceId: 'svc1',
    nodeId: 'node1',
    version: 1,
    state: 'running',
    desiredState: 'running',
    attachments: [{ networkId: 'net1', addresses: [ip('10.0.1.3')] }],
    hostPorts: [],
    createdAt: '2026-01-01T00:00:00Z',
    updatedAt: '2026-01-01T00:00:00Z',
    ...parts,
  };
}

/** The intent of `service(parts)` for the host `demo.local` and port 8080. */
export function intent(parts: Partial<RoutingIntent> = {}, of: Service = service()): RoutingIntent {
  return {
    service: { id: of.id, name: of.name, createdAt: of.createdAt },
    serviceCluster: '',
    hosts: [host('demo.local')],
    defaultBackend: false,
    port: port(8080),
    network: { kind: 'auto' },
    backendMode: 'task',
    weight: 1,
    contextRoot: { prefix: ROOT_PATH, rewrite: false },
    tls: { kind: 'none' },
    balance: { kind: 'round-robin' },
    upstreamTls: { kind: 'off' },
    failure: DEFAULT_FAILURE_POLICY,
    websocketEndpoints: [],
    redirects: [],
    ...parts,
  };
}
