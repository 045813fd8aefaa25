/** What `interlock doctor` makes of facts: a healthy Swarm first, then one fault at a time. */
import { describe, expect, it } from 'vitest';
import { type DoctorFacts, diagnose } from '../../../../src/core/serve/operator/doctor-checks.ts';
import { createFinding } from '../../../../src/model/finding.ts';
import type { ServiceCare } from '../../../../src/snapshot/service-care.ts';
import { parseServiceCare } from '../../../../src/snapshot/service-care.ts';
import type { ClusterStatus, DeliveryStatus, ProxyStatus, StatusReport } from '../../../../src/wire/status-report.ts';
import { node, service, snapshot, task } from '../../../support/snapshots.ts';

const NEWEST = 'a'.repeat(64);
const OLDER = 'b'.repeat(64);

const PROXY: ProxyStatus = {
  taskId: 'p1',
  nodeId: 'node1',
  node: 'n1',
  state: 'running',
  desiredState: 'running',
  connected: true,
  artifactDigest: NEWEST,
  appliedAtMs: 1,
  refused: undefined,
};

const DELIVERY: DeliveryStatus = {
  mode: 'hitless',
  fallback: undefined,
  pendingNetworks: [],
  pendingSecrets: [],
  rolling: false,
  storedConfig: 'c',
};

const CLUSTER: ClusterStatus = {
  extension: 'default',
  serviceCluster: '',
  extensionService: 'interlock-extension',
  proxyService: 'interlock-proxy',
  published: undefined,
  rendered: undefined,
  renderedAtMs: 1,
  artifactDigest: NEWEST,
  proxyConfig: 'c',
  refusedReason: undefined,
  extensionConnected: true,
  delivery: DELIVERY,
  pinned: undefined,
  proxies: [PROXY],
};

const STATUS: StatusReport = {
  version: '1',
  epoch: 'e',
  nowMs: 2,
  startedAtMs: 1,
  observedAtMs: 2,
  taskFeed: { kind: 'watch', reason: '' },
  clusters: [CLUSTER],
  moving: [],
  findings: [],
};

const CARE: ServiceCare = { healthcheck: 'set', updateOrder: 'start-first', updateParallelism: 1, stopGraceMs: 10_000 };
const APP = service({ id: 'app', name: 'app' });
const PROXIES = service({
  id: 'prx',
  name: 'interlock-proxy',
  ports: [{ protocol: 'tcp', mode: 'host', targetPort: 80, publishedPort: 80 }],
});
const MANAGERS = [1, 2, 3].map((at) => node({ id: `m${at}`, hostname: `m${at}` }));

const HEALTHY: DoctorFacts = {
  engine: {
    ok: true,
    value: {
      engineVersion: '28.5.1',
      apiVersion: '1.51',
      nodeId: 'm1',
      swarm: 'active',
      isManager: true,
      trustRoot: undefined,
    },
  },
  status: STATUS,
  snapshot: snapshot({ services: [APP, PROXIES], nodes: MANAGERS, tasks: [task({ serviceId: 'app' })] }),
  routed: [{ service: APP, care: CARE }],
  proxies: [{ extension: 'default', wanted: 1, service: PROXIES, fates: { ok: true, value: [] } }],
  configs: { ok: true, value: [] },
};

const cluster = (parts: Partial<ClusterStatus>) => ({ status: { ...STATUS, clusters: [{ ...CLUSTER, ...parts }] } });
const nodes = (list: typeof MANAGERS) => ({
  snapshot: snapshot({ services: [APP], nodes: list, tasks: [task({ serviceId: 'app' })] }),
});
const app = (care: Partial<ServiceCare> | undefined, parts: Parameters<typeof service>[0] = {}) => ({
  routed: [{ service: { ...APP, ...parts }, care: care === undefined ? undefined : { ...CARE, ...care } }],
});
const fate = (error: string) => ({
  id: 't',
  updatedAt: '1',
  containerLabels: {},
  state: 'rejected',
  desiredState: 'shutdown',
  error,
});
const unanswered = { ok: false, words: 'refused' } as const;
const configs = (count: number) => ({
  configs: {
    ok: true,
    value: Array.from({ length: count }, (_, at) => ({
      id: `${at}`,
      name: `c${at}`,
      version: 1,
      labels: {},
      createdAt: `${at}`,
    })),
  } as const,
});

describe('of a healthy Swarm', () => {
  it('every check is ok and has nothing to do', () => {
    const checks = diagnose(HEALTHY);
    expect(
      checks.filter(({ verdict, todo, about }) => verdict !== 'ok' || todo !== undefined || about.length > 0),
    ).toEqual([]);
    expect(new Set(checks.map(({ id }) => id)).size).toBe(checks.length);
  });
});

describe('of one fault at a time', () => {
  it.each<[string, Partial<DoctorFacts>, string, string, readonly string[]]>([
    ['an engine that does not answer', { engine: unanswered }, 'engine.version', 'bad', []],
    ['no picture yet', { snapshot: undefined }, 'swarm', 'unknown', []],
    [
      'a worker',
      {
        engine: {
          ok: true,
          value: { ...(HEALTHY.engine.ok ? HEALTHY.engine.value : ({} as never)), isManager: false },
        },
      },
      'swarm.manager',
      'bad',
      [],
    ],
    [
      'no quorum',
      nodes([...MANAGERS.slice(0, 1), node({ hostname: 'm2', state: 'down' })]),
      'swarm.quorum',
      'bad',
      ['m2'],
    ],
    ['a manager away', nodes([...MANAGERS, node({ hostname: 'm4', state: 'down' })]), 'swarm.quorum', 'warn', ['m4']],
    ['an even number of managers', nodes(MANAGERS.slice(0, 2)), 'swarm.quorum', 'warn', []],
    [
      'a worker away',
      nodes([...MANAGERS, node({ hostname: 'w1', role: 'worker', state: 'disconnected' })]),
      'swarm.nodes',
      'warn',
      ['w1'],
    ],
    ['polling', { status: { ...STATUS, taskFeed: { kind: 'poll', reason: 'no control socket' } } }, 'feed', 'warn', []],
    ['an extension away', cluster({ extensionConnected: false }), 'extensions', 'bad', ['interlock-extension']],
    ['no proxy', cluster({ proxies: [] }), 'proxies.running', 'bad', ['interlock-proxy']],
    [
      'a proxy less',
      { proxies: [{ ...HEALTHY.proxies[0], wanted: 2 } as never] },
      'proxies.running',
      'warn',
      ['interlock-proxy'],
    ],
    [
      'a file that NGINX refuses',
      cluster({ proxies: [{ ...PROXY, artifactDigest: OLDER, refused: { artifactDigest: NEWEST, reason: 'emerg' } }] }),
      'proxies.delivery',
      'bad',
      ['n1 (p1)'],
    ],
    [
      'a proxy that is behind',
      cluster({ proxies: [{ ...PROXY, artifactDigest: OLDER }] }),
      'proxies.delivery',
      'warn',
      ['n1 (p1)'],
    ],
    [
      'a fall-back',
      cluster({ delivery: { ...DELIVERY, mode: 'classic', fallback: 'no agent' } }),
      'proxies.delivery',
      'warn',
      ['interlock-proxy'],
    ],
    [
      'a network to come',
      cluster({ delivery: { ...DELIVERY, pendingNetworks: ['front'] } }),
      'proxies.networks',
      'warn',
      ['front'],
    ],
    [
      'a port that is taken',
      {
        ...cluster({ proxies: [] }),
        proxies: [
          {
            extension: 'default',
            wanted: 1,
            service: PROXIES,
            fates: { ok: true, value: [fate('host-mode port already in use on 1 node')] },
          },
        ],
      },
      'proxies.ports',
      'bad',
      ['interlock-proxy'],
    ],
    [
      'fates that are not told',
      { proxies: [{ extension: 'default', wanted: 1, service: PROXIES, fates: unanswered }] },
      'proxies.ports',
      'unknown',
      [],
    ],
    [
      'a constraint that nobody meets',
      {
        status: {
          ...STATUS,
          findings: [createFinding('PUBLISH.CONSTRAINT_UNMATCHED', 'x', { value: 'node.labels.lb==true' })],
        },
      },
      'proxies.placement',
      'bad',
      ['node.labels.lb==true'],
    ],
    [
      'ingress mode',
      {
        proxies: [
          {
            extension: 'default',
            wanted: 1,
            fates: { ok: true, value: [] },
            service: { ...PROXIES, ports: [{ protocol: 'tcp', mode: 'ingress', targetPort: 80, publishedPort: 80 }] },
          },
        ],
      },
      'clients.address',
      'warn',
      ['interlock-proxy'],
    ],
    [
      'a service without tasks',
      {
        snapshot: snapshot({
          services: [APP],
          nodes: MANAGERS,
          tasks: [task({ serviceId: 'app', state: 'starting' })],
        }),
      },
      'services.running',
      'warn',
      ['app'],
    ],
    ['a health check switched off', app({ healthcheck: 'off' }), 'services.healthcheck', 'warn', ['app']],
    ["a health check that is the image's", app({ healthcheck: 'image' }), 'services.healthcheck', 'unknown', ['app']],
    ['a spec that was not told', app(undefined), 'services.healthcheck', 'unknown', ['app']],
    ['an update that stops the only task', app({ updateOrder: 'stop-first' }), 'services.update', 'warn', ['app']],
    [
      'an update that stops all tasks',
      app({ updateOrder: 'stop-first', updateParallelism: 0 }, { mode: { kind: 'replicated', replicas: 5 } }),
      'services.update',
      'warn',
      ['app'],
    ],
    ['a quick kill', app({ stopGraceMs: 1_000 }), 'services.stop', 'warn', ['app']],
    ['configs that pile up', configs(15), 'configs', 'warn', Array.from({ length: 15 }, (_, at) => `c${at}`).sort()],
    ['configs that are not listed', { configs: unanswered }, 'configs', 'unknown', []],
    [
      'an error in labels',
      { status: { ...STATUS, findings: [createFinding('LABEL.PORT_INVALID', 'x', { service: 'web' })] } },
      'findings',
      'bad',
      ['web'],
    ],
    [
      'a warning in labels',
      { status: { ...STATUS, findings: [createFinding('LABEL.UNKNOWN', 'x', { service: 'web' })] } },
      'findings',
      'warn',
      ['web'],
    ],
  ])('%s', (_, facts, id, verdict, about) => {
    const found = diagnose({ ...HEALTHY, ...facts }).find((check) => check.id === id);
    expect({ verdict: found?.verdict, about: [...(found?.about ?? [])].sort() }).toEqual({ verdict, about });
    expect(verdict === 'unknown' || found?.todo !== undefined).toBe(true);
  });

  it.each<[string, Partial<DoctorFacts>, string]>([
    [
      'polling that is asked for',
      { status: { ...STATUS, taskFeed: { kind: 'poll', reason: 'TaskFeed = "poll" in config.toml' } } },
      'feed',
    ],
    [
      'stop-first with others that stay',
      app({ updateOrder: 'stop-first' }, { mode: { kind: 'replicated', replicas: 2 } }),
      'services.update',
    ],
    [
      'stop-first of a service scaled to zero',
      app({ updateOrder: 'stop-first' }, { mode: { kind: 'replicated', replicas: 0 } }),
      'services.update',
    ],
    [
      'an old port clash that is over',
      {
        proxies: [
          {
            extension: 'default',
            wanted: 1,
            service: PROXIES,
            fates: { ok: true, value: [fate('port already in use')] },
          },
        ],
      },
      'proxies.ports',
    ],
    [
      'a classic cluster',
      cluster({
        delivery: { ...DELIVERY, mode: 'classic' },
        proxies: [{ ...PROXY, connected: false, artifactDigest: undefined }],
      }),
      'proxies.delivery',
    ],
  ])('%s is none', (_, facts, id) => {
    expect(diagnose({ ...HEALTHY, ...facts }).find((check) => check.id === id)).toMatchObject({ verdict: 'ok' });
  });
});

describe('how a service is run', () => {
  it.each<[unknown, Partial<ServiceCare>]>([
    [{}, { healthcheck: 'image', updateOrder: 'stop-first', updateParallelism: 1, stopGraceMs: 10_000 }],
    [
      { TaskTemplate: { ContainerSpec: { Healthcheck: { Test: ['NONE'] }, StopGracePeriod: 500_000_000 } } },
      { healthcheck: 'off', stopGraceMs: 500 },
    ],
    [
      {
        TaskTemplate: { ContainerSpec: { Healthcheck: { Test: ['CMD', 'x'] } } },
        UpdateConfig: { Order: 'start-first' },
      },
      { healthcheck: 'set', updateOrder: 'start-first', updateParallelism: 0 },
    ],
    [
      { TaskTemplate: { ContainerSpec: { Healthcheck: { Interval: 1 } } }, UpdateConfig: { Parallelism: 3 } },
      { healthcheck: 'image', updateParallelism: 3 },
    ],
    [{ TaskTemplate: null, UpdateConfig: null }, { healthcheck: 'image' }],
  ])('%j', (spec, care) => {
    expect(parseServiceCare(spec)).toMatchObject(care);
  });
});
