#!/usr/bin/env bash
# Swarms of real engines on one machine (docs/testbed.md): each node is a dockerd in namespaces of its own.
#
#   swarm.sh up --name NAME [--nodes N] [--managers M] [--engine forky|trixie|host] [--fast-heartbeat]
#               [--no-host-link] [--insecure-registry] [--swarm-init-args "ARGS"]
#               --insecure-registry: the nodes speak to registries on the cluster's own network over plain HTTP
#   swarm.sh down --name NAME | --all        ends it and leaves nothing, whatever state it is in
#   swarm.sh status                          one line for each cluster
#   swarm.sh env [--json] NAME               sockets, addresses, network namespaces
#   swarm.sh load NAME IMAGE.tar...          into every running node
#   swarm.sh import NAME ROOT.tar TAG        a root filesystem as an image, on every running node
#   swarm.sh node-kill NAME I                power loss: no packet and no process survives
#   swarm.sh node-crash NAME I               only dockerd dies
#   swarm.sh node-start NAME I               after either
#   swarm.sh link NAME I up|down             the node's cable
#   swarm.sh exec NAME I COMMAND...          with the node's files, network and processes
#   swarm.sh net-exec NAME I COMMAND...      with the machine's files and the node's network
#
# The nodes of a cluster reach each other over a bridge in a network namespace of its own, and the machine reaches them over one
# veth (not with --no-host-link). They have no default route: an image pull then fails at once and the local image is used.
# The machine's own bridges and iptables are never touched.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() { sed -n '2,/^# The nodes/{/^# The nodes/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }

# --- one cluster -------------------------------------------------------------------------------------------------------------

# use NAME: sets the names that everything of this cluster goes by.
use() {
  [[ ${1:-} =~ ^[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?$ ]] ||
    die "'${1:-}' is no name for a cluster" "up to 31 of a-z, 0-9 and '-' (swarm.sh status lists them)"
  NAME=$1
  ID=$(id_of "$NAME")
  DIR=$STATE/swarm/$NAME
  LAN=$ID-lan
  check_socket "$DIR/n99/docker.sock"
}
locked() { with_lock "$STATE/locks/swarm-$NAME.lock" "$@"; }
netns_of() { printf '%s-n%s\n' "$ID" "$1"; }
mark_of() { printf 'interlock-bed=%s:n%s\n' "$ID" "$1"; }
address_of() { printf '%s.%s\n' "$SUBNET" $((10 + $1)); }
init_pid() { engine_init "$RUN/$ID/n$1.pid" "$(mark_of "$1")"; }
dockerd_pid() { engine_dockerd "$RUN/$ID/n$1.pid" "$(mark_of "$1")"; }

# load_cluster: what `up` recorded: NODES MANAGERS ENGINE ROOTFS SUBNET HOST_LINK REGISTRY READY
load_cluster() {
  [ -s "$DIR/cluster" ] || die "there is no cluster '$NAME'" "swarm.sh up --name $NAME"
  # shellcheck disable=SC1091
  source "$DIR/cluster"
}
check_node() {
  [[ ${1:-} =~ ^[0-9]+$ ]] && [ "$1" -ge 1 ] && [ "$1" -le "$NODES" ] || die "'$NAME' has no node '${1:-}'" "1 to $NODES"
}

# --- network -----------------------------------------------------------------------------------------------------------------

lan_up() {
  ip netns add "$LAN"
  ip -n "$LAN" link set lo up
  # In its own namespace: in the machine's, another engine's br_netfilter and FORWARD policy would drop bridged frames.
  ip -n "$LAN" link add br0 type bridge
  ip -n "$LAN" link set br0 up
  [ "$HOST_LINK" = yes ] || return 0
  ip link add "$ID-h" type veth peer name host netns "$LAN"
  ip -n "$LAN" link set host master br0 up
  ip addr add "$SUBNET.1/24" dev "$ID-h"
  ip link set "$ID-h" up
}

# The MAC follows from the address, so that neighbours' ARP entries stay true over a power loss.
node_net_up() {
  local i=$1 ns
  ns=$(netns_of "$i")
  node_net_down "$i"
  ip netns add "$ns"
  ip -n "$ns" link set lo up
  ip link add eth0 netns "$ns" address "$(printf '02:42:0a:63:%02x:%02x' "${SUBNET##*.}" $((10 + i)))" \
    type veth peer name "n$i" netns "$LAN"
  ip -n "$LAN" link set "n$i" master br0 up
  ip -n "$ns" addr add "$(address_of "$i")/24" dev eth0
  ip -n "$ns" link set eth0 up
}
node_net_down() {
  ip -n "$LAN" link del "n$1" 2>/dev/null || true
  ip netns del "$(netns_of "$1")" 2>/dev/null || true
}

# --- nodes -------------------------------------------------------------------------------------------------------------------

launch_node() {
  local i=$1 dir=$DIR/n$1
  mkdir -p "$dir"
  chmod 755 "$DIR"
  # A name server that cannot be reached, and no route: lookups fail at once instead of hanging 20-40 s.
  printf 'nameserver 192.0.2.1\noptions timeout:1 attempts:1\n' >"$dir/resolv.conf"
  local args=()
  [ "${REGISTRY:-no}" = no ] || args=(--insecure-registry "$SUBNET.0/24")
  launch_engine "$RUN/$ID/n$i.pid" "$(mark_of "$i")" "$(netns_of "$i")" "n$i" "$dir" "$ROOTFS" "/$ID/n$i" "${args[@]}"
}

wait_node() { wait_engine "$RUN/$ID/n$1.pid" "$(mark_of "$1")" "$DIR/n$1" || die "node $1 of '$NAME' does not answer" "its log: $DIR/n$1/dockerd.log"; }
in_node() {
  local i=$1
  shift
  in_engine "$RUN/$ID/n$i.pid" "$(mark_of "$i")" "$@"
}
end_node() { end_engine "$RUN/$ID/n$1.pid" "$(mark_of "$1")"; }

# --- commands ----------------------------------------------------------------------------------------------------------------

up() {
  NODES=1 MANAGERS=1 ENGINE=forky HOST_LINK=yes REGISTRY=no INIT_ARGS=
  local name=
  while [ $# -gt 0 ]; do
    case $1 in
      --name) name=${2:-}; shift ;;
      --nodes) NODES=${2:-}; shift ;;
      --managers) MANAGERS=${2:-}; shift ;;
      --engine) ENGINE=${2:-}; shift ;;
      --swarm-init-args) INIT_ARGS="$INIT_ARGS ${2:-}"; shift ;;
      --fast-heartbeat) INIT_ARGS="$INIT_ARGS --dispatcher-heartbeat 1s" ;;
      --no-host-link) HOST_LINK=no ;;
      --insecure-registry) REGISTRY=yes ;;
      *) die "up does not know '$1'" "swarm.sh without arguments lists what there is" ;;
    esac
    shift
  done
  use "$name"
  [[ $NODES =~ ^[0-9]+$ ]] && [ "$NODES" -ge 1 ] && [ "$NODES" -le 99 ] || die "--nodes '$NODES'" "1 to 99"
  [[ $MANAGERS =~ ^[0-9]+$ ]] && [ "$MANAGERS" -ge 1 ] && [ "$MANAGERS" -le "$NODES" ] || die "--managers '$MANAGERS'" "1 to $NODES"
  locked up_locked
}

up_locked() {
  local i t0 dockerd
  if [ -e "$DIR" ]; then
    # shellcheck disable=SC1091
    [ ! -s "$DIR/cluster" ] || source "$DIR/cluster"
    for i in $(seq "$NODES"); do
      [ "${READY:-no}" = yes ] && dockerd_pid "$i" >/dev/null ||
        die "'$NAME' is there, but not whole" "swarm.sh node-start $NAME I, or swarm.sh down --name $NAME"
    done
    say "'$NAME' is up already"
    return
  fi
  have ip || apt_install iproute2
  case $ENGINE in
    forky | trixie) ROOTFS=$("$BED_DIR/debian.sh" engine "$ENGINE") ;;
    host) dockerd=$("$BED_DIR/debian.sh" host-engine); ROOTFS=/; say "engine: $dockerd" ;;
    *) die "--engine '$ENGINE'" "forky, trixie or host" ;;
  esac
  t0=$(date +%s%N)
  # In the engines' own root there are no modules to load; most kernels have these ready or built in.
  ! have modprobe || modprobe -qa overlay bridge br_netfilter veth vxlan ip_vs xt_conntrack iptable_nat iptable_filter 2>/dev/null || true
  take_subnet 10.99
  SUBNET=$(<"$RUN/$ID/subnet")
  mkdir -p "$DIR"
  save_cluster no
  lan_up
  for i in $(seq "$NODES"); do node_net_up "$i"; launch_node "$i"; done
  for i in $(seq "$NODES"); do wait_node "$i"; done
  make_swarm
  save_cluster yes
  say "'$NAME' is up after $((($(date +%s%N) - t0) / 1000000)) ms: $NODES node(s) at $(address_of 1)..., engine $ENGINE, managers: $MANAGERS"
}

save_cluster() {
  printf '%s=%q\n' NODES "$NODES" MANAGERS "$MANAGERS" ENGINE "$ENGINE" ROOTFS "$ROOTFS" SUBNET "$SUBNET" \
    HOST_LINK "$HOST_LINK" REGISTRY "$REGISTRY" READY "$1" >"$DIR/cluster.tmp"
  mv "$DIR/cluster.tmp" "$DIR/cluster"
}

make_swarm() {
  local i first token pids=() pid
  first=$(address_of 1)
  # The engine's own command: it knows every option of its version.
  # shellcheck disable=SC2086
  in_node 1 docker swarm init --advertise-addr "$first" --listen-addr "$first:2377" $INIT_ARGS >/dev/null ||
    die "docker swarm init on node 1 of '$NAME'" "its log: $DIR/n1/dockerd.log"
  if [ "$MANAGERS" -gt 1 ]; then
    token=$(in_node 1 docker swarm join-token -q manager)
    for i in $(seq 2 "$MANAGERS"); do join "$i" "$token"; done
  fi
  token=$(in_node 1 docker swarm join-token -q worker)
  for i in $(seq $((MANAGERS + 1)) "$NODES"); do join "$i" "$token" & pids+=($!); done
  for pid in "${pids[@]}"; do wait "$pid"; done
  local until=$((SECONDS + 30))
  while [ "$(in_node 1 docker node ls --format '{{.Status}}' | grep -c Ready)" != "$NODES" ]; do
    [ $SECONDS -lt $until ] || die "the nodes of '$NAME' did not all become Ready" "their logs: $DIR/n*/dockerd.log"
    sleep 0.05
  done
}
join() {
  local address
  address=$(address_of "$1")
  in_node "$1" docker swarm join --advertise-addr "$address" --listen-addr "$address:2377" --token "$2" "$(address_of 1):2377" >/dev/null ||
    die "node $1 of '$NAME' did not join" "its log: $DIR/n$1/dockerd.log"
}

down() {
  case ${1:-} in
    --name) use "${2:-}"; locked down_locked ;;
    --all) local name; for name in $(names); do use "$name"; locked down_locked; done ;;
    *) usage ;;
  esac
}
# names: of every cluster of this state folder, also of those of which only the folder or only the running part is left.
names() {
  local run
  {
    ls "$STATE/swarm" 2>/dev/null || true
    for run in "$RUN"/*/; do
      [ "$(cat "$run/state" 2>/dev/null)" != "$STATE" ] || cat "$run/name"
    done
  } | grep -v / | sort -u # the builder's name has a slash
}
# Needs no record but the name: everything of a cluster carries its id.
down_locked() {
  local file ns pids=() pid i
  for file in "$RUN/$ID"/n*.pid; do
    [ -e "$file" ] || continue
    i=$(basename "$file" .pid)
    end_node "${i#n}" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid"; done
  for ns in $(ip netns list 2>/dev/null | sed -n "s/^\($ID-[a-z0-9]*\).*/\1/p"); do ip netns del "$ns"; done
  ip link del "$ID-h" 2>/dev/null || true
  drop_cgroups "/$ID"
  rm -rf --one-file-system "$DIR" "${RUN:?}/$ID"
  rmdir "$RUN" "$STATE/swarm" 2>/dev/null || true
  say "'$NAME' is down"
}

node_start() {
  local i=$1 init
  if init=$(init_pid "$i"); then
    if dockerd_pid "$i" >/dev/null; then say "node $i of '$NAME' runs"; return; fi
    kill -USR1 "$init"
  else
    node_net_up "$i"
    launch_node "$i"
  fi
  wait_node "$i"
}
node_kill() {
  # First the cable: a machine without power sends no FIN and no RST.
  ip -n "$LAN" link set "n$1" down 2>/dev/null || true
  end_node "$1"
  node_net_down "$1"
  drop_cgroups "/$ID/n$1"
}
node_crash() {
  local pid
  pid=$(dockerd_pid "$1") || die "node $1 of '$NAME' has no running dockerd" "swarm.sh node-start $NAME $1"
  kill -9 "$pid"
  while [ -e "/proc/$pid" ]; do sleep 0.02; done
}
link() {
  case ${2:-} in up | down) ;; *) die "a link goes up or down, not '${2:-}'" ;; esac
  ip -n "$LAN" link set "n$1" "$2" || die "node $1 of '$NAME' has no link" "swarm.sh node-start $NAME $1"
}

# each_running COMMAND...: `COMMAND... I` for every running node at once.
each_running() {
  local i pids=() pid
  for i in $(seq "$NODES"); do
    init_pid "$i" >/dev/null || continue
    "$@" "$i" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid"; done
}
load() {
  local tar
  [ $# -gt 0 ] || die "load needs image files" "swarm.sh load $NAME IMAGE.tar..."
  for tar in "$@"; do [ -r "$tar" ] || die "there is no image file $tar"; done
  for tar in "$@"; do each_running load_node "$tar"; done
}
load_node() { in_node "$2" docker load -q <"$1" >/dev/null || die "docker load of $1 on node $2 of '$NAME'"; }
import() {
  [ $# = 2 ] && [ -r "$1" ] || die "import needs a root filesystem and a tag" "swarm.sh import $NAME ROOT.tar TAG"
  each_running import_node "$@"
}
import_node() { in_node "$3" docker import - "$2" <"$1" >/dev/null || die "docker import of $1 on node $3 of '$NAME'"; }

node_state() {
  if dockerd_pid "$1" >/dev/null; then echo running; elif init_pid "$1" >/dev/null; then echo crashed; else echo off; fi
}
print_env() {
  local i
  printf '%s=%q\n' BED_NAME "$NAME" BED_ENGINE "$ENGINE" BED_NODES "$NODES" BED_SUBNET "$SUBNET.0/24"
  [ "$HOST_LINK" = no ] || printf '%s=%q\n' BED_HOST_ADDRESS "$SUBNET.1"
  printf 'DOCKER_HOST=%q\n' "unix://$DIR/n1/docker.sock"
  for i in $(seq "$NODES"); do
    printf '%s=%q\n' "BED_N${i}_ADDRESS" "$(address_of "$i")" "BED_N${i}_SOCKET" "$DIR/n$i/docker.sock" \
      "BED_N${i}_NETNS" "/run/netns/$(netns_of "$i")" "BED_N${i}_LOG" "$DIR/n$i/dockerd.log" "BED_N${i}_STATE" "$(node_state "$i")"
  done
}
json_string() { local s=${1//\\/\\\\}; printf '"%s"' "${s//\"/\\\"}"; }
print_json() {
  local i host=null
  [ "$HOST_LINK" = no ] || host=$(json_string "$SUBNET.1")
  printf '{"name":%s,"engine":%s,"managers":%s,"subnet":%s,"hostAddress":%s,"nodes":[' \
    "$(json_string "$NAME")" "$(json_string "$ENGINE")" "$MANAGERS" "$(json_string "$SUBNET.0/24")" "$host"
  for i in $(seq "$NODES"); do
    [ "$i" = 1 ] || printf ','
    printf '{"index":%s,"address":%s,"dockerSocket":%s,"netns":%s,"log":%s,"state":%s}' "$i" "$(json_string "$(address_of "$i")")" \
      "$(json_string "$DIR/n$i/docker.sock")" "$(json_string "/run/netns/$(netns_of "$i")")" \
      "$(json_string "$DIR/n$i/dockerd.log")" "$(json_string "$(node_state "$i")")"
  done
  printf ']}\n'
}

status() {
  local name i line
  for name in $(names); do
    use "$name"
    [ -s "$DIR/cluster" ] || { printf '%s\tin pieces: swarm.sh down --name %s\n' "$name" "$name"; continue; }
    load_cluster
    line=
    for i in $(seq "$NODES"); do line="$line n$i=$(node_state "$i")"; done
    printf '%s\t%s\t%s.0/24\t%s\n' "$name" "$ENGINE" "$SUBNET" "${line# }"
  done
}

# on_node COMMAND NAME I ARGS...
on_node() {
  local command=$1
  use "${2:-}"
  load_cluster
  check_node "${3:-}"
  shift 2
  "$command" "$@"
}
net_exec() {
  local i=$1
  shift
  exec nsenter --net="/run/netns/$(netns_of "$i")" -- "$@"
}

[ $# -gt 0 ] || usage
need_root "${BASH_SOURCE[0]}" "$@"
command=$1
shift
case $command in
  up | down | status) "$command" "$@" ;;
  load | import) use "${1:-}"; load_cluster; shift; "$command" "$@" ;;
  env)
    printer=print_env
    [ "${1:-}" != --json ] || { printer=print_json; shift; }
    use "${1:-}"; load_cluster; $printer ;;
  node-start) on_node node_start "$@" ;;
  node-kill) on_node node_kill "$@" ;;
  node-crash) on_node node_crash "$@" ;;
  link) on_node link "$@" ;;
  exec) on_node in_node "$@" ;;
  net-exec) on_node net_exec "$@" ;;
  *) usage ;;
esac
