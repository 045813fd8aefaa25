/** Reads back from Swarm what core made for one extension. After a restart this is all that core knows of its past. */
import type { EngineApi, ServiceObject, ServiceSpecJson } from '../engine/engine-api.ts';
import type { Home } from './desired.ts';
import { homeLabels, isOfHome } from './home-labels.ts';
import { LABELS, TYPES } from './names.ts';
import type { ForeignService, KnownConfig, Observed, Role } from './plan.ts';
import { foreignerOf } from './whose.ts';

export interface OwnNames {
  readonly home: Home;
  /** Names of all tables of config.toml. */
  readonly tables: ReadonlySet<string>;
  readonly extension: string;
  readonly serviceName: string;
  readonly proxyServiceName: string;
}

/** Reads the services anew each time; the configs once, because the Engine lists them with all their bytes. */
export interface OwnView {
  observe(signal: AbortSignal): Promise<Observed>;
  /** This config was just created. */
  added(config: KnownConfig): void;
  /** This config was just removed. */
  removed(configId: string): void;
}

/** For one reconciliation: a conflict means that somebody else writes, and then a new view is due. */
export function createOwnView(engine: EngineApi, names: OwnNames): OwnView {
  let known: readonly KnownConfig[] | undefined;
  return {
    async observe(signal) {
      const [services, configs] = await Promise.all([
        observeServices(engine, names, signal),
        known ?? listOwnConfigs(engine, names, signal),
      ]);
      known = configs;
      return { ...services, configs };
    },
    added(config) {
      known = [...(known ?? []), config];
    },
    removed(configId) {
      known = known?.filter(({ id }) => id !== configId);
    },
  };
}

/** Another stack's say nothing here, whatever its table is named: neither what is stored, nor which number comes next. */
async function listOwnConfigs(
  engine: EngineApi,
  names: OwnNames,
  signal: AbortSignal,
): Promise<readonly KnownConfig[]> {
  const ofHome = Object.entries(homeLabels(names.home)).map(([label, value]) => `${label}=${value}`);
  const configs = await engine.listConfigs([`${LABELS.type}=${TYPES.proxyConfig}`, byName(names), ...ofHome], signal);
  return configs.filter(({ labels }) => isOfHome(labels, names.home));
}

function byName({ extension }: OwnNames): string {
  return `${LABELS.extension}=${extension}`;
}

type OwnServices = Omit<Observed, 'configs'>;

/** One list finds both where all is well; a name that is not in it is asked for, because a foreign service may hold it. */
async function observeServices(engine: EngineApi, names: OwnNames, signal: AbortSignal): Promise<OwnServices> {
  const ours = await engine.listServiceObjects([byName(names)], signal);
  const find = async (name: string): Promise<ServiceObject | undefined> =>
    ours.find((service) => service.name === name) ?? (await exactly(engine, name, signal));
  const [extension, proxy] = await Promise.all([find(names.serviceName), find(names.proxyServiceName)]);
  return {
    ...sorted({ extension, proxy }, names),
    referredConfigIds: new Set([...ours, extension, proxy].flatMap(referredConfigs)),
  };
}

const ROLES: readonly Role[] = ['extension', 'proxy'];

/** Those of the two that are ours, and those that are not. */
function sorted(
  found: Readonly<Record<Role, ServiceObject | undefined>>,
  names: OwnNames,
): Omit<OwnServices, 'referredConfigIds'> {
  const own: Partial<Record<Role, ServiceObject>> = {};
  const foreign: Partial<Record<Role, ForeignService>> = {};
  for (const role of ROLES) {
    const service = found[role];
    const foreigner = service && foreignerOf(service, { role, ...names });
    if (foreigner !== undefined) {
      foreign[role] = foreigner;
    } else if (service !== undefined) {
      own[role] = service;
    }
  }
  return { extension: own.extension, proxy: own.proxy, foreign };
}

/** The Engine also matches by id prefix: only the exact name counts. */
async function exactly(engine: EngineApi, name: string, signal: AbortSignal): Promise<ServiceObject | undefined> {
  const service = await engine.inspectService(name, signal);
  return service?.name === name ? service : undefined;
}

/** By its spec and its previous one. */
export function referredConfigs(
  service: (Pick<ServiceObject, 'spec'> & Partial<Pick<ServiceObject, 'previousSpec'>>) | undefined,
): readonly string[] {
  return [service?.spec, service?.previousSpec].flatMap((spec) => (spec === undefined ? [] : configIds(spec)));
}

function configIds(spec: ServiceSpecJson): readonly string[] {
  const configs = member(member(member(spec, 'TaskTemplate'), 'ContainerSpec'), 'Configs');
  return Array.isArray(configs) ? configs.flatMap((config: unknown) => text(member(config, 'ConfigID'))) : [];
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

function text(value: unknown): readonly string[] {
  return typeof value === 'string' ? [value] : [];
}
