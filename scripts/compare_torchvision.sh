#!/usr/bin/env bash
# Loads torchvision's nets as PyTorch saves them, and compares logits and all gradients.
#   PYTHON=/path/to/python3-with-torchvision-and-safetensors scripts/compare_torchvision.sh [NET...]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT
"$python" scripts/torchvision_nets.py "$out" ${@:-resnet18}
CHAINRULE_TORCHVISION=$out cargo test --locked -p chainrule-formats --test formats -- torchvision --ignored --nocapture
