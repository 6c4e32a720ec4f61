"""Values, gradients and second-order products of elementwise functions, in f64.

    pip install torch==2.15.0 numpy
    python tests/reference/functions.py                # writes functions.json; with --check compares instead

Made with torch 2.15.0. A case is {name, function, a, b, shapes, y, da, db, dda, ddb}: the inputs and their shapes, which are broadcast, and
the results as flat arrays. With c[i] = ((37 i + 44) mod 101)/50 - 1 of the shape of y, da and db are the gradients of sum(y · c); with e
likewise of the shapes of a and b and 55 in place of 44, dda and ddb are those of sum(da · e) + sum(db · e). A function of one input has no b. "nan", "inf" and
"-inf" are texts.
"""

import math

import torch
from torch.nn import functional as F

from common import write_or_check

WIDE, POSITIVE, UNIT = (-2.1, 2.3), (0.3, 2.5), (-0.9, 0.9)
# PyTorch rounds the α of celu to f32, where 0.75 is exact, and the 1/6 in the gradients of hardsigmoid and hardswish, which are
# composed here.
ONE = {
    "sin": (torch.sin, (-9.0, 9.0)), "cos": (torch.cos, (-9.0, 9.0)), "tan": (torch.tan, (-1.4, 1.4)),
    "asin": (torch.asin, UNIT), "acos": (torch.acos, UNIT), "atan": (torch.atan, (-5.0, 5.0)),
    "sinh": (torch.sinh, WIDE), "cosh": (torch.cosh, WIDE), "expm1": (torch.expm1, WIDE), "log1p": (torch.log1p, (-0.9, 5.0)),
    "log2": (torch.log2, POSITIVE), "log10": (torch.log10, POSITIVE), "erf": (torch.erf, (-3.0, 3.0)), "rsqrt": (torch.rsqrt, POSITIVE),
    "floor": (torch.floor, WIDE), "ceil": (torch.ceil, WIDE), "round": (torch.round, WIDE), "trunc": (torch.trunc, WIDE),
    "sign": (torch.sign, WIDE), "selu": (F.selu, WIDE), "celu": (lambda x: F.celu(x, 0.75), WIDE), "relu6": (F.relu6, (-2.0, 8.0)),
    "hardtanh": (F.hardtanh, WIDE), "hardsigmoid": (lambda x: F.relu6(x + 3) / 6, (-5.0, 5.0)), "hardswish": (lambda x: x * F.relu6(x + 3) / 6, (-5.0, 5.0)),
    "logsigmoid": (F.logsigmoid, (-30.0, 30.0)), "softsign": (F.softsign, WIDE), "glu": (lambda x: F.glu(x, -1), WIDE),
}  # fmt: skip
TWO = {"power": (torch.pow, POSITIVE), "atan2": (torch.atan2, WIDE), "remainder": (torch.remainder, POSITIVE)}
# Arguments at which a gradient is not that of a smooth function, or a range ends.
EDGES = {
    "asin": [-1.0, 1.0, 1.5], "acos": [-1.0, 1.0, 1.5], "log1p": [-1.0, -1.5, math.inf], "log2": [0.0, -1.0, math.inf],
    "log10": [0.0, -1.0, math.inf], "rsqrt": [0.0, math.inf, -1.0], "sin": [0.0, math.inf, 1e22], "cos": [0.0, math.inf, 1e22],
    "tan": [0.0, math.inf, 1e22], "atan": [math.inf, -math.inf, math.nan], "floor": [-2.0, 0.0, math.inf], "ceil": [-2.0, 0.0, math.inf],
    "round": [0.5, 1.5, -2.5], "trunc": [-1.0, 0.0, math.nan], "sign": [0.0, math.inf, -math.inf], "selu": [0.0, -800.0, 800.0],
    "celu": [0.0, -800.0, 800.0], "relu6": [0.0, 6.0, math.inf], "hardtanh": [-1.0, 1.0, -math.inf], "hardsigmoid": [-3.0, 3.0, 0.0],
    "logsigmoid": [0.0, -800.0, 800.0], "softsign": [0.0, 1e300, -1e300], "erf": [0.0, 30.0, -30.0], "sinh": [0.0, 800.0, -800.0],
    "cosh": [0.0, 800.0, -800.0], "expm1": [0.0, -800.0, 1e-20],
}  # fmt: skip


def formula(shape, k, scale=1.0, shift=0.0):
    i = torch.arange(torch.Size(shape).numel())
    return (shift + scale * (((i * 37 + 11 * k) % 101).double() / 50.0 - 1.0)).reshape(shape)


def within(shape, k, low, high):
    return formula(shape, k, (high - low) / 2, (high + low) / 2)


def flat(tensor):
    return [x if math.isfinite(x) else str(x) for x in tensor.detach().flatten().tolist()]


def case(name, function, f, inputs, second=True):
    letters = "ab"[: len(inputs)]
    inputs = [x.clone().requires_grad_() for x in inputs]
    y = f(*inputs)
    first = torch.autograd.grad((y * formula(y.shape, 4)).sum(), inputs, create_graph=True)
    result = {
        "name": name, "function": function, **{letter: flat(x) for letter, x in zip(letters, inputs)},
        "shapes": [list(x.shape) for x in inputs], "y": flat(y), **{f"d{letter}": flat(d) for letter, d in zip(letters, first)},
    }  # fmt: skip
    if second:
        product = sum((d * formula(d.shape, 5)).sum() for d in first)
        zeros = [torch.zeros_like(x) for x in inputs]
        found = torch.autograd.grad(product, inputs, allow_unused=True) if product.requires_grad else zeros
        result |= {f"dd{letter}": flat(zero if d is None else d) for letter, d, zero in zip(letters, found, zeros)}
    return result


def cases():
    for name, (f, between) in ONE.items():
        for shape in ((7,), (3, 4), (2, 1, 6)):
            if name == "glu" and shape == (7,):
                shape = (8,)
            yield case(f"{name} {'×'.join(map(str, shape))}", name, f, [within(shape, 1, *between)])
        if name in EDGES:
            yield case(f"{name} at edges", name, f, [torch.tensor(EDGES[name], dtype=torch.double)], second=False)
    for name, (f, between) in TWO.items():
        for a, b in (((5,), (5,)), ((3, 4), (4,)), ((2, 1), (3, 2, 5))):
            yield case(f"{name} {a} {b}", name, f, [within(a, 1, *between), within(b, 2, *between)])
    zeros = [torch.tensor(x, dtype=torch.double) for x in ([0.0, 0.0, 0.0, 0.0, -2.0, 2.0], [0.0, 2.0, -1.0, 1.0, 2.0, 0.0])]
    yield case("power at edges", "power", torch.pow, zeros, second=False)
    yield case("atan2 at edges", "atan2", torch.atan2, [zeros[0], torch.tensor([0.0, 1.0, -1.0, 5.0, 0.0, 0.0], dtype=torch.double)], second=False)


write_or_check(__file__, {}, list(cases()))
