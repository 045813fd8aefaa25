/**
 * Every `com.docker.lb.*` label: what it means to people, what it accepts, and how its text is read. `docs/labels.md` is generated from it.
 * Keys are matched exactly, in lower case, as the original does.
 */
import { parseNginxTime } from '../model/duration.ts';
import type { FindingCode } from '../model/finding.ts';
import { type BackendMode, DEFAULT_FAILURE_POLICY, type NetworkChoice, type Redirect } from '../model/intent.ts';
import {
  type CookieName,
  type Hostname,
  type PathPrefix,
  type Port,
  parseCookieName,
  parseHostname,
  parsePathPrefix,
  parsePort,
  parseSecretName,
  ROOT_PATH,
  type SecretName,
} from '../model/names.ts';
import { flag, list, oneOf, type Reader, single, wholeNumber } from './label-value.ts';
import { readRedirect } from './redirect.ts';

export const LABEL_PREFIX = 'com.docker.lb.';

export interface LabelDefinition<T> {
  /** What may be written, for the docs. */
  readonly grammar: string;
  readonly description: string;
  readonly shownDefault: string;
  /** `true`: not a label of the original. */
  readonly ours: boolean;
  /** The value without the label. */
  readonly fallback: T;
  /** Reads trimmed text that is not empty; an empty label counts as none. */
  readonly read: Reader<T>;
  /** What a value that cannot be used costs: the label (it counts as not set), or the whole service. */
  readonly refusal: { readonly code: FindingCode; readonly loses: 'label' | 'service' };
}

type Prose = Pick<LabelDefinition<unknown>, 'grammar' | 'description' | 'shownDefault'> & {
  readonly ours?: true;
  readonly refusal?: LabelDefinition<unknown>['refusal'];
};

const LOSES_LABEL = { code: 'LABEL.VALUE_INVALID', loses: 'label' } as const;

function define<T>(fallback: T, read: Reader<T>, prose: Prose): LabelDefinition<T> {
  return { ours: false, refusal: LOSES_LABEL, ...prose, fallback, read };
}

const secret: Reader<SecretName | undefined> = single(
  parseSecretName,
  'Write the name of a Docker secret as `docker secret ls` prints it, stack prefix included.',
);

const path = single(
  parsePathPrefix,
  'Write a path such as "/app": it begins with "/", has no empty, "." or ".." segment, and none of white space, quotes, %, $, ;, { and }.',
);

const NO_HOSTS: readonly Hostname[] = [];
const NO_PATHS: readonly PathPrefix[] = [];
const NO_REDIRECTS: readonly Redirect[] = [];
const AUTO: NetworkChoice = { kind: 'auto' };

/** In the order of the docs. */
export const LABELS = {
  hosts: define(NO_HOSTS, list(',', single(parseHostname, adviseHost)), {
    grammar: 'comma list of host names; `*.example.com` for all names below',
    description: 'Requests for these hosts go to the service. Upper case and IDN are normalised.',
    shownDefault: 'none; needed',
    refusal: { code: 'LABEL.HOSTS_INVALID', loses: 'label' },
  }),
  port: define<Port | undefined>(
    undefined,
    single(parsePort, 'Write the container port as a number from 1 to 65535.'),
    {
      grammar: '1 to 65535',
      description: "The container's port; it need not be published.",
      shownDefault: 'the only published target port',
      refusal: { code: 'LABEL.PORT_INVALID', loses: 'service' },
    },
  ),
  network: define(AUTO, single(parseNetwork, 'Write the name of an overlay network of the service, or "bridge".'), {
    grammar: 'a network name, with or without stack prefix, or `bridge`',
    description: 'The network between proxy and service. `bridge`: the node address and the published host port.',
    shownDefault: "the service's only network",
    refusal: { code: 'LABEL.NETWORK_UNKNOWN', loses: 'service' },
  }),
  service_cluster: define('', single(parseClusterName, 'Write the ServiceCluster of an extension in config.toml.'), {
    grammar: 'a name',
    description: 'The extension whose `ServiceCluster` equals it routes the service.',
    shownDefault: 'the default cluster',
    refusal: { code: 'LABEL.SERVICE_CLUSTER_UNKNOWN', loses: 'service' },
  }),
  context_root: define(ROOT_PATH, path, {
    grammar: 'a path such as `/app`',
    description: 'Only requests below this path. `/app` matches `/app` and `/app/x`, never `/apple`; the longest wins.',
    shownDefault: '`/`',
    // Without its path the service would answer for the whole host, and for others on it.
    refusal: { code: 'LABEL.CONTEXT_ROOT_INVALID', loses: 'service' },
  }),
  context_root_rewrite: define(false, flag, {
    grammar: '`true` or `false`',
    description: 'Cut the context root from the path before the request goes to the service.',
    shownDefault: '`false`',
  }),
  ssl_cert: define<SecretName | undefined>(undefined, secret, {
    grammar: 'name of a Docker secret',
    description: 'Certificate chain in PEM; the hosts are served over TLS too. May hold the key as well.',
    shownDefault: 'none',
  }),
  ssl_key: define<SecretName | undefined>(undefined, secret, {
    grammar: 'name of a Docker secret',
    description: 'Key in PEM.',
    shownDefault: 'in `ssl_cert`',
  }),
  ssl_only: define(false, flag, {
    grammar: '`true` or `false`',
    description:
      'Answer plain HTTP with 308 to https. Of several services on a host, only the oldest one can ask for it.',
    shownDefault: '`false`',
  }),
  ssl_passthrough: define(false, flag, {
    grammar: '`true` or `false`',
    description: 'Pass the TLS connection on to the service unopened, chosen by SNI.',
    shownDefault: '`false`',
  }),
  ssl_backend: define(false, flag, {
    grammar: '`true` or `false`',
    description: 'Speak TLS to the service.',
    shownDefault: '`false`',
  }),
  ssl_backend_tls_verify: define<'none' | 'required'>('none', oneOf('none', 'required'), {
    grammar: '`none` or `required`',
    description: "Whether the service's certificate must be valid for the host.",
    shownDefault: '`none`',
  }),
  ssl_backend_ca: define<SecretName | undefined>(undefined, secret, {
    grammar: 'name of a Docker secret',
    description: "CA certificates for `ssl_backend_tls_verify=required`; without it the proxy image's own.",
    shownDefault: 'none',
    ours: true,
  }),
  websocket_endpoints: define(NO_PATHS, list(',', path), {
    grammar: 'comma list of paths',
    description: 'Accepted for compatibility: the WebSocket upgrade works on every path.',
    shownDefault: 'none',
  }),
  sticky_session_cookie: define<CookieName | undefined>(
    undefined,
    single(parseCookieName, 'Write the name of the cookie the service sets: letters, digits, "_", "-" and ".".'),
    {
      grammar: 'a cookie name',
      description: 'Requests with the same value of this cookie go to the same task. The service sets the cookie.',
      shownDefault: 'none',
    },
  ),
  ip_hash: define(false, flag, {
    grammar: '`true` or `false`',
    description: 'Requests from the same client address go to the same task.',
    shownDefault: '`false`',
  }),
  redirects: define(NO_REDIRECTS, list(';', readRedirect), {
    grammar: '`source,target` pairs, `;` between them',
    description:
      'Answer 302 from each source to the same request URI at its target. The source host must be in `hosts`.',
    shownDefault: 'none',
  }),
  backend_mode: define<BackendMode>('task', oneOf('task', 'vip'), {
    grammar: '`task` or `vip`',
    description: 'Balance over the tasks, or leave it to the virtual IP of the service.',
    shownDefault: '`task`',
  }),
  default_backend: define(false, flag, {
    grammar: '`true` or `false`',
    description: 'The service answers every host that nobody claimed. `hosts` is not needed then.',
    shownDefault: '`false`',
  }),
  max_fails: define(DEFAULT_FAILURE_POLICY.maxFails, wholeNumber(0, 1_000_000), {
    grammar: 'a whole number; 0 never takes a task out',
    description: 'So many failed connections within `fail_timeout` take a task out for as long.',
    shownDefault: `\`${DEFAULT_FAILURE_POLICY.maxFails}\``,
  }),
  fail_timeout: define(
    DEFAULT_FAILURE_POLICY.failTimeoutSeconds,
    single(parseFailTimeout, 'Write a time such as "10s" or "1m", in whole seconds, at most a day.'),
    {
      grammar: 'a time such as `10s`',
      description: 'See `max_fails`.',
      shownDefault: `\`${DEFAULT_FAILURE_POLICY.failTimeoutSeconds}s\``,
    },
  ),
  weight: define(1, wholeNumber(1, 100), {
    grammar: '1 to 100',
    description: 'Share among services that have the same host and path.',
    shownDefault: '`1`',
    ours: true,
  }),
} as const;

export type LabelName = keyof typeof LABELS;
export const LABEL_NAMES = Object.keys(LABELS) as readonly LabelName[];

/** What the labels of one service say, defaults filled in. */
export type LabelValues = {
  readonly [Name in LabelName]: (typeof LABELS)[Name] extends LabelDefinition<infer T> ? T : never;
};

function parseNetwork(text: string): NetworkChoice | undefined {
  if (text === 'bridge') {
    return { kind: 'bridge' };
  }
  return /^[A-Za-z0-9][A-Za-z0-9_. -]{0,127}$/.test(text) ? { kind: 'named', name: text } : undefined;
}

function parseClusterName(text: string): string | undefined {
  return /^[^\p{C}\p{Zl}\p{Zp}]{1,128}$/u.test(text) ? text : undefined;
}

const DAY_MS = 86_400_000;

function parseFailTimeout(text: string): number | undefined {
  const ms = parseNginxTime(text);
  return ms === undefined || ms > DAY_MS || ms % 1000 !== 0 ? undefined : ms / 1000;
}

function adviseHost(text: string): string {
  if (/^[a-z]+:\/\//i.test(text)) {
    return 'Write the host name alone, without the scheme.';
  }
  if (/:\d*$/.test(text)) {
    return 'Write the host name without the port; the proxy listens on its published ports only.';
  }
  if (text.includes('/')) {
    return 'Write the host name alone; a path belongs into com.docker.lb.context_root.';
  }
  if (/\s/.test(text)) {
    return 'A host name has no spaces. Write a comma between two of them.';
  }
  return 'Write a host name such as "app.example.com" or "*.example.com".';
}
