#!/usr/bin/env bash
# Runs the tests of the communicator over NCCL on this machine's GPUs: as many processes as GPUs, or two on a single one.
#
#   scripts/check_nccl.sh              build and run, on one machine
#   scripts/check_nccl.sh pack         build target/nccl-check/nccl_tests, all that a GPU machine without Rust needs
#   scripts/check_nccl.sh run [CASE]   run it there: all cases, or those whose name contains CASE, such as "operations"
#
# Variables:
#   PROFILE              cargo's profile for `pack` [default: release]
#   CHAINRULE_NCCL       the file of NCCL's library; by default the first one that is found
#   CHAINRULE_NCCL_RANKS the number of processes
#   NCCL_DEBUG=INFO      NCCL's own messages; a case that fails prints them
set -euo pipefail
cd "$(dirname "$0")/.."
kit=target/nccl-check

pack() {
  mkdir -p "$kit"
  # The executable of a test has a hash in its name, which cargo reports.
  local built
  built=$(cargo test --profile "${PROFILE:-release}" --locked -p chainrule-distributed --test nccl --no-run --message-format json |
    python3 -c 'import json,sys; print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable") and m["target"]["name"] == "nccl"][-1])')
  cp "$built" "$kit/nccl_tests"
  strip "$kit/nccl_tests"
  du -h "$kit/nccl_tests"
}

# The library of the system, of a Python package, or anywhere under the usual directories.
find_library() {
  ldconfig -p 2>/dev/null | awk '/libnccl\.so\.2/ { print $NF; exit }'
  python3 -c 'import nvidia.nccl as n; print(next(iter(n.__path__)) + "/lib/libnccl.so.2")' 2>/dev/null || true
  find /usr /opt /root /home -name libnccl.so.2 2>/dev/null | head -n 1 || true
}

run() {
  export CHAINRULE_CUDA=driver
  if [ -z "${CHAINRULE_NCCL:-}" ]; then
    CHAINRULE_NCCL=$(find_library | head -n 1)
    [ -n "$CHAINRULE_NCCL" ] || { echo "no libnccl.so.2 here: install libnccl2, or PyPI's nvidia-nccl-cu12" >&2; exit 1; }
    export CHAINRULE_NCCL
  fi
  echo "NCCL: $CHAINRULE_NCCL"
  nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || true
  "$kit/nccl_tests" "$@"
}

case ${1:-} in
  pack) pack ;;
  run) shift; run "$@" ;;
  '') pack; run ;;
  *) echo "unknown: $1; see the head of this script" >&2; exit 2 ;;
esac
