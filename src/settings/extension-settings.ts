/**
 * One `[Extensions.<name>]` table, with its `Config`, to settings.
 * What the original's files say in their own way (image names, single `=`) is adapted here, with a finding each.
 */
import type { z } from 'zod';
import { createFinding, type Finding } from '../model/finding.ts';
import type { Port } from '../model/names.ts';
import { canonicalJson } from '../model/revision.ts';
import { EXTENSION_SCHEMA } from './core-schema.ts';
import { isHaproxyImage, type OurImages, ourImageFor } from './images.ts';
import { isTable, readTable, type WrittenKeys } from './key-table.ts';
import { type NginxOptions, parseNginxOptions } from './nginx-options.ts';
import { describeFound, joinPath, type SettingsProblem } from './problem.ts';
import { slugOf } from './slug.ts';
import { findWaitingKeys } from './waiting-keys.ts';

/** One `[Extensions.<name>]` table: one service cluster. */
export interface ExtensionSettings {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly containerLabels: Readonly<Record<string, string>>;
  /** With `==` or `!=`, as Swarm wants them. */
  readonly constraints: readonly string[];
  /** Spread descriptors without `spread=`, e.g. `node.labels.zone`. */
  readonly placementPreferences: readonly string[];
  /** Missing in the file: `interlock-extension-<slug>`. */
  readonly serviceName: string;
  /** The only networks the proxy joins besides the control network; `undefined`: those of the routed services. */
  readonly networks: readonly string[] | undefined;
  /** `''` is the default cluster. */
  readonly serviceCluster: string;
  readonly proxyImage: string;
  readonly proxyArgs: readonly string[];
  readonly proxyLabels: Readonly<Record<string, string>>;
  readonly proxyContainerLabels: Readonly<Record<string, string>>;
  readonly proxyConstraints: readonly string[];
  readonly proxyPlacementPreferences: readonly string[];
  /** Missing in the file: `interlock-proxy-<slug>`. */
  readonly proxyServiceName: string;
  readonly proxyConfigPath: string;
  readonly proxyReplicas: number;
  /** `undefined`: the image's. */
  readonly proxyStopSignal: string | undefined;
  /** `undefined`: Swarm's 10 s. */
  readonly proxyStopGracePeriodMs: number | undefined;
  readonly proxyUpdateDelayMs: number;
  readonly publishMode: 'ingress' | 'host';
  /** `undefined`: not published. */
  readonly publishedPort: Port | undefined;
  readonly targetPort: Port;
  readonly publishedSslPort: Port | undefined;
  readonly targetSslPort: Port;
  /** Published for `/readyz`, in host mode only; `undefined`: not published. */
  readonly readyPort: Port | undefined;
  /** Between the word to stop and NGINX's. */
  readonly proxyLeaveDelayMs: number;
  readonly hitless: boolean;
  readonly template: string | undefined;
  readonly configImage: string | undefined;
  readonly configServiceName: string | undefined;
  /** The raw `Config` table as canonical JSON, keys as written; `parseNginxOptions(JSON.parse(...))` accepts it. */
  readonly optionsJson: string;
}

export type ExtensionOutcome =
  | {
      readonly ok: true;
      readonly path: string;
      readonly settings: ExtensionSettings;
      readonly findings: readonly Finding[];
    }
  | { readonly ok: false; readonly problems: readonly SettingsProblem[]; readonly findings: readonly Finding[] };

const DEFAULT_PORT = 80 as Port;
const DEFAULT_SSL_PORT = 443 as Port;

/** Reads one `[Extensions.<name>]` table with its `Config`. `path` is the table's own, as written. */
export function readExtension(name: string, raw: unknown, path: string, images: OurImages): ExtensionOutcome {
  const reading = readTable(EXTENSION_SCHEMA, raw, path);
  const config = reading.written.get('Config');
  const configPath = config?.path ?? joinPath(path, 'Config');
  const options = parseNginxOptions(config?.raw, configPath);
  const ports =
    options.ok && reading.ok ? mergePorts(reading.values, options.options, { path, configPath }) : undefined;
  if (!reading.ok || !options.ok || !ports?.ok || !isUsableName(name)) {
    const problems = [
      ...nameProblems(name, path),
      ...(reading.ok ? [] : reading.problems),
      // A Config that is no table is named by the extension's own schema already.
      ...(options.ok ? [] : options.problems.filter((problem) => problem.path !== configPath)),
      ...(ports === undefined || ports.ok ? [] : ports.problems),
    ];
    return { ok: false, problems, findings: [...reading.findings, ...options.findings] };
  }
  const adaptations = adapt(reading.values, reading.written, { path, images });
  const optionsJson = canonicalJson(toJsonValue(config?.raw ?? {}));
  const settings = toExtensionSettings(name, reading.values, { ...adaptations.values, ...ports.values, optionsJson });
  const findings = [
    ...reading.findings,
    ...adaptations.findings,
    ...findHaproxy(reading.values, config?.raw, path),
    ...findWaitingKeys('extension', EXTENSION_SCHEMA, reading),
    ...options.findings,
  ].map((finding) => ({ ...finding, serviceCluster: settings.serviceCluster }));
  return { ok: true, path, settings, findings };
}

type Table = z.output<typeof EXTENSION_SCHEMA>;

function isUsableName(name: string): boolean {
  return /^[^\p{C}\p{Zl}\p{Zp}]{1,128}$/u.test(name);
}

function nameProblems(name: string, path: string): readonly SettingsProblem[] {
  const expected = 'a name of 1 to 128 printable characters';
  return isUsableName(name) ? [] : [{ path, found: describeFound(name), expected }];
}

type MergedPorts =
  | { readonly ok: true; readonly values: { readonly targetPort: Port; readonly targetSslPort: Port } }
  | { readonly ok: false; readonly problems: readonly SettingsProblem[] };

/** `TargetPort` and `Config.Port` are one thing with two names: either one counts, two different ones are a problem. */
function mergePorts(
  table: Table,
  options: NginxOptions,
  { path, configPath }: { readonly path: string; readonly configPath: string },
): MergedPorts {
  const targetPort = table.TargetPort ?? options.port ?? DEFAULT_PORT;
  const targetSslPort = table.TargetSSLPort ?? options.sslPort ?? DEFAULT_SSL_PORT;
  const problems = [
    ...portClash(targetPort, options.port, joinPath(path, 'TargetPort'), joinPath(configPath, 'Port')),
    ...portClash(targetSslPort, options.sslPort, joinPath(path, 'TargetSSLPort'), joinPath(configPath, 'SSLPort')),
  ];
  return problems.length === 0 ? { ok: true, values: { targetPort, targetSslPort } } : { ok: false, problems };
}

function portClash(
  target: number,
  listen: number | undefined,
  path: string,
  other: string,
): readonly SettingsProblem[] {
  return listen === undefined || listen === target
    ? []
    : [{ path, found: describeFound(target), expected: `the same as ${other} (${listen}), or only one of the two` }];
}

/** What the original's files say differently: image names and single `=`. */
interface Adapted {
  readonly image: string;
  readonly proxyImage: string;
  readonly constraints: readonly string[];
  readonly proxyConstraints: readonly string[];
}

/** In lower case: keys are read in any. The NGINX extension has none of them. */
const HAPROXY_KEYS: ReadonlySet<string> = new Set(['clienttimeout', 'servertimeout', 'defaultoptions']);

/** One finding for a table that was written for the original's HAProxy extension. */
function findHaproxy({ Image, ProxyImage }: Table, config: unknown, path: string): readonly Finding[] {
  const image = [Image, ProxyImage].find((name) => name !== undefined && isHaproxyImage(name));
  const key = isTable(config) ? Object.keys(config).find((name) => HAPROXY_KEYS.has(name.toLowerCase())) : undefined;
  const value = image ?? key;
  const advice =
    'There is no HAProxy extension yet, only the one for NGINX. Remove Image and ProxyImage where they name HAProxy, and its keys from Config.';
  return value === undefined ? [] : [createFinding('SETTINGS.NO_SUCH_EXTENSION', advice, { subject: path, value })];
}

function adapt(
  table: Table,
  written: WrittenKeys,
  { path, images }: { readonly path: string; readonly images: OurImages },
): { readonly values: Adapted; readonly findings: readonly Finding[] } {
  const at = (name: string): string => written.get(name)?.path ?? joinPath(path, name);
  const image = adaptImage(table.Image ?? images.extension, at('Image'), images);
  const proxyImage = adaptImage(table.ProxyImage ?? images.proxy, at('ProxyImage'), images);
  const constraints = adaptConstraints(table.Constraints, at('Constraints'));
  const proxyConstraints = adaptConstraints(table.ProxyConstraints, at('ProxyConstraints'));
  return {
    values: {
      image: image.value,
      proxyImage: proxyImage.value,
      constraints: constraints.value,
      proxyConstraints: proxyConstraints.value,
    },
    findings: [image, proxyImage, constraints, proxyConstraints].flatMap(({ findings }) => findings),
  };
}

interface AdaptedValue<T> {
  readonly value: T;
  readonly findings: readonly Finding[];
}

function adaptImage(image: string, subject: string, images: OurImages): AdaptedValue<string> {
  const ours = ourImageFor(image, images);
  return ours === undefined
    ? { value: image, findings: [] }
    : {
        value: ours,
        findings: [createFinding('SETTINGS.IMAGE_MAPPED', `Read as ${ours}.`, { subject, value: image })],
      };
}

/** Swarm itself refuses a single `=`; the original's published how-to has it. */
function adaptConstraints(constraints: readonly string[], subject: string): AdaptedValue<readonly string[]> {
  const rewritten = constraints.map((text) => ({ text, doubled: text.replace(/^([^!=]+)=(?!=)/, '$1==') }));
  return {
    value: rewritten.map(({ doubled }) => doubled),
    findings: rewritten
      .filter(({ text, doubled }) => text !== doubled)
      .map(({ text, doubled }) =>
        createFinding('SETTINGS.CONSTRAINT_REWRITTEN', `Read as ${doubled}.`, { subject, value: text }),
      ),
  };
}

function toExtensionSettings(
  name: string,
  table: Table,
  derived: Adapted & Pick<ExtensionSettings, 'targetPort' | 'targetSslPort' | 'optionsJson'>,
): ExtensionSettings {
  return {
    name,
    args: table.Args,
    labels: table.Labels,
    containerLabels: table.ContainerLabels,
    placementPreferences: table.PlacementPreferences,
    serviceName: table.ServiceName ?? `interlock-extension-${slugOf(name)}`,
    networks: table.Networks.length === 0 ? undefined : table.Networks,
    serviceCluster: table.ServiceCluster,
    proxyArgs: table.ProxyArgs,
    proxyLabels: table.ProxyLabels,
    proxyContainerLabels: table.ProxyContainerLabels,
    proxyPlacementPreferences: table.ProxyPlacementPreferences,
    proxyServiceName: table.ProxyServiceName ?? `interlock-proxy-${slugOf(name)}`,
    proxyConfigPath: table.ProxyConfigPath,
    proxyReplicas: table.ProxyReplicas,
    proxyStopSignal: table.ProxyStopSignal,
    proxyStopGracePeriodMs: table.ProxyStopGracePeriod,
    proxyUpdateDelayMs: table.ProxyUpdateDelay,
    publishMode: table.PublishMode,
    publishedPort: table.PublishedPort === 'none' ? undefined : table.PublishedPort,
    publishedSslPort: table.PublishedSSLPort === 'none' ? undefined : table.PublishedSSLPort,
    readyPort: table.ReadyPort === 'none' ? undefined : table.ReadyPort,
    proxyLeaveDelayMs: table.ProxyLeaveDelay,
    hitless: table.HitlessServiceUpdate,
    template: table.Template,
    configImage: table.ConfigImage,
    configServiceName: table.ConfigServiceName,
    ...derived,
  };
}

/** TOML has dates and 64-bit numbers, JSON has not; no key of ours takes them, so their text will do. */
function toJsonValue(raw: unknown): unknown {
  if (typeof raw === 'bigint' || raw instanceof Date) {
    return String(raw);
  }
  if (Array.isArray(raw)) {
    return raw.map(toJsonValue);
  }
  return isTable(raw)
    ? Object.fromEntries(Object.entries(raw).map(([name, value]) => [name, toJsonValue(value)]))
    : raw;
}
