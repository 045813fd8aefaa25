/** The Engine's lists as it prints them, less everything that we do not read: environment, arguments and mounts of services stay out. */
import Docker from 'dockerode';
import { systemClock } from '../../runtime/clock.ts';
import { dialOptions } from './docker-url.ts';
import { ENGINE_CALLS } from './engine-calls.ts';
import { brokenAnswer } from './engine-errors.ts';
import { createEngineHttp, requestOf } from './engine-http.ts';

/** One array per list call, in the Engine's own shape. */
export type RawLists = Readonly<Record<RawListName, readonly unknown[]>>;
export type RawListName = 'services' | 'tasks' | 'networks' | 'nodes' | 'secrets';

/** What is kept: a name alone is kept whole, a name with fields keeps those. Lists keep it of each item. */
interface Fields {
  readonly [name: string]: true | Fields;
}

const COMMON: Fields = { ID: true, Version: true, CreatedAt: true, UpdatedAt: true };
const NETWORKS: Fields = { Target: true };

const KEPT: Readonly<Record<RawListName, Fields>> = {
  services: {
    ...COMMON,
    Spec: {
      Name: true,
      Labels: true,
      TaskTemplate: { ContainerSpec: { Labels: true }, Networks: NETWORKS },
      Networks: NETWORKS,
      Mode: true,
      EndpointSpec: true,
    },
    Endpoint: true,
    UpdateStatus: { State: true },
  },
  tasks: {
    ...COMMON,
    ServiceID: true,
    NodeID: true,
    Slot: true,
    Status: { Timestamp: true, State: true, PortStatus: true },
    DesiredState: true,
    NetworksAttachments: { Network: { ID: true, Spec: { Name: true } }, Addresses: true },
  },
  networks: { Id: true, Name: true, Created: true, Driver: true, Scope: true, Ingress: true, Labels: true },
  nodes: {
    ...COMMON,
    Spec: { Role: true, Availability: true, Labels: true },
    Description: { Hostname: true },
    Status: true,
    ManagerStatus: true,
  },
  secrets: { ...COMMON, Spec: { Name: true, Labels: true } },
};

/** One request per list. @throws OperationalError `ENGINE.*`, SETTINGS.INVALID for a URL that is none, or the signal's reason. */
export async function readRawLists(dockerUrl: string, signal: AbortSignal): Promise<RawLists> {
  const http = createEngineHttp(new Docker(dialOptions(dockerUrl, undefined)).modem, {
    clock: systemClock,
    callTimeoutMs: 30_000,
  });
  const read = async (name: RawListName): Promise<readonly unknown[]> => {
    const asked = requestOf(ENGINE_CALLS[name]);
    const answer = await http.call(asked, signal);
    if (!Array.isArray(answer)) {
      throw brokenAnswer(asked, new Error('expected an array'));
    }
    return answer.map((item: unknown) => keep(item, KEPT[name]));
  };
  // Tasks last: a task whose service was listed a moment before is routed, one without a service is not.
  return {
    services: await read('services'),
    networks: await read('networks'),
    nodes: await read('nodes'),
    secrets: await read('secrets'),
    tasks: await read('tasks'),
  };
}

/** `raw` with only these fields, in the Engine's order. */
export function keep(raw: unknown, fields: Fields): unknown {
  if (Array.isArray(raw)) {
    return raw.map((item: unknown) => keep(item, fields));
  }
  if (typeof raw !== 'object' || raw === null) {
    return raw;
  }
  return Object.fromEntries(
    Object.entries(raw).flatMap(([name, value]) => {
      const inner = Object.hasOwn(fields, name) ? fields[name] : undefined;
      return inner === undefined ? [] : [[name, inner === true ? (value as unknown) : keep(value, inner)]];
    }),
  );
}
