import { describe, expect, it } from 'vitest';
import { matchesNode, readConstraint } from '../../../../src/core/publish/constraint.ts';
import { nodesOf, placed, placementFindings } from '../../../../src/core/publish/placement.ts';
import { parseIpAddress } from '../../../../src/model/names.ts';
import type { Node } from '../../../../src/model/snapshot.ts';
import { coreSettings, extensionSettings } from '../../../support/settings.ts';

function node(parts: Partial<Node> = {}): Node {
  return {
    id: 'nodeid',
    hostname: 'n1',
    version: 1,
    role: 'worker',
    availability: 'active',
    state: 'ready',
    address: parseIpAddress('192.0.2.7'),
    labels: { zone: 'East', Lb: 'true' },
    ...parts,
  };
}

const manager = node({ id: 'm', hostname: 'm1', role: 'manager', labels: {} });
const workers = (count: number, parts: Partial<Node> = {}) =>
  Array.from({ length: count }, (_, index) => node({ id: `w${index}`, hostname: `w${index}`, ...parts }));
const WORKERS = ['node.role==worker'];

function place(lines: string, nodes: readonly Node[]) {
  const settings = extensionSettings(lines);
  const { constraints, proxyConstraints } = placed(settings, { nodes, services: [] }, [settings]);
  return [constraints, proxyConstraints];
}

const HOST = 'PublishMode = "host"\nPublishedPort = 80\nPublishedSSLPort = 443\n';

describe('placement', () => {
  it.each<[string, string, readonly Node[], readonly (readonly string[])[]]>([
    ['no node is known', '', [], [[], []]],
    ['managers alone', '', [manager], [[], []]],
    ['one worker', '', [manager, ...workers(1)], [WORKERS, WORKERS]],
    ['a worker that is down', '', [manager, ...workers(1, { state: 'down' })], [WORKERS, WORKERS]],
    ['a worker that is paused', '', [manager, ...workers(1, { availability: 'pause' })], [WORKERS, WORKERS]],
    ['all workers drained', '', [manager, ...workers(2, { availability: 'drain' })], [[], []]],
    [
      'one of two workers drained, two proxies in host mode',
      HOST,
      [manager, ...workers(1), node({ id: 'd', availability: 'drain' })],
      [WORKERS, WORKERS],
    ],
    ['host mode with as many workers as proxies', HOST, [manager, ...workers(2)], [WORKERS, WORKERS]],
    ['host mode with more proxies than workers', HOST, [manager, ...workers(1)], [WORKERS, []]],
    ['constraints of the operator', 'Constraints = ["node.labels.a==b"]', workers(1), [['node.labels.a==b'], WORKERS]],
    ['the same for the proxy', 'ProxyConstraints = ["node.labels.a==b"]', workers(1), [WORKERS, ['node.labels.a==b']]],
  ])('%s', (_, lines, nodes, expected) => {
    expect(place(lines, nodes)).toEqual(expected);
  });

  it('counts the proxies of all tables that want one host port', () => {
    const table = (name: string, port: number) =>
      `[Extensions.${name}]\nServiceName="e-${name}"\nServiceCluster="${name}"\nProxyServiceName="p-${name}"\nPublishMode="host"\nProxyReplicas=2\nPublishedPort=${port}\n`;
    const tables = coreSettings(table('a', 80) + table('b', 80) + table('c', 81)).extensions;
    const constrained = tables.map((one) => placed(one, { nodes: workers(3), services: [] }, tables).proxyConstraints);

    expect(constrained).toEqual([[], [], WORKERS]);
  });

  it('counts what docker service scale made of the proxies', () => {
    const settings = extensionSettings(HOST);
    const scaled = { name: settings.proxyServiceName, mode: { kind: 'replicated', replicas: 3 } };
    // Safe: only the name and the mode of a service are looked at.
    const services = [scaled] as unknown as Parameters<typeof placed>[1]['services'];

    expect(placed(settings, { nodes: workers(2), services }, [settings]).proxyConstraints).toEqual([]);
    expect(placed(settings, { nodes: workers(3), services }, [settings]).proxyConstraints).toEqual(WORKERS);
  });

  it('changes with what operators do to nodes, not with their state, version or order', () => {
    const [one, two] = [node({ id: 'a' }), node({ id: 'b' })];
    const base = nodesOf({ nodes: [one, two] });

    expect(nodesOf({ nodes: [two, { ...one, state: 'down', version: 9 }] })).toBe(base);
    expect(nodesOf({ nodes: [one, { ...two, availability: 'drain' }] })).not.toBe(base);
    // But with the last one that is there.
    const down = { state: 'down' } as const;
    expect(
      nodesOf({
        nodes: [
          { ...one, ...down },
          { ...two, ...down },
        ],
      }),
    ).not.toBe(base);
    expect(nodesOf({ nodes: [one, { ...two, role: 'manager' }] })).not.toBe(base);
    expect(nodesOf({ nodes: [one] })).not.toBe(base);
    expect(nodesOf({ nodes: [one, { ...two, labels: {} }] })).not.toBe(base);
  });
});

describe('constraints, read as Swarm reads them', () => {
  it.each([
    ['node.role==worker', true],
    ['node.role == WORKER', true],
    ['NODE.ROLE==worker', true],
    ['node.role!=worker', false],
    ['node.role==manager', false],
    ['node.hostname==N1', true],
    ['node.id==nodeid', true],
    ['node.labels.zone==east', true],
    ['node.labels.Zone==east', false],
    ['node.labels.missing==x', false],
    ['node.labels.missing!=x', true],
    ['node.ip==192.0.2.7', true],
    ['node.ip==192.0.2.0/24', true],
    ['node.ip==198.51.100.0/24', false],
    ['node.ip!=198.51.100.0/24', true],
    ['node.ip==2001:db8::/32', false],
    ['node.ip==192.0.2.0/40', false],
    ['node.ip!=nonsense', false],
    ['node.colour==red', false],
    ['node.colour!=red', false],
    ['node.platform.os==windows', true],
    ['engine.labels.a==b', true],
    ['nonsense', true],
  ])('%s: %s', (text, expected) => {
    expect(matchesNode(readConstraint(text), node())).toBe(expected);
  });

  it('a node without an address is in no subnet', () => {
    expect(matchesNode(readConstraint('node.ip==0.0.0.0/0'), node({ address: undefined }))).toBe(false);
  });
});

describe('findings of placement', () => {
  const found = (lines: string, nodes: readonly Node[] = [manager, node()]) =>
    placementFindings(extensionSettings(lines), { nodes }).map(({ code, service, subject, value }) => [
      code,
      service,
      subject,
      value,
    ]);

  it.each([
    'Constraints = ["node.role==worker"]\nProxyConstraints = ["node.labels.zone==east", "node.role!=manager"]',
    'ProxyPlacementPreferences = ["spread=node.labels.zone"]\nPlacementPreferences = ["spread=engine.labels.rack"]',
    '',
  ])('none for what matches: %s', (lines) => {
    expect(found(lines)).toEqual([]);
  });

  it('none while no node is known', () => {
    expect(found('ProxyConstraints = ["node.labels.lb==true"]', [])).toEqual([]);
  });

  it("names the original's constraint, and only the one that no node meets", () => {
    expect(
      found('ProxyConstraints = ["node.labels.com.docker.ucp.orchestrator.swarm==true", "node.role=worker"]'),
    ).toEqual([
      [
        'PUBLISH.CONSTRAINT_UNMATCHED',
        'interlock-proxy',
        'Extensions.default.ProxyConstraints',
        'node.labels.com.docker.ucp.orchestrator.swarm==true',
      ],
    ]);
  });

  it('names those together of which each has its node', () => {
    expect(found('Constraints = ["node.role==manager", "node.labels.zone==east"]')).toEqual([
      [
        'PUBLISH.CONSTRAINT_UNMATCHED',
        'interlock-extension',
        'Extensions.default.Constraints',
        'node.role==manager and node.labels.zone==east',
      ],
    ]);
  });

  it('says how the nodes are labelled', () => {
    const [finding] = placementFindings(extensionSettings('ProxyConstraints = ["node.labels.lb==yes"]'), {
      nodes: [node()],
    });

    expect(finding?.advice).toContain('docker node update --label-add lb=yes NODE');
  });

  it.each(['node.labels.missing', 'node.role'])('a preference that makes no difference: %s', (descriptor) => {
    expect(found(`ProxyPlacementPreferences = ["spread=${descriptor}"]`)).toEqual([
      ['PUBLISH.PREFERENCE_UNMATCHED', 'interlock-proxy', 'Extensions.default.ProxyPlacementPreferences', descriptor],
    ]);
  });
});
