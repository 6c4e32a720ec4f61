#!/usr/bin/env bash
# Runs the unit tests of the tensor crate, which cover every kernel, under valgrind. Finds out-of-bounds accesses and branches
# on uninitialized values.
#   scripts/check_memory.sh [TEST FILTER]
# Valgrind supports AVX2 but not AVX-512. Kernels are written once for all levels, so the results carry over.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(cargo test --release -p chainrule-tensor --lib --no-run 2>&1 | sed -n 's/.*(\(target[^)]*\)).*/\1/p')
export CHAINRULE_POOL=exact
valgrind --fair-sched=yes --error-exitcode=1 --errors-for-leak-kinds=none "$binary" --test-threads=1 "${1:-}"
