"""Times ResNet-18 for 32×32 images with DistributedDataParallel over gloo, in the way of `chainrule throughput`:

    OMP_NUM_THREADS=1 python3 -m torch.distributed.run --nproc-per-node 2 scripts/torch_ddp.py BATCH SECONDS

BATCH is that of each process. Rank 0 prints one JSON object. With one process, the net is not wrapped.
"""

import json
import statistics
import sys
import time

import torch
import torch.distributed
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from torch_nets import NETS

BATCH, SECONDS = int(sys.argv[1]), float(sys.argv[2])

torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")
rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
torch.manual_seed(0)
work = NETS["resnet18"]
net = work.build().train().to(memory_format=torch.channels_last)
net = DistributedDataParallel(net) if ranks > 1 else net
x = torch.randn(BATCH, *work.image).to(memory_format=torch.channels_last)
y = torch.randint(0, work.classes, (BATCH,))
optimizer = work.optimizer(net.parameters(), True)


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


for _ in range(3):
    step()
start = time.perf_counter()
step()
steps = torch.tensor(max(1, int(SECONDS / 7 / (time.perf_counter() - start))))
torch.distributed.broadcast(steps, 0)
times = []
for _ in range(7):
    start = time.perf_counter()
    for _ in range(int(steps)):
        step()
    times.append((time.perf_counter() - start) / int(steps))
if rank == 0:
    print(json.dumps({"processes": ranks, "images_per_second": BATCH * ranks / statistics.median(times)}))
torch.distributed.destroy_process_group()
