#!/usr/bin/env bash
# Images per second of ResNet-18 in 1 and 2 processes of one thread each, over MPI, also with --shards, beside two processes at
# once that do not exchange anything: what the machine has left for two. With PYTHON, also in PyTorch's DistributedDataParallel
# over gloo. All in turn; prints the share of twice the rate of one process, medians of ROUNDS rounds.
#   [PYTHON=/path/to/python3-with-torch] scripts/compare_distributed.sh [BATCH] [SECONDS] [ROUNDS]
# Needs an MPI library to build and mpirun to run (Debian: libopenmpi-dev openmpi-bin libclang-dev). LEVEL as in compare_products.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/level.sh
batch=${1:-32} seconds=${2:-6} rounds=${3:-3}
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
cargo build --release -p chainrule-cli --features mpi
program=${CARGO_TARGET_DIR:-target}/release/chainrule
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT

# ours NAME RANKS FLAG…: one measurement, added to the file NAME. Processes are not bound to cores, which would give two jobs the
# same one.
ours() {
  local name=$1 ranks=$2
  shift 2
  mpirun --bind-to none -n "$ranks" "$program" throughput --net resnet18 --batch "$batch" --threads 1 --device cpu \
    --distributed=mpi --seconds "$seconds" --json "$out/$name.json" "$@" >&2
  cat "$out/$name.json" >>"$out/$name"
}

for _ in $(seq "$rounds"); do
  ours one 1
  ours apart-a 1 &
  ours apart-b 1
  wait $!
  ours two 2
  ours shards 2 --shards 2
  if [ -n "${PYTHON:-}" ]; then
    for ranks in 1 2; do
      "$PYTHON" -m torch.distributed.run --nproc-per-node "$ranks" scripts/torch_ddp.py "$batch" "$seconds" 2>/dev/null |
        tee -a "$out/torch-$ranks" >&2
    done
  fi
done
python3 - "$out" <<'PY'
import json, pathlib, statistics, sys


def rates(*names):
    """The images/s of each round, of the named processes together."""
    files = [(pathlib.Path(sys.argv[1]) / name).read_text().splitlines() for name in names]
    return [sum(json.loads(line)["images_per_second"] for line in lines) for lines in zip(*files)]


def tell(title, one, two):
    share = statistics.median(two) / (2 * statistics.median(one))
    listed = ["/".join(f"{rate:.1f}" for rate in of) for of in (one, two)]
    print(f"{title}: {listed[1]} images/s, one {listed[0]}: {100 * share:.1f} % of twice as many")


one = rates("one")
tell("two that do not exchange", one, rates("apart-a", "apart-b"))
tell("two", one, rates("two"))
tell("two, --shards 2", one, rates("shards"))
if (pathlib.Path(sys.argv[1]) / "torch-1").exists():
    tell("PyTorch, two", rates("torch-1"), rates("torch-2"))
PY
