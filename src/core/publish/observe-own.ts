/** Reads back from Swarm what core made for one extension. After a restart this is all that core knows of its past. */
import type { EngineApi, ServiceObject, ServiceSpecJson } from '../engine/engine-api.ts';
import { LABELS, TYPES } from './names.ts';
import type { KnownConfig, Observed } from './plan.ts';

export interface OwnNames {
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
        known ?? engine.listConfigs([`${LABELS.type}=${TYPES.proxyConfig}`, byName(names)], signal),
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

function byName({ extension }: OwnNames): string {
  return `${LABELS.extension}=${extension}`;
}

type OwnServices = Pick<Observed, 'extension' | 'proxy' | 'referredConfigIds'>;

/** One list finds both where all is well; a name that is not in it is asked for, because a foreign service may hold it. */
async function observeServices(engine: EngineApi, names: OwnNames, signal: AbortSignal): Promise<OwnServices> {
  const ours = await engine.listServiceObjects([byName(names)], signal);
  const find = async (name: string): Promise<ServiceObject | undefined> =>
    ours.find((service) => service.name === name) ?? (await exactly(engine, name, signal));
  const [extension, proxy] = await Promise.all([find(names.serviceName), find(names.proxyServiceName)]);
  return { extension, proxy, referredConfigIds: new Set(ours.flatMap(referredConfigs)) };
}

/** The Engine also matches by id prefix: only the exact name counts. */
async function exactly(engine: EngineApi, name: string, signal: AbortSignal): Promise<ServiceObject | undefined> {
  const service = await engine.inspectService(name, signal);
  return service?.name === name ? service : undefined;
}

function referredConfigs(service: ServiceObject): readonly string[] {
  return [service.spec, service.previousSpec].flatMap((spec) => (spec === undefined ? [] : configIds(spec)));
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
