#!/usr/bin/env python3
"""Times the nets of `chainrule throughput` and their convolutions in PyTorch on a GPU, for comparison with chainrule.

    python3 torch_gpu.py about
    python3 torch_gpu.py steps --net mnist --batch 64 [--seconds 3] [--repeats 7] [--modes graphs,compile]
    python3 torch_gpu.py convolutions [--batch 512] [--layers 64x32x32] [--precisions bf16]

Prints one JSON object per line; PyTorch's other output goes to standard error.

`steps` times whole training steps (forward, backward, optimizer) on one random batch that stays on the device. A mode
combines a runner and a precision. Runners: eager, graphs (the step is one CUDA graph), compile (torch.compile of net and
loss, channels_last, "max-autotune" unless that fails). Precisions: fp32 (TF32 off), tf32, bf16 (autocast,
channels_last). cuDNN benchmarking and the fused optimizer are always on. Steps are not synchronized, unless --read-loss
reads the loss of every step.

`convolutions` times each direction of a layer separately, without bias. On a GPU it uses CUDA events around the replay of
a graph of many calls, so that Python's launch overhead is excluded.

--device cpu runs the script on a machine without a GPU.
"""

import argparse
import functools
import gc
import json
import platform
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from torch_nets import NETS

WARM_UP_CALLS = 5
CALLS_IN_GRAPH = 20
COMPILERS = ["max-autotune", "reduce-overhead"]


@dataclass(frozen=True)
class Mode:
    """A runner (eager, graphs or compile) and a precision (fp32, tf32 or bf16)."""

    runner: str
    precision: str

    @property
    def name(self):
        return f"{self.runner} {self.precision}"

    @property
    def layout(self):
        fast = self.runner == "compile" or self.precision == "bf16"
        return torch.channels_last if fast else torch.contiguous_format

    @property
    def needs_cuda(self):
        return self.runner == "graphs" or self.precision == "tf32"


MODES = [
    Mode("eager", "fp32"), Mode("eager", "tf32"), Mode("eager", "bf16"),
    Mode("graphs", "fp32"), Mode("compile", "fp32"), Mode("compile", "bf16"),
]  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """A convolution of images of `side` by `side` pixels, padded by half the kernel size."""

    from_: int
    side: int
    to: int
    kernel: int = 3
    stride: int = 1

    @property
    def name(self):
        return f"{self.from_}x{self.side}x{self.side} {self.to} {self.kernel}x{self.kernel}/{self.stride}"

    def flops(self, batch):
        outputs = batch * self.to * (self.side // self.stride) ** 2
        return 2 * outputs * self.from_ * self.kernel**2


LAYERS = [
    Layer(3, 32, 64), Layer(64, 32, 64), Layer(64, 32, 128, stride=2), Layer(128, 16, 128),
    Layer(128, 16, 256, stride=2), Layer(256, 8, 256), Layer(256, 8, 512, stride=2), Layer(512, 4, 512),
    Layer(64, 32, 128, 1, 2), Layer(128, 16, 256, 1, 2), Layer(256, 8, 512, 1, 2),
    Layer(1, 28, 8), Layer(8, 14, 16),
]  # fmt: skip

PRECISIONS = ["fp32", "tf32", "tf32 channels_last", "bf16 channels_last"]


class NetLoss(nn.Module):
    """A net together with its loss."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images, labels):
        return F.cross_entropy(self.net(images), labels)


class Training:
    """A net with its optimizer and one batch of random images and labels."""

    def __init__(self, net, batch, mode, device):
        torch.manual_seed(0)
        self.autocast = functools.partial(torch.autocast, device, torch.bfloat16, mode.precision == "bf16")
        self.model = NetLoss(net.build()).train().to(device, memory_format=mode.layout)
        images = torch.randn(batch, *net.image, device=device)
        self.images = images.contiguous(memory_format=mode.layout)
        self.labels = torch.randint(0, net.classes, (batch, *net.label), device=device)
        self.optimizer = net.optimizer(self.model.parameters(), True, capturable=mode.runner == "graphs")

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            loss = self.model(self.images, self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def set_precision(precision):
    torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.benchmark = True


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def wall_seconds(function, calls, device):
    """Wall-clock seconds of `calls` calls, with the device synchronized before and after."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        function()
    synchronize(device)
    return time.perf_counter() - start


def event_seconds(function, calls, _device):
    """Seconds between two CUDA events around `calls` calls."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(calls):
        function()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def median_seconds(clock, seconds, repeats):
    """The median seconds per call. `clock(calls)` returns the seconds of that many warmed-up calls."""
    calls, taken = 1, clock(1)
    while taken < 0.2 * seconds:
        calls *= 2
        taken = clock(calls)
    calls = max(1, round(seconds / repeats * calls / taken))
    return statistics.median(clock(calls) / calls for _ in range(repeats))


def warm_up(function):
    for _ in range(WARM_UP_CALLS):
        function()


class Captured:
    """A CUDA graph of `calls` calls of a function. A call replays it and returns the last result."""

    def __init__(self, function, calls=1):
        self.function = function  # keeps the tensors alive that the graph uses
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            warm_up(function)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            for _ in range(calls):
                self.result = function()

    def __call__(self):
        self.graph.replay()
        return self.result


def compiled(training, compiler):
    """The training step with net and loss compiled, after clearing earlier compilations."""
    torch.compiler.reset()
    training.model = torch.compile(training.model, mode=compiler)
    warm_up(training.step)
    return training.step


def compiled_step(build, compilers):
    """The compiled step of a new training with the first compiler mode that works, and that mode."""
    *preferred, last = compilers
    for compiler in preferred:
        try:
            return compiled(build(), compiler), compiler
        except Exception as error:
            print(f"torch.compile with {compiler}: {first_line(error)}; now {last}", file=sys.stderr)
        release_memory()
    return compiled(build(), last), last


def prepared_step(mode, build, compilers):
    """The step in `mode`, and additional fields of its report."""
    if mode.runner == "compile":
        step, compiler = compiled_step(build, compilers)
        return step, {"compiler": compiler}
    step = build().step
    return (Captured(step) if mode.runner == "graphs" else step), {}


def measure_steps(mode, args):
    set_precision(mode.precision)
    build = functools.partial(Training, NETS[args.net], args.batch, mode, args.device)
    step, fields = prepared_step(mode, build, [args.compiler] if args.compiler else COMPILERS)
    run = (lambda: step().item()) if args.read_loss else step
    warm_up(run)
    seconds = median_seconds(lambda calls: wall_seconds(run, calls, args.device), args.seconds, args.repeats)
    return {"images_per_second": args.batch / seconds, "milliseconds_per_step": 1e3 * seconds, **fields}


def directions(layer, batch, precision, device):
    """Functions that compute a layer's three directions, by name."""
    layout = torch.channels_last if "channels_last" in precision else torch.contiguous_format
    dtype = torch.bfloat16 if "bf16" in precision else torch.float32

    def random(*shape):
        return torch.randn(shape, device=device).to(dtype, memory_format=layout)

    stride, padding = [layer.stride] * 2, [layer.kernel // 2] * 2
    images = random(batch, layer.from_, layer.side, layer.side)
    weight = random(layer.to, layer.from_, layer.kernel, layer.kernel)
    gradient = random(batch, layer.to, layer.side // layer.stride, layer.side // layer.stride)

    def backward(*mask):
        return torch.ops.aten.convolution_backward(
            gradient, images, weight, None, stride, padding, [1, 1], False, [0, 0], 1, mask
        )

    return {
        "forward": lambda: F.conv2d(images, weight, None, stride, padding),
        "input gradient": lambda: backward(True, False, False),
        "weight gradient": lambda: backward(False, True, False),
    }


def measure_convolution(layer, direction, precision, args):
    set_precision(precision.split()[0])
    function = directions(layer, args.batch, precision, args.device)[direction]
    if args.device == "cuda":
        run, calls_in_run, clock = Captured(function, CALLS_IN_GRAPH), CALLS_IN_GRAPH, event_seconds
    else:
        run, calls_in_run, clock = function, 1, wall_seconds
    warm_up(run)
    seconds = median_seconds(lambda calls: clock(run, calls, args.device), args.seconds, args.repeats) / calls_in_run
    return {"microseconds": 1e6 * seconds, "tflops": layer.flops(args.batch) / seconds / 1e12}


def first_line(error):
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def release_memory():
    """Releases unused memory."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def report(key, needs_cuda, device, measure):
    """Prints `key` with the result of `measure`, or why it is missing."""
    if needs_cuda and device != "cuda":
        print(json.dumps({**key, "skipped": "needs CUDA"}), flush=True)
        return
    try:
        result = measure()
    except Exception as error:
        result = {"error": first_line(error)}
    print(json.dumps({**key, **result}), flush=True)
    release_memory()


def steps(args):
    args.batch = args.batch or NETS[args.net].batch
    for mode in selected(MODES, args.modes, lambda mode: mode.name):
        key = {"net": args.net, "batch": args.batch, "mode": mode.name}
        report(key, mode.needs_cuda, args.device, functools.partial(measure_steps, mode, args))


def convolutions(args):
    layers = selected(LAYERS, args.layers, lambda layer: layer.name)
    precisions = selected(PRECISIONS, args.precisions, str)
    for layer in layers:
        for direction in ("forward", "input gradient", "weight gradient"):
            for precision in precisions:
                key = {"layer": layer.name, "batch": args.batch, "direction": direction, "precision": precision}
                measure = functools.partial(measure_convolution, layer, direction, precision, args)
                report(key, "tf32" in precision, args.device, measure)


def driver():
    """The version of the NVIDIA driver, or None if nvidia-smi is missing or fails."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    process = subprocess.run(command, capture_output=True, text=True)
    return process.stdout.split()[0] if process.returncode == 0 and process.stdout.strip() else None


def about(_):
    there = torch.cuda.is_available()
    print(json.dumps({
        "torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
        "device": torch.cuda.get_device_name() if there else "cpu", "driver": driver(),
        "python": platform.python_version(),
    }))  # fmt: skip


def selected(items, texts, name):
    """The items whose names contain one of the comma-separated texts; all items if `texts` is empty."""
    found = [item for item in items if any(text in name(item) for text in texts.split(","))]
    return found or sys.exit(f"{texts}: matches none of {', '.join(map(name, items))}")


def positive(kind):
    def parse(text):
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text}: expected a finite positive number")
        return value

    return parse


def add_measuring(parser, seconds):
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="[default: cuda]")
    parser.add_argument("--seconds", type=positive(float), default=seconds,
                        help=f"seconds per measurement, split among its repeats [default: {seconds:g}]")  # fmt: skip
    parser.add_argument("--repeats", type=positive(int), default=7, help="repeats, of which the median is reported [default: 7]")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("about", help="print versions and the device").set_defaults(run=about)

    command = commands.add_parser("steps", help="time training steps")
    command.set_defaults(run=steps)
    command.add_argument("--net", choices=NETS, required=True)
    command.add_argument("--batch", type=positive(int), help="batch size [default: the usual one of the net]")
    command.add_argument("--modes", default="", help="run only modes whose name contains one of these, comma-separated")
    command.add_argument("--compiler", choices=COMPILERS, help="the mode of torch.compile, without fallback")
    command.add_argument("--read-loss", action="store_true", help="read the loss after every step")
    add_measuring(command, 3.0)

    command = commands.add_parser("convolutions", help="time convolutions and their gradients")
    command.set_defaults(run=convolutions)
    command.add_argument("--batch", type=positive(int), default=512, help="batch size [default: 512]")
    command.add_argument("--layers", default="", help="run only layers whose name contains one of these, comma-separated")
    command.add_argument("--precisions", default="", help="run only precisions whose name contains one of these, comma-separated")
    add_measuring(command, 0.2)
    return parser.parse_args()


def main():
    args = parse_arguments()
    if args.command != "about" and args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch finds no CUDA device; use --device cpu to run without one")
    args.run(args)


if __name__ == "__main__":
    main()
