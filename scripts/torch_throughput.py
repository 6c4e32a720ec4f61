"""Times the nets of `chainrule throughput` in PyTorch in the same way: python3 torch_throughput.py NET MODE THREADS SECONDS

NET is mnist, cifar, resnet18 or unet; MODE eager, fused, channels_last, both or compile. Prints one JSON object.
"""

import json
import os
import resource
import statistics
import sys
import time

NET, MODE, THREADS, SECONDS = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
os.environ["OMP_NUM_THREADS"] = str(THREADS)

import torch
import torch.nn.functional as F

from torch_nets import NETS

torch.set_num_threads(THREADS)
torch.manual_seed(0)


work = NETS[NET]
net, x = work.build().train(), torch.randn(work.batch, *work.image)
y = torch.randint(0, work.classes, (work.batch, *work.label))
if MODE in ("channels_last", "both"):
    net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
fused = True if MODE not in ("eager", "channels_last") else None
optimizer = work.optimizer(net.parameters(), fused)
loss_of = lambda: F.cross_entropy(net(x), y)
if MODE == "compile":
    loss_of = torch.compile(loss_of)


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of()
    loss.backward()
    optimizer.step()
    return loss.item()


start, warm = time.perf_counter(), 0
for _ in range(3):
    step()
start = time.perf_counter()
while warm < 3 or time.perf_counter() - start < 0.2 * SECONDS:
    step()
    warm += 1
steps = max(1, int(SECONDS / 7 * warm / (time.perf_counter() - start)))
times = []
for _ in range(7):
    start = time.perf_counter()
    for _ in range(steps):
        step()
    times.append((time.perf_counter() - start) / steps)
print(json.dumps({
    "net": NET, "mode": MODE, "threads": THREADS, "batch": work.batch,
    "images_per_second": work.batch / statistics.median(times),
    "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
}))
