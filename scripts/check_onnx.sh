#!/usr/bin/env bash
# Checks ONNX export and import with the Python packages onnx and onnxruntime, in a virtual environment of its own:
#   - exported nets pass onnx's checker, and onnxruntime's outputs are within 1e-5 of ours at batch sizes 1 and 5;
#   - of ONNX's own operator tests none fails: those for what the importer does not support are refused by name, and those in
#     scripts/onnx_node_tests.txt pass;
#   - the light models of the onnx package (ResNet-50, VGG-19, DenseNet, Inception and others) give the outputs that they come with;
#   - the descriptions of the file format and of the operators are those of the code.
# With torch, torchvision and onnxscript in PYTHON (a python3), also files that PyTorch's exporters write for large nets.
#   [PYTHON=…] scripts/check_onnx.sh
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/chainrule
venv=$cache/onnx-1.23.2
if [ ! -x "$venv/bin/python" ] || [ ! -f "$venv/complete" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --only-binary :all: onnx==1.23.2 onnxruntime==1.32.0
  touch "$venv/complete"
fi
cargo build --quiet --locked -p chainrule-onnx --examples
programs=${CARGO_TARGET_DIR:-$PWD/target}/debug/examples
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT

"$programs/export_nets" "$out/nets" >/dev/null
"$venv/bin/python" scripts/check_onnx.py "$out/nets"

"$venv/bin/python" scripts/onnx_tests.py "$out" 2>/dev/null
(cd "$out/node" && "$programs/run_tests" *) >"$out/node.txt" || { grep FAILED "$out/node.txt"; exit 1; }
tail -n 1 "$out/node.txt"
sed -n 's/: passed$//p' "$out/node.txt" | LC_ALL=C sort >"$out/passed.txt"
if ! diff scripts/onnx_node_tests.txt "$out/passed.txt"; then
  echo "other tests of ONNX pass than scripts/onnx_node_tests.txt lists; if more do, replace it by the lines above" >&2
  exit 1
fi
(cd "$out/light" && "$programs/run_tests" *)

if [ -n "${PYTHON:-}" ]; then
  "$PYTHON" crates/onnx/tests/files/make.py "$out/torch" --full >/dev/null 2>&1
  (cd "$out/torch" && "$programs/run_tests" --tolerance 1e-4 *)
fi
