"""Prints tables of the results that scripts/gpu_check.sh wrote to a directory.

    python3 scripts/gpu_table.py DIRECTORY
"""

import json
import pathlib
import sys


def lines(path, *fields):
    """The JSON objects of a file that have these fields, one per line; the file may be missing, contain other lines, and end
    in the middle of one."""
    objects = []
    for line in text_of(path).splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and all(field in found for field in fields):
            objects.append(found)
    return objects


def text_of(path):
    return path.read_text(errors="replace").strip() if path.exists() else ""


def table(heads, rows):
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def about(out):
    for name in ("gpu", "doctor", "torch_about"):
        print(text_of(out / f"{name}.txt") or f"({name} did not run)")
    print()


def parts(out):
    """What became of each part: its last line in parts.txt, since a part may be run again."""
    states = dict(line.split(" ", 1) for line in text_of(out / "parts.txt").splitlines() if " " in line)
    last = {name: (text_of(out / f"{name}.txt").splitlines() or [""])[-1] for name in states}
    shown = lambda text: text[:100].replace("|", "/")
    table(["part", "result", "its last line"], [[name, state, shown(last[name])] for name, state in states.items()])


def steps(out):
    rows = []
    for net in ("mnist", "cifar", "resnet18", "unet"):
        baselines = {}
        for name in (f"torch_{net}", f"torch_{net}_compile"):
            for run in lines(out / f"{name}.txt", "mode", "images_per_second"):
                baselines[run["mode"]] = run["images_per_second"]
        for precision in ("fp32", "tf32", "bf16"):
            for ours in lines(out / f"throughput_{net}_{precision}.json", "images_per_second", "batch", "milliseconds_per_step"):
                rate = ours["images_per_second"]
                ratios = [f"{rate / theirs:.2f}× {mode}" for mode, theirs in baselines.items()]
                rows.append([f'{net}, {ours["batch"]}', precision, f"{rate:.0f}",
                             f'{ours["milliseconds_per_step"]:.3f}', "; ".join(ratios)])
    table(["net, batch", "precision", "images/s", "ms/step", "speed relative to PyTorch"], rows)


def layers(out):
    key_fields = ("layer", "direction", "precision")
    cudnn = {}
    for run in lines(out / "torch_layers.txt", *key_fields, "microseconds"):
        key = (run["layer"], run["direction"], run["precision"].split()[0])
        cudnn[key] = min(run["microseconds"], cudnn.get(key, float("inf")))
    rows = []
    for ours in lines(out / "layers.txt", *key_fields, "microseconds", "tflops"):
        key = tuple(ours[field] for field in key_fields)
        theirs = cudnn.get(key)
        ratio = [f"{theirs:.1f}", f'{theirs / ours["microseconds"]:.2f}'] if theirs else ["", ""]
        rows.append([*key, f'{ours["microseconds"]:.1f}', f'{ours["tflops"]:.1f}', *ratio])
    table(["layer", "direction", "precision", "µs", "TFLOP/s", "cuDNN µs", "speed relative to cuDNN"], rows)


def main():
    out = pathlib.Path(sys.argv[1])
    about(out)
    parts(out)
    steps(out)
    layers(out)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
