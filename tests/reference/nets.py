"""Names and shapes of the parameters and buffers of torchvision's nets, and their numbers of parameters.

    pip install torch==2.15.0 torchvision==0.29.2 numpy
    python tests/reference/nets.py        # writes nets.json; with --check compares instead

Made with torch 2.15.0 and torchvision 0.29.2. `state` is that of `state_dict()`, in its order. `resnet18_cifar` and the
VGGs with a head for CIFAR are torchvision's nets with those modules replaced that chainrule replaces. The script also asserts how
torchvision draws the initial weights.
"""

import math

import torch
import torchvision
from torch import nn
from torchvision.models import resnet18, resnet34, resnet50, vgg11, vgg11_bn, vgg16, vgg16_bn

from common import write_or_check


def resnet18_cifar():
    net = resnet18(num_classes=10)
    net.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    net.maxpool = nn.Identity()
    return net


def with_cifar_head(vgg):
    net = vgg(num_classes=10)
    net.avgpool = nn.AdaptiveAvgPool2d(1)
    net.classifier = nn.Sequential(nn.Linear(512, 10))
    return net


def mean_square(weight):
    return (weight.detach().double() ** 2).mean().item()


def assert_initialization():
    """The schemes of torchvision that chainrule's nets follow."""
    for net in (resnet18(), resnet50(), vgg11_bn(), vgg16(), vgg16_bn()):
        for name, module in net.named_modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
                assert math.isclose(mean_square(module.weight), 2 / fan_out, rel_tol=0.06), name
                assert module.bias is None or (module.bias == 0).all(), name
            elif isinstance(module, nn.BatchNorm2d):
                assert (module.weight == 1).all() and (module.bias == 0).all(), name
            elif isinstance(module, nn.Linear) and hasattr(net, "classifier"):
                assert math.isclose(mean_square(module.weight), 0.01**2, rel_tol=0.06), name
                assert (module.bias == 0).all(), name
            elif isinstance(module, nn.Linear):
                bound = 1 / math.sqrt(module.in_features)
                assert module.weight.abs().max() <= bound * (1 + 1e-6), name
                assert math.isclose(mean_square(module.weight), bound**2 / 3, rel_tol=0.06), name


def case(name, net, image):
    with torch.no_grad():
        output = list(net.eval()(torch.zeros(1, *image)).shape)
    return {
        "name": name,
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "image": image,
        "output": output,
        "state": [[key, list(value.shape)] for key, value in net.state_dict().items()],
    }


def main():
    torch.manual_seed(0)
    assert_initialization()
    cases = [
        case("resnet18", resnet18(), [3, 224, 224]),
        case("resnet34", resnet34(), [3, 224, 224]),
        case("resnet50", resnet50(), [3, 224, 224]),
        case("resnet18_cifar", resnet18_cifar(), [3, 32, 32]),
        case("vgg11", vgg11(), [3, 224, 224]),
        case("vgg11_bn", vgg11_bn(), [3, 224, 224]),
        case("vgg16", vgg16(), [3, 224, 224]),
        case("vgg16_bn", vgg16_bn(), [3, 224, 224]),
        case("vgg16_cifar", with_cifar_head(vgg16), [3, 32, 32]),
        case("vgg16_bn_cifar", with_cifar_head(vgg16_bn), [3, 32, 32]),
    ]
    write_or_check(__file__, {"torchvision": torchvision.__version__.split("+")[0]}, cases)


main()
