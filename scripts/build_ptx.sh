#!/usr/bin/env bash
# Compiles kernels/cuda to kernels/ptx with a pinned compiler from PyPI. No CUDA installation is needed.
# Arguments are passed to kernels/build_ptx.py: --check compares, --ptxas reports registers.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=target/ptx-venv
if [ ! -f "$venv/ready" ] || ! cmp -s kernels/requirements.txt "$venv/ready"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r kernels/requirements.txt
  cp kernels/requirements.txt "$venv/ready"
fi
"$venv/bin/python" -m doctest kernels/build_ptx.py
exec "$venv/bin/python" kernels/build_ptx.py "$@"
