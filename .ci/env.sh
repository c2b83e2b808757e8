# Sourced by every script here: where things are kept between runs, and how the compiler links.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

export WAYSIDE_CACHE="${WAYSIDE_CACHE:-$HOME/.cache/wayside}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$WAYSIDE_CACHE/target}"
# One linker everywhere: a flag that differed between commands would build every dependency twice.
export RUSTFLAGS="${RUSTFLAGS:--C link-arg=-fuse-ld=lld}"
# A story that fails says where in its own words; frames of the runtime would bury them.
export RUST_LIB_BACKTRACE="${RUST_LIB_BACKTRACE:-0}"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"

# Tools and the environments of Python, the browser and the clients of others are keyed by what they
# are made from, so a change of version makes a new one and an unchanged one costs nothing.
NEXTEST_VERSION=0.9.143
DENY_VERSION=0.20.2
WAYSIDE_TOOLS="$WAYSIDE_CACHE/tools"
WAYSIDE_VENV="$WAYSIDE_CACHE/venv-$(sha256sum < tests/requirements.txt | cut -c1-16)"
export WAYSIDE_PYTHON="$WAYSIDE_VENV/bin/python"
export WAYSIDE_CHROMIUM="${WAYSIDE_CHROMIUM:-/usr/bin/chromium}"
WAYSIDE_BROWSER="$WAYSIDE_CACHE/browser-$(sha256sum < tests/browser/package-lock.json | cut -c1-16)"
export WAYSIDE_BROWSER
WAYSIDE_SDK="$WAYSIDE_CACHE/sdk-$(sha256sum < tests/clients/sdk/package-lock.json | cut -c1-16)"
export WAYSIDE_SDK
WAYSIDE_DIDKIT_VENV="$WAYSIDE_CACHE/didkit-$(sha256sum < tests/clients/didkit/requirements.txt | cut -c1-16)"
export WAYSIDE_DIDKIT="$WAYSIDE_DIDKIT_VENV/bin/python"
WAYSIDE_OPENID4VP="$WAYSIDE_CACHE/openid4vp-$(sha256sum < tests/clients/openid4vp/package-lock.json | cut -c1-16)"
export WAYSIDE_OPENID4VP
# Holds the page of Hydrogen too, which is built there.
WAYSIDE_HYDROGEN="$WAYSIDE_CACHE/hydrogen-$(cat tests/clients/hydrogen/{package.json,package-lock.json,index.html,main.js,vite.config.js} | sha256sum | cut -c1-16)"
export WAYSIDE_HYDROGEN
WAYSIDE_SYNAPSE_VENV="$WAYSIDE_CACHE/synapse-$(sha256sum < tests/synapse/requirements.txt | cut -c1-16)"
export WAYSIDE_SYNAPSE="$WAYSIDE_SYNAPSE_VENV/bin/python"
WAYSIDE_SYDENT_VENV="$WAYSIDE_CACHE/sydent-$(sha256sum < tests/sydent/requirements.txt | cut -c1-16)"
export WAYSIDE_SYDENT="$WAYSIDE_SYDENT_VENV/bin/python"
export PATH="$WAYSIDE_TOOLS/nextest-$NEXTEST_VERSION/bin:$WAYSIDE_TOOLS/deny-$DENY_VERSION/bin:$PATH"

# Checkouts may share what is built. Cargo tells their sources apart by age alone, and the tests know
# the folder in which they were built: what another checkout built is built again.
if [ "$(cat "$CARGO_TARGET_DIR/checkout" 2> /dev/null)" != "$PWD" ]; then
    find specs identity federation node tests -name '*.rs' -exec touch {} +
    mkdir -p "$CARGO_TARGET_DIR"
    printf '%s\n' "$PWD" > "$CARGO_TARGET_DIR/checkout"
fi

# In CI nothing is optional: what a person may do without fails there.
in_ci() { [ "${CI:-}" = true ]; }

say() { printf '%s\n' "$*"; }

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}
