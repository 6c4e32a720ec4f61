"""The ranges of PyTorch's initial weights, as numbers.

    pip install torch==2.15.0 numpy
    python tests/reference/initialization.py        # writes initialization.json; with --check compares instead

Made with torch 2.15.0. A `bound` is that of U(-bound, bound), a `std` that of N(0, std²). The numbers are computed from the
formulas below; the script asserts that what PyTorch draws has the mean, spread and extremes that they imply.

    fan_in  = inputs of one output:  Linear weight (out, in): in;  Conv2d weight (O, C/groups, kh, kw): C/groups · kh · kw
    fan_out = out;  O · kh · kw
    ConvTranspose2d's weight is (C, O/groups, kh, kw), and PyTorch reads it as if it were Conv2d's: its "fan_in" is
    O/groups · kh · kw, its "fan_out" C · kh · kw. Its default bounds, bias included, follow from that.
    defaults of the three layers   weight U(±1/sqrt(fan_in)), which is kaiming_uniform with a = sqrt 5; bias U(±1/sqrt(fan_in))
    BatchNorm                      weight 1, bias 0, running mean 0, running variance 1
    kaiming_uniform                bound gain · sqrt(3 / fan)      kaiming_normal  std gain / sqrt(fan)
    xavier_uniform                 bound gain · sqrt(6 / (fan_in + fan_out))
    xavier_normal                  std gain · sqrt(2 / (fan_in + fan_out))
    gain                           linear, sigmoid 1;  tanh 5/3;  relu sqrt 2;  leaky_relu sqrt(2 / (1 + slope²))
"""

import math

import torch
from torch import nn
from torch.nn import init

from common import write_or_check

DRAWS = 100_000

LAYERS = [
    ("Linear", dict(in_features=784, out_features=128), nn.Linear, 784, 128),
    ("Linear", dict(in_features=5, out_features=3), nn.Linear, 5, 3),
    ("Conv2d", dict(in_channels=8, out_channels=16, kernel_size=3), nn.Conv2d, 72, 144),
    ("Conv2d", dict(in_channels=4, out_channels=6, kernel_size=[3, 5], groups=2), nn.Conv2d, 30, 90),
    ("ConvTranspose2d", dict(in_channels=8, out_channels=16, kernel_size=3), nn.ConvTranspose2d, 144, 72),
    ("ConvTranspose2d", dict(in_channels=4, out_channels=6, kernel_size=3, groups=2), nn.ConvTranspose2d, 27, 36),
]
GAINS = [
    ("linear", None, 1.0),
    ("sigmoid", None, 1.0),
    ("tanh", None, 5 / 3),
    ("selu", None, 3 / 4),
    ("relu", None, math.sqrt(2)),
    ("leaky_relu", 0.2, math.sqrt(2 / (1 + 0.2**2))),
]
WEIGHTS = [((128, 784), 784, 128), ((16, 8, 3, 3), 72, 144)]


def draw(make):
    """At least DRAWS values of what `make` draws, one tensor after another."""
    first = make().detach().flatten()
    rounds = -(-DRAWS // len(first))
    return torch.cat([first] + [make().detach().flatten() for _ in range(rounds - 1)]).double()


def assert_uniform(values, bound, what):
    assert values.abs().max() <= bound * (1 + 1e-6), what
    assert values.max() > 0.99 * bound and values.min() < -0.99 * bound, what
    assert math.isclose(values.std().item(), bound / math.sqrt(3), rel_tol=0.02), what
    assert abs(values.mean().item()) < 0.02 * bound, what


def assert_normal(values, std, what):
    assert math.isclose(values.std().item(), std, rel_tol=0.02), what
    assert abs(values.mean().item()) < 0.02 * std, what
    assert values.abs().max() > 3.5 * std, what


def defaults():
    for name, args, layer, fan_in, fan_out in LAYERS:
        shape = list(layer(**args).weight.shape)
        assert init._calculate_fan_in_and_fan_out(torch.empty(shape)) == (fan_in, fan_out), (name, shape)
        bound = 1 / math.sqrt(fan_in)
        assert_uniform(draw(lambda: layer(**args).weight), bound, f"{name} weight {args}")
        assert_uniform(draw(lambda: torch.cat([layer(**args).bias for _ in range(50)])), bound, f"{name} bias {args}")
        fans = dict(weight_shape=shape, fan_in=fan_in, fan_out=fan_out)
        yield dict(name=f"default {name}", args=args, **fans, weight_bound=bound, bias_bound=bound)
    norm = nn.BatchNorm2d(3)
    values = dict(weight=1.0, bias=0.0, running_mean=0.0, running_var=1.0)
    assert all((getattr(norm, key) == value).all() for key, value in values.items())
    yield dict(name="default BatchNorm", args={}, **values)


def gains():
    for nonlinearity, slope, gain in GAINS:
        assert math.isclose(init.calculate_gain(nonlinearity, slope), gain, rel_tol=1e-15), nonlinearity
        yield dict(name=f"gain {nonlinearity}", args={} if slope is None else dict(slope=slope), gain=gain)


def schemes():
    for shape, fan_in, fan_out in WEIGHTS:
        fans = dict(weight_shape=list(shape), fan_in=fan_in, fan_out=fan_out)
        for mode, fan in (("fan_in", fan_in), ("fan_out", fan_out)):
            for nonlinearity, slope, gain in GAINS[4:]:
                options = dict(a=slope or 0.0, mode=mode, nonlinearity=nonlinearity)
                bound, std = gain * math.sqrt(3 / fan), gain / math.sqrt(fan)
                assert_uniform(draw(lambda: init.kaiming_uniform_(torch.empty(shape), **options)), bound, options)
                yield dict(name="kaiming_uniform", args=options, **fans, bound=bound)
                assert_normal(draw(lambda: init.kaiming_normal_(torch.empty(shape), **options)), std, options)
                yield dict(name="kaiming_normal", args=options, **fans, std=std)
        for gain in (1.0, 5 / 3):
            bound, std = gain * math.sqrt(6 / (fan_in + fan_out)), gain * math.sqrt(2 / (fan_in + fan_out))
            assert_uniform(draw(lambda: init.xavier_uniform_(torch.empty(shape), gain)), bound, f"xavier {shape}")
            yield dict(name="xavier_uniform", args=dict(gain=gain), **fans, bound=bound)
            assert_normal(draw(lambda: init.xavier_normal_(torch.empty(shape), gain)), std, f"xavier {shape}")
            yield dict(name="xavier_normal", args=dict(gain=gain), **fans, std=std)


def main():
    torch.manual_seed(0)
    write_or_check(__file__, {}, [*defaults(), *gains(), *schemes()])


main()
