"""Prints tables of the results that scripts/gpu_check.sh wrote to a directory.

    python3 scripts/gpu_table.py DIRECTORY
"""

import json
import pathlib
import sys


def lines(path):
    """The JSON objects of a file, one per line; the file may be missing or contain other lines."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def table(heads, rows):
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def about(out):
    for name in ("doctor", "torch_about"):
        path = out / f"{name}.txt"
        print(path.read_text().strip() if path.exists() else f"({name} did not run)")
    tests = out / "tests.txt"
    print(tests.read_text().strip().splitlines()[-1] if tests.exists() else "(the tests did not run)")
    print()


def steps(out):
    rows = []
    for net in ("mnist", "cifar", "resnet18", "unet"):
        baselines = {run["mode"]: run for run in lines(out / f"torch_{net}.txt") if "images_per_second" in run}
        for precision in ("fp32", "tf32", "bf16"):
            for ours in lines(out / f"throughput_{net}_{precision}.json"):
                rate = ours["images_per_second"]
                ratios = [f'{rate / run["images_per_second"]:.2f}× {mode}' for mode, run in baselines.items()]
                rows.append([f'{net}, {ours["batch"]}', precision, f"{rate:.0f}",
                             f'{ours["milliseconds_per_step"]:.3f}', "; ".join(ratios)])
    table(["net, batch", "precision", "images/s", "ms/step", "speed relative to PyTorch"], rows)


def layers(out):
    cudnn = {}
    for run in lines(out / "torch_layers.txt"):
        if "microseconds" in run:
            key = (run["layer"], run["direction"], run["precision"].split()[0])
            cudnn[key] = min(run["microseconds"], cudnn.get(key, float("inf")))
    rows = []
    for ours in lines(out / "layers.txt"):
        key = (ours["layer"], ours["direction"], ours["precision"])
        theirs = cudnn.get(key)
        ratio = [f"{theirs:.1f}", f'{theirs / ours["microseconds"]:.2f}'] if theirs else ["", ""]
        rows.append([*key, f'{ours["microseconds"]:.1f}', f'{ours["tflops"]:.1f}', *ratio])
    table(["layer", "direction", "precision", "µs", "TFLOP/s", "cuDNN µs", "speed relative to cuDNN"], rows)


def main():
    out = pathlib.Path(sys.argv[1])
    about(out)
    steps(out)
    layers(out)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
