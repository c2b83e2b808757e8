#!/usr/bin/env bash
# Builds the browser client into node/web/dist, where the node's build finds it, if its sources have
# changed since it was built last.
#   web.sh          build
#   web.sh check    types and unit tests too
set -euo pipefail
source "$(dirname "$0")/env.sh"

inputs() { git ls-files -co --exclude-standard node/web | LC_ALL=C sort; }
key=$(inputs | xargs -d '\n' sha256sum | sha256sum | cut -c1-16)
lock=$(sha256sum < node/web/package-lock.json | cut -c1-16)
built="$WAYSIDE_CACHE/web/dist-$key"
modules="$WAYSIDE_CACHE/web/modules-$lock"

# The packages are kept by their lock, so that a clean checkout fetches nothing it has had before.
packages() {
    if [ ! -e "$modules/complete" ]; then
        say "web: fetching the packages of the browser client"
        rm -rf "$modules"
        mkdir -p "$modules"
        cp node/web/package.json node/web/package-lock.json "$modules/"
        [ -e node/web/.npmrc ] && cp node/web/.npmrc "$modules/"
        (cd "$modules" && npm ci --no-audit --no-fund --loglevel=error)
        touch "$modules/complete"
    fi
    [ "$(readlink node/web/node_modules 2> /dev/null)" = "$modules/node_modules" ] && return
    rm -rf node/web/node_modules
    ln -s "$modules/node_modules" node/web/node_modules
}

if [ ! -e "$built/index.html" ]; then
    packages
    say "web: building the browser client"
    (cd node/web && npm run --silent build)
    mkdir -p "$WAYSIDE_CACHE/web"
    rm -rf "$built.new"
    cp -r node/web/dist "$built.new"
    rm -rf "$built"
    mv "$built.new" "$built"
    # Only the newest few are kept.
    ls -dt "$WAYSIDE_CACHE"/web/dist-* | tail -n +6 | xargs -r rm -rf
fi
# Files that are the same stay untouched, so that the node is not built again for nothing.
if ! diff -rq "$built" node/web/dist > /dev/null 2>&1; then
    rm -rf node/web/dist
    cp -r "$built" node/web/dist
fi

if [ "${1:-}" = check ]; then
    packages
    (cd node/web && npm run --silent check)
fi
