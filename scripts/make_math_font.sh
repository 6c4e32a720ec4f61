#!/usr/bin/env bash
# Makes crates/explain/src/page/font/math.woff2, the subset of Noto Sans Math (SIL Open Font License) with the letters and
# signs of formulas. Needs npm and python3.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-audit --no-fund --prefix "$work" @fontsource/noto-sans-math@5
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install fonttools==4.68.0 brotli
from="$work/node_modules/@fontsource/noto-sans-math"
# ASCII, italic letters of either alphabet, Greek, operators, and what stretches.
signs='αβγδεζηθικλμνξοπρστυφχψωΓΔΘΛΞΠΣΦΨΩ−·×÷±=≠≤≥∈∞∂∇√∑∏→←′″‖⌊⌋⌈⌉…⊙∗≈'
"$work/venv/bin/pyftsubset" "$from/files/noto-sans-math-latin-400-normal.woff2" --flavor=woff2 --no-hinting --desubroutinize \
  --layout-features=ssty,dtls --unicodes='20-7E,A0,302,304,210E,1D434-1D467,1D6FC-1D71B,2016' --text="$signs" \
  --output-file=crates/explain/src/page/font/math.woff2
cp "$from/LICENSE" crates/explain/src/page/font/OFL.txt
