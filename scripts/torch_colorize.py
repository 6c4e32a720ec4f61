#!/usr/bin/env python3
"""The nets of `chainrule colorize` in PyTorch, for comparison: the same palette, images, batches' size and optimizer.

    pip install torch==2.15.0 numpy
    python scripts/torch_colorize.py --data-dir DIR --checkpoint FILE --net unet     # CIFAR-10 binary batches

The palette is that of a checkpoint of `chainrule colorize`. Prints one JSON object per line: an event per epoch with the keys of
the program's --json output.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from torch_baseline import read_cifar10


def read_palette(path):
    """The colors among the metadata of a safetensors file: an 8-byte length, then a JSON header."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    names = json.loads(header["__metadata__"]["chainrule"])["progress"]["settings"]["classes"].split("\n")
    if not names[0].startswith("#"):
        sys.exit(f"{path}: no palette; give a checkpoint of `chainrule colorize`")
    return torch.tensor([[int(name[i : i + 2], 16) for i in (1, 3, 5)] for name in names])


def load(directory, palette, label):
    """Gray images in [-1, 1] (N,1,32,32) and labels (N,32,32) of the training and the test set of a class."""
    for images, classes in read_cifar10(directory):
        images = torch.from_numpy(images[classes == label].astype(np.int32))
        gray = torch.div(2 * images.sum(1, keepdim=True) + 3, 6, rounding_mode="floor").float() / 127.5 - 1
        labels = torch.zeros(gray.shape[0], 32, 32, dtype=torch.int64)
        least = torch.full(labels.shape, 1 << 30, dtype=torch.int32)
        for index, color in enumerate(palette.to(torch.int32)):
            distance = (images - color[:, None, None]).square().sum(1, dtype=torch.int32)
            labels[distance < least] = index
            least = torch.minimum(least, distance)
        yield gray, labels


class Residual(nn.Module):
    def __init__(self, conv, a, b):
        super().__init__()
        self.body = nn.Sequential(conv(a, b), nn.BatchNorm2d(b), nn.ReLU(), conv(b, b), nn.BatchNorm2d(b))
        self.shortcut = nn.Identity() if a == b else nn.Sequential(nn.Conv2d(a, b, 1), nn.BatchNorm2d(b))

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x))


class Net(nn.Module):
    def __init__(self, kind, nf, kernel, colors):
        super().__init__()
        conv = lambda a, b: nn.Conv2d(a, b, kernel, padding=kernel // 2)
        plain = lambda a, b: nn.Sequential(conv(a, b), nn.BatchNorm2d(b), nn.ReLU())
        stage = (lambda a, b: Residual(conv, a, b)) if kind == "residual" else plain
        self.skips = kind == "unet"
        twice = 2 if self.skips else 1
        self.down1, self.down2, self.middle = stage(1, nf), stage(nf, 2 * nf), stage(2 * nf, 2 * nf)
        self.up1, self.up2 = stage(twice * 2 * nf, nf), stage(twice * nf, colors)
        self.out = conv(colors + (1 if self.skips else 0), colors)

    def forward(self, x):
        join = (lambda a, b: torch.cat([a, b], 1)) if self.skips else (lambda a, b: a)
        double = lambda x: F.interpolate(x, scale_factor=2)
        down1 = F.max_pool2d(self.down1(x), 2)
        down2 = F.max_pool2d(self.down2(down1), 2)
        up1 = double(self.up1(join(self.middle(down2), down2)))
        up2 = double(self.up2(join(up1, down1)))
        return self.out(join(up2, x))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--net", choices=["base", "unet", "residual"], default="base")
    parser.add_argument("--nf", type=int, default=32)
    parser.add_argument("--kernel", type=int, default=3)
    parser.add_argument("--label", type=int, default=7, help="the class of the images; 7 is horse")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    palette = read_palette(args.checkpoint)
    (x, y), (test_x, test_y) = [
        (images.to(args.device), labels.to(args.device)) for images, labels in load(args.data_dir, palette, args.label)
    ]
    net = Net(args.net, args.nf, args.kernel, len(palette)).to(args.device)
    optimizer = torch.optim.Adam(net.parameters(), args.lr)
    for epoch in range(1, args.epochs + 1):
        start, losses, right = time.monotonic(), [], 0
        net.train()
        for batch in torch.randperm(len(x)).split(args.batch_size):
            logits = net(x[batch])
            loss = F.cross_entropy(logits, y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            right += (logits.argmax(1) == y[batch]).sum().item()
        seconds = time.monotonic() - start
        net.eval()
        with torch.no_grad():
            logits = torch.cat([net(part) for part in test_x.split(250)])
            test_loss = F.cross_entropy(logits, test_y).item()
            accuracy = (logits.argmax(1) == test_y).float().mean().item()
        print(json.dumps({
            "event": "epoch", "epoch": epoch, "train_loss": sum(losses) / len(losses),
            "train_accuracy": right / y.numel(), "test_loss": test_loss, "test_accuracy": accuracy,
            "seconds": seconds,
        }), flush=True)


if __name__ == "__main__":
    main()
