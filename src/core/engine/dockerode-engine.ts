/** EngineApi over dockerode. Every method is one request: what is asked, and which parser reads the answer. */
import Docker from 'dockerode';
import type { Task } from '../../model/snapshot.ts';
import { type Clock, systemClock } from '../../runtime/clock.ts';
import { isOperational, toError } from '../../runtime/errors.ts';
import {
  parseConfigContent,
  parseConfigObject,
  parseContainer,
  parseCreated,
  parseInfo,
  parseServiceObject,
  parseTaskContainer,
  parseTaskFate,
} from '../../snapshot/engine-objects.ts';
import { parseNetwork } from '../../snapshot/network.ts';
import { parseNode } from '../../snapshot/node.ts';
import { parseSecret } from '../../snapshot/secret.ts';
import { parseService } from '../../snapshot/service.ts';
import { parseTask } from '../../snapshot/task.ts';
import { parseTaskSecrets } from '../../snapshot/task-secrets.ts';
import { dialOptions, type EngineTls } from './docker-url.ts';
import type { EngineApi, EngineEvent, Known, ListTasksOptions, SelfInfo } from './engine-api.ts';
import { ENGINE_CALLS } from './engine-calls.ts';
import { brokenAnswer, readAnswer } from './engine-errors.ts';
import { createEngineHttp, type EngineHttp, type Request, requestOf } from './engine-http.ts';
import { EVENT_KINDS, readEvents } from './event-stream.ts';
import { headOf } from './json-items.ts';
import { ownContainerIds, ownSurroundings, type Surroundings } from './own-container.ts';

export interface DockerodeEngineOptions {
  /** `unix:///run/docker.sock` or `tcp://host:port`. */
  readonly dockerUrl: string;
  readonly tls?: EngineTls | undefined;
  /** For one call, the body included; the event stream may be idle for ever. Default 10 000. */
  readonly callTimeoutMs?: number;
  readonly clock?: Clock;
  readonly surroundings?: Surroundings;
  /** How long `self` goes on asking whose task our container is. A task runs for some seconds before its manager hears so. Default 10 000. */
  readonly selfWithinMs?: number;
}

/**
 * Nothing is sent before the first call; then the API version is negotiated, and again after every broken connection.
 * All methods throw OperationalError `ENGINE.*`, or the signal's reason once it is aborted.
 * @throws OperationalError SETTINGS.INVALID for a URL that is neither `unix://` nor `tcp://`.
 */
export function createDockerodeEngine(options: DockerodeEngineOptions): EngineApi {
  const { dockerUrl, tls, callTimeoutMs = 10_000, clock = systemClock, surroundings = ownSurroundings } = options;
  const { selfWithinMs = 10_000 } = options;
  const http = createEngineHttp(new Docker(dialOptions(dockerUrl, tls)).modem, { clock, callTimeoutMs });

  const ask: Ask = async (request, parse, signal) => readAnswer(request, parse, await http.call(request, signal));
  const list: List = (request, parse, signal, known) =>
    http.items(request, (item) => knownItem(item, known) ?? readItem(request, parse, item), signal);

  return {
    async info(signal) {
      const info = await ask(requestOf(ENGINE_CALLS.info), parseInfo, signal);
      return { ...info, apiVersion: await http.apiVersion(signal) };
    },
    self: (signal) => findSelf({ ask, list, clock, selfWithinMs }, surroundings, signal),

    listServices: (signal, options) => list(requestOf(ENGINE_CALLS.services), parseService, signal, options?.known),
    listTasks: (signal, options) => listTasks(list, options ?? {}, signal),
    listNodes: (signal) => list(requestOf(ENGINE_CALLS.nodes), parseNode, signal),
    listNetworks: (signal) => list(requestOf(ENGINE_CALLS.networks), parseNetwork, signal),
    listSecrets: (signal) => list(requestOf(ENGINE_CALLS.secrets), parseSecret, signal),

    async inspectService(idOrName, signal) {
      const request = requestOf(ENGINE_CALLS.service, { id: idOrName, query: { insertDefaults: 'false' } });
      const found = await orUndefined(ask(request, parseServiceObject, signal));
      return found !== undefined && isNamed(found, idOrName) ? found : undefined;
    },
    listServiceObjects: (labels, signal) =>
      list(requestOf(ENGINE_CALLS.services, { query: filters({ label: labels }) }), parseServiceObject, signal),
    async listTaskFates(serviceId, signal) {
      return (await orUndefined(list(tasksOf([serviceId]), parseTaskFate, signal))) ?? [];
    },
    createService: (spec, signal) => ask(requestOf(ENGINE_CALLS.createService, { body: spec }), parseCreated, signal),
    async updateService(id, version, spec, signal) {
      const query = { version: String(version), ...KEEP_REGISTRY_LOGIN };
      await http.call(requestOf(ENGINE_CALLS.updateService, { id, query, body: spec }), signal);
    },
    async removeService(id, signal) {
      await http.call(requestOf(ENGINE_CALLS.removeService, { id }), signal);
    },

    listConfigs: (labels, signal) =>
      list(requestOf(ENGINE_CALLS.configs, { query: filters({ label: labels }) }), parseConfigObject, signal),
    async readConfig(idOrName, signal) {
      const found = await orUndefined(
        ask(requestOf(ENGINE_CALLS.config, { id: idOrName }), parseConfigContent, signal),
      );
      return found !== undefined && isNamed(found, idOrName) ? Buffer.from(found.base64, 'base64') : undefined;
    },
    createConfig({ name, labels, bytes }, signal) {
      const body = { Name: name, Labels: labels, Data: Buffer.from(bytes).toString('base64') };
      return ask(requestOf(ENGINE_CALLS.createConfig, { body }), parseCreated, signal);
    },
    async removeConfig(id, signal) {
      await http.call(requestOf(ENGINE_CALLS.removeConfig, { id }), signal);
    },

    createSecret({ name, labels, bytes }, signal) {
      const body = { Name: name, Labels: labels, Data: Buffer.from(bytes).toString('base64') };
      return ask(requestOf(ENGINE_CALLS.createSecret, { body }), parseCreated, signal);
    },
    async removeSecret(id, signal) {
      await http.call(requestOf(ENGINE_CALLS.removeSecret, { id }), signal);
    },
    async secretsOfTasks(signal) {
      return new Set((await list(requestOf(ENGINE_CALLS.tasks), parseTaskSecrets, signal)).flat());
    },

    events: (signal) => watchEvents(http, signal),
  };
}

/**
 * The Engine never shows the login that `docker service update --with-registry-auth` left in a service: an update either keeps it, which
 * this asks for, or loses it.
 */
const KEEP_REGISTRY_LOGIN = { registryAuthFrom: 'spec' } as const;

/** One request, its answer parsed. */
type Ask = <Part>(request: Request, parse: (raw: unknown) => Part, signal: AbortSignal) => Promise<Part>;

/** The same for a list, item by item; one that cannot be read fails the whole: a partial list would look like removals. */
type List = <Part>(
  request: Request,
  parse: (raw: unknown) => Part,
  signal: AbortSignal,
  known?: Known<Part>,
) => Promise<readonly Part[]>;

function knownItem<Part>(item: Buffer, known: Known<Part> | undefined): Part | undefined {
  const head = known && headOf(item);
  return head && known(head.id, head.version);
}

function readItem<Part>(request: Request, parse: (raw: unknown) => Part, item: Buffer): Part {
  let raw: unknown;
  try {
    raw = JSON.parse(item.toString('utf8'));
  } catch (error) {
    throw brokenAnswer(request, toError(error));
  }
  return readAnswer(request, parse, raw);
}

function tasksOf(serviceIds: readonly string[]): Request {
  return requestOf(ENGINE_CALLS.tasks, { query: filters({ service: serviceIds }) });
}

function filters(by: Readonly<Record<string, readonly string[]>>): Readonly<Record<string, string>> {
  return { filters: JSON.stringify(by) };
}

/**
 * No ids, no question: the Engine would read an empty filter as "all of them". It refuses a filter that names a service which is gone,
 * though that service's tasks live on for their grace period: then all tasks are listed and ours picked out.
 */
async function listTasks(
  list: List,
  { serviceIds, known }: ListTasksOptions,
  signal: AbortSignal,
): Promise<readonly Task[]> {
  if (serviceIds === undefined) {
    return list(requestOf(ENGINE_CALLS.tasks), parseTask, signal, known);
  }
  if (serviceIds.length === 0) {
    return [];
  }
  const listed = await orUndefined(list(tasksOf(serviceIds), parseTask, signal, known));
  const wanted = new Set(serviceIds);
  return (
    listed ??
    (await list(requestOf(ENGINE_CALLS.tasks), parseTask, signal, known)).filter((task) => wanted.has(task.serviceId))
  );
}

async function orUndefined<Part>(asked: Promise<Part>): Promise<Part | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isOperational(error, 'ENGINE.NOT_FOUND')) {
      return undefined;
    }
    throw error;
  }
}

/** The Engine also answers for a prefix of an id, which nobody here asks for. */
function isNamed(found: { readonly id: string; readonly name: string }, idOrName: string): boolean {
  return found.id === idOrName || found.name === idOrName;
}

const SELF_AGAIN_MS = 500;

interface Inquiry {
  readonly ask: Ask;
  readonly list: List;
  readonly clock: Clock;
  readonly selfWithinMs: number;
}

async function findSelf(
  { ask, list, clock, selfWithinMs }: Inquiry,
  surroundings: Surroundings,
  signal: AbortSignal,
): Promise<SelfInfo | undefined> {
  const ids = await ownContainerIds(surroundings);
  for (const id of ids) {
    const container = await orUndefined(ask(requestOf(ENGINE_CALLS.container, { id }), parseContainer, signal));
    if (container?.id.startsWith(id) === true) {
      return {
        containerId: container.id,
        serviceId: container.labels['com.docker.swarm.service.id'],
        serviceName: container.labels['com.docker.swarm.service.name'],
        taskId: container.labels['com.docker.swarm.task.id'],
        addresses: container.addresses,
      };
    }
  }
  const untilMs = clock.monotonic() + selfWithinMs;
  while (ids.length > 0) {
    const found = findSelfAmong(await list(requestOf(ENGINE_CALLS.tasks), parseTaskContainer, signal), ids);
    if (found !== undefined || clock.monotonic() >= untilMs) {
      return found;
    }
    await clock.sleep(SELF_AGAIN_MS, signal);
  }
  return undefined;
}

/** DockerURL may lead to another node's engine: it does not have our container, but a manager knows whose task that is. */
function findSelfAmong(
  containers: readonly ReturnType<typeof parseTaskContainer>[],
  ids: readonly string[],
): SelfInfo | undefined {
  const own = containers.find(({ containerId }) => ids.some((id) => containerId.startsWith(id)));
  return own && { ...own, serviceName: undefined };
}

/** Only Swarm's own scope: an engine reports each container that joins or leaves a network as a local network event. */
async function* watchEvents(http: EngineHttp, signal: AbortSignal): AsyncGenerator<EngineEvent> {
  const request = requestOf(ENGINE_CALLS.events, { query: filters({ type: EVENT_KINDS, scope: ['swarm'] }) });
  const stream = await http.open(request, signal);
  try {
    yield { kind: 'connected' };
    yield* readEvents(request, stream);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    stream.destroy();
  }
}
