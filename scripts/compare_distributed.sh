#!/usr/bin/env bash
# Images per second of ResNet-18 in 1 and 2 processes of one thread each, over MPI; with PYTHON, also in PyTorch's
# DistributedDataParallel over gloo, in turn. Prints the share of twice the rate of one process, medians of ROUNDS rounds.
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
for _ in $(seq "$rounds"); do
  for ranks in 1 2; do
    mpirun -n "$ranks" "$program" throughput --net resnet18 --batch "$batch" --threads 1 --device cpu --distributed=mpi \
      --seconds "$seconds" --json "$out/json" >&2
    cat "$out/json" >>"$out/chainrule"
    if [ -n "${PYTHON:-}" ]; then
      "$PYTHON" -m torch.distributed.run --nproc-per-node "$ranks" scripts/torch_ddp.py "$batch" "$seconds" 2>/dev/null |
        tee -a "$out/PyTorch" >&2
    fi
  done
done
python3 - "$out" <<'PY'
import json, pathlib, statistics, sys
for name in ("chainrule", "PyTorch"):
    path = pathlib.Path(sys.argv[1]) / name
    if not path.exists():
        continue
    runs = [json.loads(line) for line in path.open()]
    one, two = (statistics.median(r["images_per_second"] for r in runs if r["processes"] == n) for n in (1, 2))
    print(f"{name}: {one:.2f} images/s in 1 process, {two:.2f} in 2: {100 * two / (2 * one):.1f} % of twice as many")
PY
