/**
 * Snapshot and intents in, one ClusterModel per cluster out. Pure: the order of the input never matters, and what cannot be used
 * becomes a finding that harms its own service only.
 *
 * Rules (design: several services, same host): one pool per host and path; services that share both share the pool; the oldest
 * service (creation time, then id) decides the options, the others get a finding.
 */
import {
  type ClusterHeader,
  type ClusterModel,
  compareText,
  type Endpoint,
  type HostEntry,
  type HostTls,
  type PathRoute,
  type Pool,
  type PoolId,
  type PoolNetwork,
} from './cluster.ts';
import { createFinding, type Finding } from './finding.ts';
import type { RoutingIntent } from './intent.ts';
import { type Hostname, type PathPrefix, type Port, type SecretName, toPort } from './names.ts';
import { canonicalJson } from './revision.ts';
import type { Network, Node, Service, Snapshot, Task } from './snapshot.ts';

/** One `[Extensions.<name>]` table, as far as routing is concerned. */
export interface ClusterDefinition {
  readonly header: Omit<ClusterHeader, 'defaultPool'>;
  readonly proxyServiceName: string;
}

export interface BuiltModels {
  /** One per definition, in the order of the definitions. */
  readonly models: readonly ClusterModel[];
  readonly findings: readonly Finding[];
}

export function buildModels(
  snapshot: Snapshot,
  intents: readonly RoutingIntent[],
  definitions: readonly ClusterDefinition[],
): BuiltModels {
  const index = indexSnapshot(snapshot);
  const findings: Finding[] = [];
  const byCluster = new Map(definitions.map(({ header }) => [header.serviceCluster, [] as RoutingIntent[]]));
  for (const intent of [...intents].sort(compareAge)) {
    const members = byCluster.get(intent.serviceCluster);
    if (members === undefined) {
      findings.push(unknownCluster(intent, [...byCluster.keys()]));
    } else {
      members.push(intent);
    }
  }
  const models = definitions.map((definition) =>
    buildCluster(index, byCluster.get(definition.header.serviceCluster) ?? [], definition, findings),
  );
  return { models, findings };
}

interface SnapshotIndex {
  readonly services: ReadonlyMap<string, Service>;
  readonly servicesByName: ReadonlyMap<string, Service>;
  readonly networks: ReadonlyMap<string, Network>;
  readonly nodes: ReadonlyMap<string, Node>;
  readonly tasks: ReadonlyMap<string, readonly Task[]>;
}

function indexSnapshot(snapshot: Snapshot): SnapshotIndex {
  const tasks = new Map<string, Task[]>();
  for (const task of snapshot.tasks) {
    addTo(tasks, task.serviceId, task);
  }
  return {
    services: new Map(snapshot.services.map((service) => [service.id, service])),
    servicesByName: new Map(snapshot.services.map((service) => [service.name, service])),
    networks: new Map(snapshot.networks.map((network) => [network.id, network])),
    nodes: new Map(snapshot.nodes.map((node) => [node.id, node])),
    tasks,
  };
}

function compareAge(a: RoutingIntent, b: RoutingIntent): number {
  return compareText(a.service.createdAt, b.service.createdAt) || compareText(a.service.id, b.service.id);
}

function unknownCluster(intent: RoutingIntent, known: readonly string[]): Finding {
  const names = known.map((name) => (name === '' ? '"" (no label)' : `"${name}"`)).join(', ');
  return createFinding(
    'LABEL.SERVICE_CLUSTER_UNKNOWN',
    `No extension in config.toml has this ServiceCluster; write one of: ${names}.`,
    {
      service: intent.service.name,
      serviceCluster: intent.serviceCluster,
      subject: 'com.docker.lb.service_cluster',
      value: intent.serviceCluster,
    },
  );
}

/** An intent whose port and network are known. */
interface Member {
  readonly intent: RoutingIntent;
  readonly service: Service;
  readonly port: Port;
  readonly network: PoolNetwork;
}

function buildCluster(
  index: SnapshotIndex,
  intents: readonly RoutingIntent[],
  definition: ClusterDefinition,
  findings: Finding[],
): ClusterModel {
  const proxyNetworks = new Set(index.servicesByName.get(definition.proxyServiceName)?.networkIds ?? []);
  const members = intents.flatMap((intent) => resolveMember(index, intent, proxyNetworks, findings));
  const pools = new Map<PoolId, Pool>();
  const hosts = groupByHost(members).map(([host, ofHost]) => buildHost(index, host, ofHost, pools, findings));
  const defaultMembers = members.filter(({ intent }) => intent.defaultBackend);
  const defaultPool = buildDefaultPool(index, defaultMembers, pools, findings);
  return {
    header: { ...definition.header, defaultPool },
    hosts: hosts.sort((a, b) => compareText(a.host, b.host)),
    pools: [...pools.values()].sort((a, b) => compareText(a.id, b.id)),
  };
}

function resolveMember(
  index: SnapshotIndex,
  intent: RoutingIntent,
  proxyNetworks: ReadonlySet<string>,
  findings: Finding[],
): readonly Member[] {
  const service = index.services.get(intent.service.id);
  if (service === undefined) {
    return [];
  }
  const port = resolvePort(intent, service);
  const network = resolveNetwork(index, intent, service, proxyNetworks);
  for (const outcome of [port, network]) {
    if (outcome.finding !== undefined) {
      findings.push(outcome.finding);
    }
  }
  return port.value === undefined || network.value === undefined
    ? []
    : [{ intent, service, port: port.value, network: network.value }];
}

/** A value, a finding, or both. */
interface Resolved<Value> {
  readonly value?: Value;
  readonly finding?: Finding;
}

function resolvePort(intent: RoutingIntent, service: Service): Resolved<Port> {
  if (intent.port !== undefined) {
    return { value: intent.port };
  }
  const targets = [
    ...new Set(service.ports.filter(({ protocol }) => protocol === 'tcp').map((port) => port.targetPort)),
  ];
  const [only] = targets;
  const port = targets.length === 1 && only !== undefined ? toPort(only) : undefined;
  if (port !== undefined) {
    return { value: port };
  }
  return {
    finding: createFinding(
      'LABEL.PORT_MISSING',
      targets.length === 0
        ? 'Add the label com.docker.lb.port with the port that the application listens on in its container, e.g. "8080".'
        : `The service publishes several ports (${targets.sort((a, b) => a - b).join(', ')}): name one of them in the label com.docker.lb.port.`,
      about(intent, 'com.docker.lb.port'),
    ),
  };
}

function about(intent: RoutingIntent, subject: string, value?: string) {
  return {
    service: intent.service.name,
    serviceCluster: intent.serviceCluster,
    subject,
    ...(value === undefined ? {} : { value }),
  };
}

const NETWORK_LABEL = 'com.docker.lb.network';

function resolveNetwork(
  index: SnapshotIndex,
  intent: RoutingIntent,
  service: Service,
  proxyNetworks: ReadonlySet<string>,
): Resolved<PoolNetwork> {
  switch (intent.network.kind) {
    case 'bridge':
      return { value: { kind: 'host' } };
    case 'named':
      return namedNetwork(index, intent, service, intent.network.name);
    case 'auto':
      return chooseNetwork(index, intent, service, proxyNetworks);
  }
}

function namedNetwork(
  index: SnapshotIndex,
  intent: RoutingIntent,
  service: Service,
  name: string,
): Resolved<PoolNetwork> {
  const stack = service.labels['com.docker.stack.namespace'];
  const names = stack === undefined ? [name] : [name, `${stack}_${name}`];
  const attached = attachedNetworks(index, service);
  const found = names.flatMap((candidate) => attached.filter((network) => network.name === candidate))[0];
  if (found !== undefined) {
    return { value: overlay(found) };
  }
  const exists = [...index.networks.values()].some((network) => names.includes(network.name));
  const offered = attached.map((network) => network.name).join(', ') || 'none';
  return {
    finding: exists
      ? createFinding(
          'LABEL.NETWORK_NOT_ATTACHED',
          `The service is not attached to this network. Attach it, or name one of its own: ${offered}.`,
          about(intent, NETWORK_LABEL, name),
        )
      : createFinding(
          'LABEL.NETWORK_UNKNOWN',
          `There is no such network in this Swarm. Networks of the service: ${offered}.`,
          about(intent, NETWORK_LABEL, name),
        ),
  };
}

function chooseNetwork(
  index: SnapshotIndex,
  intent: RoutingIntent,
  service: Service,
  proxyNetworks: ReadonlySet<string>,
): Resolved<PoolNetwork> {
  const attached = attachedNetworks(index, service);
  const [first] = attached;
  if (first === undefined) {
    return service.ports.some((port) => port.mode === 'host')
      ? { value: { kind: 'host' } }
      : {
          finding: createFinding(
            'LABEL.NETWORK_MISSING',
            'The service is on no overlay network and publishes no port in host mode: attach it to an overlay network.',
            about(intent, NETWORK_LABEL),
          ),
        };
  }
  if (attached.length === 1) {
    return { value: overlay(first) };
  }
  const chosen = attached.find((network) => proxyNetworks.has(network.id)) ?? first;
  return {
    value: overlay(chosen),
    finding: createFinding(
      'LABEL.NETWORK_AMBIGUOUS',
      `The service is on several networks (${attached.map((network) => network.name).join(', ')}) and the label ${NETWORK_LABEL} is not set: ${chosen.name} was chosen. Name one to be sure.`,
      about(intent, NETWORK_LABEL),
    ),
  };
}

/** Never the ingress network; sorted by name (an engine's own network may share a name with Swarm's). */
function attachedNetworks(index: SnapshotIndex, service: Service): readonly Network[] {
  return service.networkIds
    .flatMap((id) => index.networks.get(id) ?? [])
    .filter((network) => !network.ingress)
    .sort((a, b) => compareText(a.name, b.name) || compareText(a.id, b.id));
}

function overlay(network: Network): PoolNetwork {
  return { kind: 'overlay', id: network.id, name: network.name };
}

function groupByHost(members: readonly Member[]): [Hostname, Member[]][] {
  const groups = new Map<Hostname, Member[]>();
  for (const member of members) {
    for (const host of member.intent.hosts) {
      addTo(groups, host, member);
    }
  }
  return [...groups];
}

function addTo<Key, Item>(groups: Map<Key, Item[]>, key: Key, item: Item): void {
  const group = groups.get(key);
  if (group === undefined) {
    groups.set(key, [item]);
  } else {
    group.push(item);
  }
}

function buildHost(
  index: SnapshotIndex,
  host: Hostname,
  members: readonly Member[],
  pools: Map<PoolId, Pool>,
  findings: Finding[],
): HostEntry {
  const byPrefix = new Map<PathPrefix, Member[]>();
  for (const member of members) {
    addTo(byPrefix, member.intent.contextRoot.prefix, member);
  }
  const routes = [...byPrefix].flatMap(([prefix, ofPath]) => buildRoute(index, host, prefix, ofPath, pools, findings));
  return {
    host,
    tls: hostTls(host, members),
    redirects: members.flatMap(({ intent }) => intent.redirects).filter(({ source }) => source.host === host),
    routes: routes.sort((a, b) => compareText(a.prefix, b.prefix)),
  };
}

/** The oldest service that asks for TLS decides for the host. */
function hostTls(host: Hostname, members: readonly Member[]): HostTls {
  const tls = members.map(({ intent }) => intent).find((intent) => intent.tls.kind !== 'none');
  switch (tls?.tls.kind) {
    case 'terminate':
      return {
        kind: 'terminate',
        certificate: secretFile(tls.tls.certificate),
        key: tls.tls.key === undefined ? undefined : secretFile(tls.tls.key),
        only: tls.tls.only,
      };
    case 'passthrough':
      return { kind: 'passthrough', pool: poolId(host, tls.contextRoot.prefix) };
    case 'none':
    case undefined:
      return { kind: 'none' };
  }
}

function secretFile(secret: SecretName) {
  return { secret, path: `/run/secrets/${secret}` };
}

function poolId(host: Hostname, prefix: PathPrefix): PoolId {
  return `${host}${prefix}`;
}

function buildRoute(
  index: SnapshotIndex,
  host: Hostname,
  prefix: PathPrefix,
  members: readonly Member[],
  pools: Map<PoolId, Pool>,
  findings: Finding[],
): readonly PathRoute[] {
  const [oldest] = members;
  if (oldest === undefined) {
    return [];
  }
  const pool = buildPool(index, poolId(host, prefix), oldest, members, findings);
  pools.set(pool.id, pool);
  const { contextRoot, websocketEndpoints } = oldest.intent;
  return [{ prefix, rewrite: contextRoot.rewrite, pool: pool.id, websocketEndpoints }];
}

/** A host name can never begin with a parenthesis, so this id is never a host's. */
const DEFAULT_POOL: PoolId = '(default)';

function buildDefaultPool(
  index: SnapshotIndex,
  members: readonly Member[],
  pools: Map<PoolId, Pool>,
  findings: Finding[],
): PoolId | undefined {
  const [oldest, ...others] = members;
  if (oldest === undefined) {
    return undefined;
  }
  for (const { intent } of others) {
    findings.push(
      createFinding(
        'ROUTE.OPTIONS_DIFFER',
        `${oldest.service.name} is older and already the default backend of this service cluster.`,
        about(intent, 'com.docker.lb.default_backend'),
      ),
    );
  }
  pools.set(DEFAULT_POOL, buildPool(index, DEFAULT_POOL, oldest, [oldest], findings));
  return DEFAULT_POOL;
}

function buildPool(
  index: SnapshotIndex,
  id: PoolId,
  oldest: Member,
  members: readonly Member[],
  findings: Finding[],
): Pool {
  const sharing = members.flatMap((member) => joinPool(id, oldest, member, findings));
  const { balance, upstreamTls, failure } = oldest.intent;
  return {
    id,
    services: sharing.map(({ service }) => service.name),
    network: oldest.network,
    balance,
    upstreamTls,
    failure,
    endpoints: reduceWeights(distinct(sharing.flatMap((member) => endpointsOf(index, member)))),
  };
}

/** A younger service joins on the oldest one's network; when it is not attached to that one it has no endpoints to give. */
function joinPool(id: PoolId, oldest: Member, member: Member, findings: Finding[]): readonly Member[] {
  if (member === oldest) {
    return [member];
  }
  if (!sameOptions(oldest.intent, member.intent)) {
    findings.push(
      createFinding(
        'ROUTE.OPTIONS_DIFFER',
        `${oldest.service.name} is older and its options are used for ${id}. Give both services the same options.`,
        about(member.intent, 'com.docker.lb'),
      ),
    );
  }
  const { network } = oldest;
  if (network.kind === 'overlay' && !member.service.networkIds.includes(network.id)) {
    findings.push(
      createFinding(
        'LABEL.NETWORK_NOT_ATTACHED',
        `The service shares ${id} with ${oldest.service.name}, which is routed on ${network.name}: attach it to that network too.`,
        about(member.intent, NETWORK_LABEL),
      ),
    );
    return [];
  }
  return [{ ...member, network }];
}

function sameOptions(a: RoutingIntent, b: RoutingIntent): boolean {
  return canonicalJson(sharedOptions(a)) === canonicalJson(sharedOptions(b));
}

function sharedOptions({ balance, upstreamTls, failure, contextRoot, tls, websocketEndpoints }: RoutingIntent) {
  return { balance, upstreamTls, failure, rewrite: contextRoot.rewrite, tls, websocketEndpoints };
}

function endpointsOf(index: SnapshotIndex, member: Member): readonly Endpoint[] {
  if (member.intent.backendMode === 'vip') {
    return vipEndpoints(member);
  }
  const tasks = (index.tasks.get(member.service.id) ?? []).filter((task) => isUsable(index, task));
  return tasks.flatMap((task) => taskEndpoints(index, member, task));
}

/** Desired state RUNNING, state RUNNING, node not DOWN: a lost node's tasks stay "running" for a day, so the state alone says nothing. */
function isUsable(index: SnapshotIndex, task: Task): boolean {
  const node = task.nodeId === undefined ? undefined : index.nodes.get(task.nodeId);
  return task.desiredState === 'running' && task.state === 'running' && node?.state !== 'down';
}

function vipEndpoints({ intent, service, port, network }: Member): readonly Endpoint[] {
  return service.virtualIps
    .filter((vip) => network.kind === 'overlay' && vip.networkId === network.id)
    .map(({ address }) => ({
      address,
      port,
      weight: intent.weight,
      source: { kind: 'vip', serviceId: service.id },
    }));
}

function taskEndpoints(index: SnapshotIndex, member: Member, task: Task): readonly Endpoint[] {
  const source = { kind: 'task', taskId: task.id, nodeId: task.nodeId ?? '' } as const;
  const { weight } = member.intent;
  return addressesOf(index, member, task).map(({ address, port }) => ({ address, port, weight, source }));
}

function addressesOf(
  index: SnapshotIndex,
  { network, port }: Member,
  task: Task,
): Pick<Endpoint, 'address' | 'port'>[] {
  if (network.kind === 'overlay') {
    const attachment = task.attachments.find(({ networkId }) => networkId === network.id);
    return (attachment?.addresses.slice(0, 1) ?? []).map((address) => ({ address, port }));
  }
  const address = task.nodeId === undefined ? undefined : index.nodes.get(task.nodeId)?.address;
  const published = task.hostPorts.find(({ protocol, targetPort }) => protocol === 'tcp' && targetPort === port);
  const hostPort = published?.publishedPort === undefined ? undefined : toPort(published.publishedPort);
  return address === undefined || hostPort === undefined ? [] : [{ address, port: hostPort }];
}

/** Sorted, and one per address and port. */
function distinct(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return [...endpoints].sort(compareEndpoints).filter(isFirst);
}

/** Shares stay, numbers shrink: large weights cost NGINX time and memory at every parse. */
function reduceWeights(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  const divisor = endpoints.reduce((common, { weight }) => greatestCommonDivisor(common, weight), 0);
  return divisor <= 1 ? endpoints : endpoints.map((endpoint) => ({ ...endpoint, weight: endpoint.weight / divisor }));
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function compareEndpoints(a: Endpoint, b: Endpoint): number {
  return compareText(a.address, b.address) || a.port - b.port || compareText(sourceId(a), sourceId(b));
}

function sourceId({ source }: Endpoint): string {
  return source.kind === 'task' ? source.taskId : source.serviceId;
}

function isFirst(endpoint: Endpoint, position: number, sorted: readonly Endpoint[]): boolean {
  const before = sorted[position - 1];
  return before === undefined || before.address !== endpoint.address || before.port !== endpoint.port;
}
