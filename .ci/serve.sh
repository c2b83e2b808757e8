#!/usr/bin/env bash
# `make run`: builds the node as it is shipped and runs it in the foreground.
set -euo pipefail
source "$(dirname "$0")/env.sh"

.ci/setup.sh run
cargo build --release --locked -p wayside --bin wayside
exec "$CARGO_TARGET_DIR/release/wayside" serve --data ./wayside-data
