"""The nets of `examples/throughput` in PyTorch, timed alike: python3 torch_throughput.py NET MODE THREADS SECONDS

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
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(THREADS)
torch.manual_seed(0)


def mnist():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10),
    )


def cifar():
    layers = []
    for block, (a, b, c) in enumerate([(3, 6, 10), (10, 20, 40), (40, 80, 160)]):
        first, second = [(1, 1), (1, 2), (2, 2)][block]
        layers += [nn.Conv2d(a, b, 3, padding=first), nn.BatchNorm2d(b), nn.ReLU()]
        layers += [nn.Conv2d(b, c, 3, padding=second), nn.ReLU(), nn.MaxPool2d(2)]
        layers += [nn.Dropout(0.1)] if block else []
    head = [nn.Flatten(), nn.Linear(5760, 1024), nn.ReLU(), nn.Linear(1024, 128), nn.ReLU()]
    return nn.Sequential(*layers, *head, nn.Dropout(0.1), nn.Linear(128, 10))


class Block(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        same = stride == 1 and a == b
        self.shortcut = nn.Identity() if same else nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


def resnet18():
    layers, a = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    for b, stride in [(64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]:
        layers.append(Block(a, b, stride))
        a = b
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


class Unet(nn.Module):
    def __init__(self):
        super().__init__()
        stage = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())
        self.down1, self.down2, self.bottom = stage(1, 32), stage(32, 64), stage(64, 64)
        self.up1, self.up2, self.last = stage(128, 32), stage(64, 24), nn.Conv2d(25, 24, 3, padding=1)

    def forward(self, x):
        a = F.max_pool2d(self.down1(x), 2)
        b = F.max_pool2d(self.down2(a), 2)
        d = F.interpolate(self.up1(torch.cat((self.bottom(b), b), 1)), scale_factor=2)
        e = F.interpolate(self.up2(torch.cat((d, a), 1)), scale_factor=2)
        return self.last(torch.cat((e, x), 1))


build, batch, shape = {
    "mnist": (mnist, 64, (1, 28, 28)), "cifar": (cifar, 64, (3, 32, 32)),
    "resnet18": (resnet18, 32, (3, 32, 32)), "unet": (Unet, 100, (1, 32, 32)),
}[NET]
net, x = build().train(), torch.randn(batch, *shape)
y = torch.randint(0, 24, (batch, 32, 32)) if NET == "unet" else torch.randint(0, 10, (batch,))
if MODE in ("channels_last", "both"):
    net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
fused = {"fused": True} if MODE not in ("eager", "channels_last") else {}
if NET == "resnet18":
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, **fused)
else:
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, **fused)
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
    "net": NET, "mode": MODE, "threads": THREADS, "batch": batch,
    "images_per_second": batch / statistics.median(times),
    "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
}))
