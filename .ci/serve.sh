#!/usr/bin/env bash
# `make run`: builds the node as it is shipped and runs it in the foreground.
set -euo pipefail
source "$(dirname "$0")/env.sh"

[ -d "$CARGO_TARGET_DIR/release" ] && cold=no || cold=yes
.ci/setup.sh run
.ci/web.sh
say "building the node; the first time takes some minutes"
cargo build --release --locked -p wayside --bin wayside
# The program starts within a second of this: what a newcomer waits for is the build.
if [ "$cold" = yes ] && command -v python3 > /dev/null; then
    python3 .ci/record.py ground.run_cold_s "$SECONDS" s - "from make run on a fresh machine to the start of the node"
fi
exec "$CARGO_TARGET_DIR/release/wayside" serve --data ./wayside-data
