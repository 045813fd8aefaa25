# Shared by the scripts of the bed; sourced, never run. Progress goes to stderr, results to stdout.
# shellcheck shell=bash
set -euo pipefail
shopt -s inherit_errexit

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
  exec sudo -n env "${keep[@]}" INTERLOCK_STATE="$STATE" INTERLOCK_CACHE="$CACHE" \
    BED_HOST_NPM="$(host_npm)" BED_HOST_NPMRC="$(host_npmrc)" bash "$@"
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
  for key in registry proxy https-proxy noproxy strict-ssl; do
    value=$(cd / && npm config get "$key" 2>/dev/null) || continue
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
