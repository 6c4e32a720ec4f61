#!/usr/bin/env bash
# Runs the unit tests of the tensor crate, which cover the NEON path of every kernel, on an emulated ARM processor.
# Needs: rustup target add aarch64-unknown-linux-gnu; apt install qemu-user gcc-aarch64-linux-gnu
#   scripts/check_neon.sh [TEST FILTER]
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
cargo test --release -p chainrule-tensor --lib --target aarch64-unknown-linux-gnu --target-dir target/neon -- "${1:-}"
