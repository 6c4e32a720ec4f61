"""Saliency and Grad-CAM of nets at inference, by PyTorch's autograd and a hook.

    pip install torch==2.15.0 numpy
    python tests/reference/inspect_nets.py        # writes inspect_nets.json; with --check compares instead

Made with torch 2.15.0, in f64. Weights, buffers and images are functions of their place, which `value` computes and
`tests/inspect_nets.rs` computes again. Grad-CAM is written from the paper (arXiv 1610.02391), with the maps enlarged
by `interpolate(mode="bilinear", align_corners=False)`.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from common import write_or_check


def value(tensor, count):
    """Numbers in [-1, 1) that look random: the top bits of a multiplicative hash of the place."""
    i = np.arange(count, dtype=np.uint64)
    hashed = (i * np.uint64(2654435761) + np.uint64((tensor + 1) * 40503)) * np.uint64(6364136223846793005)
    return torch.from_numpy((hashed >> np.uint64(33)).astype(np.float64) / 2.0**30 - 1)


def fill(net):
    """Weights as large as their fan-in wants, positive variances and scales of normalizations."""
    net.double().eval()
    for index, (name, tensor) in enumerate(net.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            continue
        values = value(index, tensor.numel())
        if tensor.dim() > 1:
            values *= math.sqrt(6 / (tensor.numel() // tensor.shape[0]))
        elif name.endswith("running_var") or ("bn" in name and name.endswith("weight")):
            values = 1 + 0.5 * values
        else:
            values *= 0.1
        tensor.copy_(values.reshape(tensor.shape))


class Small(nn.Module):
    def __init__(self, image, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(image[0], 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc1 = nn.Linear(16 * (image[1] // 4) * (image[2] // 4), 128)
        self.fc2 = nn.Linear(128, classes)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.last = nn.Identity()

    def forward(self, x):
        x = self.pool(self.relu(self.conv1(x)))
        x = self.last(self.pool(self.relu(self.conv2(x))))
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class Block(nn.Module):
    def __init__(self, from_, to, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(from_, to, 3, stride, 1, bias=False), nn.BatchNorm2d(to)
        self.conv2, self.bn2 = nn.Conv2d(to, to, 3, 1, 1, bias=False), nn.BatchNorm2d(to)
        self.added, self.stride = to - from_, stride

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added)))


class ResNet20(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        stage = lambda a, b, stride: nn.Sequential(Block(a, b, stride), Block(b, b, 1), Block(b, b, 1))
        self.layer1, self.layer2, self.layer3 = stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2)
        self.fc = nn.Linear(64, classes)

    @property
    def last(self):
        return self.layer3

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


def inspect(net, layer, images, classes):
    """(saliency, Grad-CAM at the output of a layer), each (N,H,W)."""
    seen = []
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    x = images.clone().requires_grad_()
    scores = net(x)[torch.arange(len(x)), classes].sum()
    hook.remove()
    (maps,) = seen
    dx, dmaps = torch.autograd.grad(scores, (x, maps))
    cam = F.relu((dmaps.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True))
    cam = F.interpolate(cam, size=x.shape[2:], mode="bilinear", align_corners=False)
    return dx.abs().amax(1), cam.detach()[:, 0]


def case(name, net, layer, path, image, classes):
    images = value(1000, len(classes) * math.prod(image)).reshape(len(classes), *image)
    fill(net)
    saliency, cam = inspect(net, layer, images, torch.tensor(classes))
    assert (cam > 0).any() and (saliency > 0).any(), name
    rows = lambda maps: [row.tolist() for row in maps.flatten(1)]
    return {"name": name, "path": path, "image": list(image), "classes": classes,
            "saliency": rows(saliency), "cam": rows(cam)}  # fmt: skip


if __name__ == "__main__":
    gray, color, residual = Small((1, 12, 12), 10), Small((3, 12, 16), 5), ResNet20(10)
    write_or_check(__file__, {}, [
        case("small, gray", gray, gray.last, "conv2.max_pool2d", (1, 12, 12), [3, 7]),
        case("small, color", color, color.last, "conv2.max_pool2d", (3, 12, 16), [0, 4]),
        case("resnet20", residual, residual.last, "layer3.2.bn2.relu", (3, 16, 16), [1]),
    ])  # fmt: skip
