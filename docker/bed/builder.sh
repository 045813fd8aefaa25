#!/usr/bin/env bash
# A private engine for building images, in the machine's own network namespace, so that RUN steps reach what the machine reaches.
#
#   builder.sh up        starts it if it does not run; prints the path of its unix socket
#   builder.sh env       prints BED_BUILDER_SOCKET=..., BED_BUILDER_LOG=..., BED_BUILDER_STATE=running|off
#   builder.sh down [--purge]   ends it; its layers stay in the state folder as a cache, unless --purge
#
# Build with: DOCKER_HOST=unix://SOCKET DOCKER_BUILDKIT=0 docker build --network host ...
# It changes neither iptables nor sysctls, and has a bridge of its own: with --bridge=none a dockerd deletes docker0 here.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

NAME=builder/ # no cluster can have this name
ID=$(id_of "$NAME")
DIR=$STATE/builder
SOCKET=$DIR/docker.sock
PIDFILE=$RUN/$ID/builder.pid
MARK=interlock-bed=$ID:builder
BRIDGE=$ID-b

up_locked() {
  local rootfs=/ t0
  check_socket "$SOCKET"
  if ! engine_dockerd "$PIDFILE" "$MARK" >/dev/null; then
    "$BED_DIR/debian.sh" host-engine >/dev/null
    t0=$(date +%s%N)
    down_locked quiet
    take_subnet 10.98
    ip link add "$BRIDGE" type bridge
    ip addr add "$(<"$RUN/$ID/subnet").1/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
    mkdir -p "$DIR"
    # With systemd-resolved /etc/resolv.conf names a stub; dockerd would look for the real one where the engine has no such folder.
    if [ -s /run/systemd/resolve/resolv.conf ]; then cat /run/systemd/resolve/resolv.conf; else cat /etc/resolv.conf; fi >"$DIR/resolv.conf"
    launch_engine "$PIDFILE" "$MARK" "" builder "$DIR" "$rootfs" "/$ID" \
      --bridge="$BRIDGE" --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false
    wait_engine "$PIDFILE" "$MARK" "$DIR" || die "the build engine does not answer" "its log: $DIR/dockerd.log"
    say "the build engine is up after $((($(date +%s%N) - t0) / 1000000)) ms"
  fi
  printf '%s\n' "$SOCKET"
}

down_locked() {
  end_engine "$PIDFILE" "$MARK"
  ip link del "$BRIDGE" 2>/dev/null || true
  drop_cgroups "/$ID"
  rm -rf --one-file-system "${RUN:?}/$ID"
  rmdir "$RUN" 2>/dev/null || true
  rm -f "$SOCKET"
  [ "${1:-}" != --purge ] || rm -rf --one-file-system "$DIR"
  [ "${1:-}" = quiet ] || say "the build engine is down"
}

print_env() {
  local state=off
  ! engine_dockerd "$PIDFILE" "$MARK" >/dev/null || state=running
  printf '%s=%q\n' BED_BUILDER_SOCKET "$SOCKET" BED_BUILDER_LOG "$DIR/dockerd.log" BED_BUILDER_STATE "$state"
}

need_root "${BASH_SOURCE[0]}" "$@"
case ${1:-} in
  up) with_lock "$STATE/locks/builder.lock" up_locked ;;
  down) with_lock "$STATE/locks/builder.lock" down_locked "${2:-}" ;;
  env) print_env ;;
  *) sed -n '2,/^# Build/p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
