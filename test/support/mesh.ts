/**
 * The routing mesh, emulated: kernels without IPVS carry no traffic for Swarm's virtual IPs and ingress ports. dockerd makes its
 * sandboxes anyway, so iptables DNAT goes where IPVS would be. A snapshot: call it again after tasks change. Proofs that stand on it
 * say "routing mesh emulated".
 *
 *   lb_<network>    the VIP as an address, DNAT to the tasks on that network in turn
 *   ingress_sbox    DNAT of published ports to the tasks' ingress addresses in turn
 *   the node        DNAT of published ports to the ingress sandbox
 */
import type Docker from 'dockerode';
import type { Swarm } from './bed.ts';

interface ServiceJson {
  readonly ID: string;
  readonly Endpoint?: {
    readonly Ports?: readonly {
      readonly TargetPort: number;
      readonly PublishedPort?: number;
      readonly PublishMode: string;
    }[];
    readonly VirtualIPs?: readonly { readonly NetworkID: string; readonly Addr?: string }[];
  };
}

interface TaskJson {
  readonly ServiceID: string;
  readonly DesiredState: string;
  readonly Status: { readonly State: string };
  readonly NetworksAttachments?: readonly {
    readonly Network: { readonly ID: string; readonly Spec: { readonly Ingress?: boolean } };
    readonly Addresses?: readonly string[];
  }[];
}

/** One pass over all nodes: what was programmed before is replaced. */
export async function emulateRoutingMesh(swarm: Swarm, docker: Docker): Promise<void> {
  // Shapes: Engine API `GET /services` and `GET /tasks`.
  const services = (await docker.listServices()) as unknown as readonly ServiceJson[];
  const tasks = ((await docker.listTasks()) as unknown as readonly TaskJson[]).filter(
    ({ DesiredState, Status }) => DesiredState === 'running' && Status.State === 'running',
  );
  const script = scriptFor(services, tasks);
  await Promise.all(swarm.nodes.map(({ index }) => swarm.exec(index, ['bash', '-c', script])));
}

function scriptFor(services: readonly ServiceJson[], tasks: readonly TaskJson[]): string {
  return [
    PRELUDE,
    ...services.flatMap((service) => [...vipLines(service, tasks), ...ingressLines(service, tasks)]),
  ].join('\n');
}

/** `fresh SANDBOX`: an empty chain MESH that all packets pass. `spread SANDBOX MATCH ADDRESS[:PORT]...`: in turn. */
const PRELUDE = `set -eu
ns=/var/run/docker/netns
in_ns() { nsenter --net="$1" "\${@:2}"; }
fresh() {
  # IPVS takes packets that are addressed to the sandbox; DNAT makes it a router.
  in_ns "$1" bash -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
  in_ns "$1" iptables -w -t nat -N MESH 2>/dev/null || in_ns "$1" iptables -w -t nat -F MESH
  in_ns "$1" iptables -w -t nat -C PREROUTING -j MESH 2>/dev/null || in_ns "$1" iptables -w -t nat -I PREROUTING -j MESH
  in_ns "$1" iptables -w -t nat -C POSTROUTING -j MASQUERADE 2>/dev/null || in_ns "$1" iptables -w -t nat -A POSTROUTING -j MASQUERADE
}
spread() {
  local where=$1 match=$2 left; shift 2
  left=$#
  for to in "$@"; do
    in_ns "$where" iptables -w -t nat -A MESH $match -m statistic --mode nth --every "$left" --packet 0 -j DNAT --to-destination "$to"
    left=$((left - 1))
  done
}
for box in "$ns"/lb_* "$ns"/ingress_sbox; do [ ! -e "$box" ] || fresh "$box"; done
iptables -w -t nat -N MESH 2>/dev/null || iptables -w -t nat -F MESH
iptables -w -t nat -C PREROUTING -m addrtype --dst-type LOCAL -j MESH 2>/dev/null || iptables -w -t nat -I PREROUTING -m addrtype --dst-type LOCAL -j MESH
iptables -w -C FORWARD -j ACCEPT 2>/dev/null || iptables -w -I FORWARD -j ACCEPT`;

/** dockerd names a network's sandbox by the first nine characters of its id. */
function vipLines(service: ServiceJson, tasks: readonly TaskJson[]): readonly string[] {
  return (service.Endpoint?.VirtualIPs ?? []).flatMap(({ NetworkID, Addr }) => {
    const vip = Addr?.split('/')[0];
    const targets = addressesOn(service, tasks, (network) => network.ID === NetworkID);
    if (vip === undefined || targets.length === 0) {
      return [];
    }
    const box = `"$ns"/lb_${NetworkID.slice(0, 9)}`;
    return [
      `if [ -e ${box} ]; then`,
      `  in_ns ${box} ip address replace ${vip}/32 dev eth0`,
      `  spread ${box} "-d ${vip} -p tcp" ${targets.join(' ')}`,
      'fi',
    ];
  });
}

function ingressLines(service: ServiceJson, tasks: readonly TaskJson[]): readonly string[] {
  const targets = addressesOn(service, tasks, (network) => network.Spec.Ingress === true);
  return (service.Endpoint?.Ports ?? [])
    .filter(({ PublishMode, PublishedPort }) => PublishMode === 'ingress' && PublishedPort !== undefined)
    .flatMap(({ TargetPort, PublishedPort = 0 }) =>
      targets.length === 0
        ? []
        : [
            `spread "$ns"/ingress_sbox "-p tcp --dport ${PublishedPort}" ${targets.map((to) => `${to}:${TargetPort}`).join(' ')}`,
            `iptables -w -t nat -A MESH -p tcp --dport ${PublishedPort} -j DNAT --to-destination "$(in_ns "$ns"/ingress_sbox ip -4 -o address show eth1 | awk '{print $4}' | cut -d/ -f1)"`,
          ],
    );
}

function addressesOn(
  service: ServiceJson,
  tasks: readonly TaskJson[],
  wanted: (network: { readonly ID: string; readonly Spec: { readonly Ingress?: boolean } }) => boolean,
): readonly string[] {
  return tasks
    .filter(({ ServiceID }) => ServiceID === service.ID)
    .flatMap(({ NetworksAttachments = [] }) => NetworksAttachments.filter(({ Network }) => wanted(Network)))
    .flatMap(({ Addresses = [] }) => Addresses.slice(0, 1).map((address) => address.split('/')[0] ?? ''));
}
