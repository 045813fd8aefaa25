/** Pools and their endpoints on the wire. */
import type { Endpoint, EndpointSource, Pool, PoolNetwork } from '../model/cluster.ts';
import type { Balance, UpstreamTls } from '../model/intent.ts';
import { type Port, parseCookieName, parseIpAddress, parseSecretName, toPort } from '../model/names.ts';
import { assertNever } from '../runtime/errors.ts';
import { at, each, malformed, nonEmptyText, type Place, parsed, safeInteger } from './door.ts';
import type { EndpointMessage, PoolMessage, UpstreamTlsMessage } from './messages.ts';

export function poolMessage(pool: Pool): PoolMessage {
  return {
    id: pool.id,
    services: pool.services,
    ...networkMessage(pool.network),
    ...balanceMessage(pool.balance),
    upstreamTls: upstreamTlsMessage(pool.upstreamTls),
    maxFails: pool.failure.maxFails,
    failTimeoutSeconds: pool.failure.failTimeoutSeconds,
    endpoints: pool.endpoints.map(endpointMessage),
  };
}

export function poolOf(message: PoolMessage, where: Place): Pool {
  return {
    id: nonEmptyText(message.id, at(where, 'id')),
    services: message.services,
    network: networkOf(message, where),
    balance: balanceOf(message, where),
    upstreamTls: upstreamTlsOf(message.upstreamTls, at(where, 'upstreamTls')),
    failure: {
      maxFails: safeInteger(message.maxFails, at(where, 'maxFails')),
      failTimeoutSeconds: safeInteger(message.failTimeoutSeconds, at(where, 'failTimeoutSeconds')),
    },
    endpoints: each(message.endpoints, at(where, 'endpoints'), endpointOf),
  };
}

/** A port that must be there. */
export function portOf(value: number, where: Place): Port {
  const port = toPort(value);
  if (port === undefined) {
    throw malformed(where, 'is not a port from 1 to 65535');
  }
  return port;
}

/** 0 means none. */
export function optionalPortOf(value: number, where: Place): Port | undefined {
  return value === 0 ? undefined : portOf(value, where);
}

function networkMessage(network: PoolNetwork): Pick<PoolMessage, 'overlay' | 'hostNetwork'> {
  switch (network.kind) {
    case 'overlay':
      return { overlay: { id: network.id, name: network.name } };
    case 'host':
      return { hostNetwork: {} };
    default:
      return assertNever(network);
  }
}

function networkOf({ overlay, hostNetwork }: PoolMessage, where: Place): PoolNetwork {
  if (overlay !== undefined) {
    return { kind: 'overlay', id: nonEmptyText(overlay.id, at(where, 'overlay.id')), name: overlay.name };
  }
  if (hostNetwork !== undefined) {
    return { kind: 'host' };
  }
  throw malformed(at(where, 'network'), 'is missing');
}

function balanceMessage(balance: Balance): Pick<PoolMessage, 'roundRobin' | 'cookie' | 'clientAddress'> {
  switch (balance.kind) {
    case 'round-robin':
      return { roundRobin: {} };
    case 'cookie':
      return { cookie: { cookie: balance.cookie } };
    case 'client-address':
      return { clientAddress: {} };
    default:
      return assertNever(balance);
  }
}

function balanceOf({ roundRobin, cookie, clientAddress }: PoolMessage, where: Place): Balance {
  if (roundRobin !== undefined) {
    return { kind: 'round-robin' };
  }
  if (cookie !== undefined) {
    const name = parsed(cookie.cookie, parseCookieName, at(where, 'cookie.cookie'), 'a cookie name');
    return { kind: 'cookie', cookie: name };
  }
  if (clientAddress !== undefined) {
    return { kind: 'client-address' };
  }
  throw malformed(at(where, 'balance'), 'is missing');
}

function upstreamTlsMessage(tls: UpstreamTls): UpstreamTlsMessage | null {
  if (tls.kind === 'off') {
    return null;
  }
  return tls.verify.kind === 'none' ? { verify: false, caSecret: '' } : { verify: true, caSecret: tls.verify.ca ?? '' };
}

function upstreamTlsOf(message: UpstreamTlsMessage | null, where: Place): UpstreamTls {
  if (message === null) {
    return { kind: 'off' };
  }
  if (!message.verify) {
    return { kind: 'on', verify: { kind: 'none' } };
  }
  const { caSecret } = message;
  const ca =
    caSecret === '' ? undefined : parsed(caSecret, parseSecretName, at(where, 'caSecret'), "a Docker secret's name");
  return { kind: 'on', verify: { kind: 'required', ca } };
}

function endpointMessage({ address, port, weight, source }: Endpoint): EndpointMessage {
  return { address, port, weight, ...sourceMessage(source) };
}

function endpointOf(message: EndpointMessage, where: Place): Endpoint {
  return {
    address: parsed(message.address, parseIpAddress, at(where, 'address'), 'an IP address'),
    port: portOf(message.port, at(where, 'port')),
    weight: weightOf(message.weight, at(where, 'weight')),
    source: sourceOf(message, where),
  };
}

function weightOf(weight: number, where: Place): number {
  if (weight < 1) {
    throw malformed(where, 'is below 1');
  }
  return weight;
}

function sourceMessage(source: EndpointSource): Pick<EndpointMessage, 'task' | 'vip'> {
  switch (source.kind) {
    case 'task':
      return { task: { taskId: source.taskId, nodeId: source.nodeId } };
    case 'vip':
      return { vip: { serviceId: source.serviceId } };
    default:
      return assertNever(source);
  }
}

function sourceOf({ task, vip }: EndpointMessage, where: Place): EndpointSource {
  if (task !== undefined) {
    return { kind: 'task', taskId: task.taskId, nodeId: task.nodeId };
  }
  if (vip !== undefined) {
    return { kind: 'vip', serviceId: vip.serviceId };
  }
  throw malformed(at(where, 'source'), 'is missing');
}
