import { describe, expect, it } from 'vitest';
import { explainService } from '../../../src/cli/explain/service.ts';
import { explainUrl } from '../../../src/cli/explain/url.ts';
import { serviceLines, urlLines } from '../../../src/cli/show/explain.ts';
import { findingLines } from '../../../src/cli/show/findings.ts';
import { routeRows, routesLines } from '../../../src/cli/show/routes.ts';
import { isWell, standingOf, statusJson, statusLines } from '../../../src/cli/show/status.ts';
import { age, jsonText, type Paint, painterFor, short, table } from '../../../src/cli/show/text.ts';
import { parseRequest } from '../../../src/model/answer.ts';
import type { Finding } from '../../../src/model/finding.ts';
import type { ClusterStatus, ProxyStatus, StatusReport } from '../../../src/wire/status-report.ts';
import type { ServiceView } from '../../../src/wire/swarm-view.ts';
import { endpoint, model } from '../../support/render-models.ts';
import { revisionOf } from '../../support/wire.ts';

/** What a name may hold: colours, cursor moves by ESC and by the one-byte CSI, line breaks, text direction, a title. */
const HOSTILE = 'a\x1b[31mred\x1b[2J\x9b1Am\r\nfalse line\u2028x\u202egnp.exe\x07\x1b]0;title\x07\x00';
const bare: Paint = (_tone, text) => text;

const proxy: ProxyStatus = {
  taskId: 'task1',
  nodeId: 'node1',
  node: 'n1',
  state: 'running',
  desiredState: 'running',
  connected: true,
  artifactDigest: 'a'.repeat(64),
  appliedAtMs: 61_500,
  refused: undefined,
};
const cluster: ClusterStatus = {
  extension: 'default',
  serviceCluster: '',
  extensionService: 'interlock-extension',
  proxyService: 'interlock-proxy',
  published: revisionOf(model({}), 3),
  rendered: revisionOf(model({}), 3),
  renderedAtMs: 61_000,
  artifactDigest: 'a'.repeat(64),
  proxyConfig: 'com.docker.interlock.proxy.default.1-aaaaaaaa',
  refusedReason: undefined,
  extensionConnected: true,
  pinned: undefined,
  delivery: {
    mode: 'hitless',
    fallback: undefined,
    pendingNetworks: [],
    pendingSecrets: [],
    rolling: false,
    storedConfig: 'com.docker.interlock.proxy.default.1-aaaaaaaa',
  },
  proxies: [proxy],
};
const report: StatusReport = {
  version: '0.1.0',
  epoch: 'e1',
  nowMs: 121_500,
  startedAtMs: 1_500,
  observedAtMs: 121_000,
  taskFeed: { kind: 'watch', reason: 'the control socket answers' },
  clusters: [cluster],
  moving: [],
  findings: [],
};
const finding: Finding = {
  code: 'LABEL.PORT_MISSING',
  severity: 'error',
  service: 'web',
  serviceCluster: '',
  subject: 'com.docker.lb.port',
  value: undefined,
  advice: 'Add the label.',
};
const view: ServiceView = {
  id: 's1',
  name: 'web',
  labels: { 'com.docker.lb.hosts': 'web.test' },
  containerLabels: {},
  reading: 'routed',
  serviceCluster: '',
  hosts: ['web.test'],
  wanted: 1,
  updateState: 'none',
  networks: ['app'],
  tasks: [],
};
const routed = model({ 'web.test': { '/': [endpoint('10.0.0.3', 8080)] } });
const routes = {
  clusters: [{ revision: revisionOf(routed, 1), model: routed }],
  nodes: [{ id: 'node-1', hostname: 'n1', state: 'ready' }],
};

/** Each text of a value, wherever it stands, is a hostile one. */
function poisoned<Value>(value: Value, only: ReadonlySet<string>): Value {
  return JSON.parse(
    JSON.stringify(value, (key, each: unknown) => (only.has(key) && typeof each === 'string' ? HOSTILE : each)),
  ) as Value;
}

function expectHarmless(lines: readonly string[]): void {
  for (const line of lines) {
    expect(line).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
  }
}

describe('hostile names', () => {
  it('never reach a terminal: status', () => {
    const texts = new Set(
      [
        'version',
        'reason',
        'node',
        'nodeId',
        'taskId',
        'state',
        'desiredState',
        'proxyService',
        'extensionService',
      ].concat(
        ['refusedReason', 'fallback', 'storedConfig', 'extension', 'serviceCluster', 'service', 'subject', 'advice'],
        ['value', 'updateState'],
      ),
    );
    const full: StatusReport = {
      ...report,
      clusters: [
        {
          ...cluster,
          refusedReason: 'x',
          delivery: cluster.delivery && {
            ...cluster.delivery,
            pendingNetworks: [HOSTILE],
            pendingSecrets: [HOSTILE],
            fallback: 'x',
          },
          proxies: [proxy, { ...proxy, refused: { artifactDigest: cluster.artifactDigest ?? '', reason: HOSTILE } }],
        },
        { ...cluster, proxies: [], extensionConnected: false },
      ],
      moving: [{ service: 'x', wanted: 1, running: 0, updateState: 'x' }],
      findings: [{ ...finding, value: 'x' }],
    };
    expectHarmless(statusLines(poisoned(full, texts), bare));
    expectHarmless(jsonText(statusJson(poisoned(full, texts))).split('\n'));
  });

  it('never reach a terminal: routes and explain', () => {
    const named = { ...routes, nodes: [{ id: 'node-1', hostname: HOSTILE, state: HOSTILE }] };
    const [pool] = routed.pools;
    const hostile = {
      ...named,
      clusters: named.clusters.map((each) => ({
        ...each,
        model: {
          ...routed,
          header: { ...routed.header, extension: HOSTILE, serviceCluster: HOSTILE },
          pools:
            pool === undefined
              ? []
              : [{ ...pool, services: [HOSTILE], network: { kind: 'overlay', id: 'n', name: HOSTILE } as const }],
        },
      })),
    };
    const service: ServiceView = {
      ...view,
      name: HOSTILE,
      labels: { [`com.docker.lb.${HOSTILE}`]: HOSTILE },
      containerLabels: { [`com.docker.lb.x${HOSTILE}`]: HOSTILE },
      networks: [HOSTILE],
      tasks: [
        {
          id: HOSTILE,
          nodeId: 'n',
          node: HOSTILE,
          state: HOSTILE,
          desiredState: 'running',
          error: HOSTILE,
          updatedAt: '',
        },
      ],
    };
    const status = { ...report, findings: [{ ...finding, service: HOSTILE, subject: HOSTILE, advice: HOSTILE }] };
    const request = parseRequest('http://web.test/');
    expect(request).toBeDefined();
    if (request !== undefined) {
      const services = { services: [service], similar: [] };
      const facts = {
        url: `http://web.test/${HOSTILE}`,
        request,
        cluster: undefined,
        status,
        routes: hostile,
        services,
      };
      expectHarmless(urlLines(explainUrl(facts), bare));
      expectHarmless(jsonText(explainUrl(facts)).split('\n'));
    }
    expectHarmless(serviceLines(explainService({ service, status, routes: hostile }), bare));
    expectHarmless(routesLines(routeRows(hostile), bare));
    expectHarmless(findingLines(status.findings, bare));
  });

  it('cannot make a line or a table without end', () => {
    const rows = table(
      [
        ['A', 'B'],
        ['x'.repeat(100_000), 'y'],
      ],
      bare,
    );
    expect(Math.max(...rows.map((row) => row.length))).toBeLessThan(300);
    expect(short('\u0000'.repeat(10), 5)).toBe('····…');
  });
});

describe('colours', () => {
  const paint = (isTerminal: boolean, env: Record<string, string>) =>
    painterFor({ isTerminal, columns: 80, write: () => undefined }, env)('bad', 'x');

  it('are for terminals whose owner wants them', () => {
    expect(paint(true, {})).toBe('\x1b[31mx\x1b[39m');
    expect(paint(false, {})).toBe('x');
    expect(paint(true, { NO_COLOR: '1' })).toBe('x');
    expect(paint(true, { NO_COLOR: '' })).not.toBe('x');
    expect(paint(true, { TERM: 'dumb' })).toBe('x');
  });
});

describe('status', () => {
  it('reads like this', () => {
    expect(statusLines({ ...report, findings: [finding] }, bare)).toEqual([
      'core  0.1.0, up 2m',
      '  task feed  watch (the control socket answers)',
      '',
      'cluster  default  [Extensions.default]',
      '  extension  connected',
      `  revision   ${revisionOf(model({}), 3).digest.slice(0, 12)}, rendered, stored as com.docker.interlock.proxy.default.1-aaaaaaaa`,
      '  delivery   hitless',
      '  NODE  PROXY  STATE    SERVES             FOR',
      '  n1    task1  running  newest, in 500 ms  1m',
      '',
      'findings  1 error',
      '  error LABEL.PORT_MISSING web com.docker.lb.port',
      '        Add the label.',
    ]);
  });

  it('says loudly that a cluster is pinned', () => {
    const pinned = { revision: 7, digest: 'd'.repeat(64), sinceMs: 0 };
    expect(statusLines({ ...report, clusters: [{ ...cluster, pinned }] }, bare)).toContain(
      '  PINNED     its routes are held at revision 7 (dddddddd) since 1970-01-01 00:00:00Z: changes of labels wait until interlock unpin',
    );
  });

  const digest = 'b'.repeat(64);
  it.each([
    ['serves the newest', {}, { kind: 'newest', tookMs: 500 }],
    ['told so in an earlier life of core', { appliedAtMs: undefined }, { kind: 'newest', tookMs: undefined }],
    ['serves another', { artifactDigest: digest }, { kind: 'behind', sinceMs: 60_500 }],
    [
      'refused the newest',
      { artifactDigest: digest, refused: { artifactDigest: 'a'.repeat(64), reason: 'emerg' } },
      { kind: 'refused', reason: 'emerg' },
    ],
    [
      'refused another one before',
      { artifactDigest: digest, refused: { artifactDigest: 'c'.repeat(64), reason: 'emerg' } },
      { kind: 'behind', sinceMs: 60_500 },
    ],
    ['has no session', { connected: false }, { kind: 'silent' }],
  ])('a proxy that %s', (_what, part, standing) => {
    expect(standingOf({ ...proxy, ...part }, cluster, report.nowMs)).toEqual(standing);
  });

  it('is well only when every cluster has proxies, all at the newest', () => {
    const withCluster = (part: Partial<ClusterStatus>) => isWell({ ...report, clusters: [{ ...cluster, ...part }] });
    expect(isWell(report)).toBe(true);
    expect(isWell({ ...report, findings: [finding] })).toBe(true);
    expect(withCluster({ proxies: [] })).toBe(false);
    expect(withCluster({ proxies: [proxy, { ...proxy, connected: false }] })).toBe(false);
    expect(withCluster({ extensionConnected: false })).toBe(false);
    expect(withCluster({ refusedReason: 'emerg' })).toBe(false);
  });
});

it.each([
  [-5, '0s'],
  [59_999, '59s'],
  [60_000, '1m'],
  [80_000, '1m 20s'],
  [3_600_000, '1h'],
  [90_000_000, '1d 1h'],
])('an age of %i ms is %s', (ms, text) => {
  expect(age(ms)).toBe(text);
});
