#!/usr/bin/env python3
"""Compares saliency and Grad-CAM of `chainrule predict --explain` with PyTorch's, for the same weights and images.

    pip install torch==2.15.0 numpy safetensors
    chainrule mnist --epochs 1 --save net.safetensors
    chainrule predict net.safetensors photo.jpg --explain why
    python scripts/compare_explain.py net.safetensors why/*.npz

For checkpoints of `--net small` without other settings of the net. Saliency is autograd's |dscore/dx|, of the channels the largest;
Grad-CAM is written from the paper (arXiv 1610.02391) with a hook on the last pooling layer. Prints the largest difference,
relative to the largest number, and fails above 1e-5.
"""

import sys

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F


def small_net(weights):
    layers = {}
    for name in ("conv1", "conv2"):
        outputs, inputs, kernel, _ = weights[f"{name}.weight"].shape
        layers[name] = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    for name in ("fc1", "fc2"):
        layers[name] = nn.Linear(*reversed(weights[f"{name}.weight"].shape))
    for name, layer in layers.items():
        layer.load_state_dict({key: weights[f"{name}.{key}"] for key in ("weight", "bias")})
    return nn.Sequential(
        layers["conv1"], nn.ReLU(), nn.MaxPool2d(2), layers["conv2"], nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), layers["fc1"], nn.ReLU(), layers["fc2"],
    ).eval()  # fmt: skip


def explain(net, image):
    """(class, saliency, Grad-CAM) for the most probable class of an image (1,C,H,W)."""
    seen = []
    hook = net[5].register_forward_hook(lambda module, inputs, output: seen.append(output))
    x = image.clone().requires_grad_()
    scores = net(x)[0]
    hook.remove()
    dx, dmaps = torch.autograd.grad(scores.max(), (x, seen[0]))
    cam = F.relu((dmaps.mean((2, 3), keepdim=True) * seen[0]).sum(1, keepdim=True))
    cam = F.interpolate(cam, size=image.shape[2:], mode="bilinear", align_corners=False)
    return scores.argmax().item(), dx.abs().amax(1)[0], cam.detach()[0, 0]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    weights = {name.removeprefix("model."): values for name, values in load_file(sys.argv[1]).items()}
    net, failed = small_net(weights), False
    for path in sys.argv[2:]:
        arrays = np.load(path)
        label, *pictures = explain(net, torch.from_numpy(arrays["input"]))
        for name, expected in zip(("saliency", "grad_cam"), pictures):
            found = torch.from_numpy(arrays[name])
            difference = ((found - expected).abs().max() / expected.abs().max()).item()
            failed |= not difference <= 1e-5
            print(f"{path}: class {label}, {name}: largest {expected.max():.4g}, relative difference {difference:.1e}")
    sys.exit(failed)


main()
