/** Members that share a host and a path become one pool: the oldest one's options and network, everybody's endpoints. */
import { compareText, type Endpoint, type Pool, type PoolId } from './cluster.ts';
import { createFinding, type Finding } from './finding.ts';
import type { RoutingIntent } from './intent.ts';
import { about, type Member, NETWORK_LABEL } from './member.ts';
import { toPort } from './names.ts';
import { canonicalJson } from './revision.ts';
import type { Task } from './snapshot.ts';
import type { SnapshotIndex } from './snapshot-index.ts';

export function buildPool(
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
