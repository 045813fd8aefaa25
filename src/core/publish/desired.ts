/** What should exist in Swarm for one `[Extensions.<name>]` table: an extension service, a proxy service, the Proxy Config. Pure. */
import type { ConfigArtifact } from '../../model/artifact.ts';
import type { Requirements } from '../../model/cluster.ts';
import { canonicalJson, sha256Hex } from '../../model/revision.ts';
import type { ClientTlsNames, ExtensionSettings } from '../../settings/core-settings.ts';
import type { Reference } from '../board.ts';
import type { Attachments, MountedSecret } from './attachments.ts';
import { clientTlsEnvironment } from './client-tls.ts';
import { homeLabels } from './home-labels.ts';
import type { Json } from './merge.ts';
import { LABELS, TOKEN_FILE, TYPES } from './names.ts';

/** Where core itself runs, and so where its services belong. */
export interface Home {
  /** Core's own service; `undefined` when core runs outside of Swarm. */
  readonly serviceId: string | undefined;
  /** Its name; missing together with `serviceId`. */
  readonly serviceName?: string | undefined;
  readonly stack: string | undefined;
  /** Ids of core's own networks, ingress excepted: the control network. */
  readonly controlNetworkIds: readonly string[];
  /** What extensions and agents dial, `host:port`. */
  readonly endpoint: string;
  /** Core's own addresses on its networks; empty when it does not know. */
  readonly addresses?: readonly string[];
  /** Secrets that both carry for mutual TLS; `undefined`: plain. */
  readonly clientTls?: ClientTlsNames | undefined;
  /** Of `MetricsListenAddr`; `undefined`: no probes anywhere. */
  readonly metricsPort?: number | undefined;
}

/** An artifact that was rendered from a model, with what a proxy needs to serve it. */
export interface Delivery {
  readonly artifact: ConfigArtifact;
  readonly requirements: Requirements;
}

/** A service spec in the Engine's JSON, without core's own `applied` label. */
export type SpecJson = { readonly [key: string]: Json };

const NANOS_PER_MS = 1_000_000;
const MIB = 1024 * 1024;
/** The nginx user of the official image and of ours. A number, so that no /etc/passwd is needed. */
const PROXY_USER = '101:101';

/** `token`: the secret with the extension's role token; `tls`: those of mutual TLS. */
export function extensionSpec(
  settings: ExtensionSettings,
  home: Home,
  token: Reference | undefined,
  tls: readonly MountedSecret[] = [],
): SpecJson {
  const secrets = [...(token === undefined ? [] : [{ ...token, file: TOKEN_FILE }]), ...tls];
  return {
    Name: settings.serviceName,
    Labels: { ...settings.labels, ...ownLabels(settings, home, TYPES.extension) },
    TaskTemplate: marked({
      ContainerSpec: {
        ...lockedDown(settings.image, settings.args, settings.containerLabels, home),
        Env: [
          `INTERLOCK_ENDPOINT=${home.endpoint}`,
          `INTERLOCK_EXTENSION=${settings.name}`,
          ...probePort(home),
          ...clientTlsEnvironment(home.clientTls),
        ],
        Mounts: [tmpfs('/run', 64), tmpfs('/tmp', 64)],
        ...mountedSecrets(secrets),
      },
      Networks: home.controlNetworkIds.map(attachment),
      Placement: placement(settings.constraints, settings.placementPreferences),
      RestartPolicy: RESTART_POLICY,
    }),
    Mode: { Replicated: { Replicas: 1 } },
    UpdateConfig: updateConfig('start-first', 0),
    RollbackConfig: updateConfig('start-first', 0),
    EndpointSpec: { Mode: 'dnsrr' },
  };
}

/** What a proxy service's spec mounts and joins: all that changes while config.toml stays the same. */
export interface Carried extends Attachments {
  readonly config: Reference;
  /** The digest of the artifact in `config`. */
  readonly digest: string;
}

export function proxySpec(
  settings: ExtensionSettings,
  home: Home,
  { config, digest, networkIds, secrets }: Carried,
): SpecJson {
  const order = settings.publishMode === 'ingress' ? 'start-first' : 'stop-first';
  const delayMs = settings.proxyUpdateDelayMs;
  return {
    Name: settings.proxyServiceName,
    Labels: {
      ...settings.proxyLabels,
      ...ownLabels(settings, home, TYPES.proxy),
      [LABELS.digest]: digest,
    },
    TaskTemplate: marked({
      ContainerSpec: {
        ...lockedDown(settings.proxyImage, settings.proxyArgs, settings.proxyContainerLabels, home),
        User: PROXY_USER,
        Env: [
          `INTERLOCK_ENDPOINT=${home.endpoint}`,
          `INTERLOCK_EXTENSION=${settings.name}`,
          `INTERLOCK_CONFIG_PATH=${settings.proxyConfigPath}`,
          'INTERLOCK_TASK_ID={{.Task.ID}}',
          'INTERLOCK_NODE_ID={{.Node.ID}}',
          ...probePort(home),
          ...clientTlsEnvironment(home.clientTls),
          ...leaving(settings),
        ],
        // /run: staging holds the running file and the next at once, tens of MiB for many hosts. A tmpfs costs only what is used.
        Mounts: [tmpfs('/run', 64), tmpfs('/var/cache/nginx', 256)],
        Configs: [mounted(config, 'Config', settings.proxyConfigPath)],
        ...mountedSecrets(secrets),
        ...stopping(settings),
      },
      Networks: networkIds.map(attachment),
      Placement: placement(settings.proxyConstraints, settings.proxyPlacementPreferences),
      RestartPolicy: RESTART_POLICY,
    }),
    Mode: { Replicated: { Replicas: settings.proxyReplicas } },
    UpdateConfig: updateConfig(order, delayMs),
    RollbackConfig: updateConfig(order, delayMs),
    EndpointSpec: endpointSpec(settings),
  };
}

function probePort({ metricsPort }: Home): readonly string[] {
  return metricsPort === undefined ? [] : [`INTERLOCK_METRICS_PORT=${metricsPort}`];
}

function leaving({ readyPort, proxyLeaveDelayMs }: ExtensionSettings): readonly string[] {
  return [
    ...(readyPort === undefined ? [] : [`INTERLOCK_READY_PORT=${readyPort}`]),
    ...(proxyLeaveDelayMs === 0 ? [] : [`INTERLOCK_LEAVE_DELAY_MS=${proxyLeaveDelayMs}`]),
  ];
}

/** A spec ready to be written: with the label that the next three-way merge starts from, and others that are no part of it. */
export function withAppliedLabel(
  spec: SpecJson,
  applied: SpecJson,
  others: Readonly<Record<string, string>> = {},
): SpecJson {
  const labels = spec['Labels'];
  return {
    ...spec,
    Labels: { ...(isRecord(labels) ? labels : {}), ...others, [LABELS.applied]: canonicalJson(applied) },
  };
}

function isRecord(value: Json | undefined): value is SpecJson {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function ownLabels(settings: ExtensionSettings, home: Home, type: string): Record<string, string> {
  return {
    ...homeLabels(home),
    [LABELS.type]: type,
    [LABELS.extension]: settings.name,
  };
}

function lockedDown(
  image: string,
  args: readonly string[],
  labels: Readonly<Record<string, string>>,
  home: Home,
): SpecJson {
  const stack = home.stack === undefined ? {} : { [LABELS.stack]: home.stack };
  return {
    Image: image,
    ...(args.length === 0 ? {} : { Args: [...args] }),
    Labels: { ...labels, ...stack },
    Init: true,
    ReadOnly: true,
    CapabilityDrop: ['ALL'],
    Healthcheck: QUICK_START,
  };
}

/**
 * Swarm calls a task RUNNING, gives it its name in DNS and goes on with a roll at the first probe that succeeds: a short interval at
 * the start saves seconds per task. The probe itself, and all that is not set here, is the image's. Engines before 25 (API 1.44)
 * ignore StartInterval.
 */
const QUICK_START: SpecJson = { StartPeriod: 30_000 * NANOS_PER_MS, StartInterval: 250 * NANOS_PER_MS };

const RESTART_POLICY: SpecJson = { Condition: 'any', Delay: 1_000 * NANOS_PER_MS };

function tmpfs(target: string, sizeMib: number): SpecJson {
  return { Type: 'tmpfs', Target: target, TmpfsOptions: { SizeBytes: sizeMib * MIB, Mode: 0o1777 } };
}

function mounted(object: Reference, kind: 'Config' | 'Secret', path: string): SpecJson {
  return {
    [`${kind}ID`]: object.id,
    [`${kind}Name`]: object.name,
    File: { Name: path, UID: '0', GID: '0', Mode: 0o444 },
  };
}

function mountedSecrets(secrets: readonly MountedSecret[]): SpecJson {
  return secrets.length === 0 ? {} : { Secrets: secrets.map((secret) => mounted(secret, 'Secret', secret.file)) };
}

/** Tasks keep their template's labels: what failed is found by this one, also after a restart of core. */
function marked(template: SpecJson): SpecJson {
  const container = template['ContainerSpec'];
  if (!isRecord(container)) {
    return template;
  }
  const labels = container['Labels'];
  const mark = sha256Hex(Buffer.from(canonicalJson(template))).slice(0, 16);
  return {
    ...template,
    ContainerSpec: { ...container, Labels: { ...(isRecord(labels) ? labels : {}), [LABELS.template]: mark } },
  };
}

/** The mark of a spec's task template; `undefined` when it has none. */
export function markOf(spec: SpecJson): string | undefined {
  const mark = ['TaskTemplate', 'ContainerSpec', 'Labels', LABELS.template].reduce<Json | undefined>(
    (value, key) => (isRecord(value) ? value[key] : undefined),
    spec,
  );
  return typeof mark === 'string' ? mark : undefined;
}

function stopping(settings: ExtensionSettings): SpecJson {
  const { proxyStopSignal, proxyStopGracePeriodMs } = settings;
  return {
    ...(proxyStopSignal === undefined ? {} : { StopSignal: proxyStopSignal }),
    ...(proxyStopGracePeriodMs === undefined ? {} : { StopGracePeriod: proxyStopGracePeriodMs * NANOS_PER_MS }),
  };
}

function attachment(id: string): SpecJson {
  return { Target: id };
}

function placement(constraints: readonly string[], preferences: readonly string[]): SpecJson {
  return {
    ...(constraints.length === 0 ? {} : { Constraints: [...constraints] }),
    ...(preferences.length === 0
      ? {}
      : { Preferences: preferences.map((text) => ({ Spread: { SpreadDescriptor: text } })) }),
  };
}

/** Failure action `rollback`: a roll that fails goes back to the last good configuration by itself. */
function updateConfig(order: 'start-first' | 'stop-first', delayMs: number): SpecJson {
  return {
    Parallelism: 1,
    ...(delayMs === 0 ? {} : { Delay: delayMs * NANOS_PER_MS }),
    FailureAction: 'rollback',
    Monitor: 5_000 * NANOS_PER_MS,
    MaxFailureRatio: 0,
    Order: order,
  };
}

/** In host mode nothing needs a VIP, and each VIP costs an address per network. */
function endpointSpec(settings: ExtensionSettings): SpecJson {
  const ports = [
    publishedPort(settings.publishedPort, settings.targetPort, settings.publishMode),
    publishedPort(settings.publishedSslPort, settings.targetSslPort, settings.publishMode),
    ...(settings.readyPort === undefined ? [] : [publishedPort(settings.readyPort, settings.readyPort, 'host')]),
  ].flat();
  return { Mode: settings.publishMode === 'host' ? 'dnsrr' : 'vip', ...(ports.length === 0 ? {} : { Ports: ports }) };
}

function publishedPort(published: number | undefined, target: number, mode: 'ingress' | 'host'): readonly SpecJson[] {
  return published === undefined
    ? []
    : [{ Protocol: 'tcp', TargetPort: target, PublishedPort: published, PublishMode: mode }];
}
