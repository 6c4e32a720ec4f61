#!/usr/bin/env bash
# Runs the tensor crate's unit tests, and with them every kernel, under valgrind: reads and writes outside of a buffer, and
# decisions on numbers that nobody wrote.
#   scripts/check_memory.sh [TEST FILTER]
# Valgrind knows AVX2 but not AVX-512; kernels are written once for all, so what is shown is shown for the others too.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(cargo test --release -p chainrule-tensor --lib --no-run 2>&1 | sed -n 's/.*(\(target[^)]*\)).*/\1/p')
export CHAINRULE_POOL=exact
valgrind --fair-sched=yes --error-exitcode=1 --errors-for-leak-kinds=none "$binary" --test-threads=1 "${1:-}"
