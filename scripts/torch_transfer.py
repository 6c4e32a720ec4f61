#!/usr/bin/env python3
"""Training runs of `chainrule transfer` in PyTorch, for comparison: the same weights at the start, the same images in the same order.

    pip install torch==2.15.0 torchvision==0.29.2 safetensors numpy
    python scripts/torch_transfer.py --data-dir cut --cut-from cifar-10-batches-bin
    python scripts/torch_transfer.py --data-dir cut --weights pretrained.safetensors --save-start start.safetensors
    chainrule transfer --data-dir cut --weights start.safetensors --net resnet20 --size 32 --normalize standard \\
        --train fc --optimizer momentum --lr 1e-3 --epochs 5

--cut-from writes some images of CIFAR-10 as PNG files, a folder for each class, and ends. --save-start writes the weights after the
last layer was replaced by a new one; the other program starts from that file. Prints one JSON object per line: an event per epoch
with the keys of the program's --json output.
"""

import argparse
import json
import sys
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from torch_baseline import CIFAR10, read_cifar10

NORMALIZE = {
    "standard": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}


def cut(directory, to, classes, counts):
    """Writes the first images of each class, as many as `counts` says of the training and of the test set."""
    for (images, labels), part, count in zip(read_cifar10(directory), ("train", "test"), counts):
        for name in classes:
            (to / part / name).mkdir(parents=True)
            for i, image in enumerate(images[labels == CIFAR10.index(name)][:count]):
                Image.fromarray(image.transpose(1, 2, 0)).save(to / part / name / f"{i:04}.png")


def load(directory, part, args):
    """The normalized images (N,3,size,size) of a folder and their labels (N), sorted by class and name."""
    folder = torchvision.datasets.ImageFolder(directory / part)
    resize = lambda image: image if image.size == (args.size, args.size) else image.resize([args.size] * 2, Image.BILINEAR)
    pixels = np.stack([np.asarray(resize(image)) for image, _ in folder]).transpose(0, 3, 1, 2)
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in NORMALIZE[args.normalize])
    return (torch.from_numpy(pixels.astype(np.float32)) / 255 - mean) / std, torch.tensor(folder.targets)


def draws(seed, epoch):
    """The random numbers of 32 bits of chainrule's shuffles: Philox4x32-10 (Salmon and others, SC 2011)."""
    index, mask, shuffle = 0, 0xFFFF_FFFF, 2
    while True:
        a, b, c, d = index, 0, epoch, shuffle
        k0, k1 = seed & mask, seed >> 32
        for _ in range(10):
            p, q = a * 0xD251_1F53, c * 0xCD9E_8D57
            a, b, c, d = q >> 32 ^ b ^ k0, q & mask, p >> 32 ^ d ^ k1, p & mask
            k0, k1 = k0 + 0x9E37_79B9 & mask, k1 + 0xBB67_AE85 & mask
        yield from (a, b, c, d)
        index += 1


def shuffled(n, seed, epoch):
    """The order of the images in an epoch of chainrule: Fisher-Yates, with Lemire's integers in a range."""
    numbers, order = draws(seed, epoch), list(range(n))
    for i in range(n - 1, 0, -1):
        wide = next(numbers) * (i + 1)
        while wide & 0xFFFF_FFFF < 2**32 % (i + 1):
            wide = next(numbers) * (i + 1)
        order[i], order[wide >> 32] = order[wide >> 32], order[i]
    return torch.tensor(order)


class Block(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, b // a, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        # Option A of the paper: every second pixel, and channels of zeros.
        if y.shape != x.shape:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return F.relu(y + x)


def resnet20(num_classes):
    layer = lambda a, b: nn.Sequential(Block(a, b), Block(b, b), Block(b, b))
    return nn.Sequential(OrderedDict(
        conv1=nn.Conv2d(3, 16, 3, 1, 1, bias=False), bn1=nn.BatchNorm2d(16), relu=nn.ReLU(),
        layer1=layer(16, 16), layer2=layer(16, 32), layer3=layer(32, 64),
        avgpool=nn.AdaptiveAvgPool2d(1), fc=nn.Linear(64, num_classes),
    ))  # fmt: skip


def is_under(name, paths):
    return any(name == path or name.startswith(path + ".") for path in paths)


def start(args, classes):
    """The net with the weights of a file and a new last layer, or all of them if the file is that of --save-start."""
    make = {"resnet20": resnet20, "resnet18": torchvision.models.resnet18, "vgg16": torchvision.models.vgg16}[args.net]
    net = make(num_classes=classes)
    saved = load_file(args.weights) if args.weights else {}
    # A checkpoint of chainrule has an optimizer's state beside the weights, and no counters.
    saved = {name.removeprefix("model."): x for name, x in saved.items() if name.startswith("model.")} or saved
    names = list(net.state_dict())
    new = [names[-1].rsplit(".", 1)[0]] if args.save_start else []
    optional = lambda name: name.endswith("num_batches_tracked") or is_under(name, new)
    missing = [name for name in names if name not in saved and not optional(name)]
    unexpected = [name for name in saved if name not in names]
    if saved and (missing or unexpected):
        parts = (("missing", missing), ("unexpected", unexpected))
        lists = [f"{what}: {', '.join(found)}" for what, found in parts if found]
        sys.exit(f"{args.weights}: the weights of another net than {args.net}\n  " + "\n  ".join(lists))
    net.load_state_dict({name: x for name, x in saved.items() if not is_under(name, new)}, strict=False)
    if args.save_start:
        save_file({name: x.contiguous() for name, x in net.state_dict().items()}, args.save_start)
    return net


def run(stages, x):
    """A net of torchvision, or a part of it: its children in order."""
    for stage in stages:
        first = stage[0] if isinstance(stage, nn.Sequential) else stage
        x = stage(x.flatten(1) if isinstance(first, nn.Linear) else x)
    return x


@torch.no_grad()
def outputs(stages, x):
    return torch.cat([run(stages, part) for part in x.split(50)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="train/<class>/* and test/<class>/*")
    parser.add_argument("--cut-from", type=Path, metavar="DIR", help="the binary batches of CIFAR-10")
    parser.add_argument("--cut-classes", type=lambda text: text.split(","), default=CIFAR10[5:])
    parser.add_argument("--cut-images", type=int, nargs=2, default=[100, 100], help="of each class, for training and test")
    parser.add_argument("--net", choices=["resnet20", "resnet18", "vgg16"], default="resnet20", help="the last two: torchvision's")
    parser.add_argument("--weights", type=Path, help="a safetensors file; random weights by default")
    parser.add_argument("--save-start", type=Path, metavar="FILE")
    parser.add_argument("--train", type=lambda text: text.split(","), default=["fc"], help="such as layer3,fc; or all")
    parser.add_argument("--frozen-statistics", action="store_true")
    parser.add_argument("--cache-features", action="store_true", help="in memory; needs --frozen-statistics")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--normalize", choices=NORMALIZE, default="standard")
    parser.add_argument("--optimizer", choices=["momentum", "adam"], default="momentum")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.cache_features and not args.frozen_statistics:
        parser.error("--cache-features needs --frozen-statistics")
    if args.cut_from:
        return cut(args.cut_from, args.data_dir, args.cut_classes, args.cut_images)
    torch.manual_seed(args.seed)
    (x, y), (test_x, test_y) = (load(args.data_dir, part, args) for part in ("train", "test"))
    net = start(args, int(y.max()) + 1)

    for path in args.train:
        if path != "all" and not any(is_under(name, [path]) for name, _ in net.named_parameters()):
            parts = ", ".join(name for name, part in net.named_children() if list(part.parameters()))
            sys.exit(f"--train {path}: the net has no parameter there; it has them in {parts}")
    trained = lambda name: "all" in args.train or is_under(name, args.train)
    for name, parameter in net.named_parameters():
        parameter.requires_grad = trained(name)
    stages, first = list(net.children()), 0
    if args.cache_features:
        net.eval()
        first = next(i for i, stage in enumerate(stages) if any(weight.requires_grad for weight in stage.parameters()))
        x, test_x = outputs(stages[:first], x), outputs(stages[:first], test_x)
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    sgd = lambda: torch.optim.SGD(parameters, args.lr, momentum=0.9)
    optimizer = sgd() if args.optimizer == "momentum" else torch.optim.Adam(parameters, args.lr)
    for epoch in range(args.epochs):
        started, losses, right = time.monotonic(), [], 0
        net.train()
        if args.frozen_statistics:
            for name, module in net.named_modules():
                module.training = trained(name)
        for batch in shuffled(len(x), args.seed, epoch).split(args.batch_size):
            logits = run(stages[first:], x[batch])
            loss = F.cross_entropy(logits, y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            right += (logits.argmax(1) == y[batch]).sum().item()
        seconds = time.monotonic() - started
        net.eval()
        logits = outputs(stages[first:], test_x)
        print(json.dumps({
            "event": "epoch", "epoch": epoch + 1, "train_loss": sum(losses) / len(losses), "train_accuracy": right / len(x),
            "test_loss": F.cross_entropy(logits, test_y).item(),
            "test_accuracy": (logits.argmax(1) == test_y).float().mean().item(), "seconds": seconds,
        }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
