/** Method and path -> answer. What is not here answers 501: the fake never pretends. */
import type { BlobKind, ControlApi } from './control-api.ts';
import { filterBy, hasLabel, parseFilters } from './filters.ts';
import { containerIdOf } from './orchestrator.ts';
import { type RawBlob, type RawNetwork, type RawNode, type RawServiceSpec, Refusal } from './raw.ts';
import type { Store } from './store.ts';

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
}

export interface EngineFacts {
  readonly apiVersion: string;
  readonly minApiVersion: string;
  readonly engineVersion: string;
  readonly trustRoot: string | undefined;
  readonly isManager: boolean;
}

export interface Call {
  readonly method: string;
  /** Without the version prefix and the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
}

export interface Routes {
  answer(call: Call): Answer;
}

type Handler = (call: Call, id: string) => Answer;

export function createRoutes(store: Store, api: ControlApi, facts: () => EngineFacts): Routes {
  const table: readonly (readonly [string, Handler])[] = [
    ['GET /_ping', () => ({ status: 200, body: 'OK' })],
    ['HEAD /_ping', () => ({ status: 200 })],
    ['GET /version', () => ({ status: 200, body: versionJson(facts()) })],
    ['GET /info', () => ({ status: 200, body: infoJson(facts(), store) })],
    ['GET /containers/:id/json', (_, id) => ({ status: 200, body: containerJson(store, id) })],
    ...serviceRoutes(store, api),
    ...taskRoutes(store, api),
    ...nodeRoutes(store, api),
    ...networkRoutes(store, api),
    ...blobRoutes(store, api, 'config'),
    ...blobRoutes(store, api, 'secret'),
  ];

  return {
    answer(call) {
      for (const [pattern, handler] of table) {
        const id = match(pattern, call);
        if (id !== undefined) {
          if (!facts().isManager && SWARM_ROUTES.test(call.path)) {
            throw new Refusal(503, NOT_A_MANAGER);
          }
          return handler(call, id);
        }
      }
      throw new Refusal(501, `the fake engine does not model ${call.method} ${call.path}`);
    },
  };
}

const SWARM_ROUTES = /^\/(?:services|tasks|nodes|configs|secrets)/;
const NOT_A_MANAGER =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';

/** The id in the place of `:id`, an empty text for a pattern without one; `undefined` when the pattern is another route's. */
function match(pattern: string, { method, path }: Call): string | undefined {
  const [wantedMethod, wantedPath = ''] = pattern.split(' ');
  if (method !== wantedMethod) {
    return undefined;
  }
  const found = new RegExp(`^${wantedPath.replace(':id', '([^/]+)')}$`).exec(path);
  return found === null ? undefined : decodeURIComponent(found[1] ?? '');
}

function serviceRoutes(store: Store, api: ControlApi): readonly (readonly [string, Handler])[] {
  const spec = ({ body }: Call) => body as Partial<RawServiceSpec>; // POST bodies are objects: the server checks it
  return [
    [
      'GET /services',
      ({ query }) => ({
        status: 200,
        body: filterBy(store.services.values(), query.get('filters'), {
          id: (service, value) => service.ID.startsWith(value),
          name: (service, value) => service.Spec.Name.startsWith(value),
          label: (service, value) => hasLabel(service.Spec.Labels, value),
        }),
      }),
    ],
    ['POST /services/create', (call) => ({ status: 201, body: { ID: api.createService(spec(call)), Warnings: null } })],
    ['GET /services/:id', (_, id) => ({ status: 200, body: api.service(id) })],
    [
      'POST /services/:id/update',
      (call, id) => {
        const wanted = call.query.get('rollback') === 'previous' ? 'previous' : spec(call);
        api.updateService(id, call.query.get('version'), wanted);
        return { status: 200, body: { Warnings: null } };
      },
    ],
    ['DELETE /services/:id', (_, id) => done(200, () => api.removeService(id))],
  ];
}

function taskRoutes(store: Store, api: ControlApi): readonly (readonly [string, Handler])[] {
  return [
    [
      'GET /tasks',
      ({ query }) => {
        const services = parseFilters(query.get('filters'))['service'] ?? [];
        const ids = services.map((idOrName) => api.service(idOrName).ID); // one that is gone is refused, not "no tasks"
        const body = filterBy(store.tasks.values(), query.get('filters'), {
          id: (task, value) => task.ID.startsWith(value),
          service: (task) => ids.includes(task.ServiceID),
          node: (task, value) => task.NodeID === value,
          'desired-state': (task, value) => task.DesiredState === value,
        });
        return { status: 200, body };
      },
    ],
    [
      'GET /tasks/:id',
      (_, id) => {
        const task = store.tasks.get(id);
        if (task === undefined) {
          throw new Refusal(404, `task ${id} not found`);
        }
        return { status: 200, body: task };
      },
    ],
  ];
}

function nodeRoutes(store: Store, api: ControlApi): readonly (readonly [string, Handler])[] {
  return [
    [
      'GET /nodes',
      ({ query }) => ({
        status: 200,
        body: filterBy(store.nodes.values(), query.get('filters'), {
          id: (node, value) => node.ID.startsWith(value),
          name: (node, value) => node.Description.Hostname.startsWith(value),
          role: (node, value) => node.Spec.Role === value,
        }),
      }),
    ],
    ['GET /nodes/:id', (_, id) => ({ status: 200, body: api.node(id) })],
    [
      'POST /nodes/:id/update',
      ({ query, body }, id) =>
        done(200, () => api.updateNode(id, query.get('version'), body as Partial<RawNode['Spec']>)),
    ],
  ];
}

function networkRoutes(store: Store, api: ControlApi): readonly (readonly [string, Handler])[] {
  return [
    [
      'GET /networks',
      ({ query }) => ({
        status: 200,
        body: filterBy(store.networks.values(), query.get('filters'), {
          id: (network, value) => network.Id.startsWith(value),
          name: (network, value) => network.Name.includes(value),
          label: (network, value) => hasLabel(network.Labels, value),
          scope: (network, value) => network.Scope === value,
        }),
      }),
    ],
    [
      'POST /networks/create',
      ({ body }) => ({ status: 201, body: { Id: api.createNetwork(body as Partial<RawNetwork>), Warning: '' } }),
    ],
    ['GET /networks/:id', (_, id) => ({ status: 200, body: api.network(id) })],
    ['DELETE /networks/:id', (_, id) => done(204, () => api.removeNetwork(id))],
  ];
}

function blobRoutes(store: Store, api: ControlApi, kind: BlobKind): readonly (readonly [string, Handler])[] {
  const objects = kind === 'config' ? store.configs : store.secrets;
  return [
    [
      `GET /${kind}s`,
      ({ query }) => ({
        status: 200,
        body: filterBy(objects.values(), query.get('filters'), {
          id: (object, value) => object.ID.startsWith(value),
          name: (object, value) => object.Spec.Name.includes(value),
          label: (object, value) => hasLabel(object.Spec.Labels, value),
        }).map((object) => printed(kind, object)),
      }),
    ],
    [
      `POST /${kind}s/create`,
      ({ body }) => ({ status: 201, body: { ID: api.createBlob(kind, body as RawBlob['Spec']) } }),
    ],
    [`GET /${kind}s/:id`, (_, id) => ({ status: 200, body: printed(kind, api.blob(kind, id)) })],
    [`DELETE /${kind}s/:id`, (_, id) => done(204, () => api.removeBlob(kind, id))],
  ];
}

function printed(kind: BlobKind, object: RawBlob): RawBlob {
  const { Name, Labels } = object.Spec;
  return kind === 'secret' ? { ...object, Spec: { Name, Labels } } : object;
}

function done(status: number, act: () => void): Answer {
  act();
  return { status };
}

function versionJson({ engineVersion, apiVersion, minApiVersion }: EngineFacts): unknown {
  return { Version: engineVersion, ApiVersion: apiVersion, MinAPIVersion: minApiVersion, Os: 'linux', Arch: 'amd64' };
}

function infoJson({ engineVersion, isManager, trustRoot }: EngineFacts, store: Store): unknown {
  const self = [...store.nodes.values()].find((node) => node.Spec.Role === 'manager');
  return {
    ID: 'fake',
    Name: self?.Description.Hostname,
    ServerVersion: engineVersion,
    Swarm: {
      NodeID: self?.ID ?? '',
      NodeAddr: self?.Status.Addr ?? '',
      LocalNodeState: 'active',
      ControlAvailable: isManager,
      Nodes: store.nodes.size,
      ...(trustRoot === undefined ? {} : { Cluster: { TLSInfo: { TrustRoot: trustRoot } } }),
    },
  };
}

/** Containers of tasks; by full id or by a beginning of at least 12 digits. */
function containerJson(store: Store, id: string): unknown {
  const task = [...store.tasks.values()].find(
    (one) => one.Status.ContainerStatus !== undefined && id.length >= 12 && containerIdOf(one).startsWith(id),
  );
  if (task === undefined) {
    throw new Refusal(404, `No such container: ${id}`);
  }
  const labels = {
    ...task.Spec.ContainerSpec?.Labels,
    'com.docker.swarm.node.id': task.NodeID ?? '',
    'com.docker.swarm.service.id': task.ServiceID,
    'com.docker.swarm.service.name': store.services.get(task.ServiceID)?.Spec.Name ?? '',
    'com.docker.swarm.task.id': task.ID,
  };
  return { Id: containerIdOf(task), State: { Running: task.Status.State === 'running' }, Config: { Labels: labels } };
}
