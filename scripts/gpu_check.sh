#!/usr/bin/env bash
# All checks and measurements that need a GPU, in two stages: the GPU machine needs neither Rust nor network access.
#
#   scripts/gpu_check.sh pack             builds the programs into gpu-check.tar.gz, about 25 MB including MNIST
#   scripts/gpu_check.sh plan             the calls of `run` to make, and their minutes
#   scripts/gpu_check.sh run [RESULTS]    on the GPU machine: tests, training, speed beside PyTorch, tables
#   scripts/gpu_check.sh table ARCHIVE..  the tables of one or more calls' results
#   scripts/gpu_check.sh                  pack and run on one machine
#
# `run` writes the archive gpu-results.tar.gz to the directory RESULTS, again after each part, and nothing else: a part that
# fails or hangs, or the end of the machine, loses no other part.
#
# Variables of `plan` and `run`:
#   PARTS        parts to run, by name or pattern: "doctor tests throughput_*"; by default all (see `plan`)
#   TORCH_MODES  PyTorch's modes in torch_NET: eager, graphs or compile, or one precision of them, as "eager bf16"
#                [default: eager,graphs]; torch_NET_compile has torch.compile by itself
#   CIFAR        a directory with CIFAR-10's binary files; adds the parts cifar10_*
#   CALL, ALL    the most minutes of one call, and of all together, for `plan` [default: 10, 15]
# Variables of `run`:
#   PYTHON       a python3 with PyTorch [default: python3]
#   SECONDS_EACH the duration of each measurement [default: 3]
#   LIMIT        the most seconds of any part; each has a limit of its own besides
#   KIT          where the programs are unpacked and caches are kept [default: target/gpu-check]
set -euo pipefail
cd "$(dirname "$0")/.."
kit=${KIT:-target/gpu-check} archive=gpu-check.tar.gz python=${PYTHON:-python3} each=${SECONDS_EACH:-3}

pack() {
  rm -rf "$kit"
  mkdir -p "$kit"
  cargo build --release --locked -p chainrule-cli
  cp "${CARGO_TARGET_DIR:-target}/release/chainrule" "$kit/"
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

# Calls `part NAME SECONDS LIMIT COMMAND…` for each part, the most important first: the seconds it should take, of which most
# are estimates, and the seconds after which it is stopped.
all_parts() {
  local net batch precision
  part gpu 2 20 nvidia-smi
  part doctor 25 60 "$kit/chainrule" doctor
  part tests 60 240 env CHAINRULE_CUDA=driver "$kit/cuda_tests"
  part mnist_fp32 15 90 "$kit/chainrule" mnist --device cuda:0 --epochs 3 --json "$work/mnist_fp32.json"
  part layers 110 240 "$kit/gpu_layers"
  for net in mnist cifar resnet18 unet; do
    for precision in fp32 tf32 bf16; do
      part "throughput_${net}_$precision" $((each + 6)) $((8 * each + 40)) "$kit/chainrule" throughput --net $net \
        --batch "$(batch_of $net)" --device cuda:0 --precision $precision --seconds "$each" \
        --json "$work/throughput_${net}_$precision.json"
    done
  done
  part memcheck 60 200 on_products memcheck
  part torch_about 10 60 "$python" scripts/torch_gpu.py about
  for net in mnist cifar resnet18 unet; do
    part torch_$net $((5 * each + 20)) 150 torch_steps $net "${TORCH_MODES:-eager,graphs}"
  done
  part torch_layers 90 240 "$python" scripts/torch_gpu.py convolutions
  part racecheck 120 280 on_products racecheck
  part ncu 90 280 ncu --section SpeedOfLight --section MemoryWorkloadAnalysis --kernel-name-base function \
    --kernel-name regex:conv --csv "$kit/gpu_layers" once
  for precision in tf32 bf16; do
    part mnist_$precision 15 90 "$kit/chainrule" mnist --device cuda:0 --epochs 3 --precision $precision
  done
  if [ -n "${CIFAR:-}" ]; then
    for precision in fp32 bf16; do
      part cifar10_$precision 60 240 "$kit/chainrule" cifar10 --device cuda:0 --net report --epochs 2 --data-dir "$CIFAR" \
        --precision $precision --json "$work/cifar10_$precision.json"
    done
  fi
  for net in resnet18 cifar unet mnist; do part torch_${net}_compile 120 300 torch_steps $net compile; done
}

batch_of() { case $1 in mnist) echo 64 ;; unet) echo 100 ;; *) echo 512 ;; esac; }
torch_steps() {
  "$python" scripts/torch_gpu.py steps --net "$1" --batch "$(batch_of "$1")" --seconds "$each" --modes "$2"
}
# Each case is a process of its own.
on_products() {
  CHAINRULE_CUDA=driver compute-sanitizer --tool "$1" --target-processes all --error-exitcode 9 \
    "$kit/cuda_tests" products --test-threads 1
}

# Whether PARTS selects a part.
selected() {
  local pattern
  set -f
  for pattern in ${PARTS:-*}; do
    # shellcheck disable=SC2053 # a pattern
    if [[ $1 == $pattern ]]; then set +f; return 0; fi
  done
  set +f
  return 1
}

# Fails if PARTS has a pattern that selects nothing.
check_parts() {
  local names=() work=$kit pattern name found
  part() { names+=("$1"); }
  all_parts
  set -f
  for pattern in ${PARTS:-*}; do
    found=
    # shellcheck disable=SC2053 # a pattern
    for name in "${names[@]}"; do if [[ $name == $pattern ]]; then found=yes; fi; done
    if [ -z "$found" ]; then
      echo "PARTS: no part is named '$pattern'; the parts are: ${names[*]}" >&2
      exit 2
    fi
  done
  set +f
}

# Fills calls of at most CALL minutes with parts in their order, ALL minutes together. Each call has a minute for transfers and
# for estimates that are too low, and a machine takes about a minute and a half to start.
plan() {
  local call=$((${CALL:-10} * 60)) all=$((${ALL:-15} * 60)) overhead=60 start=90 work=$kit
  local calls=() took=() rest=() rest_seconds=0 total=$start
  part() {
    local name=$1 seconds=$2 i
    selected "$name" || return 0
    for ((i = 0; i <= ${#calls[@]}; i++)); do
      local new=$((i == ${#calls[@]} ? overhead : 0))
      if ((${took[i]:-0} + new + seconds <= call && total + new + seconds <= all)); then
        calls[i]="${calls[i]:+${calls[i]} }$name" took[i]=$((${took[i]:-0} + new + seconds)) total=$((total + new + seconds))
        return 0
      fi
    done
    rest+=("$name") rest_seconds=$((rest_seconds + seconds))
  }
  all_parts
  local i name with=
  # The calls need what the plan was made with.
  for name in TORCH_MODES CIFAR SECONDS_EACH LIMIT; do
    if [ -n "${!name:-}" ]; then with+=$(printf '%s=%q ' "$name" "${!name}"); fi
  done
  for i in "${!calls[@]}"; do
    printf '# call %d, about %s minutes\n' $((i + 1)) "$(minutes "${took[i]}")"
    printf 'PARTS="%s" %sscripts/gpu_check.sh run RESULTS\n' "${calls[i]}" "$with"
  done
  printf '# together about %s of %s minutes, with the start of the machine\n' "$(minutes $total)" "$(minutes $all)"
  if ((${#rest[@]})); then
    printf '# left out, about %s minutes: %s\n' "$(minutes $rest_seconds)" "${rest[*]}"
  fi
}
minutes() { printf '%d.%d' $(($1 / 60)) $(($1 % 60 / 6)); }

# Every part runs, even if an earlier one failed; failures are printed.
run() {
  results=${1:-$kit} work=$kit/parts
  mkdir -p "$kit" "$results"
  rm -rf "$work"
  mkdir "$work"
  if [ "$archive" -nt "$kit/chainrule" ]; then tar -xzmf "$archive" -C "$kit"; fi
  # The driver compiles kernels when they are first loaded; several parts load the same ones.
  CUDA_CACHE_PATH=$(cd "$kit" && pwd)/jit TORCHINDUCTOR_CACHE_DIR=$(cd "$kit" && pwd)/inductor
  export CUDA_CACHE_PATH TORCHINDUCTOR_CACHE_DIR CUDA_CACHE_MAXSIZE=1073741824
  export -f torch_steps on_products batch_of
  export kit python each
  trap 'stopped' TERM INT
  part() {
    local name=$1 limit=$3 status=0 start=$SECONDS
    shift 3
    selected "$name" || return 0
    if ((${LIMIT:-limit} < limit)); then limit=$LIMIT; fi
    printf '== %s\n' "$name"
    printf '%s started\n' "$name" >>"$work/parts.txt"
    local shown=$*
    # A function is not a command that timeout can run.
    if [ "$(type -t "$1")" = function ]; then set -- bash -c '"$@"' - "$@"; fi
    # In the background, since a trap waits for a command in the foreground.
    timeout --kill-after 5 "$limit" "$@" >"$work/$name.txt" 2>&1 &
    child=$!
    wait $child || status=$?
    child=
    # A part may also end with these by itself, such as 137 when it is killed for memory.
    case $status,$((SECONDS - start >= limit)) in
    0,*) status=ok ;;
    124,1 | 137,1) status="stopped (its limit is $limit s)" ;;
    137,0) status="killed after $((SECONDS - start)) of $limit s, as for want of memory" ;;
    127,*) status="not found" ;;
    *) status="failed ($status)" ;;
    esac
    printf '%s %s, %d s\n' "$name" "$status" $((SECONDS - start)) >>"$work/parts.txt"
    keep
    if [ "$status" = ok ]; then tail -n 3 "$work/$name.txt"; else
      echo "$status: $shown"
      tail -n 20 "$work/$name.txt"
    fi
  }
  all_parts
  cat "$work/table.md"
}

# Rewrites the archive. It is moved into place, so that a kill at any moment leaves the old one or the new one.
keep() {
  python3 scripts/gpu_table.py "$work" >"$work/table.md" 2>&1 || true
  tar -czf "$kit/results.new" -C "$work" .
  cp "$kit/results.new" "$results/.gpu-results.new"
  mv "$results/.gpu-results.new" "$results/gpu-results.tar.gz"
}

stopped() {
  trap '' TERM INT
  if [ -n "${child:-}" ]; then kill "$child" 2>/dev/null || true; fi
  keep
  exit 143
}

# Later archives win where two have the same part.
table() {
  local file
  merged=$(mktemp -d) # not local: the trap runs after this function
  trap 'rm -rf "$merged"' EXIT
  for file; do
    mkdir "$merged/one"
    tar -xzf "$file" -C "$merged/one"
    cat "$merged/one/parts.txt" >>"$merged/states"
    cp "$merged"/one/* "$merged/"
    rm -r "$merged/one"
  done
  mv "$merged/states" "$merged/parts.txt"
  python3 scripts/gpu_table.py "$merged"
}

case ${1:-both} in
pack) pack ;;
plan) check_parts && plan ;;
run) check_parts && shift && run "$@" ;;
table) shift && table "$@" ;;
both)
  check_parts
  if command -v cargo >/dev/null; then pack; fi
  run
  ;;
*) sed -n '2,${/^#/!q;p}' "$0" && exit 2 ;; # the comment at the top
esac
