#!/usr/bin/env bash
# All checks and measurements that need a GPU, in two stages: the GPU machine needs neither Rust nor network access.
#
#   scripts/gpu_check.sh pack            builds the programs into gpu-check.tar.gz, about 25 MB including MNIST
#   scripts/gpu_check.sh run [RESULTS]   on the GPU machine: tests, training, speed beside PyTorch, tables
#   scripts/gpu_check.sh                 both stages on one machine
#
# Variables of `run`: CIFAR=DIRECTORY also trains on CIFAR-10's binary files; PYTHON is a python3 with PyTorch; SECONDS_EACH
# is the duration of each measurement. PARTS="doctor tests throughput" selects parts by the start of their names: doctor,
# tests, mnist, cifar10, throughput, torch, layers.
set -euo pipefail
cd "$(dirname "$0")/.."
kit=target/gpu-check archive=gpu-check.tar.gz

pack() {
  rm -rf "$kit"
  mkdir -p "$kit"
  cargo build --release --locked -p chainrule-cli
  cp target/release/chainrule "$kit/"
  # The executable of a test or bench has a hash in its name, which cargo reports.
  find_built() {
    "$@" --message-format json 2>/dev/null |
      python3 -c 'import json,sys; print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable") and m["target"]["name"] == sys.argv[1]][-1])' "$name"
  }
  name=cuda; cp "$(find_built cargo test --release --locked -p chainrule-tests --test cuda --no-run)" "$kit/cuda_tests"
  name=gpu_layers; cp "$(find_built cargo bench --locked -p chainrule-benches --bench gpu_layers --no-run)" "$kit/gpu_layers"
  strip "$kit"/{chainrule,cuda_tests,gpu_layers}
  tar -czf "$archive" -C "$kit" .
  du -h "$archive"
}

# Every part runs, even if an earlier one failed; failures are printed.
run() {
  local out=${1:-$kit/results} python=${PYTHON:-python3} seconds=${SECONDS_EACH:-3}
  mkdir -p "$kit" "$out"
  tar -xzf "$archive" -C "$kit"
  part() {
    local name=$1
    shift
    [[ -z ${PARTS:-} || " $PARTS " == *" ${name%%_*} "* ]] || return 0
    printf '== %s\n' "$name"
    if "$@" >"$out/$name.txt" 2>&1; then tail -n 3 "$out/$name.txt"; else
      echo "FAILED ($?): $*"
      tail -n 20 "$out/$name.txt"
    fi
  }
  part doctor "$kit/chainrule" doctor
  part tests env CHAINRULE_CUDA=driver "$kit/cuda_tests"
  part mnist "$kit/chainrule" mnist --device cuda:0 --epochs 3 --json "$out/mnist.json"
  for precision in tf32 bf16; do
    part "mnist_$precision" "$kit/chainrule" mnist --device cuda:0 --epochs 3 --precision "$precision"
  done
  if [ -n "${CIFAR:-}" ]; then
    for precision in fp32 bf16; do
      part "cifar10_$precision" "$kit/chainrule" cifar10 --device cuda:0 --net report --epochs 2 --data-dir "$CIFAR" \
        --precision "$precision" --json "$out/cifar10_$precision.json"
    done
  fi
  part torch_about "$python" scripts/torch_gpu.py about
  for work in "mnist 64" "cifar 512" "resnet18 512" "unet 100"; do
    read -r net batch <<<"$work"
    for precision in fp32 tf32 bf16; do
      part "throughput_${net}_$precision" "$kit/chainrule" throughput --net "$net" --batch "$batch" --device cuda:0 \
        --precision "$precision" --seconds "$seconds" --json "$out/throughput_${net}_$precision.json"
    done
    part "torch_$net" "$python" scripts/torch_gpu.py steps --net "$net" --batch "$batch" --seconds "$seconds"
  done
  part layers "$kit/gpu_layers"
  part torch_layers "$python" scripts/torch_gpu.py convolutions
  "$python" scripts/gpu_table.py "$out" | tee "$out/table.md"
}

case ${1:-both} in
pack) pack ;;
run) shift && run "$@" ;;
both)
  if command -v cargo >/dev/null; then pack; fi
  run
  ;;
*) sed -n '2,12p' "$0" && exit 2 ;;
esac
