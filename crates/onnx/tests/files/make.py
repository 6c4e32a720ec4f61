"""Makes the files of this folder by PyTorch's two exporters: for each net NAME.onnx, NAME.input.pb and NAME.output.pb.

make.py FOLDER         small nets, as checked in here
make.py FOLDER --full  folders for the example run_tests: torchvision's ResNet-18, ResNet-50, VGG-11 and SqueezeNet, and the nets of the
                       programs (LeNet, the net of reports, a U-Net) in their usual sizes
Needs torch, torchvision, onnx and onnxscript (made with torch 2.15.0, onnxscript 0.7.2).
"""

import pathlib
import sys

import onnx
import torch
from torch import nn
from torch.nn import functional as F


def conv(i, o, act=nn.ReLU):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), act())


class LeNet(nn.Module):
    def __init__(self, side=12, channels=(3, 4), hidden=16):
        super().__init__()
        a, b = channels
        self.conv1, self.conv2 = nn.Conv2d(1, a, 3, padding=1), nn.Conv2d(a, b, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(b * (side // 4) ** 2, hidden), nn.Linear(hidden, 10)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.tanh(self.conv2(x)), 2)
        return self.fc2(self.dropout(F.relu(self.fc1(torch.flatten(x, 1)))))


class UNet(nn.Module):
    def __init__(self, n=3, colors=4):
        super().__init__()
        self.down1, self.down2, self.middle = conv(1, n), conv(n, 2 * n), conv(2 * n, 2 * n)
        self.up1, self.up2, self.last = conv(4 * n, n), conv(2 * n, colors), nn.Conv2d(colors + 1, colors, 3, padding=1)

    def forward(self, x):
        one = F.max_pool2d(self.down1(x), 2)
        two = F.max_pool2d(self.down2(one), 2)
        y = F.interpolate(self.up1(torch.cat([self.middle(two), two], 1)), scale_factor=2)
        y = F.interpolate(self.up2(torch.cat([y, one], 1)), scale_factor=2)
        return self.last(torch.cat([y, x], 1))


class Activations(nn.Module):
    def forward(self, x):
        parts = [
            F.gelu(x), F.gelu(x, approximate="tanh"), F.silu(x), F.mish(x), F.hardswish(x), F.hardsigmoid(x), F.leaky_relu(x, 0.1),
            F.elu(x, 0.7), F.selu(x), F.softplus(x), torch.sigmoid(x), F.relu6(x), x.clamp(-0.5, 0.5), F.softmax(x, 1),
            F.log_softmax(x, -1), x.abs().sqrt(), (x * x).mean((2, 3), keepdim=True) + x, x.amax(1, keepdim=True) - x,
        ]
        return torch.cat(parts, 1)


class Shapes(nn.Module):
    """What depends on the batch size: views, slices, padding, transposed convolutions, pooling."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.norm, self.slope = nn.GroupNorm(2, 4), nn.PReLU(4)

    def forward(self, x):
        x = self.slope(self.norm(x))
        y = F.pad(self.up(x[:, :, ::2, 1:]), (1, 0, 0, 2))
        y = F.interpolate(y, scale_factor=2, mode="bilinear")
        y = F.avg_pool2d(y, 3, 2, padding=1).reshape(x.shape[0], 2, -1).transpose(1, 2)
        return y.unsqueeze(1) @ y.new_ones(2, 3) + x.view(x.size(0), -1).sum(1).reshape(-1, 1, 1, 1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.down = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False), nn.Conv2d(4, 6, 1, stride=2, bias=False)
        self.one, self.two = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False), nn.Conv2d(6, 6, 3, padding=1, groups=3)
        self.norms = nn.ModuleList([nn.BatchNorm2d(n) for n in (4, 6, 6, 6)])
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        x = F.relu(self.norms[0](self.stem(x)))
        y = self.norms[2](self.two(F.relu(self.norms[1](self.one(x)))))
        x = F.relu(y + self.norms[3](self.down(x)))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def report():
    layers = []
    for a, b, c, p in [(3, 6, 10, 1), (10, 20, 40, 1), (40, 80, 160, 2)]:
        layers += [nn.Conv2d(a, b, 3, padding=p), nn.BatchNorm2d(b), nn.ReLU(), nn.Conv2d(b, c, 3, padding=p), nn.ReLU(), nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.LazyLinear(1024), nn.ReLU(), nn.Linear(1024, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 10)]
    net = nn.Sequential(*layers, *head)
    net(torch.zeros(2, 3, 32, 32))
    return net


def write(path, tensor):
    path.write_bytes(onnx.numpy_helper.from_array(tensor.numpy()).SerializeToString())


def export(net, shape, script, model, inputs, outputs):
    torch.manual_seed(1)
    x = torch.randn(5, *shape)
    if script:
        torch.onnx.export(net, (x[:2],), model, dynamo=False, dynamic_axes={"input": {0: "n"}}, input_names=["input"], output_names=["output"], verbose=False)
    else:
        torch.onnx.export(net, (x[:2],), model, dynamo=True, dynamic_shapes=({0: torch.export.Dim("n")},), external_data=False, verbose=False)
    write(inputs, x)
    write(outputs, net(x).detach())


folder, full = pathlib.Path(sys.argv[1]), "--full" in sys.argv
torch.manual_seed(0)
if full:
    import torchvision.models as m

    nets = [("lenet", LeNet(28, (8, 16), 128), (1, 28, 28)), ("report", report(), (3, 32, 32)), ("unet", UNet(32, 24), (1, 32, 32))]
    nets += [(name, getattr(m, name)(), (3, 224, 224)) for name in ("resnet18", "resnet50", "squeezenet1_1", "vgg11_bn")]
else:
    nets = [("lenet", LeNet(), (1, 12, 12)), ("unet", UNet(), (1, 8, 8)), ("activations", Activations(), (2, 3, 4)),
            ("shapes", Shapes(), (4, 8, 7)), ("block", Block(), (3, 9, 9))]
for name, net, shape in nets:
    # So that running statistics are not those of a new net.
    with torch.no_grad():
        net.train()(torch.randn(4, *shape))
    net.eval()
    for kind in ("torchscript", "dynamo"):
        try:
            if full:
                place = folder / f"{name}-{kind}"
                data = place / "test_data_set_0"
                data.mkdir(parents=True, exist_ok=True)
                export(net, shape, kind == "torchscript", place / "model.onnx", data / "input_0.pb", data / "output_0.pb")
            else:
                stem = folder / f"{name}-{kind}"
                export(net, shape, kind == "torchscript", f"{stem}.onnx", folder / f"{name}.input.pb", folder / f"{name}.output.pb")
            print(name, kind)
        except Exception as error:
            print(name, kind, "FAILED", type(error).__name__, str(error)[:300])
