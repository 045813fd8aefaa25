/**
 * What to do next for one extension, as a list of steps. Pure. One pass plans one layer (a Proxy Config first, then the service that
 * refers to it), and is repeated after every execution until the plan is empty; so a pass that was cut short finds its own work.
 *
 * A new artifact alone rolls the proxy service in classic mode only. In hitless mode the agents have it already: it is stored, and the
 * spec moves onto it when the service is rolled for another reason, or when what the spec mounts has become too old.
 */
import { canonicalJson } from '../../model/revision.ts';
import type { ExtensionSettings } from '../../settings/core-settings.ts';
import type { DeliveryState, Reference, TokenReferences } from '../board.ts';
import type { NewConfig, ServiceObject } from '../engine/engine-api.ts';
import { type Attachments, attachmentsOf, configOf, lingering, type MountedSecret } from './attachments.ts';
import { clientTlsSecrets } from './client-tls.ts';
import { withoutLost } from './damage.ts';
import { type Delivery, extensionSpec, type Home, proxySpec, type SpecJson, withAppliedLabel } from './desired.ts';
import { homeLabels } from './home-labels.ts';
import { type Json, mergeSpecs } from './merge.ts';
import { CLIENT_TLS_FILES, LABELS, proxyConfigName, TOKEN_FILE, TYPES } from './names.ts';

export interface Desired {
  readonly settings: ExtensionSettings;
  readonly home: Home;
  /** `undefined` until the extension has rendered something: the proxy service waits for it, and a running one is left alone. */
  readonly delivery: Delivery | undefined;
  readonly mode: DeliveryState['mode'];
  /** Secrets of the Swarm by name. */
  readonly secrets: ReadonlyMap<string, string>;
  /** Networks of the Swarm by name. */
  readonly networks: ReadonlyMap<string, string>;
  /** `null`: services go without. */
  readonly tokens: TokenReferences | null;
  /** Ids of networks and secrets that have been unused for so long that they are left even if nothing else has to change. */
  readonly overdue: ReadonlySet<string>;
  /** Artifacts of this many bytes and more do not fit into a Docker Config as they are. */
  readonly plainLimitBytes: number;
  /** The proxies have an agent, which unpacks what was packed to fit. */
  readonly mayPack: boolean;
  readonly nowMs: number;
  /** Hitless mode: how old the mounted Proxy Config may get while there are newer artifacts; `undefined`: as old as it likes. */
  readonly refreshAfterMs: number | undefined;
  /** A config that is not ours has a name with this number: go on above it. */
  readonly takenSequence?: number;
}

/** What a plan has to know of a Proxy Config. */
export interface KnownConfig {
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Observed {
  /** Our own services of the two names; a table that was renamed finds those of its old name. */
  readonly extension: ServiceObject | undefined;
  readonly proxy: ServiceObject | undefined;
  /** Who else has one of the two names: never written, nothing is read out of it. */
  readonly foreign?: Readonly<Partial<Record<Role, ForeignService>>>;
  /** This extension's Proxy Configs. */
  readonly configs: readonly KnownConfig[];
  /** Ids of Docker Configs that some service's spec or previous spec refers to. */
  readonly referredConfigIds: ReadonlySet<string>;
}

export interface ForeignService {
  readonly service: ServiceObject;
  /** Who made it, in words; `undefined`: no Interlock. */
  readonly maker: string | undefined;
}

export type Step =
  | {
      readonly kind: 'create-config';
      /** With the artifact's own bytes; `gzip`: they are packed when they are written. */
      readonly config: NewConfig;
      readonly encoding: 'plain' | 'gzip';
      /** `roll`: a roll waits for it. `store`: for tasks that start while core is away. */
      readonly purpose: 'roll' | 'store';
    }
  | { readonly kind: 'create-service'; readonly role: Role; readonly spec: SpecJson }
  | {
      readonly kind: 'update-service';
      readonly role: Role;
      readonly service: ServiceObject;
      readonly spec: SpecJson;
      readonly why: string;
    }
  | { readonly kind: 'refuse-config'; readonly bytes: number }
  | ({ readonly kind: 'refuse-service'; readonly role: Role } & ForeignService)
  | { readonly kind: 'remove-config'; readonly config: KnownConfig };

export type Role = 'extension' | 'proxy';

/** How many superseded Proxy Configs stay, for `docker config inspect` and for going back. */
export const KEPT_CONFIGS = 10;

export function planExtension(desired: Desired, observed: Observed): readonly Step[] {
  const { settings, home, tokens, secrets } = desired;
  const tls = clientTlsSecrets(home.clientTls, secrets);
  return [
    ...planService('extension', extensionSpec(settings, home, tokens?.extension, tls), observed),
    ...planDelivery(desired, observed),
    ...planCleanUp(desired, observed),
  ];
}

function planDelivery(desired: Desired, observed: Observed): readonly Step[] {
  const { delivery, settings, home } = desired;
  const foreign = observed.foreign?.proxy;
  if (foreign !== undefined) {
    return [{ kind: 'refuse-service', role: 'proxy', ...foreign }];
  }
  if (delivery === undefined) {
    return [];
  }
  const stored = newest(observed.configs.filter(({ labels }) => labels[LABELS.digest] === delivery.artifact.digest));
  if (!rollIsDue(desired, delivery, observed.proxy)) {
    return stored === undefined ? [createConfig(desired, delivery, observed.configs, 'store')] : [];
  }
  if (stored === undefined) {
    return [createConfig(desired, delivery, observed.configs, 'roll')];
  }
  const spec = proxySpec(settings, home, {
    ...neededBy(desired, delivery),
    config: { id: stored.id, name: stored.name },
    digest: delivery.artifact.digest,
  });
  return planService('proxy', spec, observed, {
    [LABELS.configSince]: configSince(desired, observed.proxy, stored),
  });
}

/** Whether the proxy service has to be written. What is attached and unused does not count before it is overdue. */
function rollIsDue(desired: Desired, delivery: Delivery, proxy: ServiceObject | undefined): boolean {
  const { settings, home, mode, overdue } = desired;
  const applied = appliedSpec(proxy);
  const mounted = mountedBy(applied);
  if (proxy === undefined || applied === undefined || mounted === undefined) {
    return true;
  }
  if (withoutLost(applied, proxy.spec as Json) !== applied) {
    return true;
  }
  const isBehind = mounted.digest !== delivery.artifact.digest;
  if (isBehind && (mode === 'classic' || isTooOld(desired, proxy))) {
    return true;
  }
  const attachments = lingering(neededBy(desired, delivery), attachmentsOf(applied), overdue);
  const still = proxySpec(settings, home, { ...attachments, ...mounted });
  return canonicalJson(applied) !== canonicalJson(still);
}

/** The spec that core applied last to a service, if there is one and its label is whole. */
export function appliedSpec(service: ServiceObject | undefined): SpecJson | undefined {
  return parseApplied(service?.labels[LABELS.applied]);
}

/** The Proxy Config that an applied spec mounts, and the digest of its artifact. */
export function mountedBy(
  applied: SpecJson | undefined,
): { readonly config: Reference; readonly digest: string } | undefined {
  const config = configOf(applied);
  const labels = applied?.['Labels'];
  const digest = isRecord(labels) ? labels[LABELS.digest] : undefined;
  return config === undefined || typeof digest !== 'string' ? undefined : { config, digest };
}

function isTooOld({ refreshAfterMs, nowMs }: Desired, proxy: ServiceObject): boolean {
  const since = sinceOf(proxy);
  return refreshAfterMs !== undefined && since !== undefined && nowMs - since >= refreshAfterMs;
}

function sinceOf({ labels }: ServiceObject): number | undefined {
  const text = labels[LABELS.configSince] ?? '';
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Kept while the service goes on with the same config. */
function configSince({ nowMs }: Desired, proxy: ServiceObject | undefined, stored: KnownConfig): string {
  const goesOn = proxy !== undefined && mountedBy(appliedSpec(proxy))?.config.id === stored.id;
  return String((goesOn ? sinceOf(proxy) : undefined) ?? nowMs);
}

/** The control network, the model's networks or those that config.toml offers, the role token and the certificates that exist. */
export function neededBy(
  { settings, home, secrets, networks, tokens }: Pick<Desired, 'settings' | 'home' | 'secrets' | 'networks' | 'tokens'>,
  { requirements }: Delivery,
): Attachments {
  const joined =
    settings.networks === undefined
      ? requirements.networks.map(({ id }) => id)
      : settings.networks.flatMap((name) => offeredNetwork(name, networks, home) ?? []);
  const token: readonly MountedSecret[] = tokens === null ? [] : [{ ...tokens.proxy, file: TOKEN_FILE }];
  return {
    networkIds: [...new Set([...home.controlNetworkIds, ...joined])],
    secrets: [...token, ...clientTlsSecrets(home.clientTls, secrets), ...certificates(requirements.secrets, secrets)],
  };
}

/** By its full name, or by the short name that it has in core's own stack file. */
export function offeredNetwork(
  name: string,
  networks: ReadonlyMap<string, string>,
  { stack }: Home,
): string | undefined {
  return networks.get(name) ?? (stack === undefined ? undefined : networks.get(`${stack}_${name}`));
}

/** A secret that is missing costs its host TLS, not the cluster its roll. */
function certificates(names: readonly string[], secrets: ReadonlyMap<string, string>): readonly MountedSecret[] {
  return [...new Set(names)].flatMap((name) => {
    const id = secrets.get(name);
    return id === undefined || isReserved(name) ? [] : [{ id, name, file: name }];
  });
}

function isReserved(file: string): boolean {
  return file === TOKEN_FILE || Object.values<string>(CLIENT_TLS_FILES).includes(file);
}

function createConfig(
  desired: Desired,
  delivery: Delivery,
  configs: readonly KnownConfig[],
  purpose: 'roll' | 'store',
): Step {
  const config = newProxyConfig(desired, delivery, configs);
  if (config.bytes.byteLength < desired.plainLimitBytes) {
    return { kind: 'create-config', config, encoding: 'plain', purpose };
  }
  if (!desired.mayPack) {
    return { kind: 'refuse-config', bytes: config.bytes.byteLength };
  }
  const labels = { ...config.labels, [LABELS.encoding]: 'gzip' };
  return { kind: 'create-config', config: { ...config, labels }, encoding: 'gzip', purpose };
}

function newProxyConfig(
  { settings, home, takenSequence = 0 }: Desired,
  { artifact }: Delivery,
  configs: readonly KnownConfig[],
): NewConfig {
  const sequence = Math.max(takenSequence, ...configs.map(sequenceOf)) + 1;
  const file = artifact.files.find(({ path }) => path === settings.proxyConfigPath);
  return {
    name: proxyConfigName(settings.name, sequence, artifact.digest),
    labels: {
      ...homeLabels(home),
      [LABELS.type]: TYPES.proxyConfig,
      [LABELS.extension]: settings.name,
      [LABELS.digest]: artifact.digest,
      [LABELS.sequence]: String(sequence),
    },
    bytes: file?.bytes ?? new Uint8Array(),
  };
}

/** Labels can be edited: what is no number of at most nine digits would not fit into the next name either. */
function sequenceOf({ labels }: KnownConfig): number {
  const text = labels[LABELS.sequence] ?? '';
  return /^\d{1,9}$/.test(text) ? Number(text) : 0;
}

/** The one with the highest number. */
export function newest(configs: readonly KnownConfig[]): KnownConfig | undefined {
  return [...configs].sort((a, b) => sequenceOf(b) - sequenceOf(a))[0];
}

function planService(
  role: Role,
  spec: SpecJson,
  { [role]: observed, foreign }: Observed,
  labels: Readonly<Record<string, string>> = {},
): readonly Step[] {
  const other = foreign?.[role];
  if (other !== undefined) {
    return [{ kind: 'refuse-service', role, ...other }];
  }
  if (observed === undefined) {
    return [{ kind: 'create-service', role, spec: withAppliedLabel(spec, spec, labels) }];
  }
  const applied = appliedSpec(observed);
  const base = applied && withoutLost(applied, observed.spec as Json);
  if (base !== undefined && canonicalJson(base) === canonicalJson(spec)) {
    return [];
  }
  const merged = mergeSpecs(base ?? {}, spec, observed.spec as Json);
  const why = changedKeys(base, spec).join(', ');
  // Safe: a merge of two objects is an object.
  return [
    { kind: 'update-service', role, service: observed, spec: withAppliedLabel(merged as SpecJson, spec, labels), why },
  ];
}

function parseApplied(label: string | undefined): SpecJson | undefined {
  if (label === undefined) {
    return undefined;
  }
  try {
    const value: unknown = JSON.parse(label);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as SpecJson) : undefined;
  } catch {
    return undefined; // somebody edited the label: start the merge from nothing, so that ours wins where both differ
  }
}

/** Paths, two levels deep, for the log. */
function changedKeys(applied: SpecJson | undefined, spec: SpecJson): readonly string[] {
  const before = flatten(applied ?? {});
  const after = flatten(spec);
  return [...new Set([...before.keys(), ...after.keys()])].filter((key) => before.get(key) !== after.get(key)).sort();
}

function flatten(spec: SpecJson): ReadonlyMap<string, string> {
  const task = spec['TaskTemplate'];
  const container = isRecord(task) ? task['ContainerSpec'] : undefined;
  const levels: readonly [string, Json | undefined][] = [
    ['', { ...spec, TaskTemplate: null }],
    ['TaskTemplate.', isRecord(task) ? { ...task, ContainerSpec: null } : {}],
    ['ContainerSpec.', container],
  ];
  return new Map(
    levels.flatMap(([prefix, level]) =>
      isRecord(level)
        ? Object.entries(level).map(([key, value]) => [`${prefix}${key}`, canonicalJson(value)] as const)
        : [],
    ),
  );
}

function isRecord(value: Json | undefined): value is SpecJson {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Also while something else cannot be done (a roll that failed, a service that the Engine refuses), or configs would pile up meanwhile.
 * What a roll may go back to is in a previous spec, and so referred to.
 */
function planCleanUp({ delivery }: Desired, { configs, referredConfigIds }: Observed): readonly Step[] {
  const superseded = [...configs].sort((a, b) => sequenceOf(b) - sequenceOf(a)).slice(KEPT_CONFIGS);
  return superseded
    .filter(({ id, labels }) => !referredConfigIds.has(id) && labels[LABELS.digest] !== delivery?.artifact.digest)
    .map((config) => ({ kind: 'remove-config', config }) as const);
}
