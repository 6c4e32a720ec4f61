#!/usr/bin/env python3
"""The training runs of `chainrule mnist` and `chainrule cifar10` in eager PyTorch, for comparison.

    pip install torch==2.15.0 numpy
    python scripts/torch_baseline.py --data-dir DIR                                  # MNIST, IDX files, raw or .gz
    python scripts/torch_baseline.py --dataset cifar10 --net small --data-dir DIR    # CIFAR-10 binary batches
    python scripts/torch_baseline.py --dataset cifar10 --classes cat,dog --loss bce \
        --train-images 3000 --validation 1000 --lr 1e-4 --epochs 120 --data-dir DIR  # as `sweep --preset losses`

Prints one JSON object per line: a start event, an event per epoch and a result, with the keys of the program's --json
output, except weights_sha256, since the weights differ. `train_loss` and `train_accuracy` are collected during
training: the loss is averaged over batches, the accuracy over images. The `seconds` of an epoch cover only its
training, without evaluation and loading; those of the result cover the whole run after loading.

The data are one float tensor in memory, scaled to [-1, 1], which each epoch indexes by a random permutation: no
DataLoader, no worker processes, no transforms. This is the fastest simple loop that a user would write.
--channels-last and --fused enable PyTorch's two inexpensive optimizations on a CPU.
"""

import argparse
import gzip
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def read_idx(directory, name):
    """An IDX file of unsigned bytes, https://yann.lecun.com/exdb/mnist: big-endian dimensions, then the values."""
    raw, packed = directory / name, directory / f"{name}.gz"
    if raw.exists():
        content = raw.read_bytes()
    elif packed.exists():
        content = gzip.decompress(packed.read_bytes())
    else:
        sys.exit(f"neither {raw} nor {packed.name} found; --data-dir must be the directory of the four MNIST IDX files")
    if content[:3] != b"\0\0\x08":
        sys.exit(f"{raw}: not an IDX file of unsigned bytes")
    ndim = content[3]
    shape = np.frombuffer(content, ">u4", ndim, 4).astype(int)
    return np.frombuffer(content, np.uint8, int(shape.prod()), 4 + 4 * ndim).reshape(shape)


def read_mnist(directory):
    for split in ("train", "t10k"):
        images = read_idx(directory, f"{split}-images-idx3-ubyte")
        yield images[:, None], read_idx(directory, f"{split}-labels-idx1-ubyte")


def read_cifar10(directory):
    """Records of 1 label byte and 3072 pixel bytes: the R, G and B planes, each 32 x 32."""
    for names in ([f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"]):
        for name in names:
            if not (directory / name).exists():
                sys.exit(f"{directory / name}: not found; --data-dir must be the directory cifar-10-batches-bin")
        records = np.concatenate([np.fromfile(directory / name, np.uint8).reshape(-1, 3073) for name in names])
        yield records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]


def load(dataset, directory, device):
    """(images, labels) of the training and the test set, images (N,C,H,W) scaled to [-1, 1]."""
    read = read_mnist if dataset == "mnist" else read_cifar10
    scaled = lambda images: torch.from_numpy(images.astype(np.float32)).div_(127.5).sub_(1.0)
    return [
        (scaled(images).to(device), torch.from_numpy(labels.astype(np.int64)).to(device))
        for images, labels in read(directory)
    ]


CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def only(classes, images, labels):
    """The images of these classes, whose labels become 0, 1, ..."""
    new = torch.full((len(CIFAR10),), -1, device=labels.device)
    new[sorted(CIFAR10.index(name) for name in classes)] = torch.arange(len(classes), device=labels.device)
    labels = new[labels]
    return images[labels >= 0], labels[labels >= 0]


def objective(kind):
    """(loss of logits and labels, predicted classes of logits). For bce and mse the net has a single output, whose
    sigmoid is the probability of class 1."""
    if kind == "cross-entropy":
        return F.cross_entropy, lambda logits: logits.argmax(1)
    predicted = lambda logits: (logits[:, 0] > 0).long()
    if kind == "bce":
        return lambda logits, labels: F.binary_cross_entropy_with_logits(logits[:, 0], labels.float()), predicted
    return lambda logits, labels: F.mse_loss(logits[:, 0].sigmoid(), labels.float()), predicted


def activation(name):
    if name.startswith("leaky:"):
        return nn.LeakyReLU(float(name.removeprefix("leaky:")))
    return {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "swish": nn.SiLU, "mish": nn.Mish}[name]()


def small_net(args, in_channels, side):
    first, second = args.channels
    act, conv_act = lambda: activation(args.activation), lambda: activation(args.conv_activation)
    return nn.Sequential(
        nn.Conv2d(in_channels, first, args.kernel, padding=args.kernel // 2), conv_act(), nn.MaxPool2d(2),
        nn.Conv2d(first, second, args.kernel, padding=args.kernel // 2), conv_act(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * (side // 4) ** 2, 128), act(),
        *([nn.Dropout(args.dropout)] if args.dropout else []),
        nn.Linear(128, args.outputs),
    )  # fmt: skip


def report_net(args):
    """The batch-norm net for CIFAR-10. Padding 2 enlarges the image; sizes: 32, pool 16, 18, pool 9, 11, 13, pool 6."""
    act, conv_act = lambda: activation(args.activation), lambda: activation(args.conv_activation)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), conv_act(),
        nn.Conv2d(6, 10, 3, padding=1), conv_act(), nn.MaxPool2d(2),
        nn.Conv2d(10, 20, 3, padding=1), nn.BatchNorm2d(20), conv_act(),
        nn.Conv2d(20, 40, 3, padding=2), conv_act(), nn.MaxPool2d(2), nn.Dropout(0.1),
        nn.Conv2d(40, 80, 3, padding=2), nn.BatchNorm2d(80), conv_act(),
        nn.Conv2d(80, 160, 3, padding=2), conv_act(), nn.MaxPool2d(2), nn.Dropout(0.1),
        nn.Flatten(),
        nn.Linear(160 * 6 * 6, 1024), act(),
        nn.Linear(1024, 128), act(), nn.Dropout(0.1),
        nn.Linear(128, 10),
    )  # fmt: skip


def make_optimizer(args, parameters):
    fused = {"fused": True} if args.fused else {}
    if args.optimizer == "adam":
        return torch.optim.Adam(parameters, args.lr, **fused)
    if args.optimizer == "adamw":
        return torch.optim.AdamW(parameters, args.lr, **fused)
    momentum = 0.0 if args.optimizer == "sgd" else 0.9
    return torch.optim.SGD(parameters, args.lr, momentum, nesterov=args.optimizer == "nesterov", **fused)


def train_epoch(net, optimizer, images, labels, batch_size, kind):
    net.train()
    order = torch.randperm(len(images))
    loss_of, predicted = objective(kind)
    loss_sum, correct, batches = 0.0, 0, 0
    for index in order.split(batch_size):
        x, target = images[index], labels[index]
        logits = net(x)
        loss = loss_of(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.item()
        correct += (predicted(logits.detach()) == target).sum().item()
        batches += 1
    return loss_sum / batches, correct / len(images)


@torch.no_grad()
def evaluate(net, images, labels, kind):
    """Returns (mean loss over images, accuracy, accuracy per class)."""
    net.eval()
    loss_of, predicted = objective(kind)
    logits = torch.cat([net(x) for x in images.split(500)])
    correct = (predicted(logits) == labels).double()
    per_class = [correct[labels == c].mean().item() for c in range(labels.max() + 1)]
    return loss_of(logits, labels).item(), correct.mean().item(), per_class


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--dataset", choices=["mnist", "cifar10"], default="mnist")
    parser.add_argument("--net", choices=["small", "report"], default="small", help="report: only for cifar10")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--optimizer", choices=["adam", "adamw", "sgd", "momentum", "nesterov"], default="adam")
    parser.add_argument("--activation", default="relu", help="relu, sigmoid, tanh, swish, mish or leaky:SLOPE")
    parser.add_argument("--conv-activation", help="activation after convolutions [default: --activation]")
    parser.add_argument("--kernel", type=int, choices=[3, 5], default=3)
    parser.add_argument("--channels", type=lambda s: [int(c) for c in s.split(",")], default=[8, 16])
    parser.add_argument("--dropout", type=float, default=0.0, help="dropout between the linear layers of the small net")
    parser.add_argument("--loss", choices=["cross-entropy", "bce", "mse"], default="cross-entropy")
    parser.add_argument("--classes", type=lambda s: s.split(","), help="only these of CIFAR-10; two for bce and mse")
    parser.add_argument("--train-images", type=int, help="only so many images, drawn by the seed")
    parser.add_argument("--validation", type=int, default=0, help="so many of them are held out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--fused", action="store_true", help="use the fused optimizer")
    args = parser.parse_args()
    args.conv_activation = args.conv_activation or args.activation
    for flag, name in (("--activation", args.activation), ("--conv-activation", args.conv_activation)):
        try:
            activation(name)
        except (KeyError, ValueError):
            parser.error(f"{flag} {name}: not one of relu, sigmoid, tanh, swish, mish, leaky:SLOPE")
    if len(args.channels) != 2:
        parser.error("--channels: expected two integers, such as 8,16")
    if args.net == "report" and args.dataset == "mnist":
        parser.error("--net report requires --dataset cifar10")
    if args.classes and (args.dataset != "cifar10" or not set(args.classes) <= set(CIFAR10)):
        parser.error(f"--classes: expected some of {','.join(CIFAR10)}, with --dataset cifar10")
    if args.loss != "cross-entropy" and (args.net == "report" or len(args.classes or []) != 2):
        parser.error(f"--loss {args.loss} requires --net small and two --classes")
    args.outputs = 1 if args.loss != "cross-entropy" else len(args.classes or CIFAR10)
    return args


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def main():
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    (images, labels), test = load(args.dataset, args.data_dir, args.device)
    torch.manual_seed(args.seed)
    if args.classes:
        (images, labels), test = only(args.classes, images, labels), only(args.classes, *test)
    if args.train_images or args.validation:
        order = torch.randperm(len(images))[: args.train_images]
        validation = images[order[: args.validation]], labels[order[: args.validation]]
        images, labels = images[order[args.validation :]], labels[order[args.validation :]]
    net = report_net(args) if args.net == "report" else small_net(args, images.shape[1], images.shape[-1])
    net = net.to(args.device)
    if args.channels_last:
        net = net.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    optimizer = make_optimizer(args, net.parameters())
    flags = {key: str(value) if key == "data_dir" else value for key, value in vars(args).items()}
    emit("start", program=f"torch_baseline, PyTorch {torch.__version__}", device=args.device, threads=args.threads,
         seed=args.seed, parameters=sum(p.numel() for p in net.parameters()), flags=flags)  # fmt: skip

    start, test_accuracy, per_class = time.perf_counter(), None, None
    for epoch in range(1, args.epochs + 1):
        epoch_start = time.perf_counter()
        train_loss, train_accuracy = train_epoch(net, optimizer, images, labels, args.batch_size, args.loss)
        seconds = time.perf_counter() - epoch_start
        test_loss, test_accuracy, per_class = evaluate(net, *test, args.loss)
        more = {}
        if args.validation:
            more["validation_loss"], more["validation_accuracy"], _ = evaluate(net, *validation, args.loss)
        emit("epoch", epoch=epoch, train_loss=train_loss, train_accuracy=train_accuracy, test_loss=test_loss,
             test_accuracy=test_accuracy, **more, seconds=seconds, images_per_second=len(images) / seconds)  # fmt: skip
    emit("result", test_accuracy=test_accuracy, per_class=per_class, seconds=time.perf_counter() - start)


if __name__ == "__main__":
    main()
