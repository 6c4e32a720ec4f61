"""Times the nets of `chainrule throughput` in PyTorch in the same way:

    python3 torch_throughput.py NET MODE THREADS SECONDS [--batch 1,8,64] [--inference]
    python3 torch_throughput.py plain MODE THREADS SECONDS [--side 8,16] [--channels 32] [--depth 1,2,4]

NET is mnist, cifar, resnet18, unet or plain; MODE eager, fused, channels_last, both or compile. Of the sizes one may be a
list. Prints one JSON object for each size; the peak memory is that of the process so far, so sizes should grow.
"""

import argparse
import json
import os
import resource
import statistics
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
numbers = lambda text: [int(number) for number in text.split(",")]
parser.add_argument("net", choices=["mnist", "cifar", "resnet18", "unet", "plain"])
parser.add_argument("mode", choices=["eager", "fused", "channels_last", "both", "compile"])
parser.add_argument("threads", type=int)
parser.add_argument("seconds", type=float)
parser.add_argument("--batch", type=numbers, default=[None])
for size in ("side", "channels", "depth"):
    parser.add_argument(f"--{size}", type=numbers, default=[None])
parser.add_argument("--inference", action="store_true", help="the forward pass alone, in evaluation mode")
parser.add_argument("--repeats", type=int, default=7)
args = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(args.threads)

import torch
import torch.nn.functional as F

from torch_nets import NETS, plain

torch.set_num_threads(args.threads)


def measure(work, batch):
    """Seconds of a step, the median of the repeats."""
    torch.manual_seed(0)
    net, x = work.build().train(not args.inference), torch.randn(batch, *work.image)
    y = torch.randint(0, work.classes, (batch, *work.label))
    if args.mode in ("channels_last", "both"):
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = work.optimizer(net.parameters(), True if args.mode in ("fused", "both", "compile") else None)
    forward = torch.compile(net) if args.mode == "compile" and args.inference else net
    loss_of = lambda: F.cross_entropy(net(x), y)
    if args.mode == "compile":
        loss_of = torch.compile(loss_of)

    def step():
        if args.inference:
            with torch.inference_mode():
                return forward(x)
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss.item()

    for _ in range(3):
        step()
    start, warm = time.perf_counter(), 0
    while warm < 3 or time.perf_counter() - start < 0.2 * args.seconds:
        step()
        warm += 1
    steps = max(1, int(args.seconds / args.repeats * warm / (time.perf_counter() - start)))
    times = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        times.append((time.perf_counter() - start) / steps)
    return statistics.median(times)


for side in args.side:
    for channels in args.channels:
        for depth in args.depth:
            work = plain(side or 32, channels or 32, depth or 4) if args.net == "plain" else NETS[args.net]
            for batch in args.batch:
                batch = batch or work.batch
                seconds = measure(work, batch)
                print(json.dumps({
                    "net": args.net, "mode": args.mode, "threads": args.threads, "batch": batch,
                    "pass": "inference" if args.inference else "training",
                    "images_per_second": batch / seconds, "milliseconds_per_step": 1e3 * seconds,
                    "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                    "torch": torch.__version__,
                }), flush=True)  # fmt: skip
