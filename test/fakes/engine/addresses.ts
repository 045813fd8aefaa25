/** The allocator: networks -> subnets, tasks and VIPs -> addresses, ingress ports. Addresses are never handed out twice. */
import type { RawNetwork, RawService, RawTask } from './raw.ts';
import type { Store } from './store.ts';

export interface Allocator {
  nextAddress(networkId: string): string;
  /** VIPs and ports of a service; `true` when something changed, which costs the service a second version. */
  allocateService(service: RawService): boolean;
  attach(task: RawTask): void;
  nextHostPort(): number;
}

export function createAllocator(store: Store): Allocator {
  const subnets = new Map<string, { readonly prefix: string; used: number }>();
  const ports = { ingress: 29_999, host: 32_767 };

  function next(kind: 'ingress' | 'host'): number {
    ports[kind] += 1;
    return ports[kind];
  }

  function nextAddress(networkId: string): string {
    const subnet = subnets.get(networkId) ?? {
      prefix: `10.${Math.floor(subnets.size / 256)}.${subnets.size % 256}`,
      used: 1,
    };
    subnets.set(networkId, subnet);
    subnet.used += 1;
    return `${subnet.prefix}.${subnet.used}/24`;
  }

  function endpointNetworks(service: RawService): readonly string[] {
    const published = service.Spec.EndpointSpec?.Ports?.some((port) => port.PublishMode !== 'host') ?? false;
    const ingress = [...store.networks.values()].filter((network) => network.Ingress && published);
    return [
      ...ingress.map((network) => network.Id),
      ...(service.Spec.TaskTemplate.Networks ?? []).map((one) => one.Target),
    ];
  }

  return {
    nextAddress,
    nextHostPort: () => next('host'),
    allocateService(service) {
      const before = JSON.stringify(service.Endpoint);
      const spec = service.Spec.EndpointSpec ?? {};
      const old = service.Endpoint;
      service.Endpoint = { Spec: spec };
      if (spec.Ports !== undefined && spec.Ports.length > 0) {
        service.Endpoint.Ports = spec.Ports.map((port) => {
          const kept = old.Ports?.find(
            (was) => was.TargetPort === port.TargetPort && was.PublishMode === port.PublishMode,
          );
          const published =
            port.PublishedPort ?? kept?.PublishedPort ?? (port.PublishMode === 'host' ? undefined : next('ingress'));
          return { ...port, ...(published === undefined ? {} : { PublishedPort: published }) };
        });
      }
      const networks = spec.Mode === 'dnsrr' ? [] : endpointNetworks(service);
      if (networks.length > 0) {
        service.Endpoint.VirtualIPs = networks.map((id) => ({
          NetworkID: id,
          Addr: old.VirtualIPs?.find((vip) => vip.NetworkID === id)?.Addr ?? nextAddress(id),
        }));
      }
      return JSON.stringify(service.Endpoint) !== before;
    },
    attach(task) {
      const service = store.services.get(task.ServiceID);
      const ids = service === undefined ? [] : endpointNetworks(service);
      const attachments = ids.flatMap((id) => {
        const network = store.networks.get(id);
        return network === undefined ? [] : [{ Network: attachedNetwork(network), Addresses: [nextAddress(id)] }];
      });
      if (attachments.length > 0) {
        task.NetworksAttachments = attachments;
      }
    },
  };
}

function attachedNetwork(network: RawNetwork) {
  return {
    ID: network.Id,
    Version: { Index: 1 },
    CreatedAt: network.Created,
    UpdatedAt: network.Created,
    Spec: { Name: network.Name, Labels: network.Labels, Scope: network.Scope },
  };
}
