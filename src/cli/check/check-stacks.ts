/**
 * Stack files to remarks: their services go through the code that core reads labels with, on a Swarm made of the files. Pure.
 * What only a real Swarm knows (tasks, secrets made by hand, what runs already) is left out or said with care.
 */

import { LABEL_PREFIX } from '../../labels/label-table.ts';
import { modelsOf } from '../../labels/models.ts';
import { parseLabels } from '../../labels/parse-labels.ts';
import type { ClusterDefinition } from '../../model/build.ts';
import type { ClusterModel } from '../../model/cluster.ts';
import type { Finding } from '../../model/finding.ts';
import { toPort } from '../../model/names.ts';
import { type Network, type Secret, type Service, type Snapshot, STACK_LABEL } from '../../model/snapshot.ts';
import { definitionOf } from '../../settings/cluster-definition.ts';
import type { CoreSettings } from '../../settings/core-settings.ts';
import type { TextPosition } from '../../settings/problem.ts';
import type { Remark } from './remark.ts';
import type { Declared, StackFile, StackService } from './stack-file.ts';

export interface StacksInput {
  readonly files: readonly StackFile[];
  /** `undefined`: every service cluster that a label names is taken to exist. */
  readonly settings: CoreSettings | undefined;
  /** The name it will be deployed by; `undefined`: the one that its labels speak of, if any. */
  readonly stack: string | undefined;
}

export function checkStacks({ files, settings, stack }: StacksInput): readonly Remark[] {
  const placed = files.flatMap((file, at) =>
    placeServices(file, stack ?? stackNameOf(file) ?? `${NAMELESS}${at}`, files.length > 1),
  );
  const byName = new Map(placed.map((one) => [one.service.name, one]));
  const snapshot = snapshotOf(files, placed);
  const routed = modelsOf(snapshot, definitionsOf(placed, snapshot, settings));
  return [
    ...routed.findings.flatMap((finding) => remarkOf(finding, byName.get(finding.service ?? ''))),
    ...routed.built.models.flatMap((model) => sharedRoutes(model, byName)),
    ...files.flatMap((file) => unlabelled(file)),
  ];
}

/** Before the number of a file whose stack nobody knows the name of; no stack can be called so. */
const NAMELESS = '?';

/** A service of a file, and what Swarm would make of it. */
interface Placed {
  readonly file: StackFile;
  readonly of: StackService;
  readonly service: Service;
  /** Name of its stack. */
  readonly stack: string;
}

function placeServices(file: StackFile, stack: string, several: boolean): readonly Placed[] {
  return file.services.map((of, at) => ({ file, of, stack, service: serviceOf(file, of, { stack, at, several }) }));
}

function serviceOf(
  file: StackFile,
  of: StackService,
  { stack, at, several }: { readonly stack: string; readonly at: number; readonly several: boolean },
): Service {
  const { replicas } = of;
  // The order of the file stands in for the order in which Docker makes them.
  const createdAt = `2000-01-01T00:00:00.${String(at).padStart(9, '0')}Z`;
  return {
    id: JSON.stringify([file.file, of.name]),
    // Other services' remarks call it by this name.
    name: several ? `${of.name} (${file.file})` : of.name,
    version: 1,
    createdAt,
    updatedAt: createdAt,
    labels: { ...textsOf(of.labels), [STACK_LABEL]: stack },
    containerLabels: textsOf(of.containerLabels),
    mode: typeof replicas === 'number' ? { kind: 'replicated', replicas } : { kind: replicas },
    networkIds: of.networks
      .map((key) => swarmName(file.networks.get(key), key, stack))
      .filter((name) => !PREDEFINED.has(name)),
    endpointMode: of.endpointMode,
    virtualIps: [],
    ports: of.ports.map(({ target, published, mode, protocol }) => ({
      ...{ mode, protocol, targetPort: target },
      publishedPort: published,
    })),
    updateState: 'none',
  };
}

/** The engine's own networks are no overlays. */
const PREDEFINED: ReadonlySet<string> = new Set(['host', 'bridge', 'none']);

function textsOf(labels: StackService['labels']): Readonly<Record<string, string>> {
  return Object.fromEntries([...labels].map(([name, { text }]) => [name, text]));
}

function swarmName(declared: Declared | undefined, key: string, stack: string): string {
  return declared?.name ?? `${stack}_${key}`;
}

/** Labels may name the file's networks and secrets with the stack's name before them: that tells it. */
function stackNameOf({ services, networks, secrets }: StackFile): string | undefined {
  const makes = (declared: ReadonlyMap<string, Declared>) =>
    [...declared].flatMap(([key, { name }]) => (name === undefined ? [key] : []));
  const keys = [...makes(networks), ...makes(secrets), 'default'];
  for (const { labels } of services) {
    for (const label of ['network', 'ssl_cert', 'ssl_key', 'ssl_backend_ca']) {
      const text = labels.get(LABEL_PREFIX + label)?.text.trim() ?? '';
      const key = keys.find((one) => text.endsWith(`_${one}`) && text.length > one.length + 1);
      if (key !== undefined && !networks.has(text) && !secrets.has(text)) {
        return text.slice(0, -key.length - 1);
      }
    }
  }
  return undefined;
}

function snapshotOf(files: readonly StackFile[], placed: readonly Placed[]): Snapshot {
  const stackOf = new Map(placed.map(({ file, stack }) => [file, stack]));
  const networks = new Set([
    ...placed.flatMap(({ service }) => service.networkIds),
    ...files.flatMap((file) =>
      [...file.networks].map(([key, declared]) => swarmName(declared, key, stackOf.get(file) ?? '')),
    ),
  ]);
  const secrets = new Set([
    ...files.flatMap((file) =>
      [...file.secrets].map(([key, declared]) => swarmName(declared, key, stackOf.get(file) ?? '')),
    ),
  ]);
  return {
    versionIndex: 1,
    observedAtMs: 0,
    services: placed.map(({ service }) => service),
    tasks: [],
    nodes: [],
    networks: [...networks].map(
      (name): Network => ({ id: name, name, driver: 'overlay', scope: 'swarm', ingress: false, labels: {} }),
    ),
    secrets: [...secrets].map((name): Secret => ({ id: name, name, version: 1, labels: {} })),
  };
}

function definitionsOf(
  placed: readonly Placed[],
  snapshot: Snapshot,
  settings: CoreSettings | undefined,
): readonly ClusterDefinition[] {
  if (settings === undefined) {
    const names = placed.flatMap(({ service }) => {
      const outcome = parseLabels(service);
      return outcome.kind === 'intent' ? [outcome.intent.serviceCluster] : [];
    });
    return [...new Set(['', ...names])].map(anyCluster);
  }
  return settings.extensions.map(definitionOf).map((definition) => ({
    ...definition,
    networks: definition.networks?.flatMap((name) => [name, ...inSomeStack(name, snapshot)]),
  }));
}

/** `Networks` may name one of core's own stack without the stack, which nobody knows here. */
function inSomeStack(short: string, { networks }: Snapshot): readonly string[] {
  return networks.flatMap(({ name }) => (name.endsWith(`_${short}`) ? [name] : []));
}

function anyCluster(serviceCluster: string): ClusterDefinition {
  return {
    proxyServiceName: '',
    networks: undefined,
    header: {
      serviceCluster,
      extension: serviceCluster,
      configPath: '/etc/nginx/nginx.conf',
      listen: { http: HTTP, tls: TLS },
      published: { http: HTTP, tls: TLS },
      optionsJson: '{}',
    },
  };
}

const HTTP = portOf(80);
const TLS = portOf(443);

function portOf(value: number) {
  return toPort(value) as NonNullable<ReturnType<typeof toPort>>;
}

function remarkOf(finding: Finding, placed: Placed | undefined): readonly Remark[] {
  const { code, subject, value } = finding;
  if (
    placed === undefined ||
    (code === 'LABEL.HOSTS_MISSING' && placed.of.containerLabels.has(`${LABEL_PREFIX}hosts`))
  ) {
    // The labels that are in the wrong place say it.
    return [];
  }
  const { file, of, stack } = placed;
  const base = { file: file.file, at: placeOf(of, subject), code, service: of.name, subject };
  const { severity, message } = wordsOf(finding, placed);
  const shown = value === undefined ? undefined : shorten(value, stack);
  return [{ ...base, severity, value: shown, message: shorten(message, stack) }];
}

/** Names as the file has them, where nobody knows what Docker will put before them. */
function shorten(text: string, stack: string): string {
  return stack.startsWith(NAMELESS) ? text.replaceAll(`${stack}_`, '') : text;
}

function placeOf({ labels, containerLabels, at }: StackService, subject: string | undefined): TextPosition | undefined {
  return labels.get(subject ?? '')?.at ?? containerLabels.get(subject ?? '')?.at ?? at;
}

/** Core speaks of a Swarm; here it is a file, and not everything is in it. */
function wordsOf(
  { code, severity, advice, subject, value }: Finding,
  { of }: Placed,
): Pick<Remark, 'severity' | 'message'> {
  if (code === 'LABEL.ON_CONTAINER' && !of.labels.has(subject ?? '')) {
    return { severity: 'error', message: advice };
  }
  if (code === 'SECRET.MISSING') {
    return {
      severity: 'warn',
      message: `The file declares no secret "${value ?? ''}". Declare it under "secrets" of the file, with "external: true" if it is made by hand, so that a deploy without it fails at once.`,
    };
  }
  return {
    severity,
    message: code === 'LABEL.NETWORK_UNKNOWN' ? advice.replace('in this Swarm', 'in this file') : advice,
  };
}

/** Canary and blue-green want it so; it is said because two teams may not know of each other. */
function sharedRoutes({ hosts, pools }: ClusterModel, byName: ReadonlyMap<string, Placed>): readonly Remark[] {
  const servicesOf = new Map(pools.map(({ id, services }) => [id, services]));
  return hosts.flatMap(({ host, routes }) =>
    routes.flatMap(({ prefix, pool }): readonly Remark[] => {
      const names = servicesOf.get(pool) ?? [];
      const last = byName.get(names.at(-1) ?? '');
      return names.length < 2 || last === undefined
        ? []
        : [
            {
              file: last.file.file,
              at: placeOf(last.of, `${LABEL_PREFIX}hosts`),
              severity: 'info',
              code: 'STACK.ROUTE_SHARED',
              service: last.of.name,
              subject: `${LABEL_PREFIX}hosts`,
              value: `${host}${prefix}`,
              message: `${names.join(', ')} answer it together, each for its share of the requests.`,
            },
          ];
    }),
  );
}

function unlabelled({ file, services }: StackFile): readonly Remark[] {
  const begins = (labels: StackService['labels']) => [...labels.keys()].some((name) => name.startsWith(LABEL_PREFIX));
  return services.some(({ labels, containerLabels }) => begins(labels) || begins(containerLabels))
    ? []
    : [
        {
          ...{ file, at: undefined, severity: 'info', code: 'STACK.NO_LABELS', service: undefined, subject: undefined },
          value: undefined,
          message: 'No service here has a label com.docker.lb.*: nothing of it is routed.',
        },
      ];
}
