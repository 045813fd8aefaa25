/** What proves each key of config.toml: the top level, `[GRPC]`, `[Extensions.<name>]` and its `Config` for NGINX. */
import type { CORE_SCHEMA, EXTENSION_SCHEMA, GRPC_SCHEMA } from '../../src/settings/core-schema.ts';
import type { NGINX_SCHEMA } from '../../src/settings/nginx-options.ts';
import { inFile, onEngine, onSwarm, onSwarmLong, proven, type Row, throughNginx } from './proof.ts';

export type CoreKey = keyof (typeof CORE_SCHEMA)['shape'];
export type GrpcKey = keyof (typeof GRPC_SCHEMA)['shape'];
export type ExtensionKey = keyof (typeof EXTENSION_SCHEMA)['shape'];
export type NginxKey = keyof (typeof NGINX_SCHEMA)['shape'];

const MUTUAL_TLS = onSwarm(
  'security/security',
  'extension and proxy speak to core over mutual TLS, and go on over an exchange of all certificates',
);

/** Said of ports, constraints and images that keep a roll from getting on; tables that are dropped or rename their proxy. */
const STUCK_AND_GONE = onSwarmLong(
  'citizen',
  'no free host port, no matching node, a missing image and a silent registry are said within 30 s; what was made goes with its table',
);
const BEHIND_BALANCER = onSwarmLong(
  'outer',
  'rolled by hand: no request fails, and HAProxy has left each proxy before that closes its ports',
);
const NAME_TAKEN = onSwarmLong(
  'citizen',
  'a foreign service with the name of a proxy is never written, and a finding says so until it is gone',
);

const TAKEN_BY_ANOTHER = onSwarmLong(
  'citizen',
  'another stack with the same table finds the names taken and says by whom; nothing of the first is written',
);

/** With a real engine's own idea of a spec, and traffic. */
const KEYS_MADE = onSwarmLong(
  'keys',
  'is as config.toml says when the services are made, published in ingress mode (routing mesh emulated)',
);
const KEYS_CHANGED = onSwarmLong('keys', 'follows config.toml, and then neither this core nor the next one writes');
const ON_ENGINE = [KEYS_MADE, KEYS_CHANGED] as const;
const KEYS_READ = onSwarmLong(
  'keys',
  'that is read in another way than it is written, ignored or of no use here is a finding, with what to write',
);
const TABLES_CLASH = onSwarmLong(
  'keys',
  'stop the start: one message names each key, what stands there and whose it is, and Swarm rolls core back',
);
const ENGINE_OVER_TLS = onSwarmLong('keys', 'is spoken with by the files of TLSCACert, TLSCert and TLSKey');
const ENGINE_UNVERIFIED = onSwarmLong(
  'keys',
  'and shows one of another CA is not: core says why; with AllowInsecure it is',
);
const ENGINE_ELSEWHERE = onSwarmLong(
  'keys',
  "may be another manager's than that of core's own node: core finds its service, and nothing is rolled",
);

const OVER_TLS = [
  onEngine('contract/engine', 'lists, writes and tells of it to who has a client certificate, and to nobody else'),
  inFile('unit/core/engine/tls', 'is spoken with a CA and a client certificate: %s'),
  inFile('unit/core/engine/tls', 'is refused with %s'),
  ENGINE_OVER_TLS,
  ENGINE_UNVERIFIED,
] as const;

export const CORE_ROWS: Readonly<Record<CoreKey, Row>> = {
  ListenAddr: proven([
    inFile('unit/settings/core-settings', 'reads ListenAddr = %s'),
    inFile(
      'unit/parity-gaps/core-keys',
      'missing: the tasks of the service that core runs as, at the port of ListenAddr',
    ),
    KEYS_CHANGED,
  ]),
  MetricsListenAddr: proven(
    [
      inFile('unit/settings/core-settings', 'reads MetricsListenAddr = %s'),
      onSwarm(
        'routing/main-job',
        'tells what it does: metrics and readiness of all three on the control network alone',
      ),
    ],
    'A key of ours.',
  ),
  DockerURL: proven([
    inFile('unit/core/engine/docker-url', 'reads %s'),
    inFile('unit/core/engine/dockerode-engine', 'speaks TCP too'),
    ENGINE_OVER_TLS,
    ENGINE_ELSEWHERE,
    onSwarm('routing/main-job', 'reaches a labelled service through every proxy'),
  ]),
  TLSCACert: proven(OVER_TLS),
  TLSCert: proven(OVER_TLS),
  TLSKey: proven(OVER_TLS),
  AllowInsecure: proven([
    inFile('unit/core/engine/tls', 'with AllowInsecure takes an engine in spite of %s'),
    ENGINE_UNVERIFIED,
  ]),
  PollInterval: proven(
    [
      inFile('unit/core/observe/observer', 'finds a task change within one poll, though no event tells of it'),
      inFile(
        'unit/core/observe/observer',
        'looks every 250 ms at a service whose replicas are unmet, and only at that one',
      ),
      onSwarm('routing/classic', 'follows a task that moves, by polling'),
    ],
    'Services that are changing are looked at every 250 ms; with the watch tasks are not polled.',
  ),
  EndpointOverride: proven([inFile('unit/parity-gaps/core-keys', 'is what extensions and proxies dial'), ...ON_ENGINE]),
  TaskFeed: proven(
    [
      onSwarm('watch/watch', 'takes an endpoint away before its container gets SIGTERM'),
      onSwarm('watch/watch', 'falls to the poll when the engine dies under it, and comes back with the engine'),
      inFile('unit/core/observe/watch', 'never opens the socket when told to poll'),
    ],
    'A key of ours: task changes as they happen, where the control socket is mounted.',
  ),
  NetworkLinger: proven(
    [
      onEngine('e2e/publish/hitless', 'what nobody needs is left after NetworkLinger, and can be removed then'),
      onSwarmLong(
        'citizen',
        '%i that come together are one roll; docker stack rm takes them within the linger time and a roll, and nobody else notices',
      ),
      onSwarmLong(
        'howtos',
        'an application leaves with docker stack rm, its network and secrets too, once the proxies let go of them',
      ),
    ],
    'A key of ours: how long a network nobody needs stays attached.',
  ),
  ProxyConfigRefresh: proven(
    [
      inFile('unit/core/publish/plan', 'exchanges a mounted config that is no longer the newest: %s'),
      inFile(
        'integration/core/publish-hitless',
        'a Proxy Config that has become too old is exchanged, also when core restarted meanwhile',
      ),
    ],
    'A key of ours, for hitless delivery.',
  ),
  ReloadsPerMinute: proven(
    [
      inFile(
        'unit/core/serve/agents',
        'holds additions back until a minute has passed since the first, and then tells only the newest',
      ),
      inFile('unit/core/serve/agents', 'lets the loss of an endpoint pass at once, also while something else waits'),
    ],
    'A key of ours, for hitless delivery.',
  ),
  GRPC: proven([MUTUAL_TLS], 'A table of ours: mutual TLS. Tokens are in effect without it.'),
  Extensions: proven([
    inFile('unit/settings/core-settings', 'fills in every default of a file with one empty extension'),
    inFile('unit/settings/core-settings', 'name what two extensions both claim'),
    TABLES_CLASH,
    STUCK_AND_GONE,
  ]),
};

export const GRPC_ROWS: Readonly<Record<GrpcKey, Row>> = {
  TLSCert: proven([MUTUAL_TLS]),
  TLSKey: proven([MUTUAL_TLS]),
  TLSCACert: proven([MUTUAL_TLS]),
  ClientTLSCert: proven([MUTUAL_TLS]),
  ClientTLSKey: proven([MUTUAL_TLS]),
  ClientTLSCACert: proven([MUTUAL_TLS]),
  OperatorTokenFile: proven([
    inFile('integration/core/operator-token', 'answers an operator who shows that token, and nobody else'),
  ]),
};

const toSpec = (key: ExtensionKey) =>
  inFile('unit/parity-gaps/extension-keys', 'reaches the spec of its service', `key: '${key}'`);
const OWN_CLUSTER = onSwarm(
  'labels/clusters',
  'serve their own services, each at its own proxies, on one port of different nodes',
);
const CONSTRAINT = 'A single `=` is read as `==`, with a finding: Swarm itself refuses it.';
const MAPPED = "The original's image names are read as ours, with a finding.";
const WAITING = inFile('unit/settings/core-settings', 'says which keys wait for a later version: %j');
const NO_CONFIG_SERVICE =
  'Read, with the finding `SETTINGS.NOT_IN_EFFECT`: there is no config service, the agent in the proxy does its work.';

export const EXTENSION_ROWS: Readonly<Record<ExtensionKey, Row>> = {
  Image: proven(
    [
      toSpec('Image'),
      ...ON_ENGINE,
      KEYS_READ,
      inFile('unit/settings/core-settings', 'takes our images from whoever knows them'),
    ],
    MAPPED,
  ),
  Args: proven([
    toSpec('Args'),
    ...ON_ENGINE,
    inFile('unit/core/publish/plan', 'brings changed settings to both services'),
  ]),
  Labels: proven([toSpec('Labels'), ...ON_ENGINE]),
  ContainerLabels: proven([toSpec('ContainerLabels'), ...ON_ENGINE]),
  Constraints: proven([toSpec('Constraints'), ...ON_ENGINE, KEYS_READ], CONSTRAINT),
  PlacementPreferences: proven([toSpec('PlacementPreferences'), ...ON_ENGINE, KEYS_READ]),
  ServiceName: proven(
    [
      toSpec('ServiceName'),
      ...ON_ENGINE,
      OWN_CLUSTER,
      inFile('unit/settings/core-settings', 'names services after their table, each name once'),
    ],
    'Left out, the name follows from the table, and is the same on every start.',
  ),
  Networks: proven(
    [
      ...ON_ENGINE,
      OWN_CLUSTER,
      onSwarm(
        'labels/clusters',
        'a service that names none of them, or is on none of their networks, is a finding and not routed',
      ),
      inFile(
        'integration/core/publish-rolls',
        'are all that the proxy joins besides the control network; one that is not there is a finding',
      ),
      inFile('unit/model/design-answers', 'a service on none of them is not routed, finding'),
      inFile('unit/model/design-answers', 'a service whose label names another network is not routed, finding'),
    ],
    'A service that is on none of them is not routed, with a finding; the original wrote an error into its log.',
  ),
  ProxyImage: proven(
    [toSpec('ProxyImage'), ...ON_ENGINE, KEYS_READ, inFile('unit/settings/core-settings', 'maps %s'), STUCK_AND_GONE],
    MAPPED,
  ),
  ProxyArgs: proven([
    toSpec('ProxyArgs'),
    ...ON_ENGINE,
    onSwarmLong(
      'citizen',
      'one that Swarm rolled back is not tried again, not by another core either, until something changes',
    ),
  ]),
  ProxyLabels: proven([toSpec('ProxyLabels'), ...ON_ENGINE]),
  ProxyContainerLabels: proven([toSpec('ProxyContainerLabels'), ...ON_ENGINE]),
  ProxyServiceName: proven(
    [
      toSpec('ProxyServiceName'),
      ...ON_ENGINE,
      OWN_CLUSTER,
      NAME_TAKEN,
      TAKEN_BY_ANOTHER,
      STUCK_AND_GONE,
      inFile('unit/settings/core-settings', 'names services after their table, each name once'),
    ],
    'Left out, the name follows from the table, and is the same on every start.',
  ),
  ProxyConfigPath: proven([toSpec('ProxyConfigPath'), ...ON_ENGINE], 'Default `/etc/nginx/nginx.conf`.'),
  ProxyReplicas: proven(
    [
      toSpec('ProxyReplicas'),
      ...ON_ENGINE,
      inFile('unit/settings/core-settings', 'fills in every default of a file with one empty extension'),
      onSwarm('routing/main-job', 'reaches a labelled service through every proxy'),
    ],
    'Left out: 1.',
  ),
  ProxyStopSignal: proven([
    toSpec('ProxyStopSignal'),
    ...ON_ENGINE,
    throughNginx('agent/drain', 'lets a slow response finish, refuses new connections meanwhile, and ends with 0'),
  ]),
  ProxyStopGracePeriod: proven([toSpec('ProxyStopGracePeriod'), ...ON_ENGINE]),
  ProxyConstraints: proven(
    [
      toSpec('ProxyConstraints'),
      ...ON_ENGINE,
      KEYS_READ,
      OWN_CLUSTER,
      STUCK_AND_GONE,
      inFile('unit/core/publish/plan', 'brings changed settings to both services'),
    ],
    CONSTRAINT,
  ),
  ProxyPlacementPreferences: proven([toSpec('ProxyPlacementPreferences'), ...ON_ENGINE, KEYS_READ]),
  ReadyPort: proven(
    [
      toSpec('ReadyPort'),
      inFile(
        'unit/settings/core-settings',
        'takes a ReadyPort in host mode only: the routing mesh would ask any proxy',
      ),
      inFile('unit/agent/leaving', 'says that it leaves before NGINX is told to'),
      BEHIND_BALANCER,
    ],
    'A key of ours: an outer balancer asks it whether a proxy should get new connections.',
  ),
  ProxyLeaveDelay: proven(
    [
      toSpec('ProxyLeaveDelay'),
      inFile('unit/agent/leaving', 'says that it leaves before NGINX is told to'),
      BEHIND_BALANCER,
    ],
    'A key of ours: an outer balancer leaves before the proxy does.',
  ),
  ProxyUpdateDelay: proven([toSpec('ProxyUpdateDelay'), ...ON_ENGINE]),
  ServiceCluster: proven([
    ...ON_ENGINE,
    OWN_CLUSTER,
    onSwarm(
      'labels/clusters',
      'do not notice each other: a change in one leaves the tasks and the version indexes of the other',
    ),
    inFile(
      'unit/parity-gaps/service-clusters',
      'a service is routed by the extension whose ServiceCluster its label names, and by no other',
    ),
    inFile('unit/parity-gaps/service-clusters', 'a change in one cluster is no new revision of another'),
  ]),
  PublishMode: proven([
    toSpec('PublishMode'),
    ...ON_ENGINE,
    OWN_CLUSTER,
    inFile(
      'unit/core/publish/plan',
      'publishes start-first in ingress mode and stop-first in host mode, always with rollback',
    ),
    onSwarm('routing/main-job', 'reaches a labelled service through every proxy'),
  ]),
  PublishedPort: proven(
    [
      toSpec('PublishedPort'),
      ...ON_ENGINE,
      onSwarm('routing/main-job', 'reaches a labelled service through every proxy'),
      onSwarmLong('citizen', 'goes from one table to another in one edit, there and back'),
    ],
    'No default: left out or 0, the port is not published.',
  ),
  TargetPort: proven(
    [
      toSpec('TargetPort'),
      ...ON_ENGINE,
      inFile('unit/settings/core-settings', 'takes the container ports from either place: %j'),
    ],
    'The same as `Port` of `Config`: one set means both, two that differ stop the start.',
  ),
  PublishedSSLPort: proven(
    [
      toSpec('PublishedSSLPort'),
      ...ON_ENGINE,
      onSwarmLong('howtos', 'TLS ended at the proxy, from the secrets of a stack'),
    ],
    'No default: left out or 0, the port is not published.',
  ),
  TargetSSLPort: proven(
    [
      toSpec('TargetSSLPort'),
      ...ON_ENGINE,
      inFile('unit/settings/core-settings', 'takes the container ports from either place: %j'),
    ],
    'The same as `SSLPort` of `Config`.',
  ),
  Template: proven(
    [WAITING],
    'Read, with the finding `SETTINGS.NOT_IN_EFFECT`: Go templates do not run here. `GlobalOptions`, `HTTPOptions` and `TCPOptions` take lines of your own.',
  ),
  Config: proven([
    inFile('unit/settings/core-settings', 'hands the Config table on as written, in a form the extension reads again'),
    inFile('unit/render/options', 'every key has a row'),
  ]),
  HitlessServiceUpdate: proven(
    [
      onSwarm('labels/clusters', 'scaling the old service to zero moves all requests, and none fails meanwhile'),
      onSwarm('routing/classic', 'rolls the proxy service onto a new Docker Config for a changed label'),
      onSwarmLong('rest', 'sees no write in ten minutes'),
      onEngine('e2e/publish/hitless', 'a label change makes no new task; the config is stored after quiet'),
      throughNginx(
        'daemons/hitless',
        'serves each change of a label from the same NGINX, and goes on after core was away',
      ),
      throughNginx('agent/hitless', 'loses no request over a row of reloads, and ends with the newest'),
      inFile('integration/core/publish-hitless', 'rolls nothing, is told at once and stored after 5 s of quiet'),
    ],
    "Default `true`; the original's is `false`.",
  ),
  ConfigImage: proven([WAITING], NO_CONFIG_SERVICE),
  ConfigServiceName: proven([WAITING], NO_CONFIG_SERVICE),
};

/** Set and by default, in the rendered file. */
const rendered = (key: NginxKey) => inFile('unit/render/options', 'reaches the file', `key: '${key}'`);
const NO_EFFECT = inFile('unit/render/options', '%s is without effect, as in the original');
const NO_EFFECT_SAID = inFile(
  'unit/settings/nginx-options',
  'says that a key without effect in the original has none here',
);
const SAID = 'Without effect, as in the original; setting it is a finding that says so.';
/** A line that NGINX refuses is named by its key. */
const judged = (key: NginxKey) =>
  inFile(
    'integration/extension/judge',
    'names the line of %s that NGINX refuses, and leaves nobody out',
    `['${key}', `,
  );
const PORTS = [
  inFile('unit/render/options', 'the listen ports are the model’s'),
  inFile('unit/settings/core-settings', 'takes the container ports from either place: %j'),
] as const;

export const NGINX_ROWS: Readonly<Record<NginxKey, Row>> = {
  Version: proven([rendered('Version')]),
  HTTPVersion: proven(
    [
      rendered('HTTPVersion'),
      inFile('unit/settings/nginx-options', 'refuses %s = %j and names the key', "['HTTPVersion', '3']"),
    ],
    'A value that cannot be stops the start and names the key. Connections to tasks are kept open.',
  ),
  User: proven([rendered('User')], 'Left out: the proxy is not root, and NGINX ignores it.'),
  PidPath: proven([rendered('PidPath')], 'Below `/run`; `/var/run/` is read as `/run/`.'),
  MaxConnections: proven([rendered('MaxConnections')]),
  ConnectTimeout: proven(
    [rendered('ConnectTimeout'), throughNginx('nginx/traffic', 'costs no request: the next one answers')],
    'Default 2 s, not 600: a dead node must not make requests hang for ten minutes.',
  ),
  SendTimeout: proven([rendered('SendTimeout')]),
  ReadTimeout: proven([rendered('ReadTimeout')]),
  IPHash: proven([rendered('IPHash'), throughNginx('nginx/traffic-balance', 'a cookie wins over the option IPHash')]),
  AdminUser: proven([NO_EFFECT], SAID),
  AdminPass: proven([NO_EFFECT, NO_EFFECT_SAID], SAID),
  SSLOpts: proven([NO_EFFECT], SAID),
  SSLDefaultDHParam: proven([inFile('unit/render/options', 'SSLDefaultDHParam 0 switches SSLDefaultDHParamPath off')]),
  SSLDefaultDHParamPath: proven([rendered('SSLDefaultDHParamPath')]),
  SSLVerify: proven([NO_EFFECT], SAID),
  WorkerProcesses: proven([rendered('WorkerProcesses')], 'Default `auto`, not 1.'),
  RLimitNoFile: proven(
    [rendered('RLimitNoFile')],
    'Reaches the file; in the printed template of the original it did not.',
  ),
  SSLCiphers: proven([rendered('SSLCiphers')]),
  SSLProtocols: proven(
    [
      rendered('SSLProtocols'),
      throughNginx('nginx/traffic-tls', 'offers TLS 1.2 and 1.3, HTTP/2 by ALPN and HTTP/1.1 without'),
    ],
    'Default TLS 1.2 and 1.3.',
  ),
  HideInfoHeaders: proven([
    rendered('HideInfoHeaders'),
    inFile('unit/render/options', 'HideInfoHeaders leaves all five out'),
  ]),
  AccessLogPath: proven([rendered('AccessLogPath'), throughNginx('nginx/traffic-addresses', 'can be switched off')]),
  ErrorLogPath: proven([rendered('ErrorLogPath')]),
  MainLogFormat: proven([rendered('MainLogFormat'), throughNginx('nginx/traffic-addresses', 'is in the main format')]),
  TraceLogFormat: proven([
    rendered('TraceLogFormat'),
    throughNginx('nginx/traffic-addresses', 'is in the trace format with TraceLogging'),
  ]),
  KeepaliveTimeout: proven([rendered('KeepaliveTimeout')]),
  ClientMaxBodySize: proven([
    rendered('ClientMaxBodySize'),
    throughNginx('nginx/traffic-streams', 'above ClientMaxBodySize is refused with 413 before any of it is sent'),
  ]),
  ClientBodyBufferSize: proven([rendered('ClientBodyBufferSize')]),
  ClientHeaderBufferSize: proven([rendered('ClientHeaderBufferSize')]),
  LargeClientHeaderBuffers: proven([rendered('LargeClientHeaderBuffers')]),
  ClientBodyTimeout: proven([rendered('ClientBodyTimeout')]),
  UnderscoresInHeaders: proven([rendered('UnderscoresInHeaders')]),
  ServerNamesHashBucketSize: proven(
    [rendered('ServerNamesHashBucketSize'), inFile('property/render/nginx', 'is accepted by NGINX')],
    'A lower bound: the size that is needed is computed.',
  ),
  UpstreamZoneSize: proven([rendered('UpstreamZoneSize')], 'No zones unless it is set.'),
  GlobalOptions: proven([
    rendered('GlobalOptions'),
    judged('GlobalOptions'),
    inFile('unit/extension/judge', 'are named by key and line when they are at fault, and nobody is left out'),
  ]),
  HTTPOptions: proven([
    rendered('HTTPOptions'),
    judged('HTTPOptions'),
    inFile('unit/render/nginx', 'replace ours where NGINX takes a directive only once'),
  ]),
  TCPOptions: proven([
    rendered('TCPOptions'),
    judged('TCPOptions'),
    inFile('unit/render/nginx', 'for TCP open a stream block'),
  ]),
  Port: proven(PORTS, 'The same as `TargetPort` of the extension.'),
  SSLPort: proven(PORTS, 'The same as `TargetSSLPort` of the extension.'),
  TraceLogging: proven(
    [rendered('TraceLogging'), throughNginx('nginx/traffic-addresses', 'is in the trace format with TraceLogging')],
    'A key of ours: switches the trace format on.',
  ),
  AccessLogJSON: proven(
    [
      rendered('AccessLogJSON'),
      throughNginx('nginx/traffic-addresses', 'is JSON with AccessLogJSON, whatever the client sends'),
    ],
    'A key of ours.',
  ),
  RouteMetrics: proven(
    [
      rendered('RouteMetrics'),
      throughNginx('agent/routes', 'are counted per host and path as they were answered, and nothing else is named'),
      inFile('unit/agent/route-metrics', 'keeps to a thousand routes; the rest is counted together'),
    ],
    'A key of ours: numbers per route, out of a log that only the agent reads.',
  ),
  TrustedProxies: proven(
    [
      rendered('TrustedProxies'),
      throughNginx('nginx/traffic-addresses', 'is believed in every header, and adds itself to the chain'),
      throughNginx('nginx/traffic-addresses', '%s are not believed'),
    ],
    'A key of ours: whose `X-Forwarded-*` are believed. Those of all others are overwritten.',
  ),
  ProxyProtocol: proven(
    [
      rendered('ProxyProtocol'),
      throughNginx(
        'nginx/traffic-addresses',
        'from a trusted balancer tells the client, whose own headers are not believed',
      ),
      throughNginx('nginx/traffic-tls-edge', 'says who the client is, %s'),
      throughNginx('docs/outer-balancer', 'names the client over TLS, which ends at the proxies'),
    ],
    'A key of ours: the PROXY protocol of an outer balancer, on both ports.',
  ),
  PublicSSLPort: proven(
    [
      rendered('PublicSSLPort'),
      throughNginx('nginx/traffic-tls-edge', 'that is https only sends plain requests there'),
    ],
    'A key of ours.',
  ),
};
