#!/usr/bin/env bash
# Debian root filesystems for the bed: engines, image bases, a real NGINX. Each is built once and kept in the cache.
#
#   debian.sh engine [forky|trixie]          prints an unpacked root filesystem with dockerd
#   debian.sh host-engine                    installs the machine's own docker.io if it is missing, prints dockerd's path
#   debian.sh node-base | nginx-base         prints a .tar for `docker import`
#   debian.sh import node-base|nginx-base TAG [docker options...]
#                                            imports it under TAG (nothing to do if TAG is that very base)
#   debian.sh minbase [forky|trixie]         prints a .tar for `docker import` with bash and coreutils, for services in tests
#   debian.sh nginx-root                     prints an unpacked root filesystem with NGINX, for chroot
#   debian.sh tool haproxy|wrk|h2load|promtool|docker-registry|htpasswd
#                                            installs it on the machine if it is missing (for tests and benches), prints its path
#   debian.sh warm                           builds all of it
#
# An artefact's name carries the digest of its recipe; it is made beside its place and moved there when it is whole.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ARCH=$(dpkg --print-architecture 2>/dev/null || echo amd64)
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
HOST_CA=/etc/ssl/certs/ca-certificates.crt
IMAGE_CA=/usr/local/share/bed-ca.crt

# The Debian mirror that apt on this machine uses.
mirror() {
  local found
  found=$(cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    grep -E '^(URIs:|deb )' | grep -oE 'https?://[^] ]+/debian/?( |$)' | head -1) || true
  found=${found%% *}
  printf '%s\n' "${found:-http://deb.debian.org/debian}"
}

# in_private_mounts COMMAND...: what is mounted inside ends with it, however it ends; so does every process.
in_private_mounts() {
  unshare --mount --pid --fork --kill-child --propagation private "$@" 9>&-
}

# Nothing is ever mounted here in the machine's own namespace, so a plain rm is safe.
discard() { rm -rf --one-file-system "$@"; }

# bootstrap SUITE DIR
bootstrap() {
  local suite=$1 dir=$2 script=/usr/share/debootstrap/scripts/$1 log=$2.log
  { have debootstrap && [ -e $KEYRING ]; } || apt_install debootstrap debian-archive-keyring
  [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
  say "fetching Debian $suite (debootstrap from $(mirror))"
  in_private_mounts debootstrap --variant=minbase --keyring=$KEYRING --include=ca-certificates \
    "$suite" "$dir" "$(mirror)" "$script" >"$log" 2>&1 ||
    { tail -15 "$log" "$dir/debootstrap/debootstrap.log" >&2; die "debootstrap $suite" "is the Debian mirror reachable from here?"; }
  rm -f "$log"
  cat >"$dir/etc/dpkg/dpkg.cfg.d/bed" <<'CFG'
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/lintian/*
CFG
  strip_root "$dir"
}

# add_packages DIR PACKAGE...
add_packages() {
  local dir=$1 log=$1.log
  shift
  printf '#!/bin/sh\nexit 101\n' >"$dir/usr/sbin/policy-rc.d"
  chmod 755 "$dir/usr/sbin/policy-rc.d"
  cp -L /etc/resolv.conf "$dir/etc/resolv.conf"
  [ ! -s $HOST_CA ] || cp -L $HOST_CA "$dir$HOST_CA"
  if have apt-config; then
    apt-config dump 2>/dev/null | grep -iE '^Acquire::https?::(.*::)?Proxy ' >"$dir/etc/apt/apt.conf.d/99bed-host" || true
  fi
  say "installing into it: $*"
  # shellcheck disable=SC2016
  in_private_mounts bash -c '
    set -e
    dir=$1; shift
    mount -t proc proc "$dir/proc"
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
    # The lists of Debian testing expire within days, and a mirror that lags behind is good enough; signatures are checked.
    apt() { chroot "$dir" apt-get -q -y -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false "$@"; }
    apt update
    apt install --no-install-recommends "$@"' \
    _ "$dir" "$@" >"$log" 2>&1 ||
    { tail -15 "$log" >&2; die "installing $* into a Debian root" "is the Debian mirror reachable from here?"; }
  rm -f "$log" "$dir/usr/sbin/policy-rc.d" "$dir/etc/apt/apt.conf.d/99bed-host"
  strip_root "$dir"
}

strip_root() {
  local dir=$1
  find "$dir"/usr/share/{doc,man,info,locale,lintian} "$dir"/var/lib/apt/lists "$dir"/var/cache/apt "$dir"/var/cache/debconf \
    "$dir"/var/log -mindepth 1 -delete 2>/dev/null || true
  : >"$dir/etc/resolv.conf"
  rm -f "$dir/etc/hostname" "$dir/etc/machine-id"
}

# made PATH MAKER ARGS...: prints PATH, after `MAKER TMP ARGS...` has made it if it was not there.
made() {
  # Not `||`: that would switch off errexit inside, and a half-made artefact would move into place.
  if [ ! -e "$1" ]; then with_lock "$CACHE/locks/$(basename "$1").lock" make_once "$@"; fi
  printf '%s\n' "$1"
}
make_once() {
  local path=$1 maker=$2 tmp=$CACHE/tmp/$(basename "$1") began=$SECONDS
  shift 2
  [ ! -e "$path" ] || return 0
  discard "$tmp" "$tmp".*
  mkdir -p "$CACHE/tmp"
  "$maker" "$tmp" "$@"
  mv -T "$tmp" "$path"
  discard "$tmp".*
  say "made $(basename "$path") in $((SECONDS - began)) s"
}

RECIPE=1 # raise it when a function below makes something else

minbase() { made "$CACHE/$1-minbase-$(key_of "$RECIPE" "$ARCH" "$1").tar" make_minbase "$1"; }
make_minbase() {
  bootstrap "$2" "$1.root"
  tar -C "$1.root" --numeric-owner -cf "$1" .
}

# debian_root DIR SUITE PACKAGE...
debian_root() {
  local dir=$1 suite=$2 base
  shift 2
  base=$(minbase "$suite")
  mkdir "$dir"
  chmod 755 "$dir"
  tar -C "$dir" --numeric-owner -xpf "$base"
  add_packages "$dir" "$@"
}

ENGINE_PACKAGES=(docker.io docker-cli iptables iproute2 ca-certificates)
engine() {
  local suite=$1
  made "$CACHE/engine-$suite-$(key_of "$RECIPE" "$ARCH" "$suite" "${ENGINE_PACKAGES[@]}")" \
    debian_root "$suite" "${ENGINE_PACKAGES[@]}"
}

NGINX_PACKAGES=(nginx libnginx-mod-stream nodejs curl ca-certificates)
nginx_root() {
  made "$CACHE/nginx-root-$(key_of "$RECIPE" "$ARCH" "${NGINX_PACKAGES[@]}")" debian_root forky "${NGINX_PACKAGES[@]}"
}

# The CA bundle node on this machine trusts; behind an inspecting proxy it holds that proxy's certificate.
host_ca() {
  local file
  for file in "${NODE_EXTRA_CA_CERTS:-}" $HOST_CA; do
    [ ! -s "$file" ] || { printf '%s\n' "$file"; return; }
  done
}
ca_key() {
  local ca
  ca=$(host_ca)
  [ -z "$ca" ] || sha256sum <"$ca" | cut -c1-16
}
# trust_as_host DIR: the local test bases trust what this machine trusts, so that fetching works in RUN steps.
trust_as_host() {
  local ca
  ca=$(host_ca)
  [ -n "$ca" ] || return 0
  install -D -m 644 "$ca" "$1$IMAGE_CA"
  [ ! -s $HOST_CA ] || install -m 644 $HOST_CA "$1$HOST_CA"
}

base_path() {
  case $1 in
    node-base) printf '%s\n' "$CACHE/node-base-$(key_of "$RECIPE" "$ARCH" nodejs "$(ca_key)" "$(npm_version)" "$(host_npmrc)").tar" ;;
    nginx-base) printf '%s\n' "$CACHE/nginx-base-$(key_of "$RECIPE" "$ARCH" "${NGINX_PACKAGES[@]}" "$(ca_key)").tar" ;;
  esac
}
base() {
  case $1 in
    node-base) made "$(base_path node-base)" make_node_base ;;
    nginx-base) made "$(base_path nginx-base)" make_nginx_base ;;
    *) die "there is no base '$1'" "node-base or nginx-base" ;;
  esac
}

npm_version() {
  local dir
  dir=$(host_npm)
  [ -z "$dir" ] || sed -n 's/^ *"version": *"\([^"]*\)".*/\1/p' "$dir/package.json" | head -1
}
# Debian's npm package pulls in hundreds of packages; npm itself is plain JavaScript and comes along from the machine.
copy_npm() {
  local dir=$1 npm to=$1/usr/local/lib/node_modules/npm
  npm=$(host_npm)
  [ -n "$npm" ] || die "npm is not on this machine" "install Node.js 20 or newer with npm"
  mkdir -p "$(dirname "$to")" "$dir/usr/local/bin"
  if [ -d "$npm/node_modules" ]; then
    cp -rL "$npm" "$to"
  else # a distribution's npm, its modules scattered over the system
    npm install --silent --no-save --prefix "$dir.npm" npm@11 >&2 || die "npm install npm@11" "does npm reach its registry?"
    cp -rL "$dir.npm/node_modules/npm" "$to"
    discard "$dir.npm"
  fi
  chown -R 0:0 "$to"
  rm -rf "$to/docs" "$to/man"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$dir/usr/local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$dir/usr/local/bin/npx"
  { [ -z "$(host_ca)" ] || printf 'cafile = %s\n' $IMAGE_CA; host_npmrc; } >"$to/npmrc"
}
make_node_base() {
  debian_root "$1.root" forky nodejs ca-certificates
  trust_as_host "$1.root"
  copy_npm "$1.root"
  tar -C "$1.root" --numeric-owner -cf "$1" .
}
make_nginx_base() {
  local root
  root=$(nginx_root)
  cp -a "$root" "$1.root"
  trust_as_host "$1.root"
  tar -C "$1.root" --numeric-owner -cf "$1" .
}

# import_base BASE TAG [docker options...]
import_base() {
  local name=$1 tag=$2 tar recipe
  shift 2
  tar=$(base "$name")
  recipe=$(basename "$tar" .tar)
  [ "$(docker "$@" image inspect --format '{{ index .Config.Labels "interlock.bed.recipe" }}' "$tag" 2>/dev/null)" != "$recipe" ] || return 0
  local changes=(--change "LABEL interlock.bed.recipe=$recipe" --change 'CMD ["bash"]')
  [ -z "$(host_ca)" ] || changes+=(--change "ENV NODE_EXTRA_CA_CERTS=$IMAGE_CA")
  docker "$@" import "${changes[@]}" "$tar" "$tag" >/dev/null || die "docker import of $recipe" "does the engine answer?"
  say "imported $recipe as $tag"
}

host_engine() {
  local missing=()
  have dockerd || missing+=(docker.io)
  have ip || missing+=(iproute2)
  have iptables || missing+=(iptables)
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
  # Since Debian 13 the command is a package of its own.
  have docker || apt_install docker-cli
  hash -r
  command -v dockerd || die "docker.io is installed, but there is no dockerd" "look at the package: dpkg -L docker.io"
}

# tool NAME PACKAGE. Packages put daemons into /usr/sbin, which not every PATH has.
tool() {
  PATH=$PATH:/usr/sbin:/sbin
  have "$1" || apt_install "$2"
  hash -r
  command -v "$1" || die "the package $2 is installed, but there is no program $1" "look at it: dpkg -L $2"
}

need_root "${BASH_SOURCE[0]}" "$@"
case ${1:-} in
  engine)
    case ${2:-forky} in forky | trixie) engine "${2:-forky}" ;; *) die "there is no engine '$2'" "forky or trixie" ;; esac ;;
  minbase)
    case ${2:-forky} in forky | trixie) minbase "${2:-forky}" ;; *) die "there is no minbase '$2'" "forky or trixie" ;; esac ;;
  host-engine) host_engine ;;
  node-base | nginx-base) base "$1" ;;
  nginx-root) nginx_root ;;
  tool)
    case ${2:-} in
      haproxy | wrk | docker-registry) tool "$2" "$2" ;;
      h2load) tool h2load nghttp2-client ;;
      promtool) tool promtool prometheus ;;
      htpasswd) tool htpasswd apache2-utils ;;
      *) die "there is no tool '${2:-}'" "haproxy, wrk, h2load, promtool, docker-registry or htpasswd" ;;
    esac ;;
  import) [ $# -ge 3 ] || die "import needs a base and a tag"; shift; import_base "$@" ;;
  warm) engine forky; base node-base; nginx_root; base nginx-base ;;
  *) sed -n '2,/^# An/p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
