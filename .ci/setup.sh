#!/usr/bin/env bash
# Installs what `make run` or `make test` needs and the machine lacks, each part by name and with
# its reason. Says nothing and changes nothing when all is there.
#   setup.sh run | test | full | bench
set -euo pipefail
source "$(dirname "$0")/env.sh"
purpose="${1:?run, test, full or bench}"

packages=()

# need PACKAGE REASON COMMAND...: PACKAGE is missing if COMMAND fails.
need() {
    local package="$1" reason="$2"
    shift 2
    "$@" > /dev/null 2>&1 && return
    say "setup: $package is missing: $reason"
    packages+=("$package")
}

has() { command -v "$1"; }

install_packages() {
    [ "${#packages[@]}" -gt 0 ] || return 0
    local install=(apt-get install --yes --no-install-recommends "${packages[@]}")
    if [ "$(id -u)" != 0 ]; then
        fail "setup: only root can install packages; run: sudo apt-get update && sudo ${install[*]}"
    fi
    export DEBIAN_FRONTEND=noninteractive
    say "setup: apt-get update, then ${install[*]}"
    apt-get update --quiet=2
    # In a pipe rather than a terminal dpkg prints a line per file that it reads: keep the errors.
    "${install[@]}" --quiet=2 > /dev/null
}

# cargo_tool NAME VERSION REASON: a cargo subcommand, built once into a folder named by its version.
cargo_tool() {
    local name="$1" version="$2" reason="$3"
    has "cargo-$name" > /dev/null && return
    say "setup: cargo-$name is missing: $reason (built once, some minutes)"
    # Built to run a few times, not for speed: without optimisation across crates it builds in half
    # the time. Its objects are of no use to our own builds and stay out of their folder.
    local scratch
    scratch=$(mktemp -d)
    CARGO_TARGET_DIR="$scratch" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo install --quiet --locked "cargo-$name" --version "$version" \
        --root "$WAYSIDE_TOOLS/$name-$version"
    rm -rf "$scratch"
}

# python_environment FOLDER LIST REASON: the packages that a list names, apart from the system.
python_environment() {
    local folder="$1" list="$2" reason="$3"
    [ -e "$folder/complete" ] && "$folder/bin/python" -V > /dev/null 2>&1 && return
    say "setup: $reason"
    rm -rf "$folder"
    python3 -m venv "$folder"
    # The list names every package, so nothing that it does not name may come in.
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement "$list"
    "$folder/bin/python" -m pip check > /dev/null
    touch "$folder/complete"
}

# node_environment FOLDER SOURCE REASON [FILE...]: the packages that a lock in SOURCE names and, if
# files of SOURCE are named, what the script `build` makes of them.
node_environment() {
    local folder="$1" source="$2" reason="$3" file
    shift 3
    [ -e "$folder/complete" ] && return
    say "setup: $reason"
    rm -rf "$folder"
    mkdir -p "$folder"
    for file in package.json package-lock.json .npmrc "$@"; do cp "$source/$file" "$folder/"; done
    # Only what the lock names, byte for byte; no package runs anything of its own.
    (cd "$folder" && npm ci --ignore-scripts --loglevel=error > /dev/null)
    [ "$#" = 0 ] || (cd "$folder" && npm run --silent build)
    touch "$folder/complete"
}

has cargo > /dev/null || fail "setup: cargo is missing: install Rust with rustup (https://rustup.rs), then try again"

need build-essential "a C compiler builds SQLite and the cryptography" has cc
need nodejs "builds the client that browsers are given" has node
need npm "fetches the packages of that client" has npm
need lld "links the node in a second instead of ten" has ld.lld

if [ "$purpose" != run ]; then
    need git "tests/tidy.rs asks it which files belong to the project" has git
    need postgresql "the second storage engine, tested in a cluster of its own" compgen -G '/usr/lib/postgresql/*/bin/initdb'
    need python3 "runs the stories of matrix-nio, Synapse and Sydent" has python3
    need chromium "the browser of the stories that are told through one" test -x "$WAYSIDE_CHROMIUM"
    # A pip that is there without venv's own installer cannot make an environment.
    { [ -e "$WAYSIDE_VENV/complete" ] && [ -e "$WAYSIDE_SYNAPSE_VENV/complete" ] &&
        [ -e "$WAYSIDE_SYDENT_VENV/complete" ]; } ||
        need python3-venv "keeps matrix-nio, Synapse and Sydent apart from the system" python3 -c 'import ensurepip, venv'
    need pebble "an authority that gives certificates by ACME, for the stories about them" has pebble
    need util-linux "starts PostgreSQL as another user than root" has setpriv
    need mount "the story of the full disk mounts a small one" has mount
    need e2fsprogs "the story of the full disk makes its file system" test -x /sbin/mkfs.ext4
fi

install_packages

# Distributions carry versions of their own, some of them too old.
node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor >= 19) ? 0 : 1)' ||
    fail "setup: building the client takes Node.js 20.19 or newer; this is $(node --version) (https://nodejs.org)"

if [ "$purpose" != run ]; then
    cargo_tool nextest "$NEXTEST_VERSION" "runs the tests, each in a process of its own"
    python_environment "$WAYSIDE_VENV" tests/requirements.txt \
        "a Python environment with matrix-nio: the stories talk to the node through a client of others"
    python_environment "$WAYSIDE_SYNAPSE_VENV" tests/synapse/requirements.txt \
        "Synapse: the server of others that nodes federate with and are compared with"
    python_environment "$WAYSIDE_SYDENT_VENV" tests/sydent/requirements.txt \
        "Sydent: the identity server that nodes and clients ask whose an address is"
    python_environment "$WAYSIDE_DIDKIT_VENV" tests/clients/didkit/requirements.txt \
        "DIDKit: others judge credentials that are signed here, and issue some"
    node_environment "$WAYSIDE_OPENID4VP" tests/clients/openid4vp \
        "a verifier of OpenID for Verifiable Presentations that others wrote"
    node_environment "$WAYSIDE_BROWSER" tests/browser \
        "packages for the stories that drive a browser, and the validator of glTF"
    node_environment "$WAYSIDE_SDK" tests/clients/sdk \
        "matrix-js-sdk: most clients of others are built on it"
    node_environment "$WAYSIDE_HYDROGEN" tests/clients/hydrogen \
        "Hydrogen: a client of others for the stories that drive a browser" index.html main.js vite.config.js
fi
if [ "$purpose" = full ] || { [ "$purpose" = test ] && in_ci; }; then
    cargo_tool deny "$DENY_VERSION" "checks licences, bans and sources of the dependencies"
fi
