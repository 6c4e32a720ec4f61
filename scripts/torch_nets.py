"""The nets of `chainrule throughput` in PyTorch, with their inputs and optimizers."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


def mnist():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def cifar():
    def block(from_, middle, to, first, second):
        return [
            nn.Conv2d(from_, middle, 3, padding=first), nn.BatchNorm2d(middle), nn.ReLU(),
            nn.Conv2d(middle, to, 3, padding=second), nn.ReLU(), nn.MaxPool2d(2),
        ]  # fmt: skip

    return nn.Sequential(
        *block(3, 6, 10, 1, 1),
        *block(10, 20, 40, 1, 2), nn.Dropout(0.1),
        *block(40, 80, 160, 2, 2), nn.Dropout(0.1),
        nn.Flatten(), nn.Linear(160 * 6 * 6, 1024), nn.ReLU(),
        nn.Linear(1024, 128), nn.ReLU(), nn.Dropout(0.1),
        nn.Linear(128, 10),
    )  # fmt: skip


def conv_bn(from_, to, kernel, stride):
    convolution = nn.Conv2d(from_, to, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(to))


class Block(nn.Module):
    """Two convolutions with a residual connection."""

    def __init__(self, from_, to, stride):
        super().__init__()
        self.first, self.second = conv_bn(from_, to, 3, stride), conv_bn(to, to, 3, 1)
        self.shortcut = nn.Identity() if stride == 1 and from_ == to else conv_bn(from_, to, 1, stride)

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


def resnet18():
    layers, from_ = [conv_bn(3, 64, 3, 1), nn.ReLU()], 64
    for to in (64, 128, 256, 512):
        layers += [Block(from_, to, 1 if from_ == to else 2), Block(to, to, 1)]
        from_ = to
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


class Unet(nn.Module):
    """Two levels down and two up, with skip connections."""

    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.bottom = self.stage(1, 32), self.stage(32, 64), self.stage(64, 64)
        self.up1, self.up2 = self.stage(128, 32), self.stage(64, 24)
        self.last = nn.Conv2d(25, 24, 3, padding=1)

    @staticmethod
    def stage(from_, to):
        return nn.Sequential(nn.Conv2d(from_, to, 3, padding=1), nn.BatchNorm2d(to), nn.ReLU())

    def forward(self, x):
        a = F.max_pool2d(self.down1(x), 2)
        b = F.max_pool2d(self.down2(a), 2)
        d = F.interpolate(self.up1(torch.cat((self.bottom(b), b), 1)), scale_factor=2)
        e = F.interpolate(self.up2(torch.cat((d, a), 1)), scale_factor=2)
        return self.last(torch.cat((e, x), 1))


def adam(parameters, fused, capturable=False):
    return torch.optim.Adam(parameters, lr=1e-3, fused=fused, capturable=capturable)


def sgd(parameters, fused, capturable=False):
    """Unlike Adam, SGD needs no `capturable` option."""
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=5e-4, fused=fused)


def plain_net(channels, depth):
    layers = []
    for i in range(depth):
        layers += [nn.Conv2d(channels if i else 3, channels, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


@dataclass(frozen=True)
class Net:
    """A net with its input: `image` is (C,H,W), `label` the shape of the labels of one image."""

    build: Callable
    optimizer: Callable
    batch: int
    image: tuple
    label: tuple = ()
    classes: int = 10


NETS = {
    "mnist": Net(mnist, adam, 64, (1, 28, 28)),
    "cifar": Net(cifar, adam, 64, (3, 32, 32)),
    "resnet18": Net(resnet18, sgd, 32, (3, 32, 32)),
    "unet": Net(Unet, adam, 100, (1, 32, 32), (32, 32), 24),
}


def plain(side, channels, depth):
    """The net of `chainrule throughput --net plain` of this size."""
    return Net(lambda: plain_net(channels, depth), adam, 32, (3, side, side))
