/** A core that is only its wire: real gRPC over loopback, with handlers that tests steer. */
import { type ConfigArtifact, createArtifact, manifestOf } from '../../src/model/artifact.ts';
import type { ClusterModel } from '../../src/model/cluster.ts';
import { diffModels } from '../../src/model/patch.ts';
import { digestModel, sha256Hex } from '../../src/model/revision.ts';
import { type Cell, createCell } from '../../src/runtime/cell.ts';
import { createLogger, type Logger } from '../../src/runtime/logging.ts';
import type { Authenticate } from '../../src/wire/admission.ts';
import { createWireClient, type WireClient } from '../../src/wire/client.ts';
import type {
  Caller,
  ModelMessage,
  Refusal,
  RevisionRef,
  Submission,
  SubmitOutcome,
  WireHandlers,
} from '../../src/wire/contract.ts';
import { refusal } from '../../src/wire/errors.ts';
import type { OperatorCalls } from '../../src/wire/operator.ts';
import { createWireServer, type WireServer } from '../../src/wire/server.ts';
import type { StatusReport } from '../../src/wire/status-report.ts';
import { eventually } from './eventually.ts';
import { port } from './snapshots.ts';

export const silent: Logger = createLogger({ level: 'silent', component: 'test' });

/** A cluster of `pools` routes, whose content depends on `mark` too. */
export function sampleModel(mark: string, pools = 1): ClusterModel {
  const ids = Array.from({ length: pools }, (_, index) => `h${String(index).padStart(6, '0')}.local`);
  return {
    header: {
      serviceCluster: '',
      extension: 'default',
      listen: { http: port(80), tls: port(443) },
      configPath: '/etc/nginx/nginx.conf',
      published: { http: port(8080), tls: undefined },
      optionsJson: JSON.stringify({ mark }),
      defaultPool: undefined,
      defaultTls: { kind: 'none' },
      tlsHop: false,
    },
    hosts: ids.map((host) => ({
      host: host as ClusterModel['hosts'][number]['host'],
      tls: { kind: 'none' },
      redirects: [],
      routes: [{ prefix: '/' as never, rewrite: false, pool: `${host}/`, websocketEndpoints: [] }],
    })),
    pools: ids.map((host) => ({
      id: `${host}/`,
      services: [`service-of-${host}`],
      network: { kind: 'overlay', id: 'net1', name: 'apps' },
      balance: { kind: 'round-robin' },
      upstreamTls: { kind: 'off' },
      failure: { maxFails: 3, failTimeoutSeconds: 10 },
      endpoints: [],
    })),
  };
}

export function revisionOf(model: ClusterModel, sequence: number, epoch = 'life1'): RevisionRef {
  return { digest: digestModel(model), sequence, versionIndex: sequence, epoch };
}

export function full(model: ClusterModel, sequence: number, epoch?: string): ModelMessage {
  return { revision: revisionOf(model, sequence, epoch), content: { kind: 'full', model } };
}

export function patch(base: ClusterModel, next: ClusterModel, sequence: number, epoch?: string): ModelMessage {
  const content = { kind: 'patch', baseDigest: digestModel(base), patch: diffModels(base, next) } as const;
  return { revision: revisionOf(next, sequence, epoch), content };
}

export function artifactOf(text: string): ConfigArtifact {
  return createArtifact([{ path: '/etc/nginx/nginx.conf', mode: 0o444, bytes: Buffer.from(text) }]);
}

export function submissionOf(revision: RevisionRef, text: string, withBlobs: boolean): Submission {
  const artifact = artifactOf(text);
  const blobs = withBlobs ? artifact.files.map(({ bytes }) => ({ digest: sha256Hex(bytes), bytes })) : [];
  return { revision, manifest: manifestOf(artifact), blobs, findings: [] };
}

/** What a test sees of the calls, and how it answers them. */
export interface FakeCore {
  readonly handlers: WireHandlers;
  /** What `watchModel` streams; each new watcher begins with the present value. */
  readonly messages: Cell<ModelMessage>;
  readonly watchers: {
    readonly caller: Caller;
    readonly have: RevisionRef | undefined;
    readonly signal: AbortSignal;
  }[];
  readonly submissions: Submission[];
  readonly refusals: Refusal[];
  /** Core's memory of blobs; `submitArtifact` asks for what is not here. */
  readonly blobs: Set<string>;
}

export function createFakeCore(overrides: Partial<WireHandlers> = {}): FakeCore {
  const messages = createCell<ModelMessage>();
  const watchers: FakeCore['watchers'] = [];
  const submissions: Submission[] = [];
  const refusals: Refusal[] = [];
  const blobs = new Set<string>();
  const handlers: WireHandlers = {
    watchModel(caller, have, signal) {
      watchers.push({ caller, have, signal });
      return messages.watch(signal);
    },
    submitArtifact(_caller, submission) {
      submissions.push(submission);
      return Promise.resolve(takeBlobs(blobs, submission));
    },
    refuseRevision(_caller, refusal) {
      refusals.push(refusal);
      return Promise.resolve();
    },
    agentSession: () => {
      throw refusal('unimplemented', 'this core takes no agents');
    },
    fetchBlobs: () => Promise.reject(refusal('not-found', 'this core has no blobs')),
    ...overrides,
  };
  return { handlers, messages, watchers, submissions, refusals, blobs };
}

function takeBlobs(known: Set<string>, { manifest, blobs }: Submission): SubmitOutcome {
  for (const { digest } of blobs) {
    known.add(digest);
  }
  const missing = manifest.entries.map(({ blob }) => blob).filter((blob) => !known.has(blob));
  return missing.length === 0 ? { kind: 'accepted' } : { kind: 'missing', blobs: missing };
}

export const SAMPLE_STATUS: StatusReport = {
  version: '0.1.0',
  epoch: 'life1',
  nowMs: 2_000,
  startedAtMs: 1_000,
  observedAtMs: undefined,
  moving: [],
  taskFeed: { kind: 'poll', reason: 'no control socket' },
  clusters: [],
  findings: [],
};

/** Answers each call with a sample. */
export const SAMPLE_OPERATOR: OperatorCalls = {
  status: () => Promise.resolve(SAMPLE_STATUS),
  routes: () => Promise.resolve({ clusters: [], nodes: [] }),
  services: () => Promise.resolve({ services: [], similar: [] }),
  revisions: () => Promise.resolve({ clusters: [] }),
  compare: () => Promise.reject(refusal('not-found', 'no history here')),
  rollback: () => Promise.reject(refusal('not-found', 'no history here')),
  unpin: () => Promise.reject(refusal('not-found', 'no history here')),
  rotateTokens: () => Promise.resolve({ tokens: [] }),
  diagnose: () => Promise.resolve({ checks: [] }),
};

/** Servers and clients that end with the test: `await using`-like, by hand because Node 20 has no such syntax. */
export interface WireBench {
  /** `authenticate`: default lets everybody in; `operator`: default answers with samples. */
  serve(
    handlers: WireHandlers,
    port?: number,
    authenticate?: Authenticate,
    operator?: Partial<OperatorCalls>,
  ): Promise<{ readonly server: WireServer; readonly port: number }>;
  connect(port: number, role?: 'extension' | 'proxy' | 'operator'): WireClient;
  close(): Promise<void>;
}

export function createWireBench(): WireBench {
  const servers: WireServer[] = [];
  const clients: WireClient[] = [];
  return {
    async serve(handlers, port = 0, authenticate = () => undefined, answers = {}) {
      const operator = { ...SAMPLE_OPERATOR, ...answers };
      const listen = { host: '127.0.0.1', port };
      const server = createWireServer({ listen, handlers, operator, authenticate, logger: silent });
      servers.push(server);
      return { server, port: (await server.start()).port };
    },
    connect(port, role = 'extension') {
      const identity = { role, extension: 'default', version: '0.1.0' } as const;
      const client = createWireClient({ endpoint: `127.0.0.1:${port}`, identity });
      clients.push(client);
      return client;
    },
    async close() {
      for (const client of clients) {
        client.close();
      }
      await Promise.all(servers.map((server) => server.stop(0)));
    },
  };
}

/** Waits until `look` returns something other than `undefined` and `false`. */
export function appears<Value>(look: () => Value | undefined | false): Promise<Value> {
  return eventually(
    () => {
      const value = look();
      if (value === undefined || value === false) {
        throw new Error(`nothing yet: ${look.toString()}`);
      }
      return value;
    },
    { everyMs: 5, timeoutMs: 5_000 },
  );
}

/** The next value of an async iterator; fails at its end. */
export async function next<Value>(iterator: AsyncIterator<Value>): Promise<Value> {
  const result = await iterator.next();
  if (result.done === true) {
    throw new Error('the iterator ended');
  }
  return result.value;
}
