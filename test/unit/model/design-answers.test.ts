/** The open questions of the original and our answers, one by one: from labels to the model. The renderer's answers are its own tests. */
import { describe, expect, it } from 'vitest';
import { modelsOf } from '../../../src/labels/models.ts';
import type { ClusterModel, HostEntry, Pool } from '../../../src/model/cluster.ts';
import { requirementsOf } from '../../../src/model/cluster.ts';
import type { Finding } from '../../../src/model/finding.ts';
import { digestModel } from '../../../src/model/revision.ts';
import type { Secret, Service, Snapshot, Task } from '../../../src/model/snapshot.ts';
import { definitionOf } from '../../../src/settings/cluster-definition.ts';
import { extensionSettings } from '../../support/settings.ts';
import { ip, network, node, service, snapshot, task } from '../../support/snapshots.ts';

type Labels = Readonly<Record<string, string>>;

/** `app('web', { hosts: 'a.local' })`: a service with these `com.docker.lb.*` labels; port 8080 unless they say otherwise. */
function app(name: string, labels: Labels, parts: Partial<Service> = {}): Service {
  const full = Object.entries({ port: '8080', ...labels })
    .filter(([, value]) => value !== '')
    .map(([key, value]) => [`com.docker.lb.${key}`, value] as const);
  return service({ id: name, name, ...parts, labels: { ...Object.fromEntries(full), ...parts.labels } });
}

/** Each a day younger than the one before. */
function aged(...services: readonly Service[]): readonly Service[] {
  return services.map((one, at) => ({ ...one, createdAt: `2026-01-0${at + 1}T00:00:00Z` }));
}

/** Running tasks of a service on `net1`, at 10.0.<net>.1 and up. */
function tasksOf(name: string, count: number, net: number): readonly Task[] {
  return Array.from({ length: count }, (_, at) =>
    task({
      id: `${name}.${at}`,
      serviceId: name,
      attachments: [{ networkId: 'net1', addresses: [ip(`10.0.${net}.${at + 1}`)] }],
    }),
  );
}

function secretNamed(name: string, labels: Labels = {}): Secret {
  return { id: `id-${name}`, name, version: 1, labels };
}

interface Answer {
  readonly model: ClusterModel;
  readonly findings: readonly Finding[];
}

function ask(parts: Partial<Snapshot>, toml = ''): Answer {
  const { built, findings } = modelsOf(snapshot(parts), [definitionOf(extensionSettings(toml))]);
  const [model] = built.models;
  if (model === undefined) {
    throw new Error('no model');
  }
  return { model, findings };
}

const found = ({ findings }: Answer) =>
  findings.map(({ code, service: name, subject }) => [code, name, short(subject)]);
const short = (subject: string | undefined) => subject?.replace('com.docker.lb.', '');
const poolAt = ({ model }: Answer, id: string): Pool | undefined => model.pools.find((pool) => pool.id === id);
const hostAt = ({ model }: Answer, name: string): HostEntry | undefined =>
  model.hosts.find(({ host }) => host === name);
const hostsOf = ({ model }: Answer) => model.hosts.map(({ host }) => host);
const addresses = (pool: Pool | undefined) => pool?.endpoints.map((one) => `${one.address}:${one.port}`);

/** Per service, its part of the pool's units. */
function shares(pool: Pool | undefined): Readonly<Record<string, number>> {
  const units = new Map<string, number>();
  for (const { source, weight } of pool?.endpoints ?? []) {
    const name = source.kind === 'vip' ? source.serviceId : source.taskId.replace(/\.\d+$/, '');
    units.set(name, (units.get(name) ?? 0) + weight);
  }
  const all = [...units.values()].reduce((sum, one) => sum + one, 0);
  return Object.fromEntries([...units].map(([name, one]) => [name, one / all]));
}

describe('several services, same host', () => {
  it('one pool per host and path: context roots live side by side, each with its own pool, options and rewrite', () => {
    const answer = ask({
      services: aged(
        app('web', { hosts: 'a.local' }),
        app('api', { hosts: 'a.local', context_root: '/api', context_root_rewrite: 'true', ip_hash: 'true' }),
        app('docs', { hosts: 'a.local,b.local', context_root: '/api/docs', max_fails: '7' }),
      ),
    });
    expect(answer.findings).toEqual([]);
    expect(hostAt(answer, 'a.local')?.routes).toMatchObject([
      { prefix: '/', rewrite: false, pool: 'a.local/' },
      { prefix: '/api', rewrite: true, pool: 'a.local/api' },
      { prefix: '/api/docs', rewrite: false, pool: 'a.local/api/docs' },
    ]);
    expect(hostAt(answer, 'b.local')?.routes.map(({ prefix }) => prefix)).toEqual(['/api/docs']);
    expect(poolAt(answer, 'a.local/api')).toMatchObject({ services: ['api'], balance: { kind: 'client-address' } });
    expect(poolAt(answer, 'a.local/')).toMatchObject({ services: ['web'], balance: { kind: 'round-robin' } });
    expect(poolAt(answer, 'b.local/api/docs')?.failure.maxFails).toBe(7);
  });

  it('hosts are compared in lower case and as punycode', () => {
    const answer = ask({
      services: aged(app('a', { hosts: 'Bücher.Example' }), app('b', { hosts: 'xn--bcher-kva.example' })),
    });
    expect(hostsOf(answer)).toEqual(['xn--bcher-kva.example']);
    expect(poolAt(answer, 'xn--bcher-kva.example/')?.services).toEqual(['a', 'b']);
  });
});

describe('same host and path: one merged pool', () => {
  const pair = (v1: Labels = {}, v2: Labels = {}) =>
    aged(app('v1', { hosts: 'a.local', ...v1 }), app('v2', { hosts: 'a.local', ...v2 }));
  const fourAndOne = [...tasksOf('v1', 4, 1), ...tasksOf('v2', 1, 2)];

  it('share by tasks: 4 and 1 give 20 %', () => {
    const answer = ask({ services: pair(), tasks: fourAndOne });
    expect(answer.findings).toEqual([]);
    expect(shares(poolAt(answer, 'a.local/'))).toEqual({ v1: 0.8, v2: 0.2 });
  });

  it('times weight, which is each service its own and no option that differs', () => {
    const answer = ask({ services: pair({}, { weight: '4' }), tasks: fourAndOne });
    expect(answer.findings).toEqual([]);
    expect(shares(poolAt(answer, 'a.local/'))).toEqual({ v1: 0.5, v2: 0.5 });
  });

  it('the old one scaled to zero moves all traffic', () => {
    const answer = ask({ services: pair(), tasks: tasksOf('v2', 1, 2) });
    expect(shares(poolAt(answer, 'a.local/'))).toEqual({ v2: 1 });
    expect(poolAt(answer, 'a.local/')?.services).toEqual(['v1', 'v2']);
  });

  it('by service in vip mode, times weight', () => {
    const vip = (address: string) => ({ virtualIps: [{ networkId: 'net1', address: ip(address) }] });
    const [v1, v2] = pair({ backend_mode: 'vip' }, { backend_mode: 'vip', weight: '3' });
    const answer = ask({
      services: [
        { ...(v1 as Service), ...vip('10.0.9.1') },
        { ...(v2 as Service), ...vip('10.0.9.2') },
      ],
      tasks: fourAndOne,
    });
    expect(shares(poolAt(answer, 'a.local/'))).toEqual({ v1: 0.25, v2: 0.75 });
  });

  it('weights are reduced by common divisors', () => {
    const answer = ask({ services: pair({ weight: '50' }, { weight: '100' }), tasks: fourAndOne });
    expect(poolAt(answer, 'a.local/')?.endpoints.map(({ weight }) => weight)).toEqual([1, 1, 1, 1, 2]);
  });

  it('and capped per pool, with shares within a percentage point', () => {
    const tasks = [...tasksOf('v1', 50, 1), ...tasksOf('v2', 50, 2)];
    const pool = poolAt(ask({ services: pair({ weight: '97' }, { weight: '100' }), tasks }), 'a.local/');
    expect(pool?.endpoints.reduce((sum, { weight }) => sum + weight, 0)).toBeLessThanOrEqual(1000);
    expect(shares(pool)['v1']).toBeCloseTo(97 / 197, 1);
  });
});

describe('options that differ within a pool: the oldest service (CreatedAt, then ID) decides', () => {
  it.each<[Labels, string]>([
    [{ sticky_session_cookie: 'sid' }, 'sticky_session_cookie'],
    [{ ip_hash: 'true' }, 'ip_hash'],
    [{ max_fails: '9' }, 'max_fails'],
    [{ fail_timeout: '9s' }, 'fail_timeout'],
    [{ ssl_backend: 'true' }, 'ssl_backend'],
    [{ backend_mode: 'vip' }, 'backend_mode'],
  ])('%j: the younger one gets a finding that names the label, whoever has it', (labels, label) => {
    const plain = { hosts: 'a.local' };
    const younger = ask({ services: aged(app('old', plain), app('new', { ...plain, ...labels })) });
    const older = ask({ services: aged(app('old', { ...plain, ...labels }), app('new', plain)) });
    expect(found(younger)).toContainEqual(['ROUTE.OPTIONS_DIFFER', 'new', label]);
    expect(found(older)).toContainEqual(['ROUTE.OPTIONS_DIFFER', 'new', label]);
    const alone = ask({ services: [app('old', plain)] });
    expect(poolAt(younger, 'a.local/')).toEqual({ ...poolAt(alone, 'a.local/'), services: ['old', 'new'] });
  });

  it('rewrite differs', () => {
    const labels = { hosts: 'a.local', context_root: '/app' };
    const answer = ask({ services: aged(app('old', labels), app('new', { ...labels, context_root_rewrite: 'true' })) });
    expect(found(answer)).toEqual([['ROUTE.OPTIONS_DIFFER', 'new', 'context_root_rewrite']]);
    expect(hostAt(answer, 'a.local')?.routes).toMatchObject([{ rewrite: false }]);
  });

  it('equal age: the id decides', () => {
    const two = [app('zzz', { hosts: 'a.local', max_fails: '1' }), app('aaa', { hosts: 'a.local', max_fails: '2' })];
    expect(poolAt(ask({ services: two }), 'a.local/')?.failure.maxFails).toBe(2);
  });

  it('is said once, however many hosts they share', () => {
    const hosts = Array.from({ length: 500 }, (_, at) => `h${at}.local`).join();
    const answer = ask({ services: aged(app('old', { hosts }), app('new', { hosts, max_fails: '9' })) });
    expect(found(answer)).toEqual([['ROUTE.OPTIONS_DIFFER', 'new', 'max_fails']]);
  });
});

describe('no port', () => {
  const ports = (...targets: readonly number[]) => ({
    ports: targets.map((targetPort) => ({
      protocol: 'tcp' as const,
      mode: 'ingress' as const,
      targetPort,
      publishedPort: 1,
    })),
  });

  it('the only published target port if there is exactly one', () => {
    const answer = ask({
      services: [app('web', { hosts: 'a.local', port: '' }, ports(3000))],
      tasks: tasksOf('web', 1, 1),
    });
    expect(addresses(poolAt(answer, 'a.local/'))).toEqual(['10.0.1.1:3000']);
  });

  it.each([[[]], [[3000, 3001]]])('else finding LABEL.PORT_MISSING: %j', (targets) => {
    const answer = ask({ services: [app('web', { hosts: 'a.local', port: '' }, ports(...targets))] });
    expect(found(answer)).toEqual([['LABEL.PORT_MISSING', 'web', 'port']]);
    expect(hostsOf(answer)).toEqual([]);
  });
});

describe('no network, several networks', () => {
  const networks = [
    network({ id: 'ing', name: 'ingress', ingress: true }),
    network({ id: 'b', name: 'bravo' }),
    network({ id: 'a', name: 'alpha' }),
    network({ id: 's', name: 'shop_front' }),
  ];
  const on = (...networkIds: readonly string[]) => ({ networkIds });

  it('never ingress', () => {
    const answer = ask({ networks, services: [app('web', { hosts: 'a.local' }, on('ing', 'b'))] });
    expect(answer.findings).toEqual([]);
    expect(poolAt(answer, 'a.local/')?.network).toMatchObject({ name: 'bravo' });
  });

  it('first by name, with a finding that names the choice', () => {
    const answer = ask({ networks, services: [app('web', { hosts: 'a.local' }, on('b', 'a'))] });
    expect(found(answer)).toEqual([['LABEL.NETWORK_AMBIGUOUS', 'web', 'network']]);
    expect(answer.findings[0]?.advice).toContain('alpha was chosen');
  });

  it('prefer one the proxy has', () => {
    const proxy = service({ id: 'p', name: extensionSettings().proxyServiceName, networkIds: ['b'] });
    const answer = ask({ networks, services: [proxy, app('web', { hosts: 'a.local' }, on('b', 'a'))] });
    expect(poolAt(answer, 'a.local/')?.network).toMatchObject({ name: 'bravo' });
  });

  it('short stack names resolve through com.docker.stack.namespace', () => {
    const stacked = { ...on('s', 'a'), labels: { 'com.docker.stack.namespace': 'shop' } };
    const answer = ask({ networks, services: [app('web', { hosts: 'a.local', network: 'front' }, stacked)] });
    expect(answer.findings).toEqual([]);
    expect(poolAt(answer, 'a.local/')?.network).toMatchObject({ name: 'shop_front' });
  });

  describe('bridge and host mode: node address and published host port', () => {
    const hostPort = (targetPort: number) => ({
      ports: [{ protocol: 'tcp' as const, mode: 'host' as const, targetPort, publishedPort: undefined }],
    });
    const running = (serviceId: string) =>
      task({
        serviceId,
        attachments: [{ networkId: 'a', addresses: [ip('10.0.1.1')] }],
        hostPorts: [{ protocol: 'tcp', mode: 'host', targetPort: 8080, publishedPort: 30_000 }],
      });

    it.each<[string, Labels, Partial<Service>]>([
      ['host mode without overlay', {}, on()],
      ['network=bridge without overlay', { network: 'bridge' }, on()],
      ['network=bridge beside an overlay', { network: 'bridge' }, on('a')],
    ])('%s', (_what, labels, parts) => {
      const web = app('web', { hosts: 'a.local', ...labels }, { ...parts, ...hostPort(8080) });
      const answer = ask({ networks, services: [web], tasks: [running('web')] });
      expect(answer.findings).toEqual([]);
      expect(poolAt(answer, 'a.local/')?.network).toEqual({ kind: 'host' });
      expect(addresses(poolAt(answer, 'a.local/'))).toEqual(['10.99.0.11:30000']);
      expect(requirementsOf(answer.model).networks).toEqual([]);
    });

    it('host mode beside an overlay, without the label: the overlay', () => {
      const web = app('web', { hosts: 'a.local' }, { ...on('a'), ...hostPort(8080) });
      expect(addresses(poolAt(ask({ networks, services: [web], tasks: [running('web')] }), 'a.local/'))).toEqual([
        '10.0.1.1:8080',
      ]);
    });

    it.each<[string, Partial<Service>]>([
      ['nothing is published on the nodes', on('a')],
      ['another port is', { ...on('a'), ...hostPort(9090) }],
    ])('%s: a finding says what to publish', (_what, parts) => {
      const answer = ask({ networks, services: [app('web', { hosts: 'a.local', network: 'bridge' }, parts)] });
      expect(found(answer)).toEqual([['ROUTE.HOST_PORT_MISSING', 'web', 'network']]);
      expect(poolAt(answer, 'a.local/')?.endpoints).toEqual([]);
    });
  });
});

describe('Networks on the extension', () => {
  const networks = [
    network({ id: 'a', name: 'alpha' }),
    network({ id: 'b', name: 'bravo' }),
    network({ id: 'c', name: 'charlie' }),
  ];
  const only = 'Networks = ["bravo", "charlie"]\n';

  it('a service on none of them is not routed, finding', () => {
    const answer = ask({ networks, services: [app('web', { hosts: 'a.local' }, { networkIds: ['a'] })] }, only);
    expect(found(answer)).toEqual([['LABEL.NETWORK_NOT_OFFERED', 'web', 'network']]);
    expect(answer.findings[0]?.advice).toContain('bravo, charlie');
    expect(hostsOf(answer)).toEqual([]);
  });

  it('a service whose label names another network is not routed, finding', () => {
    const web = app('web', { hosts: 'a.local', network: 'alpha' }, { networkIds: ['a', 'b'] });
    expect(found(ask({ networks, services: [web] }, only))).toEqual([['LABEL.NETWORK_NOT_OFFERED', 'web', 'network']]);
  });

  it('the choice is among them alone, and no choice at all where one is left', () => {
    const answer = ask({ networks, services: [app('web', { hosts: 'a.local' }, { networkIds: ['a', 'c'] })] }, only);
    expect(answer.findings).toEqual([]);
    expect(poolAt(answer, 'a.local/')?.network).toMatchObject({ name: 'charlie' });
  });

  it("short names are those of core's own stack, as for the proxies", () => {
    const labels = { 'com.docker.stack.namespace': 'interlock' };
    const proxy = service({ id: 'p', name: extensionSettings().proxyServiceName, labels });
    const ofStack = [network({ id: 'x', name: 'interlock_bravo' }), network({ id: 'y', name: 'shop_bravo' })];
    const answer = ask(
      {
        networks: ofStack,
        services: [proxy, ...['x', 'y'].map((id) => app(id, { hosts: `${id}.local` }, { networkIds: [id] }))],
      },
      only,
    );
    expect(found(answer)).toEqual([['LABEL.NETWORK_NOT_OFFERED', 'y', 'network']]);
    expect(hostsOf(answer)).toEqual(['x.local']);
  });

  it('a service that is reached at its nodes needs none of them', () => {
    const ports = [{ protocol: 'tcp' as const, mode: 'host' as const, targetPort: 8080, publishedPort: 1 }];
    const answer = ask({ networks, services: [app('web', { hosts: 'a.local' }, { networkIds: [], ports })] }, only);
    expect(answer.findings).toEqual([]);
    expect(hostsOf(answer)).toEqual(['a.local']);
  });
});

it('route with no usable endpoint stays', () => {
  const answer = ask({ services: [app('web', { hosts: 'a.local' })] });
  expect(answer.findings).toEqual([]);
  expect(hostAt(answer, 'a.local')?.routes).toHaveLength(1);
  expect(poolAt(answer, 'a.local/')?.endpoints).toEqual([]);
});

describe('default_backend', () => {
  const secrets = [secretNamed('cert')];

  it('answers every host nobody claimed, hosts not needed', () => {
    const answer = ask({ services: [app('web', { default_backend: 'true' })], tasks: tasksOf('web', 1, 1) });
    expect(answer.findings).toEqual([]);
    expect(answer.model).toMatchObject({
      hosts: [],
      header: { defaultPool: '(default)', defaultTls: { kind: 'none' } },
    });
    expect(addresses(poolAt(answer, '(default)'))).toEqual(['10.0.1.1:8080']);
  });

  it('together with hosts: both', () => {
    const answer = ask({ services: [app('web', { default_backend: 'true', hosts: 'a.local' })] });
    expect(answer.model.header.defaultPool).toBe('(default)');
    expect(hostsOf(answer)).toEqual(['a.local']);
  });

  it('two of them: oldest wins, finding', () => {
    const answer = ask({
      services: aged(app('old', { default_backend: 'true' }), app('new', { default_backend: 'true' })),
    });
    expect(found(answer)).toEqual([['ROUTE.OPTIONS_DIFFER', 'new', 'default_backend']]);
    expect(poolAt(answer, '(default)')?.services).toEqual(['old']);
  });

  it('with a certificate: TLS for every name, and its secret is attached', () => {
    const answer = ask({
      secrets,
      services: [app('web', { default_backend: 'true', ssl_cert: 'cert', ssl_only: 'true' })],
    });
    expect(answer.model.header.defaultTls).toMatchObject({ kind: 'terminate', only: true });
    expect(requirementsOf(answer.model).secrets).toEqual(['cert']);
  });

  it('passed through: its pool on the TLS port, through the hop', () => {
    const answer = ask({ services: [app('web', { default_backend: 'true', ssl_passthrough: 'true' })] });
    expect(answer.model.header).toMatchObject({
      defaultTls: { kind: 'passthrough', pool: '(default)' },
      tlsHop: true,
    });
  });

  it('its certificate missing: no TLS, finding, plain HTTP stays', () => {
    const answer = ask({ services: [app('web', { default_backend: 'true', ssl_cert: 'cert' })] });
    expect(found(answer)).toEqual([['SECRET.MISSING', 'web', 'ssl_cert']]);
    expect(answer.model.header).toMatchObject({ defaultPool: '(default)', defaultTls: { kind: 'lost', only: false } });
  });

  it('misspelt as in the original how-to: did you mean', () => {
    const answer = ask({ services: [app('web', { hosts: 'a.local', defaul_backend: 'true' })] });
    expect(answer.findings).toMatchObject([{ code: 'LABEL.UNKNOWN' }]);
    expect(answer.findings[0]?.advice).toContain('com.docker.lb.default_backend?');
  });
});

describe('one host both terminated and passed through: oldest wins, finding', () => {
  const secrets = [secretNamed('cert')];
  const ended = { hosts: 'a.local', ssl_cert: 'cert' };
  const passed = { hosts: 'a.local', ssl_passthrough: 'true' };

  it.each<[string, Labels]>([
    ['terminated', ended],
    ['plain', { hosts: 'a.local' }],
  ])('%s is older', (_what, labels) => {
    const services = aged(app('old', labels), app('new', passed));
    const answer = ask({ secrets, services });
    const alone = ask({ secrets, services: services.slice(0, 1) });
    expect(found(answer)).toEqual([['ROUTE.TLS_CONFLICT', 'new', 'ssl_passthrough']]);
    expect(answer.model).toEqual(alone.model);
  });

  it('passed through is older', () => {
    const answer = ask({ secrets, services: aged(app('old', passed), app('new', { ...ended, context_root: '/x' })) });
    expect(found(answer)).toEqual([['ROUTE.TLS_CONFLICT', 'new', 'ssl_passthrough']]);
    expect(hostAt(answer, 'a.local')).toMatchObject({ tls: { kind: 'passthrough', pool: 'tls:a.local' }, routes: [] });
    expect(poolAt(answer, 'tls:a.local')?.services).toEqual(['old']);
  });

  it('elsewhere the younger one is routed as it asks', () => {
    const answer = ask({
      secrets,
      services: aged(app('old', ended), app('new', { ...passed, hosts: 'a.local,b.local' })),
    });
    expect(hostAt(answer, 'b.local')?.tls.kind).toBe('passthrough');
  });
});

describe('passthrough', () => {
  const passed = { hosts: 'a.local', ssl_passthrough: 'true' };

  it('several services of one host share a pool', () => {
    const answer = ask({
      services: aged(app('v1', passed), app('v2', passed)),
      tasks: [...tasksOf('v1', 4, 1), ...tasksOf('v2', 1, 2)],
    });
    expect(answer.findings).toEqual([]);
    expect(shares(poolAt(answer, 'tls:a.local'))).toEqual({ v1: 0.8, v2: 0.2 });
  });

  it('the hop appears with the first host', () => {
    expect(ask({ services: [app('web', { hosts: 'a.local' })] }).model.header.tlsHop).toBe(false);
    expect(ask({ services: [app('web', passed)] }).model.header.tlsHop).toBe(true);
  });

  it.each<[Labels, string]>([
    [{ ssl_cert: 'c' }, 'ssl_cert'],
    [{ ssl_only: 'true' }, 'ssl_only'],
    [{ ssl_backend: 'true' }, 'ssl_backend'],
    [{ context_root: '/app' }, 'context_root'],
    [{ sticky_session_cookie: 'sid' }, 'sticky_session_cookie'],
  ])('%j beside it is ignored, finding', (labels, label) => {
    const answer = ask({ services: [app('web', { ...passed, ...labels })] });
    expect(found(answer)).toEqual([['LABEL.COMBINATION', 'web', label]]);
    expect(hostAt(answer, 'a.local')).toMatchObject({ tls: { kind: 'passthrough' }, routes: [] });
  });
});

it('unknown service_cluster: not routed, finding', () => {
  const answer = ask({ services: [app('web', { hosts: 'a.local', service_cluster: 'prod' })] });
  expect(found(answer)).toEqual([['LABEL.SERVICE_CLUSTER_UNKNOWN', 'web', 'service_cluster']]);
  expect(hostsOf(answer)).toEqual([]);
});

describe('secret missing: that host loses TLS only, finding', () => {
  const secrets = [secretNamed('cert'), secretNamed('key'), secretNamed('shop_cert'), secretNamed('shop_only')];
  const stacked = { labels: { 'com.docker.stack.namespace': 'shop' } };
  const tlsOf = (answer: Answer) => hostAt(answer, 'a.local')?.tls;

  it.each<[Labels, string, string]>([
    [{ ssl_cert: 'gone', ssl_key: 'key' }, 'ssl_cert', 'gone'],
    [{ ssl_cert: 'cert', ssl_key: 'gone' }, 'ssl_key', 'gone'],
  ])('%j', (labels, label, value) => {
    const answer = ask({
      secrets,
      services: [app('web', { hosts: 'a.local', ...labels }), app('other', { hosts: 'b.local', ssl_cert: 'cert' })],
    });
    expect(answer.findings).toMatchObject([
      { code: 'SECRET.MISSING', service: 'web', subject: `com.docker.lb.${label}`, value },
    ]);
    expect(tlsOf(answer)).toEqual({ kind: 'lost', only: false });
    expect(hostAt(answer, 'a.local')?.routes).toHaveLength(1);
    expect(hostAt(answer, 'b.local')?.tls.kind).toBe('terminate');
    expect(requirementsOf(answer.model).secrets).toEqual(['cert']);
  });

  it('ssl_only stays: plain HTTP is not served instead', () => {
    const answer = ask({ services: [app('web', { hosts: 'a.local', ssl_cert: 'gone', ssl_only: 'true' })] });
    expect(tlsOf(answer)).toEqual({ kind: 'lost', only: true });
  });

  it.each([
    ['cert', 'cert', 'the name as written wins'],
    ['only', 'shop_only', "else with the stack's prefix"],
    ['shop_cert', 'shop_cert', 'or as docker secret ls prints it'],
  ])('%s in a stack is the secret %s: %s', (written, name) => {
    const answer = ask({ secrets, services: [app('web', { hosts: 'a.local', ssl_cert: written }, stacked)] });
    expect(answer.findings).toEqual([]);
    expect(tlsOf(answer)).toMatchObject({
      certificate: { secret: name, path: `/run/secrets/${name}` },
      key: undefined,
    });
  });

  it("core's own tokens are nobody's certificate", () => {
    const token = secretNamed('token', { type: 'com.docker.interlock.core.token' });
    const answer = ask({ secrets: [token], services: [app('web', { hosts: 'a.local', ssl_cert: 'token' })] });
    expect(found(answer)).toEqual([['SECRET.MISSING', 'web', 'ssl_cert']]);
    expect(requirementsOf(answer.model).secrets).toEqual([]);
  });
});

describe('TLS of a host with several context roots', () => {
  const secrets = [secretNamed('cert'), secretNamed('other')];

  it.each<[string, Labels, object]>([
    ['the secret exists', { ssl_cert: 'cert' }, { kind: 'terminate', only: false }],
    ['it is missing', { ssl_cert: 'gone' }, { kind: 'lost', only: false }],
  ])('is that of the only service with ssl_cert, and an older one hears of it: %s', (_, labels, tls) => {
    const answer = ask({
      secrets,
      services: aged(
        app('web', { hosts: 'a.local' }),
        app('api', { hosts: 'a.local', context_root: '/api', ...labels }),
      ),
    });
    const byYounger = answer.findings.filter(({ code }) => code !== 'SECRET.MISSING');
    expect(byYounger).toMatchObject([
      { code: 'ROUTE.TLS_BY_YOUNGER', severity: 'info', service: 'api', subject: 'com.docker.lb.ssl_cert' },
    ]);
    expect(byYounger[0]?.advice).toContain('api decides about the TLS of a.local, for web too');
    expect(hostAt(answer, 'a.local')?.tls).toMatchObject(tls);
  });

  it.each(['cert', 'gone'])(
    "a younger service's ssl_only leaves an older one its plain HTTP: ssl_cert=%s",
    (ssl_cert) => {
      const answer = ask({
        secrets,
        services: aged(
          app('web', { hosts: 'a.local' }),
          app('api', { hosts: 'a.local', context_root: '/api', ssl_cert, ssl_only: 'true' }),
        ),
      });
      expect(hostAt(answer, 'a.local')?.tls).toMatchObject({ only: false });
      expect(found(answer)).toContainEqual(['ROUTE.OPTIONS_DIFFER', 'api', 'ssl_only']);
    },
  );

  it('ssl_only of the oldest service is for all of the host', () => {
    const answer = ask({
      secrets,
      services: aged(
        app('api', { hosts: 'a.local', context_root: '/api', ssl_cert: 'cert', ssl_only: 'true' }),
        app('web', { hosts: 'a.local' }),
      ),
    });
    expect(answer.findings).toEqual([]);
    expect(hostAt(answer, 'a.local')?.tls).toMatchObject({ kind: 'terminate', only: true });
  });

  it("is the oldest's of those that ask, and the others hear which label differs", () => {
    const answer = ask({
      secrets,
      services: aged(
        app('web', { hosts: 'a.local', ssl_cert: 'cert' }),
        app('api', { hosts: 'a.local', context_root: '/api', ssl_cert: 'other', ssl_only: 'true' }),
      ),
    });
    expect(found(answer)).toEqual([
      ['ROUTE.OPTIONS_DIFFER', 'api', 'ssl_cert'],
      ['ROUTE.OPTIONS_DIFFER', 'api', 'ssl_only'],
    ]);
    expect(hostAt(answer, 'a.local')?.tls).toMatchObject({ certificate: { secret: 'cert' }, only: false });
  });
});

describe('ssl_only and ssl_key alone', () => {
  it.each<[Labels, string]>([
    [{ ssl_only: 'true' }, 'ssl_only'],
    [{ ssl_key: 'key' }, 'ssl_key'],
  ])('%j: finding, plain HTTP', (labels, label) => {
    const answer = ask({ services: [app('web', { hosts: 'a.local', ...labels })] });
    expect(found(answer)).toEqual([['LABEL.COMBINATION', 'web', label]]);
    expect(hostAt(answer, 'a.local')?.tls).toEqual({ kind: 'none' });
  });
});

describe('ssl_backend, ssl_backend_tls_verify', () => {
  const labels = { hosts: 'a.local', ssl_backend: 'true', ssl_backend_tls_verify: 'required', ssl_backend_ca: 'ca' };

  it('CA from secret ssl_backend_ca, attached to the proxy', () => {
    const answer = ask({ secrets: [secretNamed('ca')], services: [app('web', labels)], tasks: tasksOf('web', 1, 1) });
    expect(answer.findings).toEqual([]);
    expect(poolAt(answer, 'a.local/')?.upstreamTls).toEqual({ kind: 'on', verify: { kind: 'required', ca: 'ca' } });
    expect(requirementsOf(answer.model).secrets).toEqual(['ca']);
  });

  it('a CA that is missing fails closed: no endpoint, finding', () => {
    const answer = ask({ services: [app('web', labels)], tasks: tasksOf('web', 1, 1) });
    expect(found(answer)).toEqual([['SECRET.MISSING', 'web', 'ssl_backend_ca']]);
    expect(poolAt(answer, 'a.local/')).toMatchObject({ endpoints: [], upstreamTls: { verify: { kind: 'required' } } });
    expect(requirementsOf(answer.model).secrets).toEqual([]);
  });

  it('none is the default', () => {
    const answer = ask({ services: [app('web', { hosts: 'a.local', ssl_backend: 'true' })] });
    expect(poolAt(answer, 'a.local/')?.upstreamTls).toEqual({ kind: 'on', verify: { kind: 'none' } });
  });

  it('a CA without verification is ignored, finding', () => {
    const answer = ask({ services: [app('web', { hosts: 'a.local', ssl_backend: 'true', ssl_backend_ca: 'ca' })] });
    expect(found(answer)).toEqual([['LABEL.COMBINATION', 'web', 'ssl_backend_ca']]);
  });
});

describe('redirects', () => {
  const redirectsAt = (answer: Answer, name: string) =>
    hostAt(answer, name)?.redirects.map(
      ({ source, target }) => `${source.scheme}://${source.host}>${target.scheme}://${target.host}`,
    );

  it('from one host of the service to another', () => {
    const answer = ask({
      services: [app('web', { hosts: 'old.local,new.local', redirects: 'http://old.local,http://new.local' })],
    });
    expect(answer.findings).toEqual([]);
    expect(redirectsAt(answer, 'old.local')).toEqual(['http://old.local>http://new.local']);
    expect(redirectsAt(answer, 'new.local')).toEqual([]);
  });

  it('source not in hosts: finding', () => {
    const answer = ask({
      services: [app('web', { hosts: 'new.local', redirects: 'http://old.local,http://new.local' })],
    });
    expect(found(answer)).toEqual([['LABEL.VALUE_INVALID', 'web', 'redirects']]);
  });

  it('for passthrough hosts too', () => {
    const answer = ask({
      services: [
        app('web', { hosts: 'a.local', ssl_passthrough: 'true', redirects: 'http://a.local,https://a.local' }),
      ],
    });
    expect(answer.findings).toEqual([]);
    expect(redirectsAt(answer, 'a.local')).toEqual(['http://a.local>https://a.local']);
  });

  it.each<[string, Labels]>([
    ['passed through', { ssl_passthrough: 'true' }],
    ['without TLS', {}],
  ])('from https on a host that is %s: finding', (_what, labels) => {
    const answer = ask({
      services: [app('web', { hosts: 'a.local', ...labels, redirects: 'https://a.local,http://a.local' })],
    });
    expect(found(answer)).toEqual([['ROUTE.REDIRECT_UNREACHABLE', 'web', 'redirects']]);
    expect(redirectsAt(answer, 'a.local')).toEqual([]);
  });

  it('same host, http to https, beside ssl_cert', () => {
    const answer = ask({
      secrets: [secretNamed('cert')],
      services: [app('web', { hosts: 'a.local', ssl_cert: 'cert', redirects: 'http://a.local,https://a.local' })],
    });
    expect(answer.findings).toEqual([]);
    expect(redirectsAt(answer, 'a.local')).toEqual(['http://a.local>https://a.local']);
  });

  it('a loop over several services and hosts: finding each, none is made, what leads into it stays', () => {
    const answer = ask({
      services: aged(
        app('a', { hosts: 'a.local', redirects: 'http://a.local,http://b.local' }),
        app('b', { hosts: 'b.local', redirects: 'http://b.local,http://c.local' }),
        app('c', {
          hosts: 'c.local,d.local',
          redirects: 'http://c.local,http://a.local;http://d.local,http://a.local',
        }),
      ),
    });
    expect(found(answer)).toEqual(['a', 'b', 'c'].map((name) => ['ROUTE.REDIRECT_LOOP', name, 'redirects']));
    expect(['a', 'b', 'c'].map((name) => redirectsAt(answer, `${name}.local`))).toEqual([[], [], []]);
    expect(redirectsAt(answer, 'd.local')).toEqual(['http://d.local>http://a.local']);
  });

  it('thousands of redirects of as many hosts are looked through once: each leads to the next, and the last two go round', () => {
    const count = 20_000;
    const host = (at: number) => `h${at}.local`;
    const hosts = Array.from({ length: count }, (_, at) => host(at));
    const targetOf = (at: number) => host(at === count - 1 ? at - 1 : at + 1);
    const redirects = hosts.map((source, at) => `http://${source},http://${targetOf(at)}`);
    const answer = ask({ services: [app('web', { hosts: hosts.join(','), redirects: redirects.join(';') })] });
    expect(found(answer)).toEqual(Array(2).fill(['ROUTE.REDIRECT_LOOP', 'web', 'redirects']));
    expect(redirectsAt(answer, host(0))).toEqual(['http://h0.local>http://h1.local']);
    expect(redirectsAt(answer, host(count - 1))).toEqual([]);
  });

  it('a loop with ssl_only', () => {
    const answer = ask({
      secrets: [secretNamed('cert')],
      services: [
        app('web', {
          hosts: 'a.local',
          ssl_cert: 'cert',
          ssl_only: 'true',
          redirects: 'https://a.local,http://a.local',
        }),
      ],
    });
    expect(found(answer)).toEqual([['ROUTE.REDIRECT_LOOP', 'web', 'redirects']]);
  });

  it("another server's port on the same host is no loop", () => {
    const answer = ask({
      services: [app('web', { hosts: 'a.local', redirects: 'http://a.local,http://a.local:9999' })],
    });
    expect(answer.findings).toEqual([]);
  });

  it('a younger service cannot send an older one away', () => {
    const services = aged(
      app('old', { hosts: 'a.local' }),
      app('new', { hosts: 'a.local', redirects: 'http://a.local,http://evil.local' }),
    );
    const answer = ask({ services });
    expect(found(answer)).toEqual([['ROUTE.OPTIONS_DIFFER', 'new', 'redirects']]);
    expect(redirectsAt(answer, 'a.local')).toEqual([]);
  });

  it('two services with the same one are one', () => {
    const labels = { hosts: 'a.local,b.local', redirects: 'http://a.local,http://b.local' };
    const answer = ask({ services: aged(app('v1', labels), app('v2', labels)) });
    expect(answer.findings).toEqual([]);
    expect(redirectsAt(answer, 'a.local')).toEqual(['http://a.local>http://b.local']);
  });
});

describe('VIP mode', () => {
  const vip = (parts: Partial<Service> = {}, labels: Labels = {}) =>
    app(
      'web',
      { hosts: 'a.local', backend_mode: 'vip', ...labels },
      {
        virtualIps: [
          { networkId: 'ing', address: ip('10.255.0.9') },
          { networkId: 'net1', address: ip('10.0.9.1') },
        ],
        ...parts,
      },
    );

  it('one server line, the VIP on the routing network', () => {
    const answer = ask({ services: [vip()], tasks: tasksOf('web', 3, 1) });
    expect(answer.findings).toEqual([]);
    expect(addresses(poolAt(answer, 'a.local/'))).toEqual(['10.0.9.1:8080']);
  });

  it('no new configuration on scale, image or environment change, or when tasks move', () => {
    const before = ask({ services: [vip()], tasks: tasksOf('web', 3, 1) });
    const after = ask({
      services: [
        vip({
          version: 99,
          updatedAt: '2026-05-05T00:00:00Z',
          mode: { kind: 'replicated', replicas: 7 },
          updateState: 'updating',
        }),
      ],
      tasks: tasksOf('web', 7, 2),
      nodes: [node({ state: 'down' })],
    });
    expect(digestModel(after.model)).toBe(digestModel(before.model));
  });

  it('scaled to zero there is nobody behind the address', () => {
    const answer = ask({ services: [vip({ mode: { kind: 'replicated', replicas: 0 } })] });
    expect(answer.findings).toEqual([]);
    expect(poolAt(answer, 'a.local/')?.endpoints).toEqual([]);
  });

  it.each([
    ['sticky_session_cookie', 'sid'],
    ['ip_hash', 'true'],
  ])('%s: finding', (label, value) => {
    const answer = ask({ services: [vip({}, { [label]: value })] });
    expect(found(answer)).toEqual([['LABEL.COMBINATION', 'web', label]]);
    expect(poolAt(answer, 'a.local/')?.balance).toEqual({ kind: 'round-robin' });
  });

  it('with endpoint_mode dnsrr: finding what to do, and the tasks meanwhile', () => {
    const answer = ask({ services: [vip({ endpointMode: 'dnsrr', virtualIps: [] })], tasks: tasksOf('web', 2, 1) });
    expect(found(answer)).toEqual([['ROUTE.VIP_MISSING', 'web', 'backend_mode']]);
    expect(addresses(poolAt(answer, 'a.local/'))).toEqual(['10.0.1.1:8080', '10.0.1.2:8080']);
  });
});

it('sticky cookie and ip_hash both: the cookie decides, finding', () => {
  const answer = ask({ services: [app('web', { hosts: 'a.local', sticky_session_cookie: 'sid', ip_hash: 'true' })] });
  expect(found(answer)).toEqual([['LABEL.COMBINATION', 'web', 'ip_hash']]);
  expect(poolAt(answer, 'a.local/')?.balance).toEqual({ kind: 'cookie', cookie: 'sid' });
});

it('websocket_endpoints accepted', () => {
  const answer = ask({ services: [app('web', { hosts: 'a.local', websocket_endpoints: '/ws,/foo' })] });
  expect(answer.findings).toEqual([]);
});

it('wildcard host: *.example.com beside an exact one, each its own', () => {
  const answer = ask({
    services: aged(app('wild', { hosts: '*.example.com' }), app('exact', { hosts: 'a.example.com' })),
  });
  expect(answer.findings).toEqual([]);
  expect(hostsOf(answer)).toEqual(['*.example.com', 'a.example.com']);
});

it('max_fails, fail_timeout: per service; default 3 / 10s', () => {
  const answer = ask({
    services: [app('a', { hosts: 'a.local' }), app('b', { hosts: 'b.local', max_fails: '0', fail_timeout: '1m' })],
  });
  expect(poolAt(answer, 'a.local/')?.failure).toEqual({ maxFails: 3, failTimeoutSeconds: 10 });
  expect(poolAt(answer, 'b.local/')?.failure).toEqual({ maxFails: 0, failTimeoutSeconds: 60 });
});

it('com.docker.lb.* on container labels: a finding says "move them under deploy"', () => {
  const answer = ask({ services: [service({ containerLabels: { 'com.docker.lb.hosts': 'a.local' } })] });
  expect(answer.findings[0]).toMatchObject({ code: 'LABEL.ON_CONTAINER' });
  expect(answer.findings[0]?.advice).toContain('under "deploy"');
});

it('a port in a host refused', () => {
  const answer = ask({ services: [app('web', { hosts: 'a.local:80' })] });
  expect(found(answer)).toEqual([['LABEL.HOSTS_INVALID', 'web', 'hosts']]);
});
