/**
 * The manager's watch API on the wire. Comes in: `proto/swarm-watch.proto`. Goes out: the bytes of the one request that core makes, and
 * what is in the manager's messages, still in the manager's words.
 */
import { fileURLToPath } from 'node:url';
import { loadSync, type MessageTypeDefinition, type Options } from '@grpc/proto-loader';

/** `src/swarmkit` and `dist/swarmkit` both lie two steps below the folder that holds `proto`. */
const PROTO_FILE = fileURLToPath(new URL('../../proto/swarm-watch.proto', import.meta.url));

/** Defaults fill every scalar, list and map; a message that is not there is null. Version indexes stay far below 2^53. */
const OPTIONS: Options = { keepCase: false, longs: Number, enums: String, defaults: true, oneofs: true };

const DEFINITIONS = loadSync(PROTO_FILE, OPTIONS);

export const WATCH_PATH = '/docker.swarmkit.v1.Watch/Watch';

/**
 * All that core ever asks for. The same socket would hand out secrets in clear and the certificate authority's key: neither
 * `secret`, `config` nor `cluster` may be added here (a test reads the request's bytes).
 */
export const WATCHED_KINDS = ['service', 'task', 'node', 'network'] as const;

/** Create, update, remove. */
const ALL_ACTIONS = 7;

export interface WatchRequestMessage {
  readonly entries: readonly { readonly kind: string; readonly action: number }[];
  readonly resumeFrom?: { readonly index: number };
}

export interface WatchMessage {
  readonly events: readonly EventMessage[];
}

export interface EventMessage {
  readonly action: string;
  readonly object: ObjectMessage | null;
}

export interface ObjectMessage {
  readonly node?: NodeMessage | null;
  readonly service?: ServiceMessage | null;
  readonly network?: NetworkMessage | null;
  readonly task?: TaskMessage | null;
}

export interface TimestampMessage {
  readonly seconds: number;
  readonly nanos: number;
}

export interface MetaMessage {
  readonly version: { readonly index: number } | null;
  readonly createdAt: TimestampMessage | null;
  readonly updatedAt: TimestampMessage | null;
}

export interface AnnotationsMessage {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

interface Identified {
  readonly id: string;
  readonly meta: MetaMessage | null;
}

export interface PortMessage {
  readonly protocol: string;
  readonly targetPort: number;
  readonly publishedPort: number;
  readonly publishMode: string;
}

export interface TaskSpecMessage {
  /** Which kind of thing the task runs. */
  readonly runtime?: 'container' | 'attachment' | 'generic';
  readonly attachment?: object | null;
  readonly container?: { readonly labels: Readonly<Record<string, string>> } | null;
  readonly networks: readonly { readonly target: string }[];
}

export interface ServiceMessage extends Identified {
  readonly spec: {
    readonly annotations: AnnotationsMessage | null;
    readonly task: TaskSpecMessage | null;
    readonly mode?: 'replicated' | 'global' | 'replicatedJob' | 'globalJob';
    readonly replicated?: { readonly replicas: number } | null;
    readonly networks: readonly { readonly target: string }[];
    readonly endpoint: { readonly mode: string } | null;
  } | null;
  readonly endpoint: {
    readonly spec: { readonly mode: string } | null;
    readonly ports: readonly PortMessage[];
    readonly virtualIps: readonly { readonly networkId: string; readonly addr: string }[];
  } | null;
  readonly updateStatus: { readonly state: string } | null;
}

export interface TaskMessage extends Identified {
  readonly spec: TaskSpecMessage | null;
  readonly serviceId: string;
  readonly nodeId: string;
  readonly status: {
    readonly state: string;
    readonly portStatus: { readonly ports: readonly PortMessage[] } | null;
  } | null;
  readonly desiredState: string;
  readonly networks: readonly {
    readonly network: { readonly id: string } | null;
    readonly addresses: readonly string[];
  }[];
}

export interface NetworkMessage extends Identified {
  readonly spec: { readonly annotations: AnnotationsMessage | null; readonly ingress: boolean } | null;
  readonly driverState: { readonly name: string } | null;
}

export interface NodeMessage extends Identified {
  readonly spec: {
    readonly annotations: AnnotationsMessage | null;
    readonly desiredRole: string;
    readonly availability: string;
  } | null;
  readonly description: { readonly hostname: string } | null;
  readonly status: { readonly state: string; readonly addr: string } | null;
  readonly managerStatus: { readonly addr: string } | null;
}

/** The loader types every definition as a union over `object`; the interfaces above say what it makes of this proto under OPTIONS. */
const REQUEST = DEFINITIONS['docker.swarmkit.v1.WatchRequest'] as unknown as MessageTypeDefinition<
  WatchRequestMessage,
  WatchRequestMessage
>;
const MESSAGE = DEFINITIONS['docker.swarmkit.v1.WatchMessage'] as unknown as MessageTypeDefinition<
  Partial<WatchMessage>,
  WatchMessage
>;

/** `resumeFrom`: replay what came after this version index. */
export function encodeWatchRequest(resumeFrom?: number): Buffer {
  const entries = WATCHED_KINDS.map((kind) => ({ kind, action: ALL_ACTIONS }));
  return REQUEST.serialize(resumeFrom === undefined ? { entries } : { entries, resumeFrom: { index: resumeFrom } });
}

/** Throws for bytes that are no such message. */
export function decodeWatchMessage(bytes: Buffer): WatchMessage {
  return MESSAGE.deserialize(bytes);
}

/** The manager's side, for fakes: what `decodeWatchMessage` reads. */
export function encodeWatchMessage(message: Partial<WatchMessage>): Buffer {
  return MESSAGE.serialize(message);
}
