#!/usr/bin/env bash
# Opens the pages of `chainrule explain`, and the reports of training runs, in headless Chromium and checks them: no request, no
# error, stepping, the engine's numbers, sums of terms, the grading of answers, the images behind a cell. Installs node, npm and Chromium by apt where they are missing, and
# playwright-core by npm.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(cargo metadata --format-version 1 --no-deps --offline | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
work="$target/pages"
mkdir -p "$work"

sudo=$([ "$(id -u)" = 0 ] || echo sudo)
install() { $sudo apt-get update -qq && $sudo apt-get install -y -qq "$@" >/dev/null; }
command -v node >/dev/null && command -v npm >/dev/null || install nodejs npm
browser() { type -P chromium || type -P chromium-browser || type -P google-chrome; }
browser >/dev/null || install chromium
[ -d "$work/node_modules/playwright-core" ] || npm install --silent --no-audit --no-fund --prefix "$work" playwright-core@1.65

# The whole workspace decides on the features of dependencies, as in `cargo test`, so nothing is compiled twice.
cargo build -q --locked --bin chainrule
explain() { "$target/debug/chainrule" explain "$@" >/dev/null 2>&1; }
explain --net two-neurons --html "$work/two-neurons.html"
explain --net mazur --html "$work/mazur.html"
explain --net xor --html "$work/xor.html"
explain --net mnist --element 'conv1.weight[0,0,1,1]' --html "$work/mnist.html"
explain --net resnet-block --html "$work/resnet-block.html"

export NODE_PATH="$work/node_modules" CHROMIUM="$(browser)"
node scripts/check_pages.cjs "$work" "$@"

rm -rf "$work/mnist-run" "$work/cifar10-run" "$work/colorize-run"
train() { "$target/debug/chainrule" "$@" >/dev/null 2>&1; }
train mnist --offline --train-images 3000 --validation 500 --epochs 3 --out "$work/mnist-run"
train cifar10 --sample --train-images 640 --net report --epochs 1 --out "$work/cifar10-run"
train colorize --sample --train-images 200 --nf 8 --epochs 2 --batch-size 20 --out "$work/colorize-run"
node scripts/check_report.cjs "$work/mnist-run" "$work/cifar10-run" "$work/colorize-run" ${1:+--shots "$1"}
