/** From an intent to a member of pools: which port, which network. What cannot be known is a finding about that service alone. */
import { compareText, type PoolNetwork } from './cluster.ts';
import { createFinding, type Finding } from './finding.ts';
import type { RoutingIntent } from './intent.ts';
import { type Port, toPort } from './names.ts';
import type { Network, Service } from './snapshot.ts';
import type { SnapshotIndex } from './snapshot-index.ts';

/** An intent whose port and network are known. */
export interface Member {
  readonly intent: RoutingIntent;
  readonly service: Service;
  readonly port: Port;
  readonly network: PoolNetwork;
}

export function resolveMember(
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
