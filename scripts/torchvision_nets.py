"""Saves torchvision's nets with random weights, and their logits and gradients for two images.

usage: torchvision_nets.py FOLDER NET...

For each net: NAME.f32.pt and NAME.f16.pt by torch.save, NAME.safetensors, and NAME.PRECISION.MODE.expected with the images
(2, 3, 224, 224), the labels, the logits and the gradient of every parameter, in inference mode in f32 and in training mode in f64,
both without dropout. In f32 training mode is no comparison: two images are so few that a rounding error in a variance moves numbers
across the kink of ReLU, and PyTorch's own gradients in f32 and in f64 differ by 2 %.
"""

import sys

import torch
import torchvision
from safetensors.torch import save_file

folder, names = sys.argv[1], sys.argv[2:]
torch.manual_seed(0)
for name in names:
    net = getattr(torchvision.models, name)()
    for module in net.modules():
        # So that inference mode is a test of running statistics.
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    images, labels = torch.randn(2, 3, 224, 224), torch.tensor([3, 8])
    state = {key: value.clone() for key, value in net.state_dict().items()}
    torch.save(state, f"{folder}/{name}.f32.pt")
    torch.save({key: value.half() if value.is_floating_point() else value for key, value in state.items()}, f"{folder}/{name}.f16.pt")
    save_file(state, f"{folder}/{name}.safetensors")
    for precision in ("f32", "f16"):
        for mode in ("eval", "train"):
            net.float().load_state_dict(torch.load(f"{folder}/{name}.{precision}.pt"))
            net.train(mode == "train").to(torch.float64 if mode == "train" else torch.float32)
            for module in net.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.eval()
            net.zero_grad()
            x = images.to(next(net.parameters()).dtype)
            logits = net(x)
            torch.nn.functional.cross_entropy(logits, labels).backward()
            expected = {"images": x, "labels": labels.to(x.dtype), "logits": logits.detach()}
            expected |= {f"gradient.{key}": parameter.grad.contiguous() for key, parameter in net.named_parameters()}
            save_file(expected, f"{folder}/{name}.{precision}.{mode}.expected")
with open(f"{folder}/nets.txt", "w") as file:
    file.write("\n".join(names) + "\n")
