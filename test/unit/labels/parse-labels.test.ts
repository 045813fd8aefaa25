import { describe, expect, it } from 'vitest';
import { LABEL_NAMES, LABEL_PREFIX, type LabelName } from '../../../src/labels/label-table.ts';
import { type LabelOutcome, parseLabels } from '../../../src/labels/parse-labels.ts';
import type { RoutingIntent } from '../../../src/model/intent.ts';
import { intent, service } from '../../support/snapshots.ts';

type Labels = Readonly<Record<string, string>>;

function full(labels: Labels): Labels {
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [LABEL_PREFIX + name, value]));
}

function parse(labels: Labels): LabelOutcome {
  return parseLabels(service({ labels: full(labels) }));
}

function intentOf(outcome: LabelOutcome): RoutingIntent {
  if (outcome.kind !== 'intent') {
    throw new Error(JSON.stringify(outcome));
  }
  return outcome.intent;
}

function findingsOf(outcome: LabelOutcome): readonly (readonly [string, string | undefined, string | undefined])[] {
  return outcome.kind === 'not-ours'
    ? []
    : outcome.findings.map(({ code, subject, value }) => [code, subject, value] as const);
}

const HOST = { hosts: 'demo.local' };

describe('parseLabels', () => {
  it('leaves services without labels of ours alone', () => {
    const labels = { 'com.docker.stack.namespace': 'x', 'com.docker.ucp.access.label': '/', 'com.docker.lbx': 'y' };
    expect(parseLabels(service({ labels }))).toEqual({ kind: 'not-ours' });
  });

  it('reads host and port, and nothing more is needed', () => {
    expect(parse({ hosts: 'demo.local', port: '8080' })).toEqual({ kind: 'intent', intent: intent(), findings: [] });
  });

  it('trims, lower-cases, sorts and counts hosts once', () => {
    const outcome = parse({ hosts: ' b.example.com , A.example.com,,b.example.com,*.Example.com ' });
    expect(intentOf(outcome).hosts).toEqual(['*.example.com', 'a.example.com', 'b.example.com']);
    expect(findingsOf(outcome)).toEqual([]);
  });

  it.each<[Labels, Partial<RoutingIntent>]>([
    [{ port: '' }, { port: undefined }],
    [{ network: 'demo_demo-network' }, { network: { kind: 'named', name: 'demo_demo-network' } }],
    [{ network: 'bridge' }, { network: { kind: 'bridge' } }],
    [{ network: ' ' }, { network: { kind: 'auto' } }],
    [{ service_cluster: 'eu west' }, { serviceCluster: 'eu west' }],
    [{ backend_mode: 'task' }, { backendMode: 'task' }],
  ])('reads %j', (labels, expected) => {
    const outcome = parse({ ...HOST, ...labels });
    expect(intentOf(outcome)).toMatchObject(expected);
    expect(findingsOf(outcome)).toEqual([]);
  });

  it.each([
    ['port', '0', 'LABEL.PORT_INVALID'],
    ['port', '80/tcp', 'LABEL.PORT_INVALID'],
    ['port', '8080;', 'LABEL.PORT_INVALID'],
    ['network', 'a;b', 'LABEL.NETWORK_UNKNOWN'],
    ['service_cluster', 'a\nb', 'LABEL.SERVICE_CLUSTER_UNKNOWN'],
  ])('does not route a service with %s = %j', (name, value, code) => {
    const outcome = parse({ ...HOST, [name]: value });
    expect(outcome.kind).toBe('unusable');
    expect(findingsOf(outcome)).toEqual([[code, LABEL_PREFIX + name, value.replace('\n', '·')]]);
  });

  it('loses a bad host alone', () => {
    const outcome = parse({ hosts: 'good.local, bad_.local:8080,http://worse.local' });
    expect(intentOf(outcome).hosts).toEqual(['good.local']);
    expect(findingsOf(outcome)).toEqual([
      ['LABEL.HOSTS_INVALID', 'com.docker.lb.hosts', 'bad_.local:8080'],
      ['LABEL.HOSTS_INVALID', 'com.docker.lb.hosts', 'http://worse.local'],
    ]);
  });

  it('says once why a service without a usable host is not routed', () => {
    expect(findingsOf(parse({ port: '80' }))).toEqual([['LABEL.HOSTS_MISSING', 'com.docker.lb.hosts', undefined]]);
    expect(findingsOf(parse({ hosts: ' , ' }))).toEqual([['LABEL.HOSTS_MISSING', 'com.docker.lb.hosts', undefined]]);
    expect(findingsOf(parse({ hosts: 'a b' }))).toEqual([['LABEL.HOSTS_INVALID', 'com.docker.lb.hosts', 'a b']]);
  });

  it('names the service, its cluster and what to write instead', () => {
    expect(parse({ hosts: 'a.local:80,b.local', service_cluster: 'x' })).toMatchObject({
      findings: [
        {
          severity: 'error',
          service: 'demo',
          serviceCluster: 'x',
          advice: expect.stringContaining('without the port') as unknown,
        },
      ],
    });
  });

  it.each([
    ['defaul_backend', 'default_backend'],
    ['Hosts', 'hosts'],
    ['context-root', 'context_root'],
    ['sticky_sesion_cookie', 'sticky_session_cookie'],
  ])('asks for %s whether %s was meant', (wrong, right) => {
    expect(parse({ ...HOST, [wrong]: 'x' })).toMatchObject({
      kind: 'intent',
      findings: [
        {
          code: 'LABEL.UNKNOWN',
          subject: LABEL_PREFIX + wrong,
          advice: expect.stringContaining(`${LABEL_PREFIX}${right}?`) as unknown,
        },
      ],
    });
  });

  it.each(['toString', '__proto__', 'constructor', 'nothing.like.it', ''])('ignores the unknown label %j', (name) => {
    const labels = { ...full(HOST), [LABEL_PREFIX + name]: 'x' };
    expect(findingsOf(parseLabels(service({ labels })))).toEqual([['LABEL.UNKNOWN', LABEL_PREFIX + name, undefined]]);
  });

  it("cuts a label's name, and takes control characters out of it", () => {
    const labels = { ...full(HOST), [`${LABEL_PREFIX}\u001b[2J${'x'.repeat(1_000_000)}`]: 'x' };
    const [[, subject] = []] = findingsOf(parseLabels(service({ labels })));
    expect(subject).toHaveLength(128);
    expect(subject).toContain(`${LABEL_PREFIX}\u00b7[2Jxxx`);
  });

  it('sees labels that were put on the containers', () => {
    const outcome = parseLabels(service({ containerLabels: full({ hosts: 'demo.local', port: '80' }) }));
    expect(outcome.kind).toBe('unusable');
    expect(findingsOf(outcome)[0]).toEqual([
      'LABEL.ON_CONTAINER',
      'com.docker.lb.hosts',
      'com.docker.lb.hosts, com.docker.lb.port',
    ]);
  });

  it('does not mind labels that are on the containers as well', () => {
    const outcome = parseLabels(service({ labels: full(HOST), containerLabels: full(HOST) }));
    expect(outcome).toMatchObject({ kind: 'intent', findings: [] });
  });

  it('reads very long values, and complains about ten of their entries', () => {
    const many = Array.from({ length: 6000 }, (_, index) => `h${index}.local`).join(',');
    expect(intentOf(parse({ hosts: many })).hosts).toHaveLength(6000);
    const bad = parse({ hosts: `ok.local,${'a b,'.repeat(16_000)}` });
    expect(findingsOf(bad)).toHaveLength(10);
    expect(JSON.stringify(bad)).toContain('15990 more like this');
    expect(findingsOf(parse({ hosts: 'x'.repeat(65_536) }))[0]?.[2]).toHaveLength(121);
  });
});

it.each(LABEL_NAMES)('%s changes the intent', (name) => {
  const labels = { ...HOST, ...PARTNERS[name], [name]: SAMPLES[name] };
  expect(findingsOf(parse(labels))).toEqual([]);
  expect(parse(labels)).not.toEqual(parse({ ...HOST, ...PARTNERS[name] }));
});

it.each([
  'com.docker.lb_hosts',
  'com.docker.lbs.hosts',
  'com.docker.LB.Hosts',
  'com.docker.interlock.hosts',
  'com.docker.ucp.lb.hosts',
  'docker.lb.hosts',
  'com.docker.ib.hosts',
  'com.docker.1b.Hosts',
  'com.docker.bl.hosts',
  'com.doker.lb.hosts',
  'comdocker.lb.hosts',
])('asks for %s, which begins with nothing of ours, what was meant', (label) => {
  expect(parseLabels(service({ labels: { [label]: 'demo.local' } }))).toMatchObject({
    kind: 'unusable',
    findings: [
      { code: 'LABEL.UNKNOWN', subject: label, advice: expect.stringContaining('com.docker.lb.hosts?') as unknown },
      { code: 'LABEL.HOSTS_MISSING' },
    ],
  });
});

it.each([
  'com.docker.interlock.core.proxy',
  'com.docker.lbx.port',
  'com.docker.ucp.port',
  'com.docker.lb',
  'com.docker.abc.hosts',
  'traefik.http.port',
  'com.example.lb.hosts',
  'hosts',
])('leaves %s alone', (label) => {
  expect(parseLabels(service({ labels: { [label]: 'x' } }))).toEqual({ kind: 'not-ours' });
});

it('names fifty problems of one service at most', () => {
  const nonsense = Object.fromEntries(Array.from({ length: 5000 }, (_, at) => [`x${at}`, 'y']));
  const outcome = parse({ ...HOST, ...nonsense });
  expect(findingsOf(outcome)).toHaveLength(50);
  expect(JSON.stringify(outcome)).toContain('4950 more like this');
});

const SAMPLES: Readonly<Record<LabelName, string>> = {
  hosts: 'x.local',
  port: '1',
  network: 'n',
  service_cluster: 'c',
  context_root: '/app',
  context_root_rewrite: 'true',
  ssl_cert: 'c',
  ssl_key: 'k',
  ssl_only: 'true',
  ssl_passthrough: 'true',
  ssl_backend: 'true',
  ssl_backend_tls_verify: 'required',
  ssl_backend_ca: 'ca',
  websocket_endpoints: '/ws',
  sticky_session_cookie: 'sid',
  ip_hash: 'true',
  redirects: 'http://demo.local,http://new.local',
  backend_mode: 'vip',
  default_backend: 'true',
  max_fails: '7',
  fail_timeout: '7s',
  weight: '7',
};

/** Labels that another one needs to mean something. */
const PARTNERS: Partial<Readonly<Record<LabelName, Labels>>> = {
  context_root_rewrite: { context_root: '/app' },
  ssl_key: { ssl_cert: 'c' },
  ssl_only: { ssl_cert: 'c' },
  ssl_backend_tls_verify: { ssl_backend: 'true' },
  ssl_backend_ca: { ssl_backend: 'true', ssl_backend_tls_verify: 'required' },
};

describe('with every label in effect', () => {
  it.each<[Labels, Partial<RoutingIntent>]>([
    [
      { context_root: '/app/', context_root_rewrite: 'true' },
      { contextRoot: { prefix: '/app', rewrite: true } as never },
    ],
    [
      { ssl_cert: 'cert', ssl_key: 'key', ssl_only: 'True' },
      { tls: { kind: 'terminate', certificate: 'cert', key: 'key', only: true } as never },
    ],
    [{ ssl_cert: 'cert' }, { tls: { kind: 'terminate', certificate: 'cert', key: undefined, only: false } as never }],
    [{ ssl_passthrough: 'true' }, { tls: { kind: 'passthrough' } }],
    [{ ssl_backend: 'true' }, { upstreamTls: { kind: 'on', verify: { kind: 'none' } } }],
    [
      { ssl_backend: 'true', ssl_backend_tls_verify: 'required', ssl_backend_ca: 'ca' },
      { upstreamTls: { kind: 'on', verify: { kind: 'required', ca: 'ca' } } as never },
    ],
    [{ sticky_session_cookie: 'my-sid' }, { balance: { kind: 'cookie', cookie: 'my-sid' } as never }],
    [{ ip_hash: '1' }, { balance: { kind: 'client-address' } }],
    [{ websocket_endpoints: '/ws, /foo' }, { websocketEndpoints: ['/ws', '/foo'] as never }],
    [{ backend_mode: 'VIP' }, { backendMode: 'vip' }],
    [{ max_fails: '0', fail_timeout: '1m' }, { failure: { maxFails: 0, failTimeoutSeconds: 60 } }],
    [{ fail_timeout: '0s' }, { failure: { maxFails: 3, failTimeoutSeconds: 0 } }],
    [{ weight: '100' }, { weight: 100 }],
    [
      { redirects: 'http://demo.local,https://demo.local; HTTP://Demo.local:8080/ , https://other.example.com:8443;' },
      {
        redirects: [
          {
            source: { scheme: 'http', host: 'demo.local', port: undefined },
            target: { scheme: 'https', host: 'demo.local', port: undefined },
          },
          {
            source: { scheme: 'http', host: 'demo.local', port: 8080 },
            target: { scheme: 'https', host: 'other.example.com', port: 8443 },
          },
        ] as never,
      },
    ],
  ])('reads %j', (labels, expected) => {
    const outcome = parse({ ...HOST, ...labels });
    expect(findingsOf(outcome)).toEqual([]);
    expect(intentOf(outcome)).toMatchObject(expected);
  });

  it('a default backend needs no hosts', () => {
    expect(parse({ default_backend: 'true', port: '80' })).toMatchObject({
      kind: 'intent',
      intent: { hosts: [], defaultBackend: true },
      findings: [],
    });
  });

  it('a service whose path cannot be read is not let loose on the whole host', () => {
    const outcome = parse({ ...HOST, context_root: '/a/../b' });
    expect(outcome.kind).toBe('unusable');
    expect(findingsOf(outcome)).toEqual([['LABEL.CONTEXT_ROOT_INVALID', 'com.docker.lb.context_root', '/a/../b']]);
  });

  it.each([
    ['context_root_rewrite', 'yes'],
    ['ssl_cert', '../cert'],
    ['ssl_key', 'a;b'],
    ['ssl_only', 'on'],
    ['ssl_backend_tls_verify', 'optional'],
    ['websocket_endpoints', 'ws'],
    ['sticky_session_cookie', 'a b'],
    ['ip_hash', '2'],
    ['redirects', 'http://demo.local'],
    ['redirects', 'http://demo.local,http://demo.local'],
    ['redirects', 'http://demo.local/a,http://new.local'],
    ['redirects', 'ftp://demo.local,http://new.local'],
    ['redirects', 'http://demo.local,http://new.local;{}'],
    ['redirects', 'http://stranger.local,http://new.local'],
    ['backend_mode', 'default'],
    ['default_backend', 'maybe'],
    ['max_fails', '-1'],
    ['fail_timeout', '1.5s'],
    ['fail_timeout', '500ms'],
    ['weight', '0'],
    ['weight', '101'],
  ])('a bad %s = %j is lost alone', (name, value) => {
    const outcome = parse({ ...HOST, [name]: value });
    expect(outcome.kind).toBe('intent');
    expect(findingsOf(outcome).map(([code, subject]) => [code, subject])).toEqual([
      ['LABEL.VALUE_INVALID', LABEL_PREFIX + name],
    ]);
  });

  it.each<[Labels, LabelName]>([
    [{ ssl_key: 'k' }, 'ssl_key'],
    [{ ssl_only: 'true' }, 'ssl_only'],
    [{ ssl_cert: 'c', ssl_passthrough: 'true' }, 'ssl_cert'],
    [{ context_root: '/a', ssl_passthrough: 'true' }, 'context_root'],
    [{ context_root_rewrite: 'true' }, 'context_root_rewrite'],
    [{ ssl_only: 'true', ssl_passthrough: 'true' }, 'ssl_only'],
    [{ ssl_backend: 'true', ssl_passthrough: 'true' }, 'ssl_backend'],
    [{ hosts: '', default_backend: 'true', context_root: '/a' }, 'context_root'],
    [{ ssl_backend_tls_verify: 'required' }, 'ssl_backend_tls_verify'],
    [{ ssl_backend_ca: 'ca' }, 'ssl_backend_ca'],
    [{ ip_hash: 'true', sticky_session_cookie: 'sid' }, 'ip_hash'],
    [{ sticky_session_cookie: 'sid', backend_mode: 'vip' }, 'sticky_session_cookie'],
    [{ ip_hash: 'true', backend_mode: 'vip' }, 'ip_hash'],
  ])('%j: says that %s is ignored', (labels, ignored) => {
    const outcome = parse({ ...HOST, ...labels });
    expect(outcome.kind).toBe('intent');
    expect(findingsOf(outcome)).toEqual([['LABEL.COMBINATION', LABEL_PREFIX + ignored, undefined]]);
  });
});
