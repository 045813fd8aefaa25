/**
 * What to do next for one extension, as a list of steps. Pure. One pass plans one layer (a Proxy Config first, then the service that
 * refers to it), and is repeated after every execution until the plan is empty; so a pass that was cut short finds its own work.
 */
import { canonicalJson } from '../../model/revision.ts';
import type { ExtensionSettings } from '../../settings/core-settings.ts';
import type { Reference } from '../board.ts';
import type { NewConfig, ServiceObject } from '../engine/engine-api.ts';
import { type Delivery, extensionSpec, type Home, proxySpec, type SpecJson, withAppliedLabel } from './desired.ts';
import { type Json, mergeSpecs } from './merge.ts';
import { LABELS, proxyConfigName, TYPES } from './names.ts';

export interface Desired {
  readonly settings: ExtensionSettings;
  readonly home: Home;
  /** `undefined` until the extension has rendered something: the proxy service waits for it, and a running one is left alone. */
  readonly delivery: Delivery | undefined;
  /** Secrets of the Swarm by name. */
  readonly secrets: ReadonlyMap<string, string>;
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
  /** The services that carry this extension's name in our label, by `type`; and whatever else holds one of the two names. */
  readonly extension: ServiceObject | undefined;
  readonly proxy: ServiceObject | undefined;
  /** This extension's Proxy Configs. */
  readonly configs: readonly KnownConfig[];
  /** Ids of Docker Configs that some service's spec or previous spec refers to. */
  readonly referredConfigIds: ReadonlySet<string>;
}

export type Step =
  | { readonly kind: 'create-config'; readonly config: NewConfig }
  | { readonly kind: 'create-service'; readonly role: Role; readonly spec: SpecJson }
  | {
      readonly kind: 'update-service';
      readonly role: Role;
      readonly service: ServiceObject;
      readonly spec: SpecJson;
      readonly why: string;
    }
  | { readonly kind: 'refuse-service'; readonly role: Role; readonly service: ServiceObject }
  | { readonly kind: 'remove-config'; readonly config: KnownConfig };

export type Role = 'extension' | 'proxy';

/** How many superseded Proxy Configs stay, for `docker config inspect` and for going back. */
export const KEPT_CONFIGS = 10;

export function planExtension(desired: Desired, observed: Observed): readonly Step[] {
  return [
    ...planService('extension', extensionSpec(desired.settings, desired.home), observed.extension, desired),
    ...planDelivery(desired, observed),
    ...planCleanUp(desired, observed),
  ];
}

function planDelivery(desired: Desired, observed: Observed): readonly Step[] {
  const { delivery, settings, home } = desired;
  if (delivery === undefined) {
    return [];
  }
  const config = newest(observed.configs.filter(({ labels }) => labels[LABELS.digest] === delivery.artifact.digest));
  if (config === undefined) {
    return [{ kind: 'create-config', config: newProxyConfig(desired, delivery, observed.configs) }];
  }
  const spec = proxySpec(settings, home, delivery, config, presentSecrets(desired, delivery));
  return planService('proxy', spec, observed.proxy, desired);
}

/** A secret that is missing costs its host TLS, not the cluster its roll. */
function presentSecrets({ secrets }: Desired, { requirements }: Delivery): readonly Reference[] {
  return requirements.secrets.flatMap((name) => {
    const id = secrets.get(name);
    return id === undefined ? [] : [{ id, name }];
  });
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
      ...(home.stack === undefined ? {} : { [LABELS.stack]: home.stack }),
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

function newest(configs: readonly KnownConfig[]): KnownConfig | undefined {
  return [...configs].sort((a, b) => sequenceOf(b) - sequenceOf(a))[0];
}

function planService(
  role: Role,
  spec: SpecJson,
  observed: ServiceObject | undefined,
  { settings }: Desired,
): readonly Step[] {
  if (observed === undefined) {
    return [{ kind: 'create-service', role, spec: withAppliedLabel(spec, spec) }];
  }
  if (!isOurs(role, observed, settings.name)) {
    return [{ kind: 'refuse-service', role, service: observed }];
  }
  const applied = parseApplied(observed.labels[LABELS.applied]);
  if (applied !== undefined && canonicalJson(applied) === canonicalJson(spec)) {
    return [];
  }
  const merged = mergeSpecs(applied ?? {}, spec, observed.spec as Json);
  const why = changedKeys(applied, spec).join(', ');
  // Safe: a merge of two objects is an object.
  return [{ kind: 'update-service', role, service: observed, spec: withAppliedLabel(merged as SpecJson, spec), why }];
}

function isOurs(role: Role, service: ServiceObject, extension: string): boolean {
  return service.labels[LABELS.type] === TYPES[role] && service.labels[LABELS.extension] === extension;
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
