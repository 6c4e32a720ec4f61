#!/usr/bin/env bash
# Everything that wants a GPU, in two halves, for a GPU machine that may have neither Rust nor a network.
#
#   scripts/gpu_check.sh pack            builds what is needed into gpu-check.tar.gz, some 25 MB with MNIST inside
#   scripts/gpu_check.sh run [RESULTS]   on the machine with the GPU: tests, training, speed beside PyTorch, a table
#   scripts/gpu_check.sh                 both, where both can be done
#
# Set CIFAR=DIRECTORY for `run` to train on CIFAR-10's binary files too, PYTHON for a python3 with PyTorch, and SECONDS_EACH
# for how long each speed is measured. PARTS="doctor tests throughput" runs only parts whose names begin so: doctor, tests,
# mnist, cifar10, throughput, torch, layers.
set -euo pipefail
cd "$(dirname "$0")/.."
kit=target/gpu-check archive=gpu-check.tar.gz

pack() {
  rm -rf "$kit"
  mkdir -p "$kit"
  cargo build --release --locked -p chainrule-cli
  cp target/release/chainrule "$kit/"
  # The file of a test or bench has a hash in its name, which cargo tells.
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

# Each part runs whatever became of the one before; the table says what failed.
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
