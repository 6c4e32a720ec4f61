#!/usr/bin/env python3
"""Times chainrule and PyTorch in turn on this machine, and writes the tables and plots of docs/performance.md and README.md.

    PYTHON=/path/to/python3-with-torch scripts/benchmark.py steps [--threads 2,1] [--nets mnist,cifar] [--level avx2]
    PYTHON=/path/to/python3-with-torch scripts/benchmark.py growth [--curves "batch mnist"]
    scripts/benchmark.py render

`steps` measures whole training steps of four nets: chainrule before and after PyTorch's modes, of which the fastest counts.
`growth` measures how the time and the memory of a step grow with batch, image side, channels and depth, for each number of
threads, and prints the slopes of the curves in double logarithmic scale. Both keep what they measured in docs/benchmarks, one
entry for each processor, level of CPU features and number of threads, beside those of other machines; `render` makes tables and
plots from what is there.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmark_plots import growth_plot, steps_plot
from benchmark_tables import curve_lines, growth_table, insert, steps_table

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "docs" / "benchmarks"
NETS = ["mnist", "cifar", "resnet18", "unet"]
MODES = ["eager", "fused", "channels_last", "both", "compile"]
AVX2 = {
    "CHAINRULE_CPU": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}  # fmt: skip
# The curves: net, what grows, its values, the other flags.
CURVES = [
    *[(f"batch {net}", net, "batch", [1, 8, 64, 256], {}) for net in ("mnist", "cifar", "unet")],
    ("batch resnet18", "resnet18", "batch", [1, 8, 32], {}),
    ("side", "plain", "side", [8, 16, 32, 64], {"batch": 8}),
    ("channels", "plain", "channels", [4, 8, 16, 32, 64, 128], {"batch": 8, "side": 16}),
    ("depth", "plain", "depth", [1, 2, 4, 8, 16, 32], {"batch": 8, "side": 16}),
    *[(f"inference {net}", net, "batch", [1, 8], {"inference": True}) for net in NETS],
]


def chainrule(net, threads, seconds, **flags):
    """One measurement of `chainrule throughput`."""
    with tempfile.NamedTemporaryFile() as file:
        command = [program(), "throughput", "--device", "cpu", "--net", net, "--threads", str(threads)]
        command += ["--seconds", str(seconds), "--json", file.name]
        for flag, value in flags.items():
            command += [f"--{flag}"] if value is True else [f"--{flag}", str(value)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.load(open(file.name))


def torch(net, mode, threads, seconds, **flags):
    """The measurements of scripts/torch_throughput.py; none if the mode fails."""
    command = [os.environ.get("PYTHON", "python3"), str(ROOT / "scripts" / "torch_throughput.py"), net, mode]
    command += [str(threads), str(seconds)]
    for flag, value in flags.items():
        command += [f"--{flag}"] if value is True else [f"--{flag}", str(value)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode:
        print(f"# PyTorch's mode {mode} failed for {net}: {run.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return []
    return [json.loads(line) for line in run.stdout.splitlines()]


def program():
    return str(Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "chainrule")


def machine(args):
    """What an entry says of where it was measured."""
    name = args.processor
    if not name:
        lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), os.uname().machine)
    return {"processor": name, "level": args.level or "", "cores": os.cpu_count()}


def when():
    """What a result says of when it was measured, and of what."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return {"date": datetime.date.today().isoformat(), "commit": commit}


def keep(name, entry):
    """Puts an entry in the place of an older one of the same processor, level and threads; nets and curves that were not
    measured this time stay, with the date that they have."""
    path = DATA / f"{name}.json"
    entries = json.loads(path.read_text()) if path.exists() else []
    key = lambda e: (e["processor"], e["level"], e["threads"])
    for old in entries:
        if key(old) == key(entry):
            entry["results"] = {**old["results"], **entry["results"]}
            old.clear()
            old.update(entry)
            break
    else:
        entries.append(entry)
    DATA.mkdir(exist_ok=True)
    # Lists of numbers on one line each.
    path.write_text(re.sub(r"\[\s+([^][{}]*?)\s+\]", one_line, json.dumps(entries, indent=1)) + "\n")


def one_line(match):
    return "[" + re.sub(r"\s+", " ", match[1]) + "]"


def mean(runs, key):
    return sum(run[key] for run in runs) / len(runs)


def steps(args):
    for threads in args.threads:
        results = {}
        for net in args.nets:
            before = chainrule(net, threads, args.seconds)
            runs = [run for mode in args.modes for run in torch(net, mode, threads, args.seconds)]
            ours = [before, chainrule(net, threads, args.seconds)]
            if not runs:
                sys.exit("no mode of PyTorch ran: set PYTHON to a python3 with PyTorch")
            best = max(runs, key=lambda run: run["images_per_second"])
            results[net] = {
                "batch": before["batch"], "chainrule": round(mean(ours, "images_per_second"), 1),
                "torch": round(best["images_per_second"], 1), "mode": best["mode"],
                "chainrule_mb": round(before["peak_memory_bytes"] / 1e6),
                "torch_mb": round(best["peak_memory_bytes"] / 1e6), "torch_version": best["torch"].split("+")[0], **when(),
            }  # fmt: skip
            rates = ", ".join(f"{run['images_per_second']:.0f}" for run in ours)
            modes = ", ".join(f"{run['mode']} {run['images_per_second']:.0f}" for run in runs)
            ratio = results[net]["chainrule"] / results[net]["torch"]
            print(f"{net}, {threads} threads: chainrule {rates} images/s; PyTorch {modes}; {ratio:.2f} times", flush=True)
            keep("steps", {**machine(args), "threads": threads, "results": dict(results)})


def growth(args):
    selected = [c for c in CURVES if not args.curves or any(c[0].startswith(name) for name in args.curves)]
    for threads in args.threads:
        for name, net, axis, values, flags in selected:
            points = lambda: [chainrule(net, threads, args.seconds, **flags, **{axis: value}) for value in values]
            listed = {axis: ",".join(map(str, values))}
            ours, runs = [points()], []
            for mode in ("fused", "both"):
                runs.append(torch(net, mode, threads, args.seconds, **flags, **listed))
            ours.append(points())
            runs = [run for run in runs if run]
            if not runs:
                sys.exit("no mode of PyTorch ran: set PYTHON to a python3 with PyTorch")
            times = lambda runs: [[run["milliseconds_per_step"] for run in points] for points in runs]
            digits = lambda numbers: [float(f"{number:.4g}") for number in numbers]
            result = {
                "axis": axis, "values": values,
                "gflop": digits(r["gflops"] * r["milliseconds_per_step"] / 1e3 for r in ours[0]),
                "chainrule_ms": digits(sum(pair) / 2 for pair in zip(*times(ours))),
                "torch_ms": digits(min(point) for point in zip(*times(runs))),
                "chainrule_mb": digits(r["peak_memory_bytes"] / 1e6 for r in ours[0]),
                "torch_mb": digits(r["peak_memory_bytes"] / 1e6 for r in runs[0]), **when(),
            }  # fmt: skip
            keep("growth", {**machine(args), "threads": threads, "results": {name: result}})
            print(f"{name}, {threads} threads\n" + "\n".join(curve_lines(result)), flush=True)


def render():
    load = lambda name: json.loads((DATA / f"{name}.json").read_text()) if (DATA / f"{name}.json").exists() else []
    all_steps, curves = load("steps"), load("growth")
    docs = ROOT / "docs"
    insert(docs / "performance.md", "steps", steps_table(all_steps, memory=True))
    insert(ROOT / "README.md", "steps", steps_table(all_steps, memory=False))
    insert(docs / "performance.md", "growth", growth_table(curves))
    (docs / "performance.svg").write_text(steps_plot(all_steps))
    for entry in curves[-1:]:
        (docs / "growth.svg").write_text(growth_plot(entry))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = lambda text: text.split(",")
    parser.add_argument("command", choices=["steps", "growth", "render"])
    parser.add_argument("--threads", type=lambda text: [int(n) for n in text.split(",")], help="[default: 2,1; growth: 1]")
    parser.add_argument("--seconds", type=float, help="of each measurement [default: 3; growth: 0.5]")
    parser.add_argument("--nets", type=names, default=NETS)
    parser.add_argument("--modes", type=names, default=MODES, help="PyTorch's modes in `steps`")
    parser.add_argument("--curves", type=names, help="only curves whose names begin so, such as 'batch mnist'")
    parser.add_argument("--level", choices=["avx2"], help="limits both to AVX2 on a processor that has AVX-512")
    parser.add_argument("--processor", help="its name in the tables [default: what the system says]")
    args = parser.parse_args()
    args.threads = args.threads or ([1] if args.command == "growth" else [2, 1])
    args.seconds = args.seconds or (0.5 if args.command == "growth" else 3.0)
    if args.level:
        os.environ.update(AVX2)
    if args.command != "render":
        subprocess.run(["cargo", "build", "--release", "--locked", "-p", "chainrule-cli"], cwd=ROOT, check=True)
        (steps if args.command == "steps" else growth)(args)
    render()


if __name__ == "__main__":
    main()
