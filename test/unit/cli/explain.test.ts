import { describe, expect, it } from 'vitest';
import { explainService } from '../../../src/cli/explain/service.ts';
import { taskStep } from '../../../src/cli/explain/tasks.ts';
import { explainUrl, servicesBehind, type UrlExplanation } from '../../../src/cli/explain/url.ts';
import { parseRequest } from '../../../src/model/answer.ts';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import { createFinding, type Finding } from '../../../src/model/finding.ts';
import { parseSecretName, type SecretName } from '../../../src/model/names.ts';
import type { ClusterStatus, StatusReport } from '../../../src/wire/status-report.ts';
import type { ServiceView, TaskView } from '../../../src/wire/swarm-view.ts';
import { endpoint, model } from '../../support/render-models.ts';
import { revisionOf, SAMPLE_STATUS } from '../../support/wire.ts';

const EMPTY = model({});
const [CERTIFICATE, AUTHORITY] = ['cert', 'ca'].map(parseSecretName) as [SecretName, SecretName];

function clusterOf(cluster: ClusterModel, part: Partial<ClusterStatus> = {}): ClusterStatus {
  return {
    extension: cluster.header.extension,
    serviceCluster: cluster.header.serviceCluster,
    extensionService: 'extension',
    proxyService: 'proxy',
    published: revisionOf(cluster, 1),
    rendered: revisionOf(cluster, 1),
    renderedAtMs: 1,
    artifactDigest: 'a'.repeat(64),
    proxyConfig: undefined,
    refusedReason: undefined,
    extensionConnected: true,
    delivery: undefined,
    pinned: undefined,
    proxies: [
      {
        taskId: 't1',
        nodeId: 'node-1',
        node: 'n1',
        state: 'running',
        desiredState: 'running',
        connected: true,
        artifactDigest: 'a'.repeat(64),
        appliedAtMs: 1,
        refused: undefined,
      },
    ],
    ...part,
  };
}

const task: TaskView = {
  id: 'task1',
  nodeId: 'node-1',
  node: 'n1',
  state: 'running',
  desiredState: 'running',
  error: undefined,
  updatedAt: '2026-11-21T06:00:00.000000000Z',
};
const view: ServiceView = {
  id: 's1',
  name: 'app',
  labels: { 'com.docker.lb.hosts': 'web.test', 'com.docker.lb.port': '8080' },
  containerLabels: {},
  reading: 'routed',
  serviceCluster: '',
  hosts: ['web.test'],
  wanted: 1,
  updateState: 'none',
  networks: ['apps'],
  tasks: [task],
};
const WEB = model({ 'web.test': { '/': [endpoint('10.0.0.3', 8080)], '/none': [] } });
const PROD = model(
  { 'prod.test': { '/': [endpoint('10.0.1.3', 8080)] } },
  { serviceCluster: 'prod', extension: 'prod', published: { http: 9090 as never, tls: undefined } },
);

interface Scene {
  readonly models?: readonly ClusterModel[];
  readonly cluster?: string;
  readonly part?: Partial<ClusterStatus>;
  readonly findings?: readonly Finding[];
  readonly services?: readonly ServiceView[];
}

function explain(url: string, { models = [WEB], cluster, part, findings = [], services = [view] }: Scene = {}) {
  const request = parseRequest(url);
  if (request === undefined) {
    throw new Error(`no request: ${url}`);
  }
  const status: StatusReport = { ...SAMPLE_STATUS, clusters: models.map((each) => clusterOf(each, part)), findings };
  const routes = { clusters: models.map((each) => ({ revision: revisionOf(each, 1), model: each })), nodes: [] };
  return explainUrl({ url, request, cluster, status, routes, services: { services, similar: [] } });
}

function badOf({ steps }: Pick<UrlExplanation, 'steps'>): readonly string[] {
  return steps.filter(({ state }) => state === 'bad').map(({ text }) => text);
}

describe('a URL', () => {
  it.each([
    ['http://web.test:8080/x?y', { host: 'web.test', port: 8080, path: '/x?y' }],
    ['HTTP://WEB.test.', { scheme: 'http', host: 'web.test', port: undefined, path: '/' }],
    ['https://web.test/a/../b#c', { scheme: 'https', path: '/a/../b' }],
    ['http://b\u00fccher.test/', { host: 'xn--bcher-kva.test' }],
    ['http://web.test?q', { path: '/?q' }],
  ])('%s is read as a request', (url, expected) => {
    expect(parseRequest(url)).toMatchObject(expected);
  });

  it.each(['web.test', 'ftp://web.test/', 'http://', 'http://user@web.test/', 'http://[::', 'http://a b/', ''])(
    '"%s" is none',
    (url) => {
      expect(parseRequest(url)).toBeUndefined();
    },
  );

  it('that a service answers', () => {
    expect(explain('http://web.test:8080/')).toMatchObject({
      verdict: 'served',
      summary: 'app answers, from 1 endpoint through 1 proxy',
      serviceCluster: '',
      path: '/',
      endpoints: [{ address: '10.0.0.3', node: 'node-1' }],
    });
  });

  it.each([
    [{ proxies: [] }, ['no task of proxy runs, so there is no proxy']],
    [{ extensionConnected: false, rendered: undefined }, [/extension of \[Extensions.default\] is not connected/]],
    [{ refusedReason: 'emerg' }, [/refused the newest revision.*emerg/]],
    [
      {
        delivery: {
          mode: 'hitless',
          fallback: undefined,
          pendingNetworks: ['apps'],
          pendingSecrets: [],
          rolling: true,
          storedConfig: undefined,
        },
      },
      [/not on the network apps yet/],
    ],
  ] as const)('that a service would answer, and the proxies cannot: %j', (part, expected) => {
    const explanation = explain('http://web.test/', { part });

    expect(explanation.verdict).toBe('not-served');
    expect(badOf(explanation)).toEqual(
      expected.map((text) => (typeof text === 'string' ? text : (expect.stringMatching(text) as unknown))),
    );
  });

  it('of a route without endpoints says how the tasks fare', () => {
    const rejected = { ...task, state: 'rejected', error: 'No such image: nope' };
    const explanation = explain('http://web.test/none', { services: [{ ...view, tasks: [rejected] }] });

    expect(explanation).toMatchObject({ verdict: 'not-served', status: 503 });
    expect(badOf(explanation)[1]).toBe('app: 0 of 1 tasks run; the newest is rejected on n1: No such image: nope');
  });

  it('of an unknown host names services that mean it, and hosts that are alike', () => {
    const onContainer = {
      ...view,
      name: 'lost',
      reading: 'none' as const,
      hosts: [],
      containerLabels: { x: 'wep.test' },
    };
    const { steps, status } = explain('http://wep.test/', { services: [onContainer] });

    expect(status).toBe(503);
    expect(steps.map(({ text }) => text)).toEqual(
      expect.arrayContaining([
        'no service claims the host wep.test here: 503',
        "the service lost mentions wep.test in its containers' labels, which are not read",
        'there is a host web.test: did you mean that?',
      ]) as unknown,
    );
  });

  it('is asked of the cluster that has the host, or that publishes the port', () => {
    const models = [WEB, PROD];
    expect(explain('http://prod.test/', { models })).toMatchObject({ serviceCluster: 'prod', verdict: 'served' });
    expect(explain('http://web.test:9090/', { models })).toMatchObject({ serviceCluster: 'prod', status: 503 });
    const wrong = explain('http://prod.test/', { models, cluster: '' });
    expect(badOf(wrong)[0]).toBe('the host belongs to the service cluster "prod", not to the default service cluster');
    expect(explain('http://web.test/', { cluster: 'nowhere' }).summary).toContain('known: ""');
  });

  it('of a service that NGINX refused is not served, whatever the model says', () => {
    const findings = [createFinding('RENDER.SERVICE_LEFT_OUT', 'NGINX says no.', { service: 'app' })];
    expect(explain('http://web.test/', { findings })).toMatchObject({
      verdict: 'not-served',
      summary: "app is left out of the proxies' file: NGINX says no.",
      findings: [{ code: 'RENDER.SERVICE_LEFT_OUT' }],
    });
  });

  describe('with a secret that the proxies cannot use', () => {
    const { hosts, pools } = WEB;
    const models = [
      {
        ...WEB,
        hosts: hosts.map((host) => ({
          ...host,
          tls: {
            kind: 'terminate' as const,
            certificate: { secret: CERTIFICATE, path: '/x' },
            key: undefined,
            only: false,
          },
        })),
        pools: pools.map((pool) => ({
          ...pool,
          upstreamTls: { kind: 'on' as const, verify: { kind: 'required' as const, ca: AUTHORITY } },
        })),
      },
    ];

    it('is not served over https, and over plain HTTP it is', () => {
      const findings = [createFinding('SECRET.NOT_PEM', 'Store PEM.', { value: CERTIFICATE })];
      expect(explain('https://web.test/', { models, findings })).toMatchObject({
        verdict: 'not-served',
        summary: 'the secret cert cannot be used: the TLS handshake is refused',
        findings: [{ code: 'SECRET.NOT_PEM' }],
      });
      expect(explain('http://web.test/', { models, findings })).toMatchObject({
        verdict: 'served',
        findings: [{ code: 'SECRET.NOT_PEM' }],
      });
    });

    it('of the default backend: hosts that nobody claimed are not served over https', () => {
      const [{ hosts: own, ...web } = WEB] = models;
      const [tls] = own.map((host) => host.tls);
      const [pool] = web.pools;
      const header = { ...web.header, defaultPool: pool?.id, defaultTls: tls ?? web.header.defaultTls };
      const findings = [createFinding('SECRET.NOT_PEM', 'Store PEM.', { value: CERTIFICATE })];
      const facts = { models: [{ ...web, header, hosts: [] }], findings };
      expect(explain('https://nobody.test/', facts)).toMatchObject({
        verdict: 'not-served',
        summary: 'the secret cert cannot be used: the TLS handshake is refused',
        findings: [{ code: 'SECRET.NOT_PEM' }],
      });
      expect(explain('http://nobody.test/', facts).verdict).toBe('served');
    });

    it('that only warns is told of and served', () => {
      const findings = [createFinding('SECRET.EXPIRED', 'Renew it.', { value: CERTIFICATE })];
      const { verdict, findings: told } = explain('https://web.test/', { models, findings });
      expect([verdict, told.map(({ code }) => code)]).toEqual(['served', ['SECRET.EXPIRED']]);
    });

    it('that services are verified with answers 502', () => {
      const findings = [createFinding('SECRET.CA_UNUSABLE', 'Store PEM.', { value: AUTHORITY })];
      expect(explain('http://web.test/', { models, findings })).toMatchObject({
        verdict: 'not-served',
        summary: 'the CA in the secret ca cannot be used, so the service cannot be verified: 502',
      });
    });

    it('is named by its service too, which is served over plain HTTP', () => {
      const [cluster] = models;
      const findings = [createFinding('SECRET.KEY_MISMATCH', 'Store the right key.', { value: CERTIFICATE })];
      const { verdict, steps } = explainService({
        service: view,
        status: { ...SAMPLE_STATUS, clusters: models.map((each) => clusterOf(each)), findings },
        routes: {
          clusters: models.map((each) => ({ revision: revisionOf(each, 1), model: cluster ?? each })),
          nodes: [],
        },
      });
      expect(verdict).toBe('served');
      expect(steps).toContainEqual({
        state: 'note',
        text: 'the secret cert cannot be used: the TLS handshake is refused',
        advice: 'Store the right key.',
      });
    });
  });

  it('before core has any model', () => {
    expect(explain('http://web.test/', { models: [] })).toMatchObject({
      verdict: 'not-served',
      summary: 'core has no model yet',
    });
  });

  it('names the services that have to be looked at', () => {
    const request = parseRequest('http://web.test/');
    const routes = { clusters: [{ revision: revisionOf(WEB, 1), model: WEB }], nodes: [] };
    expect(request && servicesBehind({ request, cluster: undefined, routes })).toEqual(['app']);
  });
});

describe('tasks', () => {
  it.each([
    [{ wanted: 0, tasks: [] }, 'bad', 'app is scaled to 0'],
    [{}, 'ok', 'app: 1 of 1 tasks run'],
    [
      { wanted: 2, tasks: [{ ...task, id: 'b', state: 'preparing', nodeId: '', node: '' }, task] },
      'note',
      'app: 1 of 2 tasks run; the newest is preparing on no node yet',
    ],
    [{ tasks: [] }, 'bad', 'app: 0 of 1 tasks run; Swarm has made no task yet'],
    [
      {
        tasks: [
          { ...task, state: 'ready' },
          { ...task, state: 'failed', desiredState: 'shutdown', error: 'exit (1)' },
        ],
      },
      'bad',
      'app: 0 of 1 tasks run; the newest is ready on n1: exit (1)',
    ],
  ] as const)('%j', (part, state, text) => {
    expect(taskStep({ ...view, ...part })).toMatchObject({ state, text });
  });
});

describe('a service', () => {
  const ask = (service: Partial<ServiceView>, findings: readonly Finding[] = [], cluster = WEB) =>
    explainService({
      service: { ...view, ...service },
      status: { ...SAMPLE_STATUS, clusters: [clusterOf(cluster)], findings },
      routes: { clusters: [{ revision: revisionOf(cluster, 1), model: cluster }], nodes: [] },
    });

  it('that is served', () => {
    const { verdict, summary, routes } = ask({});
    expect({ verdict, summary, paths: routes.map(({ path }) => path) }).toEqual({
      verdict: 'served',
      summary: 'app is served at web.test/, web.test/none',
      paths: ['/', '/none'],
    });
  });

  it.each([
    [
      'with labels on its containers',
      { labels: {}, containerLabels: { 'com.docker.lb.hosts': 'x.test' }, reading: 'unusable' },
      '1 label is on the containers, not on the service, and not read: com.docker.lb.hosts',
    ],
    ['without labels', { labels: {}, reading: 'none' }, 'the service has no label of ours'],
    [
      'that asks for a cluster which is not there',
      { serviceCluster: 'x' },
      'no extension in config.toml has the ServiceCluster "x"',
    ],
  ] as const)('%s', (_what, part, summary) => {
    expect(ask(part, [], EMPTY)).toMatchObject({ verdict: 'not-served', summary });
  });

  it('with mistyped labels beside good ones is served, with a note', () => {
    const findings = [
      createFinding('LABEL.UNKNOWN', 'Did you mean com.docker.lb.weight?', {
        service: 'app',
        subject: 'com.docker.ib.weight',
      }),
    ];
    const { verdict, steps } = ask({}, findings);
    expect(verdict).toBe('served');
    expect(steps).toContainEqual({
      state: 'note',
      text: 'the label com.docker.ib.weight is not one of ours',
      advice: 'Did you mean com.docker.lb.weight?',
    });
  });
});
