/** docs/operate.md: what it shows is what the commands print, and its commands are such as the program takes. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { explainService } from '../../../src/cli/explain/service.ts';
import { explainUrl } from '../../../src/cli/explain/url.ts';
import { serviceLines, urlLines } from '../../../src/cli/show/explain.ts';
import { routeRows, routesLines } from '../../../src/cli/show/routes.ts';
import { statusLines } from '../../../src/cli/show/status.ts';
import type { Paint } from '../../../src/cli/show/text.ts';
import { parseLabels } from '../../../src/labels/parse-labels.ts';
import { parseRequest } from '../../../src/model/answer.ts';
import { createFinding } from '../../../src/model/finding.ts';
import type { ProxyStatus, StatusReport } from '../../../src/wire/status-report.ts';
import type { ServiceView, TaskView } from '../../../src/wire/swarm-view.ts';
import { endpoint, model } from '../../support/render-models.ts';
import { runCommand } from '../../support/run-command.ts';
import { service as plainService } from '../../support/snapshots.ts';

const page = readFileSync(new URL('../../../docs/operate.md', import.meta.url), 'utf8');
const shown = [...page.matchAll(/^```(\w*)\n([\s\S]*?)\n```$/gm)].flatMap(([, language, text = '']) =>
  language === '' ? [text] : [],
);
const commands = [...page.matchAll(/^docker exec \$core (interlock .+)$/gm)].map(([, text = '']) => text);
const bare: Paint = (_tone, text) => text;

const TASKS = [
  { id: 'h2x8c5v0b3nqaaaaaaaaaaaaa', nodeId: 'node1', node: 'n1' },
  { id: 'p6l1k9j4f7dsaaaaaaaaaaaaa', nodeId: 'node2', node: 'n2' },
].map((each): TaskView => ({ ...each, state: 'running', desiredState: 'running', error: undefined, updatedAt: '' }));

const bareModel = model({ 'shop.test': { '/': [] } }, { published: { http: 8080 as never, tls: undefined } });
const shopModel = {
  ...bareModel,
  pools: bareModel.pools.map((pool) => ({
    ...pool,
    services: ['shop'],
    network: { kind: 'overlay', id: 'net', name: 'app' } as const,
    endpoints: TASKS.map(({ id, nodeId }, at) => ({
      ...endpoint(`10.0.2.${at + 3}`, 8080),
      source: { kind: 'task', taskId: id, nodeId } as const,
    })),
  })),
};
const revision = { digest: '3f0c5d0a7b1e'.padEnd(64, '0'), sequence: 2, versionIndex: 9, epoch: 'e' };
const artifactDigest = '9b2f6c1d'.padEnd(64, '0');
const NOW = 1_000_000;

function proxy(node: string, taskId: string, tookMs: number): ProxyStatus {
  return {
    taskId,
    nodeId: node,
    node,
    state: 'running',
    desiredState: 'running',
    connected: true,
    artifactDigest,
    appliedAtMs: NOW - 62_500 + tookMs,
    refused: undefined,
  };
}

const status: StatusReport = {
  version: '0.1.0',
  epoch: 'e',
  nowMs: NOW,
  startedAtMs: NOW - 125_000,
  observedAtMs: NOW,
  taskFeed: { kind: 'watch', reason: "the manager's control socket answers" },
  clusters: [
    {
      extension: 'default',
      serviceCluster: '',
      extensionService: 'interlock-extension',
      proxyService: 'interlock-proxy',
      published: revision,
      rendered: revision,
      renderedAtMs: NOW - 62_500,
      artifactDigest,
      proxyConfig: undefined,
      refusedReason: undefined,
      extensionConnected: true,
      delivery: {
        mode: 'hitless',
        fallback: undefined,
        pendingNetworks: [],
        pendingSecrets: [],
        rolling: false,
        storedConfig: 'com.docker.interlock.proxy.default.2-9b2f6c1d',
      },
      pinned: undefined,
      proxies: [proxy('n1', 'k3v9q0w2x5yt', 140), proxy('n2', 'z8r1m4p7s0ad', 155)],
    },
  ],
  moving: [],
  findings: [
    createFinding(
      'LABEL.PORT_MISSING',
      'Add the label com.docker.lb.port with the port that the application listens on in its container, e.g. "8080".',
      { service: 'puzzle', subject: 'com.docker.lb.port' },
    ),
  ],
};
const quiet = { ...status, findings: [] };
const routes = {
  clusters: [{ revision, model: shopModel }],
  nodes: ['n1', 'n2'].map((hostname, at) => ({ id: `node${at + 1}`, hostname, state: 'ready' })),
};
const shop: ServiceView = {
  id: 's',
  name: 'shop',
  labels: { 'com.docker.lb.hosts': 'shop.test', 'com.docker.lb.port': '8080' },
  containerLabels: {},
  reading: 'routed',
  serviceCluster: '',
  hosts: ['shop.test'],
  wanted: 2,
  updateState: 'none',
  networks: ['app'],
  tasks: TASKS,
};

function explained(url: string, services: readonly ServiceView[]): string {
  const request = parseRequest(url);
  if (request === undefined) {
    throw new Error(`no request: ${url}`);
  }
  const facts = { url, request, cluster: undefined, status: quiet, routes, services: { services, similar: [] } };
  return urlLines(explainUrl(facts), bare).join('\n');
}

describe('docs/operate.md', () => {
  it.each([
    ['status', () => statusLines(status, bare).join('\n')],
    ['routes', () => routesLines(routeRows(routes), bare).join('\n')],
    ['explain of a URL that is served', () => explained('http://shop.test:8080/cart', [shop])],
    ['explain of one that is not', () => explained('http://shap.test:8080/', [])],
    [
      'explain of a service whose labels are on its containers',
      () => {
        const service = {
          ...shop,
          name: 'puzzle',
          labels: {},
          containerLabels: { 'com.docker.lb.hosts': 'puzzle.test', 'com.docker.lb.port': '8080' },
          reading: 'unusable' as const,
        };
        const found = parseLabels({ ...plainService(), name: 'puzzle', containerLabels: service.containerLabels });
        const findings = found.kind === 'not-ours' ? [] : found.findings;
        return serviceLines(explainService({ service, status: { ...status, findings }, routes }), bare).join('\n');
      },
    ],
  ])('shows what is printed: %s', (_what, print) => {
    expect(shown).toContain(print());
  });

  it.each(commands)('%s is a command', async (command) => {
    const [, name = '', ...rest] = command.split(' ');
    const { exitCode, stderr } = await runCommand([name, ...rest, '--help']);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  });
});
