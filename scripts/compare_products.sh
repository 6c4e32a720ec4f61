#!/usr/bin/env bash
# Times the same matrix products in chainrule and PyTorch, alternately, and prints GFLOP/s side by side.
#   PYTHON=/path/to/python3-with-torch scripts/compare_products.sh [THREADS]
# LEVEL=avx2 limits both to AVX2 on a processor that has AVX-512.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/level.sh
threads=${1:-2} python=${PYTHON:-python3}
shapes=(256x256x256 512x512x512 1024x1024x1024 2048x2048x2048 16x72x50176 64x576x32768)
export RAYON_NUM_THREADS=$threads
cargo bench -p chainrule-benches --bench kernels --no-run
echo "            M×K×N   chainrule  PyTorch before  after   ratio   (GFLOP/s, $threads threads)"
for shape in "${shapes[@]}"; do
  before=$("$python" scripts/torch_products.py "$threads" "$shape")
  cargo bench -q -p chainrule-benches --bench kernels -- "product/chainrule/$shape" \
    --warm-up-time 1 --measurement-time 3 --noplot >/dev/null 2>&1
  after=$("$python" scripts/torch_products.py "$threads" "$shape")
  "$python" - "$shape" "${before#* }" "${after#* }" <<'PY'
import json, os, pathlib, sys
shape, before, after = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
m, k, n = map(int, shape.split("x"))
file = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"), "criterion/product/chainrule") / shape / "new/estimates.json"
rate = 2 * m * k * n / json.loads(file.read_text())["median"]["point_estimate"]
print(f"{shape:>17} {rate:11.1f} {before:15.1f} {after:6.1f} {2 * rate / (before + after):7.2f}")
PY
done
