/**
 * The publish room alone against the fake Engine: the test is the extension, the agents, the token maker and the clock.
 * In: lines for `[Extensions.default]`. Out: the board to write on, the Swarm to look at, time to move.
 */
import { type AgentSession, type Board, createBoard, type ExtensionBoard } from '../../../src/core/board.ts';
import { createDockerodeEngine } from '../../../src/core/engine/dockerode-engine.ts';
import type { EngineApi } from '../../../src/core/engine/engine-api.ts';
import type { Home } from '../../../src/core/publish/desired.ts';
import { LABELS, TYPES } from '../../../src/core/publish/names.ts';
import { createPublisher } from '../../../src/core/publish/publisher.ts';
import type { Patience } from '../../../src/core/publish/publishing.ts';
import { createArtifact } from '../../../src/model/artifact.ts';
import type { Requirements } from '../../../src/model/cluster.ts';
import { type Finding, findingKey } from '../../../src/model/finding.ts';
import { parseSecretName } from '../../../src/model/names.ts';
import type { Snapshot } from '../../../src/model/snapshot.ts';
import { createCell } from '../../../src/runtime/cell.ts';
import { createLogger } from '../../../src/runtime/logging.ts';
import { runComponents } from '../../../src/runtime/supervisor.ts';
import { buildSnapshot } from '../../../src/snapshot/snapshot.ts';
import { createFakeEngine, type FakeEngine } from '../../fakes/engine/fake-engine.ts';
import type { RawBlob, RawServiceSpec } from '../../fakes/engine/raw.ts';
import { createManualClock, type ManualClock } from '../../fakes/manual-clock.ts';
import { eventually } from '../../support/eventually.ts';
import { coreSettings } from '../../support/settings.ts';

export const PROXY = 'interlock-proxy';
export const EXTENSION = 'interlock-extension';

export interface Core {
  readonly board: ExtensionBoard;
  readonly clock: ManualClock;
  readonly findings: () => readonly Finding[];
  /** The extension has rendered this text; the model needs these networks (by name) and secrets. */
  render(
    text: string,
    needs?: {
      readonly networks?: readonly string[];
      readonly secrets?: readonly string[];
      /** Default: the first. */
      readonly table?: string;
    },
  ): void;
  /** Every running proxy task has a session from now on; `undefined`: none has. */
  agents(make?: (taskId: string) => Partial<AgentSession>): void;
  /** Moves time, and what the Engine says arrives in between. */
  pass(ms: number): Promise<void>;
  stop(): Promise<void>;
}

export interface World {
  readonly fake: FakeEngine;
  startCore(options?: {
    readonly lines?: string;
    readonly patience?: Partial<Patience>;
    readonly engine?: (real: EngineApi) => EngineApi;
    readonly home?: Partial<Home>;
    readonly toml?: string;
    readonly withoutTokens?: boolean;
  }): Core;
  spec(): RawServiceSpec;
  /** The artifact text that the proxy service's spec mounts. */
  mounted(): string | undefined;
  /** Texts of all stored configs, oldest first. */
  stored(): readonly string[];
  /** Templates that tasks of the proxy service were made from, in order, without repeats in a row. */
  writes(): readonly string[];
  close(): Promise<void>;
}

const HOME: Home = { serviceId: undefined, stack: 'interlock', controlNetworkIds: [], endpoint: 'core:8080' };

export async function createWorld(): Promise<World> {
  const fake = await createFakeEngine();
  const cores = new Set<Core>();
  const configs = (): readonly RawBlob[] =>
    [...fake.swarm.store.configs.values()].sort((a, b) => sequence(a) - sequence(b));
  const proxy = () => [...fake.swarm.store.services.values()].find(({ Spec }) => Spec.Name === PROXY);
  return {
    fake,
    startCore(options = {}) {
      const core = startCore(fake, options);
      cores.add(core);
      return core;
    },
    spec: () => fake.swarm.service(PROXY).Spec,
    mounted() {
      const [config] = proxy()?.Spec.TaskTemplate.ContainerSpec?.Configs ?? [];
      const blob = fake.swarm.store.configs.get(config?.ConfigID ?? '');
      return blob === undefined ? undefined : textOf(blob);
    },
    stored: () => configs().map(textOf),
    writes: () =>
      fake.calls
        .filter(({ asked, status }) => /^(POST|DELETE) /.test(asked) && status > 0 && status < 400)
        .map(({ asked }) => asked.replace(/[a-z0-9]{25}/, '*')),
    async close() {
      await Promise.all([...cores].map((core) => core.stop()));
      await fake.close();
    },
  };
}

function sequence({ Spec }: RawBlob): number {
  return Number(Spec.Labels[LABELS.sequence] ?? 0);
}

function textOf({ Spec }: RawBlob): string {
  return Buffer.from(Spec.Data ?? '', 'base64').toString('utf8');
}

const BASE = `
Image = "interlock/extension:dev"
ServiceName = "${EXTENSION}"
ProxyImage = "interlock/proxy:dev"
ProxyServiceName = "${PROXY}"
ProxyConfigPath = "/etc/nginx/nginx.conf"
ProxyReplicas = 2
`;

function startCore(
  fake: FakeEngine,
  {
    lines = '',
    patience = {},
    engine: wrap = (real) => real,
    home = {},
    toml,
    withoutTokens = false,
  }: Parameters<World['startCore']>[0] & object,
): Core {
  const clock = createManualClock(Date.now());
  const engine = wrap(createDockerodeEngine({ dockerUrl: fake.dockerUrl }));
  const settings = coreSettings(toml ?? `[Extensions.default]${BASE}${lines}`);
  const board: Board = createBoard(settings.extensions, findingKey, {
    onNew: () => undefined,
    onGone: () => undefined,
  });
  const extension = [...board.extensions.values()][0];
  if (extension === undefined) {
    throw new Error('no extension');
  }
  if (!withoutTokens) {
    for (const { tokens } of board.extensions.values()) {
      tokens.set(null);
    }
  }
  const snapshots = createCell<Snapshot>();
  const stop = new AbortController();
  const logger = createLogger({ level: 'silent', component: 'core' }, { write: () => undefined });
  const all = { networkLingerMs: 600_000, proxyConfigRefreshMs: 0, ...patience };
  const components = createPublisher({ engine, clock, logger }, { ...HOME, ...home }, board, snapshots, all);
  const ended = runComponents(components, stop.signal, logger);
  ended.catch(() => undefined); // awaited in stop()
  const read = createDockerodeEngine({ dockerUrl: fake.dockerUrl });
  const watching = watchSwarm(read, snapshots, stop.signal);
  let sequenceNumber = 0;
  return {
    board: extension,
    clock,
    findings: () => board.findings(),
    render(text, { networks = [], secrets = [], table = extension.settings.name } = {}) {
      sequenceNumber += 1;
      const revision = { digest: `r${sequenceNumber}`, sequence: sequenceNumber, versionIndex: sequenceNumber };
      const requirements: Requirements = {
        networks: networks.map((name) => ({ name, id: fake.swarm.api.network(name).Id })),
        secrets: secrets.flatMap((name) => parseSecretName(name) ?? []),
      };
      const artifact = createArtifact([{ path: '/etc/nginx/nginx.conf', mode: 0o444, bytes: Buffer.from(text) }]);
      board.extensions.get(table)?.rendered.set({ revision, artifact, requirements });
    },
    agents(make) {
      const tasks = fake.swarm.runningTasksOf(PROXY);
      const sessions =
        make === undefined
          ? []
          : tasks.map(
              ({ ID, NodeID = '' }): AgentSession => ({
                taskId: ID,
                nodeId: NodeID,
                artifactDigest: extension.rendered.get()?.artifact.digest,
                connectedAtMs: clock.now(),
                ...make(ID),
              }),
            );
      extension.agents.set({ sessions });
    },
    async pass(ms) {
      const steps = Math.min(8, Math.max(1, Math.ceil(ms / 1_000)));
      for (let step = 0; step < steps; step += 1) {
        await refreshed(read, snapshots);
        await clock.advance(ms / steps);
        await idle(fake);
      }
    },
    async stop() {
      stop.abort(new DOMException('stop', 'AbortError'));
      await Promise.allSettled([ended, watching]);
    },
  };
}

async function refreshed(engine: EngineApi, snapshots: ReturnType<typeof createCell<Snapshot>>): Promise<void> {
  const { signal } = new AbortController();
  const [services, tasks, nodes, networks, secrets] = await Promise.all([
    engine.listServices(signal),
    engine.listTasks(signal),
    engine.listNodes(signal),
    engine.listNetworks(signal),
    engine.listSecrets(signal),
  ]);
  snapshots.set(buildSnapshot({ services, tasks, nodes, networks, secrets }, Date.now()));
}

/** The observer's part, in real time: the fake Swarm lives in real time too. */
async function watchSwarm(
  engine: EngineApi,
  snapshots: ReturnType<typeof createCell<Snapshot>>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await refreshed(engine, snapshots).catch(() => undefined); // the engine is taken away in some tests
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Until core asks nothing but what this file asks, for a moment. */
async function idle(fake: FakeEngine): Promise<void> {
  const ofCore = () => fake.calls.filter(({ asked, query }) => !(asked.startsWith('GET ') && query === '')).length;
  const seen = { count: -1, at: 0 };
  await eventually(() => {
    if (seen.count !== ofCore()) {
      Object.assign(seen, { count: ofCore(), at: Date.now() });
    }
    return Date.now() - seen.at >= 25;
  });
}

export async function rolledOnto(world: World, text: string): Promise<void> {
  await eventually(() => world.mounted() === text && isSettled(world), { timeoutMs: 20_000 });
}

export function isSettled({ fake, spec }: World): boolean {
  const service = fake.swarm.service(PROXY);
  const running = fake.swarm.runningTasksOf(PROXY);
  const state = service.UpdateStatus?.State ?? 'completed';
  return (
    state.endsWith('completed') &&
    running.length === (spec().Mode.Replicated?.Replicas ?? 1) &&
    running.every(
      ({ Spec }) => JSON.stringify(Spec.ContainerSpec) === JSON.stringify(spec().TaskTemplate.ContainerSpec),
    )
  );
}

export { LABELS, TYPES };
