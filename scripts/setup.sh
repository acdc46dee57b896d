#!/bin/sh
# Make a clone ready: system packages, npm packages, native programs. Idempotent, and silent if nothing is missing.
set -eu
cd "$(dirname "$0")/.."

. scripts/packages.sh

need_header() { echo "#include <$1>" | cc -E - >/dev/null 2>&1 || missing="$missing $2"; }
need redis-server redis-server
need bwrap bubblewrap
need slirp4netns slirp4netns
need nft nftables
need rg ripgrep
need git git
need curl curl
need g++ g++
need make make
need python3 python3
need_header seccomp.h libseccomp-dev
need openssl openssl
need unzip unzip

install_system_packages

# npm writes the hidden lock file last, so it is missing or old after an installation that broke off.
npm_packages_are_current() {
  [ -e node_modules/.package-lock.json ] && [ ! package-lock.json -nt node_modules/.package-lock.json ] &&
    [ -x node_modules/.bin/node ]
}

install_npm_packages() {
  # npm must run on the machine's own Node: the one in node_modules goes away while it works.
  PATH="$(printf '%s' "$PATH" | sed "s#$PWD/node_modules/.bin:##g")"
  command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || fail "install Node.js 20 or newer, with npm"
  say "installing the npm packages of package-lock.json (about a minute the first time)"
  # Native add-ons are built with the headers that this Node came with, so that none are downloaded.
  node_prefix="$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")"
  if [ -e "$node_prefix/include/node/node.h" ]; then
    export npm_config_nodedir="$node_prefix"
  fi
  # After an earlier installation only what changed is fetched. That never writes package-lock.json (--no-save), as `npm ci` does not.
  if [ -e node_modules/.package-lock.json ] && [ -x node_modules/.bin/node ] && npm install --no-save --no-audit --no-fund --loglevel=error >&2; then
    touch node_modules/.package-lock.json
    return
  fi
  npm ci --no-audit --no-fund --loglevel=error >&2 || fail "npm ci failed, see above (a lock file that is not in sync: npm run lock)"
  [ -x node_modules/.bin/node ] || fail "the npm package \"node\" brought no program: npm must be allowed to run install scripts"
}
npm_packages_are_current || install_npm_packages

for part in hands/process/keeper hands/jail hands/network clients/cli/watcher; do
  [ ! -e "$part/build.sh" ] || sh "$part/build.sh"
done

# Bundle what starts often, and let Node compile all services once. Without its settings a service ends at once with exit code 64, so each is
# asked to load the rest too.
compile_sources() {
  node_modules/.bin/node scripts/bundle/main.ts || fail "the services could not be bundled, see above"
  for main in dist/hands/main.mjs dist/dispatcher/main.mjs dist/brain/main.mjs dist/model/main.mjs; do
    for load in "" "--import ./scripts/load-service.ts"; do
      # shellcheck disable=SC2086
      env -i PATH="$PATH" NODE_COMPILE_CACHE="$cache" NODE_COMPILE_CACHE_PORTABLE=1 MODEL_LISTEN=none \
        node_modules/.bin/node $load "$main" </dev/null >/dev/null 2>&1 || [ $? = 64 ] || fail "$main can't be loaded ($load)"
    done
  done
}
cache=node_modules/.cache/leaf
compiled="$cache/compiled"
if [ ! -e "$compiled" ] || [ ! -e dist/brain/main.mjs ] || [ ! -e dist/dispatcher/main.mjs ] || [ ! -e dist/hands/main.mjs ] ||
  [ ! -e dist/model/main.mjs ] || [ ! -e dist/leaf/main.mjs ] ||
  [ -n "$(find proto kit session hands pi-fork brain dispatcher clients/cli scripts/bundle -type f -not -name '*.md' -not -path '*/test/*' -not -path '*/node_modules/*' -newer "$compiled" -print -quit)" ]; then
  compile_sources
  mkdir -p "$cache" && touch "$compiled"
fi
