import { describe, expect, it } from 'vitest';
import { buildModels, type ClusterDefinition } from '../../../src/model/build.ts';
import type { ClusterModel } from '../../../src/model/cluster.ts';
import type { Finding } from '../../../src/model/finding.ts';
import type { RoutingIntent } from '../../../src/model/intent.ts';
import { digestModel } from '../../../src/model/revision.ts';
import type { Snapshot } from '../../../src/model/snapshot.ts';
import { host, intent, ip, network, node, path, port, service, snapshot, task } from '../../support/snapshots.ts';

const DEFINITION: ClusterDefinition = {
  proxyServiceName: 'interlock-proxy',
  networks: undefined,
  header: {
    serviceCluster: '',
    extension: 'default',
    configPath: '/etc/nginx/nginx.conf',
    listen: { http: port(80), tls: port(443) },
    published: { http: port(8080), tls: undefined },
    optionsJson: '{}',
  },
};

function build(
  parts: Partial<Snapshot>,
  intents: readonly RoutingIntent[],
): { model: ClusterModel; findings: readonly Finding[] } {
  const { models, findings } = buildModels(snapshot(parts), intents, [DEFINITION]);
  const [model] = models;
  if (!model) {
    throw new Error('no model');
  }
  return { model, findings };
}

const codes = (findings: readonly Finding[]) => findings.map(({ code }) => code);
const addresses = (model: ClusterModel) =>
  model.pools.flatMap(({ endpoints }) => endpoints.map((e) => `${e.address}:${e.port}`));

describe('buildModels', () => {
  it('routes a labelled service to its running task', () => {
    const { model, findings } = build({ services: [service()], tasks: [task()] }, [intent()]);
    expect(findings).toEqual([]);
    expect(model.hosts).toMatchObject([{ host: 'demo.local', routes: [{ prefix: '/', pool: 'demo.local/' }] }]);
    expect(model.pools).toMatchObject([
      { id: 'demo.local/', services: ['demo'], network: { kind: 'overlay', id: 'net1', name: 'app' } },
    ]);
    expect(addresses(model)).toEqual(['10.0.1.3:8080']);
  });

  it.each([
    ['is asked to stop', { desiredState: 'shutdown' }],
    ['is not running yet', { state: 'starting' }],
    ['runs on a node that is down', { nodeId: 'lost' }],
    ['has no address on the network', { attachments: [] }],
  ] as const)('leaves out a task that %s, and keeps the route', (_what, parts) => {
    const nodes = [node(), node({ id: 'lost', state: 'down' })];
    const { model } = build({ nodes, services: [service()], tasks: [task(parts)] }, [intent()]);
    expect(model.hosts).toHaveLength(1);
    expect(addresses(model)).toEqual([]);
  });

  it.each(['unknown', 'disconnected'] as const)(
    'keeps a task on a node that is %s, as Swarm itself does while nodes look for a new leader',
    (state) => {
      const { model } = build({ nodes: [node({ state })], services: [service()], tasks: [task()] }, [intent()]);
      expect(addresses(model)).toEqual(['10.0.1.3:8080']);
    },
  );

  it('takes the only published target port when there is no port label', () => {
    const one = service({ ports: [{ protocol: 'tcp', mode: 'ingress', targetPort: 3000, publishedPort: 30000 }] });
    const { model } = build({ services: [one], tasks: [task()] }, [intent({ port: undefined }, one)]);
    expect(addresses(model)).toEqual(['10.0.1.3:3000']);
  });

  it('says so when no port can be known, and harms nobody else', () => {
    const other = service({ id: 'svc2', name: 'other' });
    const { model, findings } = build(
      { services: [service(), other], tasks: [task(), task({ id: 't2', serviceId: 'svc2' })] },
      [intent({ port: undefined }), intent({ hosts: [host('other.local')] }, other)],
    );
    expect(codes(findings)).toEqual(['LABEL.PORT_MISSING']);
    expect(model.hosts.map((entry) => entry.host)).toEqual(['other.local']);
  });

  it.each([
    ['an unknown network', { kind: 'named', name: 'nowhere' }, 'LABEL.NETWORK_UNKNOWN'],
    ['a network it is not attached to', { kind: 'named', name: 'db' }, 'LABEL.NETWORK_NOT_ATTACHED'],
  ] as const)('refuses %s', (_what, choice, code) => {
    const networks = [network(), network({ id: 'net2', name: 'db' })];
    const { model, findings } = build({ networks, services: [service()], tasks: [task()] }, [
      intent({ network: choice }),
    ]);
    expect(codes(findings)).toEqual([code]);
    expect(model.hosts).toEqual([]);
  });

  it('resolves a short network name through the stack', () => {
    const ofStack = service({ labels: { 'com.docker.stack.namespace': 'shop' }, networkIds: ['net2', 'net1'] });
    const networks = [network(), network({ id: 'net2', name: 'shop_front' })];
    const { model, findings } = build({ networks, services: [ofStack], tasks: [] }, [
      intent({ network: { kind: 'named', name: 'front' } }, ofStack),
    ]);
    expect(findings).toEqual([]);
    expect(model.pools[0]?.network).toEqual({ kind: 'overlay', id: 'net2', name: 'shop_front' });
  });

  it('never chooses the ingress network', () => {
    const published = service({ networkIds: ['ing', 'net1'] });
    const networks = [network({ id: 'ing', name: 'ingress', ingress: true }), network()];
    const { model, findings } = build({ networks, services: [published] }, [intent({}, published)]);
    expect(findings).toEqual([]);
    expect(model.pools[0]?.network).toMatchObject({ name: 'app' });
  });

  it('prefers a network that the proxy already has, and names the choice', () => {
    const several = service({ networkIds: ['net1', 'net2'] });
    const proxy = service({ id: 'p', name: 'interlock-proxy', networkIds: ['net2'] });
    const networks = [network(), network({ id: 'net2', name: 'zeta' })];
    const { model, findings } = build({ networks, services: [several, proxy] }, [intent({}, several)]);
    expect(codes(findings)).toEqual(['LABEL.NETWORK_AMBIGUOUS']);
    expect(model.pools[0]?.network).toMatchObject({ name: 'zeta' });
  });

  it('reaches a host-mode service at node address and published port', () => {
    const bare = service({
      networkIds: [],
      ports: [{ protocol: 'tcp', mode: 'host', targetPort: 8080, publishedPort: undefined }],
    });
    const running = task({
      attachments: [],
      hostPorts: [{ protocol: 'tcp', mode: 'host', targetPort: 8080, publishedPort: 32_768 }],
    });
    const { model } = build({ services: [bare], tasks: [running] }, [intent({}, bare)]);
    expect(model.pools[0]?.network).toEqual({ kind: 'host' });
    expect(addresses(model)).toEqual(['10.99.0.11:32768']);
  });

  it('uses the virtual IP on the routing network in vip mode', () => {
    const vip = service({
      virtualIps: [
        { networkId: 'net1', address: ip('10.0.1.2') },
        { networkId: 'x', address: ip('10.0.9.2') },
      ],
    });
    const { model } = build({ services: [vip], tasks: [task()] }, [intent({ backendMode: 'vip' }, vip)]);
    expect(addresses(model)).toEqual(['10.0.1.2:8080']);
  });

  it('merges services that share a host and a path into one pool, the oldest first', () => {
    const younger = service({ id: 'svc2', name: 'canary', createdAt: '2026-02-01T00:00:00Z' });
    const canaryTask = task({
      id: 't2',
      serviceId: 'svc2',
      attachments: [{ networkId: 'net1', addresses: [ip('10.0.1.9')] }],
    });
    const { model, findings } = build({ services: [younger, service()], tasks: [task(), canaryTask] }, [
      intent({}, younger),
      intent(),
    ]);
    expect(findings).toEqual([]);
    expect(model.pools).toHaveLength(1);
    expect(model.pools[0]?.services).toEqual(['demo', 'canary']);
    expect(addresses(model)).toEqual(['10.0.1.3:8080', '10.0.1.9:8080']);
  });

  it('keeps several paths of one host apart', () => {
    const api = service({ id: 'svc2', name: 'api' });
    const { model } = build({ services: [service(), api] }, [
      intent(),
      intent({ contextRoot: { prefix: path('/api'), rewrite: true } }, api),
    ]);
    expect(model.hosts[0]?.routes.map(({ prefix, rewrite }) => [prefix, rewrite])).toEqual([
      ['/', false],
      ['/api', true],
    ]);
  });

  it("reports a younger service whose options differ, and uses the oldest one's", () => {
    const younger = service({ id: 'svc2', name: 'late', createdAt: '2026-02-01T00:00:00Z' });
    const { model, findings } = build({ services: [service(), younger] }, [
      intent({ failure: { maxFails: 9, failTimeoutSeconds: 10 } }, younger),
      intent(),
    ]);
    expect(findings).toMatchObject([
      { code: 'ROUTE.OPTIONS_DIFFER', service: 'late', subject: 'com.docker.lb.max_fails' },
    ]);
    expect(model.pools[0]?.failure.maxFails).toBe(3);
  });

  it("leaves out a younger sharer that is not on the pool's network, and says so", () => {
    const younger = service({ id: 'svc2', name: 'late', createdAt: '2026-02-01T00:00:00Z', networkIds: ['net2'] });
    const networks = [network(), network({ id: 'net2', name: 'far' })];
    const { model, findings } = build(
      { networks, services: [service(), younger], tasks: [task(), task({ id: 't2', serviceId: 'svc2' })] },
      [intent({}, younger), intent()],
    );
    expect(codes(findings)).toEqual(['LABEL.NETWORK_NOT_ATTACHED']);
    expect(model.pools[0]?.services).toEqual(['demo']);
  });

  it('reports an unknown service cluster and routes nothing of it', () => {
    const { model, findings } = build({ services: [service()] }, [intent({ serviceCluster: 'prod' })]);
    expect(codes(findings)).toEqual(['LABEL.SERVICE_CLUSTER_UNKNOWN']);
    expect(model.hosts).toEqual([]);
  });

  it('ignores an intent whose service is gone from the Snapshot', () => {
    expect(build({ services: [] }, [intent()]).model.hosts).toEqual([]);
  });

  it('reduces weights by their common divisor', () => {
    const heavy = service({ id: 'svc2', name: 'heavy', createdAt: '2026-02-01T00:00:00Z' });
    const second = task({
      id: 't2',
      serviceId: 'svc2',
      attachments: [{ networkId: 'net1', addresses: [ip('10.0.1.9')] }],
    });
    const { model } = build({ services: [service(), heavy], tasks: [task(), second] }, [
      intent({ weight: 20 }),
      intent({ weight: 60 }, heavy),
    ]);
    expect(model.pools[0]?.endpoints.map(({ weight }) => weight)).toEqual([1, 3]);
  });

  it('gives one revision whatever the order of the input', () => {
    const other = service({ id: 'svc2', name: 'other' });
    const parts = {
      services: [service(), other],
      tasks: [task(), task({ id: 't2', attachments: [{ networkId: 'net1', addresses: [ip('10.0.1.4')] }] })],
    };
    const intents = [intent(), intent({ hosts: [host('b.local'), host('a.local')] }, other)];
    const turned = {
      services: [...parts.services].reverse(),
      tasks: [...parts.tasks].reverse(),
    };
    expect(digestModel(build(turned, [...intents].reverse()).model)).toBe(digestModel(build(parts, intents).model));
  });
});
