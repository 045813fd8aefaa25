# Shared by the scripts of the bed; sourced, never run. Progress goes to stderr, results to stdout.
# shellcheck shell=bash
set -euo pipefail
shopt -s inherit_errexit
umask 022 # a user who calls through sudo must be able to reach the sockets

BED_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
BED_CHECKOUT=$(cd "$BED_DIR/../.." && pwd -P)
STATE=$(realpath -m "${INTERLOCK_STATE:-$BED_CHECKOUT/.interlock}")
CACHE=$(realpath -m "${INTERLOCK_CACHE:-$BED_CHECKOUT/.interlock/cache}")
export PATH=$PATH:/usr/sbin:/sbin

say() { printf 'bed: %s\n' "$*" >&2; }

# die WHAT-FAILED WHAT-TO-DO
die() {
  printf 'bed: failed: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf 'bed: what to do: %s\n' "$2" >&2
  exit 1
}

# need_root "$0" "$@": returns as root, else replaces the process by the same call under `sudo -n`.
# Everything that depends on the caller's own environment (npm of a version manager, proxies) is found before.
need_root() {
  [ "$(id -u)" != 0 ] || return 0
  command -v sudo >/dev/null || die "this needs root, and there is no sudo" "run it as root"
  sudo -n true 2>/dev/null || die "this needs root, and sudo asks for a password" \
    "run it as root, or allow sudo without a password for this user"
  local keep=() v
  for v in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY NODE_EXTRA_CA_CERTS; do
    [ -z "${!v:-}" ] || keep+=("$v=${!v}")
  done
  keep+=(INTERLOCK_STATE="$STATE" INTERLOCK_CACHE="$CACHE")
  [[ $1 != */debian.sh ]] || keep+=(BED_HOST_NPM="$(host_npm)" BED_HOST_NPMRC="$(host_npmrc)")
  exec sudo -n env "${keep[@]}" bash "$@"
}

# The folder of the caller's npm ("" if there is none).
host_npm() {
  [ -z "${BED_HOST_NPM:-}" ] || { printf '%s\n' "$BED_HOST_NPM"; return; }
  local cli
  cli=$(command -v npm) || return 0
  cli=$(realpath "$cli")
  dirname "$(dirname "$cli")"
}

# The lines of the caller's npm settings without which npm cannot reach its registry; no credentials.
host_npmrc() {
  [ -z "${BED_HOST_NPMRC+set}" ] || { printf '%s\n' "$BED_HOST_NPMRC"; return; }
  command -v npm >/dev/null || return 0
  local key value
  # "key=value" for each: one start of npm.
  (cd / && npm config get registry proxy https-proxy noproxy strict-ssl 2>/dev/null) | while IFS== read -r key value; do
    case $key=$value in
      *=null | *= | *=undefined | strict-ssl=true | registry=https://registry.npmjs.org/) ;;
      *://*@*) say "npm's $key carries credentials: not copied into the test images" ;;
      *) printf '%s = %s\n' "$key" "$value" ;;
    esac
  done
}

# with_lock FILE COMMAND...: runs COMMAND holding FILE's lock; a lock ends with its holder, however it ends.
# Daemons started inside must close descriptor 9, or they would hold the lock for life.
with_lock() {
  local file=$1
  shift
  mkdir -p "$(dirname "$file")"
  (
    exec 9>"$file"
    flock -n 9 || { say "waiting for another run ($(basename "$file"))"; flock 9; }
    "$@"
  )
}

# A short digest that names what a recipe makes.
key_of() { printf '%s\n' "$@" | sha256sum | cut -c1-10; }

have() { command -v "$1" >/dev/null 2>&1; }

# apt_install PACKAGE...: on the machine itself, saying so first. No service is started by it.
apt_install() {
  have apt-get || die "missing on this machine: $*" "install them; only Debian and Ubuntu are done automatically"
  say "installing on this machine: $* (apt-get; no service gets started)"
  with_lock /run/lock/interlock-bed-apt.lock apt_install_locked "$@"
}
apt_install_locked() {
  local policy=/usr/sbin/policy-rc.d aside= log
  log=$(mktemp)
  if [ -e $policy ]; then aside=$policy.interlock-bed; mv $policy $aside; fi
  # shellcheck disable=SC2064
  trap "rm -f $policy '$log'; [ -z '$aside' ] || mv '$aside' $policy" EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
  local get=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=180)
  "${get[@]}" install --no-install-recommends "$@" >"$log" 2>&1 9>&- && return
  # The package lists may be missing or old.
  { "${get[@]}" update && "${get[@]}" install --no-install-recommends "$@"; } >"$log" 2>&1 9>&- && return
  tail -15 "$log" >&2
  die "apt-get install $*" "see the lines above"
}

# proc_start PID: the start time of a process in clock ticks: with the pid it names a process for good.
proc_start() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086
  set -- $stat
  printf '%s\n' "${20}"
}

# recorded_pid FILE TOKEN: prints the pid in FILE ("PID START") if that very process still lives
# and carries TOKEN on its command line.
recorded_pid() {
  local pid start
  read -r pid start 2>/dev/null <"$1" || return 1
  [ "$(proc_start "$pid")" = "$start" ] || return 1
  tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF -- "$2" || return 1
  printf '%s\n' "$pid"
}

# --- engines: a dockerd in namespaces of its own, known by PIDFILE and MARK -------------------------------------------------------

RUN=/run/interlock-bed # what lives only until the next boot: subnets taken, processes started

# id_of NAME: short, because it starts the names of links, which may have 15 characters; different in every checkout.
id_of() { printf 'il%.7s\n' "$(key_of "$STATE" "$1")"; }

# A unix socket's path may have 107 characters.
check_socket() {
  [ ${#1} -le 107 ] || die "the path of a socket would be too long ($1)" "set INTERLOCK_STATE to a shorter folder"
}

# take_subnet 10.NN: finds a free 10.NN.X.0/24 on this machine and records it for $ID in $RUN/$ID.
take_subnet() { with_lock /run/lock/interlock-bed-subnets.lock take_subnet_locked "$1"; }
take_subnet_locked() {
  local x net taken
  mkdir -p "$RUN/$ID"
  taken=$(cat "$RUN"/*/subnet 2>/dev/null || true; ip -4 route show table all; ip -4 -o addr)
  for x in $(seq 10 250); do
    net=$1.$x
    if ! grep -qE "(^|[^0-9])${net//./\\.}([^0-9]|$)" <<<"$taken"; then
      printf '%s\n' "$STATE" >"$RUN/$ID/state"
      printf '%s\n' "$NAME" >"$RUN/$ID/name"
      printf '%s\n' "$net" >"$RUN/$ID/subnet"
      return
    fi
  done
  die "no subnet $1.x.0/24 is free" "swarm.sh down --all, also in other checkouts"
}

# launch_engine PIDFILE MARK NETNS|"" HOSTNAME STATE ROOTFS CGROUP DOCKERD_ARGS...: see node.sh. Does not wait.
launch_engine() {
  local pidfile=$1 mark=$2 netns=$3
  shift 3
  mkdir -p "$2"/{data,etc-docker,mnt} "$(dirname "$pidfile")"
  chmod 755 "$2"
  rm -f "$2/docker.sock"
  local enter=(env)
  [ -z "$netns" ] || enter=(nsenter --net="/run/netns/$netns")
  # The process records itself before it becomes the engine: there is no moment in which nobody knows it.
  # shellcheck disable=SC2016
  setsid bash -c '
    stat=$(</proc/$$/stat)
    fields=(${stat##*) })
    echo "$$ ${fields[19]}" >"$1.tmp" && mv "$1.tmp" "$1" || exit 1
    shift
    exec "$@"' \
    _ "$pidfile" "${enter[@]}" unshare --mount --uts --ipc --pid --fork --kill-child --mount-proc \
    bash -c "$(<"$BED_DIR/node.sh")" "$mark" "$@" </dev/null >>"$2/dockerd.log" 2>&1 9>&- &
}

children_of() { cat "/proc/$1/task/"*/children 2>/dev/null || true; }
# engine_init PIDFILE MARK: the engine's pid 1, the only child of the recorded process.
engine_init() {
  local pid child
  pid=$(recorded_pid "$@") || return 1
  child=$(children_of "$pid")
  child=${child// /}
  [ -n "$child" ] && printf '%s\n' "$child"
}
# engine_dockerd PIDFILE MARK
engine_dockerd() {
  local init pid comm
  init=$(engine_init "$@") || return 1
  for pid in $(children_of "$init"); do
    comm=$(cat "/proc/$pid/comm" 2>/dev/null) || continue
    [ "$comm" != dockerd ] || { printf '%s\n' "$pid"; return 0; }
  done
  return 1
}

# in_engine PIDFILE MARK COMMAND...: with the engine's files, network and processes; it ends when the engine ends.
in_engine() {
  local init
  init=$(engine_init "$1" "$2") || { say "not running: ${2#*=}"; return 1; }
  shift 2
  # The caller may talk to another engine by these; in here the engine's own is meant.
  env -u DOCKER_HOST -u DOCKER_CONTEXT -u DOCKER_CONFIG -u DOCKER_TLS_VERIFY -u DOCKER_CERT_PATH -u DOCKER_API_VERSION \
    nsenter -t "$init" -m -n -u -i -p -- "$@" 9>&-
}

# wait_engine PIDFILE MARK STATE: until the engine answers; prints the end of its log and fails when it does not.
wait_engine() {
  local until=$((SECONDS + 60))
  while [ $SECONDS -lt $until ]; do
    if [ -S "$3/docker.sock" ] && in_engine "$1" "$2" docker version >/dev/null 2>&1; then
      # The invoking user may use an engine that the same user may end.
      [ -z "${SUDO_UID:-}" ] || chown "$SUDO_UID:$SUDO_GID" "$3/docker.sock"
      return 0
    fi
    sleep 0.05
  done
  tail -15 "$3/dockerd.log" >&2
  return 1
}

# end_engine PIDFILE MARK: SIGKILL for everything of it. Its pid 1 is gone only after every process of its namespace is.
end_engine() {
  local pid init until=$((SECONDS + 20))
  if pid=$(recorded_pid "$@"); then
    init=$(engine_init "$@") || init=
    # shellcheck disable=SC2086
    kill -9 $init "$pid" 2>/dev/null || true
    while [ -e "/proc/$pid" ] || { [ -n "$init" ] && [ -e "/proc/$init" ]; }; do
      [ $SECONDS -lt $until ] || die "an engine does not die (pid $pid ${init:-})" "look at /proc/${init:-$pid}/stack"
      sleep 0.02
    done
  fi
  rm -f "$1" "$1.tmp"
}

# drop_cgroups PATH: removes the control groups PATH of every hierarchy, as soon as they are empty.
drop_cgroups() {
  local group tries
  for tries in $(seq 100); do
    for group in /sys/fs/cgroup"$1" /sys/fs/cgroup/*"$1"; do
      [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done
    [ -d "/sys/fs/cgroup$1" ] || compgen -G "/sys/fs/cgroup/*$1" >/dev/null || return 0
    sleep 0.05
  done
  say "control groups $1 are still in use after $tries tries"
}
