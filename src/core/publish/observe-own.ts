/** Reads back from Swarm what core made for one extension. After a restart this is all that core knows of its past. */
import type { EngineApi, ServiceObject, ServiceSpecJson } from '../engine/engine-api.ts';
import { LABELS, TYPES } from './names.ts';
import type { Observed } from './plan.ts';

export interface OwnNames {
  readonly extension: string;
  readonly serviceName: string;
  readonly proxyServiceName: string;
}

export async function observeOwn(engine: EngineApi, names: OwnNames, signal: AbortSignal): Promise<Observed> {
  const [extension, proxy, configs, ours] = await Promise.all([
    engine.inspectService(names.serviceName, signal),
    engine.inspectService(names.proxyServiceName, signal),
    engine.listConfigs([`${LABELS.type}=${TYPES.proxyConfig}`, `${LABELS.extension}=${names.extension}`], signal),
    engine.listServiceObjects([LABELS.extension], signal),
  ]);
  return {
    // The Engine also matches by id prefix: only the exact name counts.
    extension: extension?.name === names.serviceName ? extension : undefined,
    proxy: proxy?.name === names.proxyServiceName ? proxy : undefined,
    configs,
    referredConfigIds: new Set([...ours, ...(proxy ? [proxy] : [])].flatMap(referredConfigs)),
  };
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
