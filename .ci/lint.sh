#!/usr/bin/env bash
# `make lint`: the checks that need no running node.
set -euo pipefail
source "$(dirname "$0")/env.sh"
source .ci/stages.sh

stage fmt cargo fmt --all --check
stage clippy cargo clippy --workspace --all-targets --locked -- -D warnings
stage tidy cargo test --workspace --locked --test tidy
