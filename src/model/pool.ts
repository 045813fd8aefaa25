/** Members that share a host and a path become one pool: the oldest one's options and network, everybody's endpoints. */
import { compareText, type Endpoint, type Pool, type PoolId } from './cluster.ts';
import { poolDifferences } from './differing.ts';
import { createFinding, type Finding } from './finding.ts';
import type { UpstreamTls } from './intent.ts';
import { about, hasVirtualIp, type Member, NETWORK_LABEL, publishesOnNode } from './member.ts';
import { toPort } from './names.ts';
import { resolveSecret } from './secrets.ts';
import type { Task } from './snapshot.ts';
import type { SnapshotIndex } from './snapshot-index.ts';
import { fitWeights } from './weights.ts';

/** `shared` is what people call it in findings: the host and its path. */
export function buildPool(
  index: SnapshotIndex,
  { id, shared }: { readonly id: PoolId; readonly shared: string },
  oldest: Member,
  members: readonly Member[],
  findings: Finding[],
): Pool {
  const anchor = members.find(({ isPlaceholder }) => isPlaceholder !== true) ?? oldest;
  const sharing = members.flatMap((member) => joinPool(shared, { oldest, network: anchor.network }, member, findings));
  const { balance, failure } = oldest.intent;
  const upstream = resolveUpstreamTls(index, oldest, findings);
  return {
    id,
    services: sharing.map(({ service }) => service.name),
    network: anchor.network,
    balance,
    upstreamTls: upstream.tls,
    failure,
    endpoints: upstream.usable ? weighed(distinct(sharing.flatMap((member) => candidatesOf(index, member)))) : [],
  };
}

/** The oldest service's options; its network too, unless it is a placeholder and has none. */
interface Terms {
  readonly oldest: Member;
  readonly network: Member['network'];
}

/** A younger service joins on the oldest one's terms; when it cannot be reached there it has no endpoints to give. */
function joinPool(shared: string, { oldest, network }: Terms, member: Member, findings: Finding[]): readonly Member[] {
  if (member === oldest) {
    return [member];
  }
  findings.push(...poolDifferences(shared, oldest, member));
  if (member.isPlaceholder) {
    return [member];
  }
  const { backendMode } = oldest.intent;
  const joined = { ...member, network, intent: { ...member.intent, backendMode } };
  const reachable =
    network.kind === 'overlay' ? member.service.networkIds.includes(network.id) : publishesOnNode(member);
  if (!reachable) {
    findings.push(unreachable(shared, oldest, joined));
    return [];
  }
  return [joined];
}

function unreachable(shared: string, oldest: Member, { intent, port, network }: Member): Finding {
  return network.kind === 'overlay'
    ? createFinding(
        'LABEL.NETWORK_NOT_ATTACHED',
        `The service shares ${shared} with ${oldest.service.name}, which is routed on ${network.name}: attach it to that network too.`,
        about(intent, NETWORK_LABEL),
      )
    : createFinding(
        'ROUTE.HOST_PORT_MISSING',
        `The service shares ${shared} with ${oldest.service.name}, which is reached at its nodes: publish port ${port} in host mode too.`,
        about(intent, NETWORK_LABEL),
      );
}

/** A CA that does not exist: nothing may be sent, because nothing could be verified. */
function resolveUpstreamTls(
  index: SnapshotIndex,
  oldest: Member,
  findings: Finding[],
): { readonly tls: UpstreamTls; readonly usable: boolean } {
  const tls = oldest.intent.upstreamTls;
  if (tls.kind === 'off' || tls.verify.kind === 'none' || tls.verify.ca === undefined) {
    return { tls, usable: true };
  }
  const ca = resolveSecret(index, oldest, 'ssl_backend_ca', tls.verify.ca, findings);
  return { tls: { kind: 'on', verify: { kind: 'required', ca } }, usable: ca !== undefined };
}

/** An endpoint whose weight is still its service's own. */
interface Candidate {
  readonly endpoint: Endpoint;
  readonly member: Member;
}

function candidatesOf(index: SnapshotIndex, member: Member): readonly Candidate[] {
  return endpointsOf(index, member).map((endpoint) => ({ endpoint, member }));
}

/** Sorted, and one per address and port. */
function distinct(candidates: readonly Candidate[]): readonly Candidate[] {
  return [...candidates].sort((a, b) => compareEndpoints(a.endpoint, b.endpoint)).filter(isFirst);
}

function weighed(candidates: readonly Candidate[]): readonly Endpoint[] {
  const counts = new Map<Member, number>();
  for (const { member } of candidates) {
    counts.set(member, (counts.get(member) ?? 0) + 1);
  }
  const groups = [...counts].map(([member, count]) => ({ weight: member.intent.weight, count }));
  const fitted = fitWeights(groups);
  const weights = new Map([...counts.keys()].map((member, at) => [member, fitted[at] ?? 1]));
  return candidates.map(({ endpoint, member }) => ({ ...endpoint, weight: weights.get(member) ?? 1 }));
}

function endpointsOf(index: SnapshotIndex, member: Member): readonly Endpoint[] {
  if (member.isPlaceholder) {
    return [];
  }
  if (member.intent.backendMode === 'vip' && hasVirtualIp(member)) {
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

/** Nobody is behind the address of a service that is scaled to zero. No other change of tasks shows here. */
function vipEndpoints({ intent, service, port, network }: Member): readonly Endpoint[] {
  if (service.mode.kind === 'replicated' && service.mode.replicas === 0) {
    return [];
  }
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

function compareEndpoints(a: Endpoint, b: Endpoint): number {
  return compareText(a.address, b.address) || a.port - b.port || compareText(sourceId(a), sourceId(b));
}

function sourceId({ source }: Endpoint): string {
  return source.kind === 'task' ? source.taskId : source.serviceId;
}

function isFirst({ endpoint }: Candidate, position: number, sorted: readonly Candidate[]): boolean {
  const before = sorted[position - 1]?.endpoint;
  return before === undefined || before.address !== endpoint.address || before.port !== endpoint.port;
}
