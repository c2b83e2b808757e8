#!/usr/bin/env bash
# `make bench`: measures the release build; the rows land in out/bench.json and in a table.
set -euo pipefail
source "$(dirname "$0")/env.sh"

.ci/setup.sh bench
.ci/web.sh
# The node by itself, so that its features are those of the shipped program and not the harness's.
cargo build --release --locked -p wayside --bin wayside
cargo build --release --locked -p wayside-tests --bin bench
export WAYSIDE_BIN="$CARGO_TARGET_DIR/release/wayside"
exec .ci/with-postgres "$CARGO_TARGET_DIR/release/bench"
