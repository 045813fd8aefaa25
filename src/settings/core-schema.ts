/** The tables of config.toml that core reads itself: top level, `[GRPC]` and `[Extensions.<name>]`. Key names are the original's. */
import { z } from 'zod';
import { isTable, key } from './key-table.ts';
import {
  ABSOLUTE_PATH,
  anyOf,
  duration,
  FLAG,
  listOf,
  OPTIONAL_PORT,
  oneOf,
  PORT,
  text,
  textShape,
  type ValueKind,
  wholeNumber,
} from './value-kind.ts';

export interface ListenAddress {
  /** `''` when the file names none. */
  readonly host: string;
  readonly port: number;
}

const HOST_PORT = /^(?<host>[A-Za-z0-9._-]{0,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?<port>\d{1,5})$/;

const ADDRESS_SHAPE = anyOf(textShape(/^\d{1,5}$/), textShape(HOST_PORT), {
  type: 'integer',
  minimum: 0,
  maximum: 65_535,
});

/** `host:port`, `:port`, or the port alone (the original's tables print it so). */
const LISTEN: ValueKind<ListenAddress> = {
  type: 'address',
  expected: 'an address such as ":8080" or "10.0.0.5:8080"',
  shape: ADDRESS_SHAPE,
  read(raw) {
    const shown = typeof raw === 'number' ? String(raw) : typeof raw === 'string' ? raw.trim() : '';
    const { host, port } = HOST_PORT.exec(/^\d+$/.test(shown) ? `:${shown}` : shown)?.groups ?? {};
    // 0 lets the system choose; tests ask for it.
    const number = Number(port) === 0 ? 0 : PORT.read(port);
    return number === undefined ? undefined : { host: host ?? '', port: number };
  },
};

const PROBE_LISTEN: ValueKind<ListenAddress | 'off'> = {
  type: 'address or off',
  expected: 'an address such as ":9090", or "off"',
  shape: anyOf({ enum: ['off'] }, ADDRESS_SHAPE),
  read(raw) {
    const address = LISTEN.read(raw);
    return typeof raw === 'string' && raw.trim() === 'off'
      ? 'off'
      : address && { ...address, host: address.host === '' ? '0.0.0.0' : address.host };
  },
};

const ENDPOINT: ValueKind<string> = {
  type: 'address',
  expected: 'a host and a port such as "tasks.interlock_core:8080"',
  shape: textShape(HOST_PORT),
  read(raw) {
    const { host, port } = (typeof raw === 'string' ? HOST_PORT.exec(raw.trim())?.groups : undefined) ?? {};
    return host === undefined || host === '' || PORT.read(port) === undefined ? undefined : `${host}:${Number(port)}`;
  },
};

const DOCKER_URL = text(
  'URL',
  'a URL such as "unix:///var/run/docker.sock" or "tcp://10.0.0.5:2376"',
  /^(?:unix:\/\/\/[A-Za-z0-9._+@/-]{1,255}|(?:tcp|https?):\/\/[A-Za-z0-9._[\]:-]{1,260}\/?)$/,
);
const IMAGE = text('image', 'an image such as "interlock/proxy:1.0"', /^[A-Za-z0-9][A-Za-z0-9._\-/:@]{0,254}$/);
/** Swarm's grammar for service names. */
const SERVICE_NAME = text(
  'name',
  'a service name: 1 to 63 letters, digits and inner - and _',
  /^(?=.{1,63}$)[A-Za-z0-9](?:[-_]*[A-Za-z0-9])*$/,
);
const OBJECT_NAME = text('name', 'a name of letters, digits and . _ -', /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/);
const CLUSTER_NAME = text('name', 'a name of up to 128 printable characters', /^[^\p{C}\p{Zl}\p{Zp}]{0,128}$/u);
const STOP_SIGNAL: ValueKind<string> = {
  type: 'signal',
  expected: 'a signal such as "SIGQUIT"',
  shape: textShape(/^(?:(?:[Ss][Ii][Gg])?[A-Za-z][A-Za-z0-9+-]{1,15}|\d{1,2})$/),
  read: (raw) =>
    typeof raw === 'string' && /^(?:(?:SIG)?[A-Z][A-Z0-9+-]{1,15}|\d{1,2})$/i.test(raw.trim())
      ? raw.trim().toUpperCase()
      : undefined,
};
const CONTAINER_ARGUMENT: ValueKind<string> = {
  type: 'string',
  expected: 'an argument',
  shape: { type: 'string' },
  read: (raw) => (typeof raw === 'string' && !raw.includes('\0') ? raw : undefined),
};
const ARGUMENTS = listOf(CONTAINER_ARGUMENT, 'a list of strings, such as ["-D"]');

/** SwarmKit's grammar (`manager/constraint/constraint.go`), and the single `=` of the original's published files. */
const CONSTRAINT = text(
  'string',
  'a constraint',
  /^[A-Za-z_][A-Za-z0-9._-]+\s*(?:==|!=|=)\s*[A-Za-z0-9:_\s.*()?+[\]\\^$|/-]+$/,
);
const CONSTRAINTS = listOf(CONSTRAINT, 'a list of constraints such as ["node.role==worker"], with == or !=');

/** `spread=node.labels.zone`, or the descriptor alone; the descriptor comes out. */
const PREFERENCE: ValueKind<string> = {
  type: 'string',
  expected: 'a preference',
  shape: textShape(/^(?:spread\s*=\s*)?(?:node|engine)\.[A-Za-z0-9._/-]{1,255}$/),
  read: (raw) =>
    typeof raw === 'string'
      ? /^(?:spread\s*=\s*)?((?:node|engine)\.[A-Za-z0-9._/-]{1,255})$/.exec(raw.trim())?.[1]
      : undefined,
};
const PREFERENCES = listOf(PREFERENCE, 'a list of placement preferences such as ["spread=node.labels.zone"]');

/** A table of label names and values, names as written. */
const LABELS: ValueKind<Readonly<Record<string, string>>> = {
  type: 'table of strings',
  expected: 'a table of strings, such as { "com.example.team" = "web" }',
  shape: { type: 'object', additionalProperties: { type: 'string' } },
  read(raw) {
    const entries = isTable(raw) ? Object.entries(raw) : [['', undefined] as const];
    return entries.every((entry): entry is [string, string] => entry[0] !== '' && typeof entry[1] === 'string')
      ? Object.fromEntries(entries)
      : undefined;
  },
};

/** A table that is read by its own schema later. */
const TABLE: ValueKind<Readonly<Record<string, unknown>>> = {
  type: 'table',
  expected: 'a table',
  shape: { type: 'object' },
  read: (raw) => (isTable(raw) ? raw : undefined),
};

const NONE: readonly string[] = [];
const NO_LABELS: Readonly<Record<string, string>> = {};
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

export const CORE_SCHEMA = z.object({
  ListenAddr: key(
    LISTEN,
    { host: '', port: 8080 },
    "Address of the gRPC API for extensions and proxies. Without a host: core's own addresses on the networks of its service, and loopback; where core runs outside of Swarm, all addresses.",
    { shownDefault: '`":8080"`' },
  ),
  MetricsListenAddr: key(
    PROBE_LISTEN,
    { host: '0.0.0.0', port: 9090 },
    'Address of `/metrics`, `/healthz` and `/readyz`; `"off"`: none. Extensions and proxies take its port, on the control network.',
    { shownDefault: '`":9090"`', ours: true },
  ),
  DockerURL: key(
    DOCKER_URL,
    'unix:///var/run/docker.sock',
    "The Docker API of a manager: a socket or a TCP address. It may be another node's than core's own, in the same Swarm; for another Swarm, or where core is no service, set `EndpointOverride` too.",
  ),
  TLSCACert: key(ABSOLUTE_PATH, undefined, 'CA file for the Docker API over TLS.'),
  TLSCert: key(ABSOLUTE_PATH, undefined, 'Client certificate file for the same.'),
  TLSKey: key(ABSOLUTE_PATH, undefined, 'Client key file for the same.'),
  AllowInsecure: key(FLAG, false, "Do not verify the Docker API's certificate."),
  PollInterval: key(duration(100), 3000, 'How often all tasks are listed, besides events.', { shownDefault: '`"3s"`' }),
  EndpointOverride: key(ENDPOINT, undefined, 'gRPC address handed to extensions and proxies.', {
    shownDefault: '`tasks.<core service>:<port>`',
  }),
  TaskFeed: key(
    oneOf('auto', 'watch', 'poll'),
    'auto',
    "How task changes are seen: the manager's watch API, or polling.",
    {
      ours: true,
    },
  ),
  NetworkLinger: key(duration(), 10 * MINUTE_MS, 'How long a proxy keeps a network nobody needs.', {
    shownDefault: '`"10m"`',
    ours: true,
  }),
  ProxyConfigRefresh: key(
    duration(),
    24 * HOUR_MS,
    'With hitless updates: how old the Docker Config in the proxy service may get before the service is rolled; `"0"` is never.',
    { shownDefault: '`"24h"`', ours: true },
  ),
  ReloadsPerMinute: key(
    wholeNumber({ min: 1, max: 6000 }),
    undefined,
    'At most so many reloads of a proxy per minute for additions and label changes; removals of endpoints are exempt.',
    { shownDefault: 'no limit', ours: true },
  ),
  GRPC: key(
    TABLE,
    undefined,
    'Mutual TLS for the gRPC API: all TLS keys, or none; and the token of operators. See below.',
    { ours: true },
  ),
  Extensions: key(TABLE, undefined, 'One table per service cluster; at least one. The name is free text.', {
    shownDefault: 'required',
  }),
});

export const GRPC_SCHEMA = z.object({
  TLSCert: key(
    ABSOLUTE_PATH,
    undefined,
    "File of core's certificate in core's container, from a secret. It is for the host that clients dial: `tasks.<core service>`.",
    { ours: true },
  ),
  TLSKey: key(ABSOLUTE_PATH, undefined, 'File of its key.', { ours: true }),
  TLSCACert: key(ABSOLUTE_PATH, undefined, "File of the CA that signs the clients' certificates.", { ours: true }),
  ClientTLSCert: key(
    OBJECT_NAME,
    undefined,
    'Name of the Docker secret with the certificate of extensions and proxies. Core attaches it to them.',
    { ours: true },
  ),
  ClientTLSKey: key(OBJECT_NAME, undefined, 'Name of the secret with its key.', { ours: true }),
  ClientTLSCACert: key(OBJECT_NAME, undefined, "Name of the secret with the CA that signs core's certificate.", {
    ours: true,
  }),
  OperatorTokenFile: key(
    ABSOLUTE_PATH,
    undefined,
    "File of the operators' token in core's container, from a secret: `interlock --endpoint` with it is let in over the network.",
    { ours: true },
  ),
});

export const EXTENSION_SCHEMA = z.object({
  Image: key(IMAGE, undefined, "Image of the extension service. The original's names are read as ours.", {
    shownDefault: 'ours',
  }),
  Args: key(ARGUMENTS, NONE, 'Arguments of the extension, e.g. `["-D"]` for debug logs.'),
  Labels: key(LABELS, NO_LABELS, 'Service labels of the extension.', { shownDefault: '`{}`' }),
  ContainerLabels: key(LABELS, NO_LABELS, "Labels on the extension's tasks.", { shownDefault: '`{}`' }),
  Constraints: key(CONSTRAINTS, NONE, 'Placement constraints of the extension. A single `=` is read as `==`.'),
  PlacementPreferences: key(PREFERENCES, NONE, 'Placement preferences of the extension: `"spread=node.labels.zone"`.'),
  ServiceName: key(SERVICE_NAME, undefined, 'Name of the extension service.', {
    shownDefault: '`interlock-extension-<slug>`',
  }),
  Networks: key(
    listOf(OBJECT_NAME, 'a list of network names'),
    NONE,
    'The proxy joins these networks of the Swarm and the control network only; empty: those of the routed services.',
  ),
  ProxyImage: key(IMAGE, undefined, "Image of the proxy service. The original's names are read as ours.", {
    shownDefault: 'ours',
  }),
  ProxyArgs: key(ARGUMENTS, NONE, 'Arguments of the proxy container.'),
  ProxyLabels: key(LABELS, NO_LABELS, 'Service labels of the proxy.', { shownDefault: '`{}`' }),
  ProxyContainerLabels: key(LABELS, NO_LABELS, "Labels on the proxy's tasks.", { shownDefault: '`{}`' }),
  ProxyServiceName: key(SERVICE_NAME, undefined, 'Name of the proxy service.', {
    shownDefault: '`interlock-proxy-<slug>`',
  }),
  ProxyConfigPath: key(ABSOLUTE_PATH, '/etc/nginx/nginx.conf', 'Where the generated file is mounted in the proxy.'),
  ProxyReplicas: key(wholeNumber({ min: 0 }), 1, "Number of proxy tasks. UCP's default file sets 2."),
  ProxyStopSignal: key(STOP_SIGNAL, undefined, 'Stop signal of proxy tasks.', { shownDefault: "the image's" }),
  ProxyStopGracePeriod: key(duration(), undefined, 'How long a proxy task may take to stop.', {
    shownDefault: "Swarm's `10s`",
  }),
  ProxyConstraints: key(CONSTRAINTS, NONE, 'Placement constraints of the proxy. A single `=` is read as `==`.'),
  ProxyPlacementPreferences: key(PREFERENCES, NONE, 'Placement preferences of the proxy.'),
  ProxyUpdateDelay: key(duration(), 0, 'Pause between proxy tasks in a rolling update.', { shownDefault: '`"0s"`' }),
  ServiceCluster: key(
    CLUSTER_NAME,
    '',
    'Services whose label `com.docker.lb.service_cluster` equals it are routed here; empty: services without the label.',
  ),
  PublishMode: key(
    oneOf('ingress', 'host'),
    'ingress',
    'How the proxy publishes its ports. In ingress mode a port is taken on every node: no other table may publish it, in host mode neither.',
  ),
  PublishedPort: key(OPTIONAL_PORT, undefined, 'Published port for HTTP; missing or 0: not published.'),
  TargetPort: key(PORT, undefined, 'Container port for HTTP. The same as `Port` in `Config`: set one of the two.', {
    shownDefault: '`80`',
  }),
  ReadyPort: key(
    OPTIONAL_PORT,
    undefined,
    'Published port for an outer balancer\'s health check: `/readyz` of the proxy on that node. Needs `PublishMode = "host"`; missing or 0: none.',
    { ours: true },
  ),
  ProxyLeaveDelay: key(
    duration(),
    0,
    'How long a proxy that is told to stop serves on while `/readyz` says 503 already, so that an outer balancer leaves first. Less than `ProxyStopGracePeriod`.',
    { shownDefault: '`"0s"`', ours: true },
  ),
  PublishedSSLPort: key(OPTIONAL_PORT, undefined, 'Published port for TLS; missing or 0: not published.'),
  TargetSSLPort: key(
    PORT,
    undefined,
    'Container port for TLS. The same as `SSLPort` in `Config`: set one of the two.',
    {
      shownDefault: '`443`',
    },
  ),
  Template: key(OBJECT_NAME, undefined, "A Docker Config with a Go template of the original's; it does not run here."),
  Config: key(TABLE, undefined, 'Options for the extension, see below.', { shownDefault: '`{}`' }),
  HitlessServiceUpdate: key(
    FLAG,
    true,
    "Deliver changes to running proxies and reload them; false: roll the proxy service. The original's default is false.",
  ),
  ConfigImage: key(IMAGE, undefined, "Image of the original's config service; not needed here."),
  ConfigServiceName: key(SERVICE_NAME, undefined, "Name of the original's config service; not needed here."),
});
