#!/usr/bin/env bash
# `make test`, and `make test-full` as `test.sh full`.
set -euo pipefail
source "$(dirname "$0")/env.sh"
source .ci/stages.sh
extent="${1:-test}"
export WAYSIDE_TEST_EXTENT="$extent"

# A run that finds nothing built is a cold one; both kinds have a limit, recorded like every number.
temperature=cold limit=1800
[ -d "$CARGO_TARGET_DIR/debug" ] && temperature=warm limit=600

# The node holds the client that browsers are given, so that comes before anything of Rust.
web() { .ci/web.sh check; }
# Bins and tests in one command: apart, cargo would choose other features for shared dependencies
# and build them twice. Clippy cannot share with it, but only checks dependencies (about a third of
# the cost of building them), and comes first because it answers sooner.
build() { cargo build --workspace --bins --tests --locked; }
run_tests() { .ci/with-postgres cargo nextest run --workspace --locked --config-file .ci/nextest.toml; }
# What does not differ between versions of rooms, and yet is told in all of them.
older_rooms() {
    local version stories='devices_abroad_on_sqlite|queries_on_sqlite|goes_both_ways_on_sqlite'
    stories="$stories|looked_into_on_sqlite|long_outages"
    for version in 10 11; do
        WAYSIDE_TEST_ROOM_VERSION=$version .ci/with-postgres cargo nextest run --workspace --locked \
            --config-file .ci/nextest.toml -E "test(/$stories/)"
    done
}
clippy() { cargo clippy --workspace --all-targets --locked -- -D warnings; }

deny() {
    if ! command -v cargo-deny > /dev/null; then
        in_ci && fail "cargo-deny is not installed: setup must bring it in CI"
        say "skipped: cargo-deny (make test-full installs it)"
        return
    fi
    # The advisory database lives on the network; a test must not depend on that.
    cargo deny --locked check bans licenses sources
}

stage setup .ci/setup.sh "$extent"
stage fmt cargo fmt --all --check
stage web web
stage clippy clippy
stage build build
stage tests run_tests
stage deny deny
if [ "$extent" = full ]; then
    stage versions older_rooms
    stage release cargo build --release --locked -p wayside
fi
[ "$extent" = full ] ||
    python3 .ci/record.py "ground.test_${temperature}_s" "$SECONDS" s "$limit" "the whole of make test"
