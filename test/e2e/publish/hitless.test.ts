/**
 * The publish room against a real engine, with tasks that only sleep and agents that only seem to be there: what rolls, what is stored,
 * what the engine itself says to several secrets, to one that is removed while in use, and to files above its limits.
 */
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBoard, type ExtensionBoard } from '../../../src/core/board.ts';
import { createDockerodeEngine } from '../../../src/core/engine/dockerode-engine.ts';
import type { EngineApi } from '../../../src/core/engine/engine-api.ts';
import { LABELS } from '../../../src/core/publish/names.ts';
import { createPublisher } from '../../../src/core/publish/publisher.ts';
import { createArtifact } from '../../../src/model/artifact.ts';
import { type Finding, findingKey } from '../../../src/model/finding.ts';
import { parseSecretName } from '../../../src/model/names.ts';
import type { Snapshot } from '../../../src/model/snapshot.ts';
import { createCell } from '../../../src/runtime/cell.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { createLogger } from '../../../src/runtime/logging.ts';
import { runComponents } from '../../../src/runtime/supervisor.ts';
import { buildSnapshot } from '../../../src/snapshot/snapshot.ts';
import { type Swarm, startSwarm } from '../../support/bed.ts';
import { callEngine } from '../../support/engine-call.ts';
import { eventually } from '../../support/eventually.ts';
import { coreSettings } from '../../support/settings.ts';
import { buildTinyImage, TINY_COMMAND } from '../../support/tiny-image.ts';

const TOML = `
NetworkLinger = "1s"
[Extensions.default]
Image = "tiny:1"
ServiceName = "interlock-extension"
Args = ${JSON.stringify(TINY_COMMAND)}
ProxyImage = "tiny:1"
ProxyArgs = ${JSON.stringify(TINY_COMMAND)}
ProxyServiceName = "interlock-proxy"
ProxyReplicas = 1
PublishMode = "host"
ProxyStopGracePeriod = "1s"
`;

const { signal } = new AbortController();
let swarm: Swarm;
let engine: EngineApi;
let board: ExtensionBoard;
let findings: () => readonly Finding[];
const stop = new AbortController();
let ended: Promise<unknown> = Promise.resolve();

beforeAll(async () => {
  swarm = await startSwarm({ name: 'publish', nodes: 1 });
  const tiny = await buildTinyImage();
  await swarm.importImage(tiny.archive, 'tiny:1');
  await tiny.remove();
  engine = createDockerodeEngine({ dockerUrl: `unix://${swarm.managerSocket}` });
  const settings = coreSettings(TOML);
  const all = createBoard(settings.extensions, findingKey, { onNew: () => undefined, onGone: () => undefined });
  findings = () => all.findings();
  board = [...all.extensions.values()][0] as ExtensionBoard; // there is one
  const snapshots = createCell<Snapshot>();
  const home = { serviceId: undefined, stack: 'interlock', controlNetworkIds: [], endpoint: 'core:8080' };
  const logger = createLogger({ level: 'silent', component: 'core' }, { write: () => undefined });
  board.agents.set({ sessions: [] });
  const publisher = createPublisher({ engine, clock: systemClock, logger }, home, all, snapshots, settings);
  ended = Promise.allSettled([runComponents(publisher, stop.signal, logger), observe(snapshots)]);
}, 120_000);

afterAll(async () => {
  stop.abort(new DOMException('stop', 'AbortError'));
  await ended;
  await swarm.down();
}, 120_000);

/** The observer's part, and the agents': each task that runs has a session. */
async function observe(snapshots: ReturnType<typeof createCell<Snapshot>>): Promise<void> {
  while (!stop.signal.aborted) {
    const [services, tasks, nodes, networks, secrets] = await Promise.all([
      engine.listServices(signal),
      engine.listTasks(signal),
      engine.listNodes(signal),
      engine.listNetworks(signal),
      engine.listSecrets(signal),
    ]);
    const proxy = services.find(({ name }) => name === 'interlock-proxy')?.id;
    const running = tasks.filter(({ serviceId, state }) => serviceId === proxy && state === 'running');
    board.agents.set({
      sessions: running.map(({ id, nodeId = '' }) => ({
        taskId: id,
        nodeId,
        artifactDigest: board.rendered.get()?.artifact.digest,
        connectedAtMs: 0,
      })),
    });
    snapshots.set(buildSnapshot({ services, tasks, nodes, networks, secrets }, Date.now()));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const rendered = { count: 0 };

function render(text: string, networks: readonly { id: string; name: string }[] = [], secrets: readonly string[] = []) {
  rendered.count += 1;
  board.rendered.set({
    revision: { digest: `r${rendered.count}`, sequence: rendered.count, versionIndex: 1 },
    artifact: createArtifact([{ path: '/etc/nginx/nginx.conf', mode: 0o444, bytes: Buffer.from(text) }]),
    requirements: { networks, secrets: secrets.flatMap((name) => parseSecretName(name) ?? []) },
  });
}

const proxy = () => engine.inspectService('interlock-proxy', signal);

const proxyTasks = async () => {
  const service = await proxy();
  const tasks = await engine.listTasks(signal, { serviceIds: service === undefined ? [] : [service.id] });
  return tasks.map(({ id }) => id).sort();
};

const storedTexts = async () => {
  const configs = await engine.listConfigs([LABELS.digest], signal);
  return Promise.all(configs.map(async ({ id }) => Buffer.from((await engine.readConfig(id, signal)) ?? [])));
};

const attached = async () => {
  const template = (await proxy())?.spec['TaskTemplate'] as {
    readonly Networks?: readonly { readonly Target: string }[];
    readonly ContainerSpec: { readonly Secrets?: readonly { readonly SecretName: string }[] };
  };
  return {
    networks: (template.Networks ?? []).map(({ Target }) => Target),
    secrets: (template.ContainerSpec.Secrets ?? []).map(({ SecretName }) => SecretName),
  };
};

const settled = () =>
  eventually(
    async () => {
      const service = await proxy();
      const state = board.delivery.get();
      return (
        service !== undefined &&
        (service.updateState === 'none' || service.updateState === 'completed') &&
        state?.rolling === false &&
        state.pending.networks.length + state.pending.secrets.length === 0 &&
        (board.agents.get()?.sessions.length ?? 0) === 1
      );
    },
    { timeoutMs: 60_000, everyMs: 200 },
  );

async function api(
  method: string,
  path: string,
  body?: unknown,
): Promise<{ readonly Id?: string; readonly ID?: string }> {
  const answer = await callEngine(`unix://${swarm.managerSocket}`, method, path, body);
  if (answer.status >= 400) {
    throw new Error(JSON.stringify(answer.body));
  }
  return answer.body ?? {};
}

describe('hitless delivery on a real engine', () => {
  it('waits for the tokens, then starts with both attached', async () => {
    render('one');
    const secret = async (name: string) => ({
      name,
      id: (await api('POST', '/secrets/create', { Name: name, Data: 'dG9rZW4=' })).ID ?? '',
    });
    const [extension, ofProxy] = [await secret('token.e'), await secret('token.p')];
    expect(await proxy()).toBeUndefined();
    board.tokens.set({ extension, proxy: ofProxy });
    await eventually(async () => (await proxy()) !== undefined);
    await settled();
    expect((await attached()).secrets).toEqual(['token.p']);
  }, 120_000);

  it('a label change makes no new task; the config is stored after quiet', async () => {
    const [tasks, version] = [await proxyTasks(), (await proxy())?.version];
    render('two');
    await eventually(async () => (await storedTexts()).some((text) => text.toString() === 'two'), {
      timeoutMs: 20_000,
      everyMs: 250,
    });
    expect(await proxyTasks()).toEqual(tasks);
    expect((await proxy())?.version).toBe(version);
  }, 60_000);

  it('new networks and secrets that come together are one roll; a secret in use cannot be removed', async () => {
    const before = await proxyTasks();
    const network = async (name: string) => ({
      name,
      id: (await api('POST', '/networks/create', { Name: name, Driver: 'overlay' })).Id ?? '',
    });
    const [a, b] = [await network('a'), await network('b')];
    render('a', [a], ['cert', 'chain']);
    await api('POST', '/secrets/create', { Name: 'cert', Data: 'Y2VydA==' });
    await api('POST', '/secrets/create', { Name: 'chain', Data: 'Y2hhaW4=' });
    render('a and b', [a, b], ['cert', 'chain']);
    await eventually(async () => (await attached()).networks.length === 2, { timeoutMs: 20_000 });
    await settled();
    expect((await attached()).secrets).toEqual(['token.p', 'cert', 'chain']);
    expect((await proxyTasks()).filter((id) => !before.includes(id))).toHaveLength(1);
    await expect(api('DELETE', '/secrets/cert')).rejects.toThrow('in use');
  }, 120_000);

  it('what nobody needs is left after NetworkLinger, and can be removed then', async () => {
    render('none again');
    await eventually(async () => (await attached()).networks.length === 0, { timeoutMs: 30_000, everyMs: 200 });
    await settled();
    await eventually(() => api('DELETE', '/networks/a'), { timeoutMs: 30_000, everyMs: 500 });
    await api('DELETE', '/secrets/cert');
  }, 120_000);

  it.each([
    ['6 MB', 6_000_000], // above what gRPC lets through to Swarm's own check
    ['1,5 MB', 1_500_000],
  ])(
    'a file of %s is packed',
    async (_, bytes) => {
      const text = `# ${bytes}\n`.padEnd(bytes, 'server {}\n');
      render(text);
      await eventually(
        async () => (await storedTexts()).some((data) => data[0] === 0x1f && gunzipSync(data).toString() === text),
        { timeoutMs: 50_000, everyMs: 500 },
      );
      expect(findings()).toEqual([]);
    },
    90_000,
  );
});
