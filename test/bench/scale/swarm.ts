/**
 * A Swarm of many services without a Swarm: the fake Engine for lists and writes, a manager's control socket for the watch. Every service
 * has one host and three tasks at addresses of 127.0.0.0/8, where one application answers with the address that it was asked at.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { AnnotationsMessage, ObjectMessage, TimestampMessage } from '../../../src/swarmkit/messages.ts';
import { type ControlSocket, openControlSocket } from '../../fakes/control-socket.ts';
import { createFakeEngine, type FakeEngine } from '../../fakes/engine/fake-engine.ts';
import type { RawObject, RawService, RawTask } from '../../fakes/engine/raw.ts';

const TASKS_EACH = 3;

export interface SimulatedSwarm extends AsyncDisposable {
  readonly fake: FakeEngine;
  readonly control: ControlSocket;
  /** One task of this service goes and another one comes, in one event. Returns the address of the new one. */
  replaceTask(service: number): string;
  addHost(service: number, host: string): void;
  /** The watch tells of a service of core's own and of its tasks. */
  tellOf(serviceName: string): void;
}

export function hostOf(service: number): string {
  return `h${service}.example.com`;
}

export async function simulateSwarm(services: number): Promise<SimulatedSwarm> {
  const application = createServer((request, response) => response.end(request.socket.localAddress));
  await new Promise<void>((resolve) => application.listen(0, '0.0.0.0', resolve));
  const { port } = application.address() as AddressInfo; // a TCP server has no other kind of address
  const control = await openControlSocket();
  const fake = await createFakeEngine({
    nodes: [{ hostname: 'm1', role: 'manager', address: '127.0.0.1' }],
    trustRoot: control.trustRoot,
  });
  const { store } = fake.swarm;
  const network = fake.swarm.addNetwork('app');
  const node = [...store.nodes.keys()][0] ?? '';
  let addresses = 0;
  /** Found at once: looking for them would count as the time of core. */
  const serviceIds: string[] = [];
  const oldestTasks = new Map<string, RawTask[]>();

  // Written to the store as they are: thousands of services need no orchestrator.
  for (let at = 0; at < services; at += 1) {
    const service = newService(at, port, network);
    store.services.set(service.ID, service);
    serviceIds.push(service.ID);
    for (let slot = 0; slot < TASKS_EACH; slot += 1) {
      putTask(newTask(service.ID, slot));
    }
  }

  function putTask(task: RawTask): void {
    store.tasks.set(task.ID, task);
    oldestTasks.set(task.ServiceID, [...(oldestTasks.get(task.ServiceID) ?? []), task]);
  }

  function newTask(serviceId: string, slot: number): RawTask {
    addresses += 1;
    const address = `127.${1 + (addresses >> 16)}.${(addresses >> 8) & 255}.${addresses & 255}`;
    return {
      ...store.born(),
      Labels: {},
      Spec: {},
      ServiceID: serviceId,
      Slot: slot + 1,
      NodeID: node,
      Status: { Timestamp: store.timestamp(), State: 'running', Message: 'started', PortStatus: {} },
      DesiredState: 'running',
      NetworksAttachments: [{ Network: { ...store.born(), ID: network, Spec: {} }, Addresses: [`${address}/8`] }],
    };
  }

  function newService(at: number, targetPort: number, networkId: string): RawService {
    return {
      ...store.born(),
      Spec: {
        Name: `s${at}`,
        Labels: { 'com.docker.lb.hosts': hostOf(at), 'com.docker.lb.port': String(targetPort) },
        TaskTemplate: { ContainerSpec: { Image: 'app:1' }, Networks: [{ Target: networkId }] },
        Mode: { Replicated: { Replicas: TASKS_EACH } },
        EndpointSpec: { Mode: 'dnsrr' },
      },
      Endpoint: { Spec: { Mode: 'dnsrr' } },
    };
  }

  function tell(...objects: readonly ObjectMessage[]): void {
    control.send({ events: objects.map((object) => ({ action: 'WATCH_ACTION_UPDATE', object })) });
  }

  function serviceAt(at: number): RawService {
    const service = store.services.get(serviceIds[at] ?? '');
    if (service === undefined) {
      throw new Error(`there is no service ${at}`);
    }
    return service;
  }

  function touched<Part extends RawObject>(part: Part): Part {
    store.touch(part);
    return part;
  }

  return {
    fake,
    control,
    replaceTask(at) {
      const service = serviceAt(at);
      const old = oldestTasks.get(service.ID)?.shift();
      if (old === undefined) {
        throw new Error(`service ${at} has no task`);
      }
      old.DesiredState = 'shutdown';
      const gone = taskObject(touched(old));
      store.tasks.delete(old.ID);
      const next = newTask(service.ID, (old.Slot ?? 1) - 1);
      putTask(next);
      tell(gone, taskObject(next));
      return next.NetworksAttachments?.[0]?.Addresses[0]?.split('/')[0] ?? '';
    },
    addHost(at, host) {
      const service = serviceAt(at);
      service.Spec.Labels = { ...service.Spec.Labels, 'com.docker.lb.hosts': `${hostOf(at)},${host}` };
      tell(serviceObject(touched(service)));
    },
    tellOf(serviceName) {
      const service = fake.swarm.service(serviceName);
      tell(serviceObject(service), ...fake.swarm.tasksOf(serviceName).map(taskObject));
    },
    async [Symbol.asyncDispose]() {
      await control.close();
      await fake.close();
      application.closeAllConnections();
      await new Promise((resolve) => application.close(resolve));
    },
  };
}

function metaOf({ Version, CreatedAt, UpdatedAt }: RawObject) {
  return { version: { index: Version.Index }, createdAt: timeOf(CreatedAt), updatedAt: timeOf(UpdatedAt) };
}

function timeOf(text: string): TimestampMessage {
  const fraction = /\.(\d+)Z$/.exec(text)?.[1] ?? '';
  return { seconds: Math.floor(Date.parse(text) / 1_000), nanos: Number(fraction.padEnd(9, '0')) };
}

function taskObject(task: RawTask): ObjectMessage {
  return {
    task: {
      id: task.ID,
      meta: metaOf(task),
      spec: null,
      serviceId: task.ServiceID,
      nodeId: task.NodeID ?? '',
      status: { state: task.Status.State.toUpperCase(), portStatus: null },
      desiredState: task.DesiredState.toUpperCase(),
      networks: (task.NetworksAttachments ?? []).map(({ Network, Addresses }) => ({
        network: { id: Network.ID },
        addresses: Addresses,
      })),
    },
  };
}

function serviceObject(service: RawService): ObjectMessage {
  const { Name, Labels, TaskTemplate, Mode } = service.Spec;
  const annotations: AnnotationsMessage = { name: Name, labels: Labels };
  const mode = { mode: 'DNSRR' };
  return {
    service: {
      id: service.ID,
      meta: metaOf(service),
      spec: {
        annotations,
        task: {
          container: { labels: TaskTemplate.ContainerSpec?.Labels ?? {} },
          networks: (TaskTemplate.Networks ?? []).map(({ Target }) => ({ target: Target })),
        },
        mode: 'replicated',
        replicated: { replicas: Mode.Replicated?.Replicas ?? 1 },
        networks: [],
        endpoint: mode,
      },
      endpoint: { spec: mode, ports: [], virtualIps: [] },
      updateStatus: null,
    },
  };
}
