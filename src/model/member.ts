/** From an intent to a member of pools: which port, which network. What cannot be known is a finding about that service alone. */
import { absentService } from './absent-service.ts';
import { compareText, type PoolNetwork } from './cluster.ts';
import { createFinding, type Finding } from './finding.ts';
import type { RoutingIntent } from './intent.ts';
import { type Port, toPort } from './names.ts';
import { type Network, type Service, STACK_LABEL } from './snapshot.ts';
import type { SnapshotIndex } from './snapshot-index.ts';

/** An intent whose port and network are known. */
export interface Member {
  readonly intent: RoutingIntent;
  readonly service: Service;
  readonly port: Port;
  readonly network: PoolNetwork;
  /** Holds the place of a pinned service that is gone or cannot be reached: it has no endpoints, and its network says nothing. */
  readonly isPlaceholder?: true;
}

/** Oldest first. */
export function compareAge({ service: a }: RoutingIntent, { service: b }: RoutingIntent): number {
  return compareText(a.createdAt, b.createdAt) || compareText(a.id, b.id);
}

/** Networks of a cluster's proxies. */
export interface ProxyNetworks {
  /** Ids of those that the proxies have now; one of them is preferred where a service leaves the choice. */
  readonly attached: ReadonlySet<string>;
  /** Names of the only ones that they ever join; `undefined`: those of the routed services. */
  readonly offered: ReadonlySet<string> | undefined;
}

export function resolveMember(
  index: SnapshotIndex,
  intent: RoutingIntent,
  proxy: ProxyNetworks,
  findings: Finding[],
): readonly Member[] {
  const service = index.services.get(intent.service.id);
  if (service === undefined) {
    return goneMember(intent, findings);
  }
  const port = resolvePort(intent, service);
  const network = resolveNetwork(index, intent, service, proxy);
  for (const outcome of [port, network]) {
    if (outcome.finding !== undefined) {
      findings.push(outcome.finding);
    }
  }
  if (port.value === undefined || network.value === undefined) {
    return intent.pinned === undefined ? [] : [placeholder(intent, service)];
  }
  const member = { intent, service, port: port.value, network: network.value };
  findings.push(...doubtsAbout(member));
  return [member];
}

/** A pinned route outlives its service. */
function goneMember(intent: RoutingIntent, findings: Finding[]): readonly Member[] {
  const { pinned, service } = intent;
  if (pinned === undefined) {
    return [];
  }
  findings.push(
    createFinding(
      'ROUTE.PINNED_SERVICE_GONE',
      'The routes of this service cluster are pinned, and this service of theirs is gone. Deploy it again under the same name, or let go of the pin with "interlock unpin".',
      { service: service.name, serviceCluster: intent.serviceCluster },
    ),
  );
  return [
    placeholder(intent, absentService(service, pinned.stack === undefined ? {} : { [STACK_LABEL]: pinned.stack })),
  ];
}

/** Nothing can be behind it, so any port will do. */
function placeholder(intent: RoutingIntent, service: Service): Member {
  return { intent, service, port: intent.port ?? ANY_PORT, network: { kind: 'host' }, isPlaceholder: true };
}

const ANY_PORT = 80 as Port;

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

export function about(intent: RoutingIntent, subject: string, value?: string) {
  return {
    service: intent.service.name,
    serviceCluster: intent.serviceCluster,
    subject,
    ...(value === undefined ? {} : { value }),
  };
}

export const NETWORK_LABEL = 'com.docker.lb.network';

function resolveNetwork(
  index: SnapshotIndex,
  intent: RoutingIntent,
  service: Service,
  proxy: ProxyNetworks,
): Resolved<PoolNetwork> {
  switch (intent.network.kind) {
    case 'bridge':
      return { value: { kind: 'host' } };
    case 'named': {
      const named = namedNetwork(index, intent, service, proxy, intent.network.name);
      // A pinned service may have moved to another network since: endpoints are live, and so is where they are.
      return named.value === undefined && intent.pinned ? chooseNetwork(index, intent, service, proxy) : named;
    }
    case 'auto':
      return chooseNetwork(index, intent, service, proxy);
  }
}

function namedNetwork(
  index: SnapshotIndex,
  intent: RoutingIntent,
  service: Service,
  { offered }: ProxyNetworks,
  name: string,
): Resolved<PoolNetwork> {
  const stack = service.labels[STACK_LABEL];
  const names = stack === undefined ? [name] : [name, `${stack}_${name}`];
  const attached = attachedNetworks(index, service);
  const found = names.flatMap((candidate) => attached.filter((network) => network.name === candidate))[0];
  if (found !== undefined) {
    return offered === undefined || offered.has(found.name)
      ? { value: overlay(found) }
      : { finding: notOffered(intent, offered, name) };
  }
  const exists = [...index.networks.values()].some((network) => names.includes(network.name));
  const own = namesOf(attached) || 'none';
  return {
    finding: exists
      ? createFinding(
          'LABEL.NETWORK_NOT_ATTACHED',
          `The service is not attached to this network. Attach it, or name one of its own: ${own}.`,
          about(intent, NETWORK_LABEL, name),
        )
      : createFinding(
          'LABEL.NETWORK_UNKNOWN',
          `There is no such network in this Swarm. Networks of the service: ${own}.`,
          about(intent, NETWORK_LABEL, name),
        ),
  };
}

function chooseNetwork(
  index: SnapshotIndex,
  intent: RoutingIntent,
  service: Service,
  proxy: ProxyNetworks,
): Resolved<PoolNetwork> {
  const attached = attachedNetworks(index, service);
  if (attached.length === 0) {
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
  const { offered } = proxy;
  const usable = offered === undefined ? attached : attached.filter(({ name }) => offered.has(name));
  const [first] = usable;
  if (first === undefined) {
    return { finding: notOffered(intent, offered ?? new Set(), namesOf(attached)) };
  }
  return usable.length === 1 ? { value: overlay(first) } : preferred(intent, usable, first, proxy);
}

function preferred(
  intent: RoutingIntent,
  usable: readonly Network[],
  first: Network,
  proxy: ProxyNetworks,
): Resolved<PoolNetwork> {
  const chosen = usable.find((network) => proxy.attached.has(network.id)) ?? first;
  return {
    value: overlay(chosen),
    finding: createFinding(
      'LABEL.NETWORK_AMBIGUOUS',
      `The service is on several networks (${namesOf(usable)}) and the label ${NETWORK_LABEL} is not set: ${chosen.name} was chosen. Name one to be sure.`,
      about(intent, NETWORK_LABEL),
    ),
  };
}

function notOffered(intent: RoutingIntent, offered: ReadonlySet<string>, value: string): Finding {
  const names = [...offered].sort(compareText).join(', ');
  return createFinding(
    'LABEL.NETWORK_NOT_OFFERED',
    `The proxies of this service cluster join only the networks in their extension's Networks (${names}). Attach the service to one of them and name it in ${NETWORK_LABEL}, or let the operator add yours.`,
    about(intent, NETWORK_LABEL, value),
  );
}

function namesOf(networks: readonly Network[]): string {
  return networks.map(({ name }) => name).join(', ');
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

/** What will not work as asked, although the service is routed. */
function doubtsAbout(member: Member): readonly Finding[] {
  const { intent, service, port, network } = member;
  const doubts: Finding[] = [];
  if (network.kind === 'host' && !publishesOnNode(member)) {
    doubts.push(
      createFinding(
        'ROUTE.HOST_PORT_MISSING',
        `Without an overlay network the service is reached at its nodes, and it publishes no port there for ${port}: add "--publish mode=host,target=${port}", or in a stack file a port with "mode: host".`,
        about(intent, intent.network.kind === 'bridge' ? NETWORK_LABEL : 'com.docker.lb.port'),
      ),
    );
  }
  if (intent.backendMode === 'vip' && !hasVirtualIp(member)) {
    const reason = service.endpointMode === 'dnsrr' ? 'its endpoint mode is dnsrr' : 'it is reached at its nodes';
    doubts.push(
      createFinding(
        'ROUTE.VIP_MISSING',
        `The service has no virtual IP to route to: ${reason}. Use endpoint_mode vip and an overlay network, or take the label away.`,
        about(intent, 'com.docker.lb.backend_mode', 'vip'),
      ),
    );
  }
  return doubts;
}

/** Whether its port is published on the nodes where its tasks run. */
export function publishesOnNode({ service, port }: Member): boolean {
  return service.ports.some(
    ({ mode, protocol, targetPort }) => mode === 'host' && protocol === 'tcp' && targetPort === port,
  );
}

/** Whether Swarm gives the service an address of its own on the member's network, sooner or later. */
export function hasVirtualIp({ service, network }: Member): boolean {
  return service.endpointMode === 'vip' && network.kind === 'overlay';
}
