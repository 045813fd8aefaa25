import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Finding } from '../../../src/model/finding.ts';
import { type CoreSettings, formatProblems, parseCoreSettings } from '../../../src/settings/core-settings.ts';
import { parseNginxOptions } from '../../../src/settings/nginx-options.ts';

interface Parsed {
  readonly settings: CoreSettings;
  readonly findings: readonly Finding[];
}

function parse(toml: string): Parsed {
  const outcome = parseCoreSettings(toml);
  if (!outcome.ok) {
    throw new Error(formatProblems(outcome.problems));
  }
  return outcome;
}

function problemsOf(toml: string): readonly string[] {
  const outcome = parseCoreSettings(toml);
  return outcome.ok ? [] : formatProblems(outcome.problems).split('\n');
}

function codesOf(toml: string): readonly (readonly [string, string | undefined])[] {
  return parse(toml).findings.map(({ code, subject }) => [code, subject] as const);
}

/** The shape of the file UCP 3.2.3 writes. */
const UCP = `
ListenAddr = ":8080"
DockerURL = "unix:///var/run/docker.sock"
AllowInsecure = false
PollInterval = "3s"

[Extensions]
  [Extensions.default]
    Image = "docker/ucp-interlock-extension:3.2.3"
    ServiceName = "ucp-interlock-extension"
    Args = []
    Constraints = ["node.labels.com.docker.ucp.orchestrator.swarm==true", "node.platform.os==linux"]
    ProxyImage = "mirantis/ucp-interlock-proxy:3.2.3"
    ProxyServiceName = "ucp-interlock-proxy"
    ProxyConfigPath = "/etc/nginx/nginx.conf"
    ProxyReplicas = 2
    ProxyStopSignal = "SIGQUIT"
    ProxyStopGracePeriod = "5s"
    ProxyConstraints = ["node.platform.os=linux"]
    PublishMode = "ingress"
    PublishedPort = 8080
    TargetPort = 80
    PublishedSSLPort = 8443
    TargetSSLPort = 443
    HitlessServiceUpdate = false
    [Extensions.default.Labels]
      "com.docker.ucp.InstanceID" = "vl5umu06ryluu66uzjcv5h1bo"
    [Extensions.default.Config]
      User = "nginx"
      PidPath = "/var/run/proxy.pid"
      WorkerProcesses = 1
      RlimitNoFile = 65535
`;

describe('parseCoreSettings', () => {
  it.each([
    ['":9191"', { host: '0.0.0.0', port: 9191 }],
    ['"10.0.0.5:9090"', { host: '10.0.0.5', port: 9090 }],
    ['"off"', undefined],
  ])('reads MetricsListenAddr = %s', (written, metricsListen) => {
    expect(parse(`MetricsListenAddr = ${written}\n[Extensions.default]`).settings.metricsListen).toEqual(metricsListen);
  });

  it('takes a ReadyPort in host mode only: the routing mesh would ask any proxy', () => {
    expect(problemsOf('[Extensions.default]\nReadyPort = 8081')).toEqual([
      'Extensions.default.ReadyPort: found 8081 (whole number), expected none, or PublishMode = "host" beside it',
    ]);
    const { settings } = parse('[Extensions.default]\nPublishMode = "host"\nReadyPort = 8081');
    expect(settings.extensions[0]?.readyPort).toBe(8081);
  });

  it.each([
    ['ProxyLeaveDelay = "10s"', 'found 10s, expected less than ProxyStopGracePeriod, which is 10s where it is not set'],
    [
      'ProxyLeaveDelay = "1m30s"\nProxyStopGracePeriod = "45s"',
      'found 90s, expected less than ProxyStopGracePeriod, which is 45s',
    ],
  ])('takes no delay of leaving in which Swarm would kill the proxy: %s', (lines, words) => {
    expect(problemsOf(`[Extensions.default]\n${lines}`)).toEqual([`Extensions.default.ProxyLeaveDelay: ${words}`]);
  });

  it('takes a delay of leaving that is shorter than the grace period', () => {
    const { settings } = parse('[Extensions.default]\nProxyLeaveDelay = "10s"\nProxyStopGracePeriod = "11s"');
    expect(settings.extensions[0]).toMatchObject({ proxyLeaveDelayMs: 10_000, proxyStopGracePeriodMs: 11_000 });
  });

  it('fills in every default of a file with one empty extension', () => {
    const { settings, findings } = parse('[Extensions.default]');
    expect(findings).toEqual([]);
    expect(settings).toEqual({
      listen: { host: '', port: 8080 },
      metricsListen: { host: '0.0.0.0', port: 9090 },
      dockerUrl: 'unix:///var/run/docker.sock',
      dockerTls: undefined,
      pollIntervalMs: 3000,
      endpointOverride: undefined,
      taskFeed: 'auto',
      networkLingerMs: 600_000,
      proxyConfigRefreshMs: 86_400_000,
      reloadsPerMinute: undefined,
      grpcTls: undefined,
      extensions: [
        {
          name: 'default',
          image: 'interlock/extension:dev',
          args: [],
          labels: {},
          containerLabels: {},
          constraints: [],
          placementPreferences: [],
          serviceName: 'interlock-extension-default',
          networks: undefined,
          serviceCluster: '',
          proxyImage: 'interlock/proxy:dev',
          proxyArgs: [],
          proxyLabels: {},
          proxyContainerLabels: {},
          proxyConstraints: [],
          proxyPlacementPreferences: [],
          proxyServiceName: 'interlock-proxy-default',
          proxyConfigPath: '/etc/nginx/nginx.conf',
          proxyReplicas: 1,
          proxyStopSignal: undefined,
          proxyStopGracePeriodMs: undefined,
          proxyUpdateDelayMs: 0,
          publishMode: 'ingress',
          publishedPort: undefined,
          targetPort: 80,
          publishedSslPort: undefined,
          targetSslPort: 443,
          readyPort: undefined,
          proxyLeaveDelayMs: 0,
          hitless: true,
          template: undefined,
          configImage: undefined,
          configServiceName: undefined,
          optionsJson: '{}',
        },
      ],
    });
  });

  it("reads UCP's file, and says what it reads differently", () => {
    expect(codesOf(UCP)).toEqual([
      ['SETTINGS.IMAGE_MAPPED', 'Extensions.default.Image'],
      ['SETTINGS.IMAGE_MAPPED', 'Extensions.default.ProxyImage'],
      ['SETTINGS.CONSTRAINT_REWRITTEN', 'Extensions.default.ProxyConstraints'],
    ]);
    expect(parse(UCP).settings.extensions[0]).toMatchObject({
      image: 'interlock/extension:dev',
      proxyImage: 'interlock/proxy:dev',
      constraints: ['node.labels.com.docker.ucp.orchestrator.swarm==true', 'node.platform.os==linux'],
      proxyConstraints: ['node.platform.os==linux'],
      labels: { 'com.docker.ucp.InstanceID': 'vl5umu06ryluu66uzjcv5h1bo' },
      proxyStopSignal: 'SIGQUIT',
      proxyStopGracePeriodMs: 5000,
      publishedPort: 8080,
      publishedSslPort: 8443,
      hitless: false,
    });
  });

  it('hands the Config table on as written, in a form the extension reads again', () => {
    const { optionsJson } = parse(UCP).settings.extensions[0] ?? { optionsJson: '' };
    expect(optionsJson).toBe(
      '{"PidPath":"/var/run/proxy.pid","RlimitNoFile":65535,"User":"nginx","WorkerProcesses":1}',
    );
    expect(parseNginxOptions(JSON.parse(optionsJson), 'Config')).toMatchObject({
      ok: true,
      options: { workerProcesses: 1, pidPath: '/run/proxy.pid', rlimitNoFile: 65_535 },
    });
  });

  it('freezes the settings all the way down', () => {
    const { settings } = parse(UCP);
    expect(Object.isFrozen(settings.extensions[0]?.constraints)).toBe(true);
    expect(Object.isFrozen(settings.listen)).toBe(true);
  });

  it('reads keys in any case, and sorts the extensions by name', () => {
    const { settings } = parse(`
POLLINTERVAL = "1m30s"
[extensions.b]
servicecluster = "b"
[extensions.A]
PROXYREPLICAS = "3"
`);
    expect(settings.pollIntervalMs).toBe(90_000);
    expect(settings.extensions.map(({ name, proxyReplicas }) => [name, proxyReplicas])).toEqual([
      ['A', 3],
      ['b', 1],
    ]);
  });

  it.each([
    ['":8080"', '', 8080],
    ['"0.0.0.0:8080"', '0.0.0.0', 8080],
    ['"8080"', '', 8080],
    ['8080', '', 8080],
    ['"127.0.0.1:9000"', '127.0.0.1', 9000],
    ['"[::]:9000"', '[::]', 9000],
    ['":0"', '', 0],
  ])('reads ListenAddr = %s', (text, host, port) => {
    expect(parse(`ListenAddr = ${text}\n[Extensions.a]`).settings.listen).toEqual({ host, port });
  });

  it('takes our images from whoever knows them', () => {
    const outcome = parseCoreSettings('[Extensions.a]\nImage = "docker/ucp-interlock-extension:3.0.0"', {
      images: { extension: 'example/extension:1', proxy: 'example/proxy:1' },
    });
    expect(outcome.ok && outcome.settings.extensions[0]).toMatchObject({
      image: 'example/extension:1',
      proxyImage: 'example/proxy:1',
    });
  });

  it.each([
    'docker/ucp-interlock-proxy:3.0.0',
    'docker.io/mirantis/ucp-interlock-proxy:3.8.16',
    'mirantis/ucp-interlock-proxy@sha256:0123',
  ])('maps %s', (image) => {
    expect(parse(`[Extensions.a]\nProxyImage = "${image}"`).settings.extensions[0]?.proxyImage).toBe(
      'interlock/proxy:dev',
    );
  });

  it.each([
    'nginx:alpine',
    'example.org/docker/ucp-interlock-proxy-patched:1',
    'registry.example.org/interlock/proxy:1',
  ])('leaves %s alone', (image) => {
    expect(parse(`[Extensions.a]\nProxyImage = "${image}"`).settings.extensions[0]?.proxyImage).toBe(image);
  });

  it('names services after their table, each name once', () => {
    const { extensions } = parse(`
[Extensions.eu-west]
ServiceCluster = "1"
[Extensions.eu_west]
ServiceCluster = "2"
[Extensions."a rather long name of a table"]
ServiceCluster = "3"
[Extensions."ü"]
ServiceCluster = "4"
`).settings;
    const names = extensions.map(({ proxyServiceName }) => proxyServiceName);
    expect(names).toContain('interlock-proxy-eu-west');
    expect(new Set(names).size).toBe(4);
    for (const name of names) {
      expect(name).toMatch(/^interlock-proxy-[a-z0-9-]{1,16}$/);
    }
  });

  it.each([
    ['TargetPort = 8000', 8000, 443],
    ['Config = { Port = 8000 }', 8000, 443],
    ['TargetSSLPort = 8443\nConfig = { SSLPort = 8443 }', 80, 8443],
    ['TargetPort = 80\nConfig = { Port = 0 }', 80, 443],
  ])('takes the container ports from either place: %j', (lines, targetPort, targetSslPort) => {
    expect(parse(`[Extensions.a]\n${lines}`).settings.extensions[0]).toMatchObject({ targetPort, targetSslPort });
  });

  it.each<[string, readonly string[]]>([
    ['[Extensions.a]\nTemplate = "my-template"', ['Extensions.a.Template']],
    [
      '[Extensions.a]\nConfigImage = "x"\nConfigServiceName = "y"',
      ['Extensions.a.ConfigImage', 'Extensions.a.ConfigServiceName'],
    ],
    ['NetworkLinger = "1m"\nProxyConfigRefresh = "0"\n[Extensions.a]\nHitlessServiceUpdate = true', []],
    ['reloadsperminute = 3\n[Extensions.a]', []],
    ['TLSCACert = "/ca"\nTLSCert = "/cert"\nTLSKey = "/key"\nAllowInsecure = true\n[Extensions.a]', []],
    ['TaskFeed = "watch"\n[Extensions.a]', []],
    [
      'TaskFeed = "poll"\nAllowInsecure = false\nTLSKey = ""\nNetworkLinger = "10m"\n[Extensions.a]\nNetworks = ["web"]',
      [],
    ],
  ])('says which keys wait for a later version: %j', (toml, subjects) => {
    const waiting = parse(toml).findings.filter(({ code }) => code === 'SETTINGS.NOT_IN_EFFECT');
    expect(waiting.map(({ subject }) => subject)).toEqual(subjects);
  });

  it('turns unknown keys at every level into findings', () => {
    expect(
      codesOf(
        'PolInterval = "3s"\n[Extensions.a]\nProxyReplica = 2\n[Extensions.a.Config]\nPort2 = 1\n[GRPC]\nCert = "x"',
      ),
    ).toEqual([
      ['SETTINGS.KEY_UNKNOWN', 'PolInterval'],
      ['SETTINGS.KEY_UNKNOWN', 'GRPC.Cert'],
      ['SETTINGS.KEY_UNKNOWN', 'Extensions.a.ProxyReplica'],
      ['SETTINGS.KEY_UNKNOWN', 'Extensions.a.Config.Port2'],
    ]);
  });

  it('names unknown keys beside the problems of a file that cannot be used', () => {
    const outcome = parseCoreSettings(
      'PolInterval = "3s"\n[GRPC]\nCert = "x"\nTLSKey = 1\n[Extensions.a]\nProxyReplica = 2\nProxyReplicas = "two"\n[Extensions.a.Config]\nPort2 = 1',
    );
    expect(outcome.ok).toBe(false);
    expect(outcome.findings.map(({ code, subject }) => [code, subject])).toEqual([
      ['SETTINGS.KEY_UNKNOWN', 'PolInterval'],
      ['SETTINGS.KEY_UNKNOWN', 'GRPC.Cert'],
      ['SETTINGS.KEY_UNKNOWN', 'Extensions.a.ProxyReplica'],
      ['SETTINGS.KEY_UNKNOWN', 'Extensions.a.Config.Port2'],
    ]);
  });

  it('has nothing to say of keys where the text is no TOML', () => {
    expect(parseCoreSettings('PolInterval = ')).toMatchObject({ ok: false, findings: [] });
  });
});

describe('problems of config.toml', () => {
  it('are named all at once, with the path as written, what is there and what may be', () => {
    expect(
      problemsOf(`
PollInterval = 3
[extensions.default]
ProxyReplicas = "two"
Constraints = ["node.role==manager", "node.role>manager"]
ServiceName = "a.b"
[extensions.default.config]
workerprocesses = "many"
`),
    ).toEqual([
      'PollInterval: found 3 (whole number), expected a duration with its unit, in quotes, such as "3s", "1m30s" or "500ms", at least 100ms',
      'extensions.default.Constraints: found "node.role>manager" (string), expected a list of constraints such as ["node.role==worker"], with == or !=',
      'extensions.default.ServiceName: found "a.b" (string), expected a service name: 1 to 63 letters, digits and inner - and _',
      'extensions.default.ProxyReplicas: found "two" (string), expected a whole number of at least 0',
      'extensions.default.config.workerprocesses: found "many" (string), expected "auto" or a whole number from 1 to 1024',
    ]);
  });

  it.each([
    ['', 'Extensions: found no extension'],
    ['[Extensions]', 'Extensions: found no extension'],
    ['Extensions = 3', 'Extensions: found 3 (whole number), expected a table'],
    ['[[Extensions]]\nImage = "x"', 'Extensions: found a list of 1, expected a table'],
    ['Extensions.a = 1', 'Extensions.a: found 1 (whole number), expected a table of keys and values'],
    ['a = ', 'found an error at line 1, column 6 (Key without value), expected a file in TOML'],
    ['a = 1\na = 2', 'found an error at line 2'],
    ['[constructor]', 'constructor: found a reserved name'],
    [`a = ${'['.repeat(20_000)}${']'.repeat(20_000)}`, 'found more than 100 levels'],
    ['[Extensions.a]\nConfig = 3', 'Extensions.a.Config: found 3 (whole number), expected a table'],
    ['[Extensions.a]\nLabels = { a = 1 }', 'Extensions.a.Labels: found a table, expected a table of strings'],
    ['[Extensions.a]\nProxyReplicas = -1', 'Extensions.a.ProxyReplicas: found -1 (whole number)'],
    [
      '[Extensions.a]\nProxyReplicas = 1979-05-27T07:32:00Z',
      'Extensions.a.ProxyReplicas: found 1979-05-27T07:32:00.000Z (date)',
    ],
    [
      '[Extensions.a]\nPublishMode = "mesh"',
      'Extensions.a.PublishMode: found "mesh" (string), expected "ingress" or "host"',
    ],
    ['[Extensions.a]\nProxyConfigPath = "nginx.conf"', 'Extensions.a.ProxyConfigPath'],
    [
      '[Extensions.a]\nTargetPort = 81\nConfig.Port = 82',
      'Extensions.a.TargetPort: found 81 (whole number), expected the same as Extensions.a.Config.Port (82)',
    ],
    ['[Extensions.a]\nTargetPort = 443', 'Extensions.a.TargetSSLPort'],
    [
      '[Extensions.a]\nPublishMode = "host"\nPublishedPort = 80\nPublishedSSLPort = 80',
      'Extensions.a.PublishedSSLPort',
    ],
    [
      '[Extensions.a]\nServiceName = "x"\nProxyServiceName = "x"',
      'Extensions.a.ProxyServiceName: found "x" (string), expected another service name',
    ],
    [
      '[GRPC]\nTLSCert = "/a"\nClientTLSKey = "k"\n[Extensions.a]',
      'GRPC: found nothing for TLSKey, TLSCACert, ClientTLSCert, ClientTLSCACert, expected all TLS keys, or none',
    ],
    ['[Extensions."a\\u0000b"]', 'expected a name of 1 to 128 printable characters'],
  ])('stop the start: %j', (toml, message) => {
    expect(problemsOf(toml).join('\n')).toContain(message);
  });

  it('name what two extensions both claim', () => {
    const toml = `
[Extensions.a]
PublishedPort = 80
ServiceName = "one"
[Extensions.b]
PublishedPort = 80
ServiceName = "one"
ProxyServiceName = "interlock-proxy-a"
`;
    expect(problemsOf(toml)).toEqual([
      'Extensions.b.ServiceCluster: found "" (string), expected another service cluster than that of Extensions.a.ServiceCluster',
      'Extensions.b.ServiceName: found "one" (string), expected another service name than that of Extensions.a.ServiceName',
      'Extensions.b.ProxyServiceName: found "interlock-proxy-a" (string), expected another service name than that of Extensions.a.ProxyServiceName',
      'Extensions.b.PublishedPort: found 80 (whole number), expected another published port than that of Extensions.a.PublishedPort',
    ]);
  });

  it('name a proxy port that the agent beside NGINX needs', () => {
    const host = 'PublishMode = "host"\nPublishedPort = 80\n';
    expect(problemsOf(`[Extensions.a]\n${host}TargetPort = 9090`)).toEqual([
      'Extensions.a.TargetPort: found 9090 (whole number), expected another container port than that of MetricsListenAddr',
    ]);
    expect(problemsOf(`MetricsListenAddr = ":9191"\n[Extensions.a]\n${host}TargetPort = 9090`)).toEqual([]);
    expect(problemsOf(`[Extensions.a]\n${host}ReadyPort = 80\n`)).toEqual([
      'Extensions.a.TargetPort: found 80 (whole number), expected another container port than that of Extensions.a.ReadyPort',
      'Extensions.a.ReadyPort: found 80 (whole number), expected another published port than that of Extensions.a.PublishedPort',
    ]);
  });

  it.each([
    ['ingress', 'host', 80],
    ['host', 'ingress', 80],
    ['ingress', 'host', 443],
  ])('name a port of two tables, published in %s mode and in %s mode: %i', (first, second, port) => {
    const tables = [
      `[Extensions.a]\nPublishMode = "${first}"\nPublishedPort = 80\nPublishedSSLPort = 443`,
      `[Extensions.b]\nServiceCluster = "b"\nPublishMode = "${second}"\nPublishedPort = ${port}`,
    ];
    expect(problemsOf(tables.join('\n'))).toEqual([
      `Extensions.b.PublishedPort: found ${port} (whole number), expected another published port than that of Extensions.a.${port === 80 ? 'PublishedPort' : 'PublishedSSLPort'}`,
    ]);
  });

  it('name a ReadyPort that another table publishes in ingress mode', () => {
    const host = '[Extensions.b]\nServiceCluster = "b"\nPublishMode = "host"\nPublishedPort = 80\nReadyPort = 8081';
    expect(problemsOf(`[Extensions.a]\nPublishedPort = 8081\n${host}`)).toEqual([
      'Extensions.b.ReadyPort: found 8081 (whole number), expected another published port than that of Extensions.a.PublishedPort',
    ]);
  });

  it('name a port of a third table, published in ingress mode, beside two that share it in host mode', () => {
    const table = (name: string, mode: string) =>
      `[Extensions.${name}]\nServiceCluster = "${name}"\nPublishMode = "${mode}"\nPublishedPort = 80\n`;
    expect(problemsOf(table('a', 'host') + table('b', 'host') + table('c', 'ingress'))).toEqual([
      'Extensions.c.PublishedPort: found 80 (whole number), expected another published port than that of Extensions.a.PublishedPort',
    ]);
  });

  it('leave equal ports of host-mode proxies alone: their nodes may differ', () => {
    const host = 'PublishMode = "host"\nPublishedPort = 80';
    expect(problemsOf(`[Extensions.a]\n${host}\n[Extensions.b]\nServiceCluster = "b"\n${host}`)).toEqual([]);
  });
});

it('the example of docs/config.md is a good file', () => {
  const page = readFileSync(new URL('../../../docs/config.md', import.meta.url), 'utf8');
  const [, example = ''] = /```toml\n([\s\S]*?)```/.exec(page) ?? [];
  expect(parse(example).findings).toEqual([]);
});
