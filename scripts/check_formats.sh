#!/usr/bin/env bash
# Exchanges weights and arrays with PyTorch and NumPy, in both directions, and compares all of them bit for bit: .pt and .pth in
# both containers, safetensors, .npy and .npz. PYTHON may name an interpreter that has torch, numpy and safetensors; otherwise
# they are installed by pip.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-}
if [ -z "$python" ]; then
  venv=target/formats-venv
  [ -f "$venv/ready" ] || {
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 safetensors \
      torch==2.15.0 --extra-index-url https://download.pytorch.org/whl/cpu
    touch "$venv/ready"
  }
  python="$venv/bin/python"
fi
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
"$python" scripts/check_formats.py make "$folder"
CHAINRULE_EXCHANGE="$folder" cargo test -q --locked -p chainrule-formats --test formats -- --ignored exchange
"$python" scripts/check_formats.py check "$folder"
