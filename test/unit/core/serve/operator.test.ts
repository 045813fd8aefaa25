import { describe, expect, it } from 'vitest';
import { createBoard } from '../../../../src/core/board.ts';
import type { ClusterSessions } from '../../../../src/core/serve/handlers.ts';
import { routesReport } from '../../../../src/core/serve/operator/routes.ts';
import { servicesReport } from '../../../../src/core/serve/operator/services.ts';
import { statusReport } from '../../../../src/core/serve/operator/status.ts';
import { buildModels } from '../../../../src/model/build.ts';
import { createFinding, type Finding, findingKey } from '../../../../src/model/finding.ts';
import { digestModel } from '../../../../src/model/revision.ts';
import type { Snapshot } from '../../../../src/model/snapshot.ts';
import { createCell } from '../../../../src/runtime/cell.ts';
import { OperationalError } from '../../../../src/runtime/errors.ts';
import { definitionOf } from '../../../../src/settings/cluster-definition.ts';
import { refusalReason } from '../../../../src/wire/errors.ts';
import { extensionSettings } from '../../../support/settings.ts';
import { intent, network, node, service, snapshot, task } from '../../../support/snapshots.ts';

const { signal } = new AbortController();
const HOSTS = { 'com.docker.lb.hosts': 'demo.local', 'com.docker.lb.port': '8080' };

function cellOf(value?: Snapshot) {
  return createCell<Snapshot>(value);
}

const cluster: ClusterSessions = {
  extension: 'default',
  serviceCluster: '',
  extensionService: 'interlock-extension',
  proxyService: 'interlock-proxy',
  published: undefined,
  rendered: undefined,
  renderedAtMs: undefined,
  artifactDigest: undefined,
  proxyConfig: undefined,
  refusedReason: undefined,
  extensionConnected: true,
  delivery: undefined,
  pinned: undefined,
  sessions: [
    { taskId: 'p1', nodeId: 'node1', artifactDigest: 'a'.repeat(64), appliedAtMs: 5, refused: undefined },
    { taskId: 'gone', nodeId: 'node9', artifactDigest: undefined, appliedAtMs: undefined, refused: undefined },
  ],
};

describe('status', () => {
  const ask = (value?: Snapshot, findings: readonly Finding[] = []) =>
    statusReport({
      board: { findings: () => findings },
      handlers: { clusters: () => [cluster] },
      facts: { version: '1', epoch: 'e', taskFeed: () => ({ kind: 'poll', reason: '' }) },
      snapshots: cellOf(value),
      clock: { now: () => 100 },
      startedAtMs: 1,
    });

  it('names every proxy task with its node: those with a session, those that Swarm wants, and no others', () => {
    const proxy = service({ id: 'proxy', name: 'interlock-proxy', mode: { kind: 'replicated', replicas: 2 } });
    const tasks = [
      task({ id: 'p1', serviceId: 'proxy' }),
      task({ id: 'p2', serviceId: 'proxy', nodeId: 'node2', state: 'preparing' }),
      task({ id: 'p0', serviceId: 'proxy', state: 'shutdown', desiredState: 'shutdown' }),
      task({ id: 'other' }),
    ];
    const nodes = [node(), node({ id: 'node2', hostname: 'n2' })];
    const { clusters } = ask(snapshot({ services: [proxy, service()], tasks, nodes }));

    expect(clusters[0]?.proxies).toMatchObject([
      { taskId: 'gone', node: '', state: '', connected: true },
      { taskId: 'p1', node: 'n1', state: 'running', connected: true, artifactDigest: 'a'.repeat(64) },
      { taskId: 'p2', node: 'n2', state: 'preparing', connected: false, artifactDigest: undefined },
    ]);
  });

  it('tells nothing of tasks of a service that somebody else made under our name', () => {
    const theirs = service({ id: 'theirs', name: 'interlock-proxy' });
    const all = snapshot({ services: [theirs], tasks: [task({ id: 'p2', serviceId: 'theirs' })] });
    const idsWith = (service: string) =>
      ask(all, [createFinding('PUBLISH.NAME_TAKEN', 'taken', { service })]).clusters[0]?.proxies.map(
        ({ taskId }) => taskId,
      );
    expect(idsWith('interlock-proxy')).toEqual(['gone', 'p1']);
    expect(idsWith('interlock-extension')).toContain('p2');
  });

  it('names services that are on the move, with how many tasks run', () => {
    const moving = service({ id: 'm', name: 'moving', mode: { kind: 'replicated', replicas: 3 } });
    const tasks = [
      task({ serviceId: 'm' }),
      task({ id: 'x', serviceId: 'm', state: 'failed', desiredState: 'shutdown' }),
    ];

    expect(ask(snapshot({ services: [moving], tasks })).moving).toEqual([
      { service: 'moving', wanted: 3, running: 1, updateState: 'none' },
    ]);
  });

  it('has an answer before the first picture of Swarm', () => {
    const { observedAtMs, moving, clusters } = ask();
    expect({ observedAtMs, moving, tasks: clusters[0]?.proxies.length }).toEqual({
      observedAtMs: undefined,
      moving: [],
      tasks: 2,
    });
  });
});

describe('routes', () => {
  const settings = extensionSettings();
  const board = createBoard([settings], findingKey, { onNew: () => undefined, onGone: () => undefined });
  const parts = {
    board,
    facts: { epoch: 'e' },
    snapshots: cellOf(snapshot({ nodes: [node(), node({ id: 'unused' })] })),
  };

  it('of a cluster without a model are left out', () => {
    expect(routesReport(parts, { serviceCluster: undefined })).toEqual({ clusters: [], nodes: [] });
  });

  it('come with the nodes that endpoints run on, of one cluster or of all', () => {
    const { models } = buildModels(
      snapshot({ services: [service()], tasks: [task()] }),
      [intent()],
      [definitionOf(settings)],
    );
    const [model] = models;
    if (model === undefined) {
      throw new Error('no model');
    }
    board.extensions
      .get('default')
      ?.model.set({ revision: { digest: digestModel(model), sequence: 1, versionIndex: 1 }, model });

    expect(routesReport(parts, { serviceCluster: '' })).toMatchObject({
      clusters: [{ revision: { epoch: 'e', sequence: 1 }, model: { hosts: [{ host: 'demo.local' }] } }],
      nodes: [{ id: 'node1', hostname: 'n1', state: 'ready' }],
    });
    expect(routesReport(parts, { serviceCluster: 'other' }).clusters).toEqual([]);
  });
});

describe('services', () => {
  const services = [
    service({ id: 's1', name: 'shop_web', labels: HOSTS }),
    service({ id: 's2', name: 'blog_web', labels: { 'com.docker.lb.hosts': 'x' } }),
    service({ id: 's3', name: 'plain' }),
    service({
      id: 's4',
      name: 'lost',
      containerLabels: { 'com.docker.lb.hosts': 'Demo.Local' },
      networkIds: ['in', 'net1'],
    }),
  ];
  const tasks = [
    task({ id: 'old', serviceId: 's1', state: 'rejected', desiredState: 'shutdown' }),
    task({ id: 'new', serviceId: 's1', updatedAt: '2026-02-01T00:00:00Z' }),
  ];
  const picture = snapshot({
    services,
    tasks,
    networks: [network(), network({ id: 'in', name: 'ingress', ingress: true })],
  });
  const fates = [
    { id: 'old', updatedAt: '', containerLabels: {}, state: 'rejected', desiredState: 'shutdown', error: 'no image' },
  ];
  const ask = (names: readonly string[], mentions = '', listTaskFates = () => Promise.resolve(fates)) =>
    servicesReport({ snapshots: cellOf(picture), engine: { listTaskFates } }, { names, mentions }, signal);

  it('are told with labels, networks, and tasks newest first with why they ended', async () => {
    expect((await ask(['shop_web'])).services).toMatchObject([
      {
        name: 'shop_web',
        reading: 'routed',
        hosts: ['demo.local'],
        labels: HOSTS,
        wanted: 1,
        networks: ['app'],
        tasks: [
          { id: 'new', node: 'n1', error: undefined },
          { id: 'old', state: 'rejected', error: 'no image' },
        ],
      },
    ]);
  });

  it.each([
    ['its id', ['s3'], '', ['plain']],
    ['its name without the stack, which several may have', ['web'], '', ['blog_web', 'shop_web']],
    ['a text in its labels, in any case, those of the containers too', [], 'demo.local', ['lost', 'shop_web']],
    ['nothing', [], '', []],
    ['an empty name', [''], '', []],
  ])('are found by %s', async (_what, names, mentions, found) => {
    expect((await ask(names, mentions)).services.map(({ name }) => name)).toEqual(found);
  });

  it('that are not there come as names that are alike', async () => {
    expect(await ask(['shop_wbe'])).toEqual({ services: [], similar: ['shop_web'] });
    expect((await ask(['WEB'])).similar).toEqual(['blog_web', 'shop_web']);
  });

  it('are told without reasons while the engine cannot be asked', async () => {
    const { services: found } = await ask(['shop_web'], '', () =>
      Promise.reject(new OperationalError('ENGINE.UNREACHABLE', 'gone')),
    );
    expect(found[0]?.tasks.map(({ error }) => error)).toEqual([undefined, undefined]);
  });

  it('are bounded, whatever somebody labels', async () => {
    const labels = Object.fromEntries(
      Array.from({ length: 2_000 }, (_, at) => [`com.docker.lb.${at}`, 'x'.repeat(5_000)]),
    );
    const many = Array.from({ length: 100 }, (_, at) => service({ id: `m${at}`, name: `m${at}`, labels }));
    const report = await servicesReport(
      { snapshots: cellOf(snapshot({ services: many })), engine: { listTaskFates: () => Promise.resolve([]) } },
      { names: many.map(({ name }) => name), mentions: 'x' },
      signal,
    );
    expect(report.services).toHaveLength(20);
    expect(Math.max(...report.services.flatMap((one) => Object.values(one.labels).map((value) => value.length)))).toBe(
      1_024,
    );
    expect(Object.keys(report.services[0]?.labels ?? {})).toHaveLength(500);
  });

  it('cannot be told before the first picture of Swarm', async () => {
    const asked = servicesReport(
      { snapshots: cellOf(), engine: { listTaskFates: () => Promise.resolve([]) } },
      { names: ['x'], mentions: '' },
      signal,
    );
    expect(refusalReason(await asked.catch((error: unknown) => error))).toBe('precondition');
  });
});
