#!/usr/bin/env bash
# Trains the same nets in chainrule and PyTorch, alternately, and prints images per second side by side.
#   PYTHON=/path/to/python3-with-torch scripts/compare_torch.sh [THREADS] [SECONDS] [NET...]
# LEVEL=avx2 limits both to AVX2 on a processor that has AVX-512.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${LEVEL:-} in
  '') ;;
  avx2) export CHAINRULE_CPU=avx2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 ;;
  *) echo "LEVEL=$LEVEL: only avx2 is known" >&2; exit 2 ;;
esac
threads=${1:-2} seconds=${2:-3}
shift $(($# < 2 ? $# : 2))
python=${PYTHON:-python3}
cargo build --release -p chainrule-cli
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT
for net in "${@:-mnist cifar resnet18 unet}"; do
  for net in $net; do
    ./target/release/chainrule throughput --net "$net" --threads "$threads" --seconds "$seconds" --json "$out/before" >/dev/null
    : >"$out/torch"
    for mode in eager fused channels_last both compile; do
      "$python" scripts/torch_throughput.py "$net" "$mode" "$threads" "$seconds" >>"$out/torch" 2>/dev/null ||
        echo "# PyTorch mode $mode failed for $net" >&2
    done
    ./target/release/chainrule throughput --net "$net" --threads "$threads" --seconds "$seconds" --json "$out/after" >/dev/null
    "$python" - "$out" <<'PY'
import json, sys
read = lambda name: [json.loads(line) for line in open(f"{sys.argv[1]}/{name}")]
ours, torch = read("before") + read("after"), read("torch")
best = max(torch, key=lambda run: run["images_per_second"])
rates = [run["images_per_second"] for run in ours]
rate = sum(rates) / 2
print(f'{best["net"]}, batch {best["batch"]}, {best["threads"]} threads: chainrule {rate:.0f} images/s '
      f'({rates[0]:.0f} before, {rates[1]:.0f} after), PyTorch {best["images_per_second"]:.0f} ({best["mode"]}); '
      f'{rate / best["images_per_second"]:.2f} times; peak memory {ours[0]["peak_memory_bytes"] / 1e6:.0f} MB, PyTorch '
      f'{best["peak_memory_bytes"] / 1e6:.0f} MB')
for run in torch:
    print(f'    PyTorch {run["mode"]}: {run["images_per_second"]:.0f}')
PY
  done
done
