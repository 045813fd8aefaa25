/** Finds out where core itself runs: its own service, stack and control network, and so the address that extensions dial. */

import { OperationalError } from '../runtime/errors.ts';
import type { CoreSettings } from '../settings/core-settings.ts';
import type { EngineApi, ServiceObject } from './engine/engine-api.ts';
import type { Home } from './publish/desired.ts';
import { LABELS } from './publish/names.ts';

/** Throws SETTINGS.INVALID when core is not a service of the Swarm at DockerURL and config.toml has no EndpointOverride. */
export async function findHome(engine: EngineApi, settings: CoreSettings, signal: AbortSignal): Promise<Home> {
  const self = await engine.self(signal);
  const service = self?.serviceId === undefined ? undefined : await engine.inspectService(self.serviceId, signal);
  const endpoint = settings.endpointOverride ?? (service && `tasks.${service.name}:${settings.listen.port}`);
  if (endpoint === undefined) {
    throw new OperationalError(
      'SETTINGS.INVALID',
      'core does not run as a service of the Swarm at DockerURL, so extensions cannot find it: name an engine of its own Swarm, or set EndpointOverride = "host:port" in config.toml',
    );
  }
  const controlNetworkIds = service === undefined ? [] : await controlNetworks(engine, service, signal);
  return {
    serviceId: service?.id,
    serviceName: service?.name,
    stack: service?.labels[LABELS.stack],
    controlNetworkIds,
    addresses: (self?.addresses ?? [])
      .filter(({ networkId }) => controlNetworkIds.includes(networkId))
      .map(({ address }) => address),
    endpoint,
    clientTls: settings.grpcTls?.clients,
    metricsPort: settings.metricsListen?.port,
  };
}

/** Core's own networks. The ingress network never stands in a spec. */
async function controlNetworks(
  engine: EngineApi,
  service: ServiceObject,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const services = await engine.listServices(signal);
  return services.find(({ id }) => id === service.id)?.networkIds ?? [];
}

/**
 * Where the gRPC API listens. Without a host in config.toml not on docker_gwbridge, which every node has and its host and neighbours
 * reach, but on core's own networks alone, and on loopback for the HEALTHCHECK.
 */
export function listenHosts({ listen }: Pick<CoreSettings, 'listen'>, { addresses = [] }: Home): readonly string[] {
  if (listen.host !== '') {
    return [listen.host];
  }
  return addresses.length === 0 ? ['0.0.0.0'] : [...addresses, '127.0.0.1'];
}

/** Core's own service and stack, where it has them. */
export type OwnPlace = Pick<Home, 'serviceId' | 'serviceName' | 'stack'>;

/** False once core's own service was removed: what core makes from then on, nobody would take away. */
export async function isHomeThere(
  engine: Pick<EngineApi, 'inspectService'>,
  { serviceId }: OwnPlace,
  signal: AbortSignal,
): Promise<boolean> {
  return serviceId === undefined || (await engine.inspectService(serviceId, signal)) !== undefined;
}
