# Sourced by docker/dev/run, test/run and others, in the checkout's folder: `bootstrap` makes Node and the npm packages ready.
# shellcheck shell=bash

bootstrap() {
  local major minor
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo 'Node.js 20.19 or newer with npm is needed, and there is none on the PATH. See https://nodejs.org/en/download' >&2
    exit 1
  fi
  IFS=. read -r major minor _ <<<"$(node -p process.versions.node)"
  if [ "$major" -lt 20 ] || { [ "$major" = 20 ] && [ "$minor" -lt 19 ]; }; then
    echo "Node.js 20.19 or newer is needed; $(command -v node) is $(node --version). See https://nodejs.org/en/download" >&2
    exit 1
  fi
  # The packages themselves are looked at, not a note about them: somebody may have changed them by hand.
  node docker/dev/packages-match.cjs && return
  local log
  log=$(mktemp)
  echo 'installing npm packages (npm ci) ...' >&2
  if ! npm ci --no-audit --no-fund >"$log" 2>&1; then
    tail -25 "$log" >&2
    echo "failed: npm ci (all of its words: $log). Does npm reach its registry? Is node_modules yours to write?" >&2
    exit 1
  fi
  rm -f "$log"
}
