"""Forward values and gradients of the layers and losses, in f64.

    pip install torch==2.15.0 numpy mpmath
    python tests/reference/layers.py                # writes layers.json; with --check compares instead

Made with torch 2.15.0. Tensor number k has at flat index i (row-major)
    formula(i, k) = ((37 i + 11 k) mod 101) / 50 - 1                       in f64, from -1 to 1 in steps of 0.02
unless the case says otherwise. The numbers, also under "k" in the JSON:
    x 1   w (weight, batch norm's gamma) 2   b (bias, batch norm's beta) 3   c 4   t (real-valued target) 5   x2 6
The loss is sum(y · c), c having the shape of y, so that dy = c is not constant; a scalar y has c = formula(0, 4) = -0.12.
A case is {name, op, args, shapes, y_shape, y, dx, dw, db}: shapes of the inputs by letter, then flat arrays.

Exceptions, named in `args`: "x_scale": s and "x_shift": h make x = h + s · formula; likewise "t_scale", "t_shift".
Labels are label[i] = (5 i + 1) mod classes, class weights weight[j] = (j + 1) / 2, pos_weight[j] = (j + 1) / 2.
Batch norm: the gradients are those of the first call in training mode, on x; the second call is on x2. `running_mean`
and `running_var` hold the values after either call; "eval" then runs on x with them.
Cases "..., at extremes" have their inputs in full as flat arrays, and c = 1 everywhere. An activation's values are exact
ones there, by mpmath (0.0 where they are below the smallest double): PyTorch's softplus returns x itself above its threshold of
20, up to 2.1e-9 less than the exact value. BCE bounds its logarithms at -100 and, in the gradient, x(1 - x) at 1e-12:
the f32 nearest to it, so that those gradients are 1e12 to 4e-9 relative.
"""

import mpmath
import torch
from torch import nn
from torch.nn import functional as F

from common import write_or_check

K = dict(x=1, w=2, b=3, c=4, t=5, x2=6)


def formula(shape, letter, scale=1.0, shift=0.0):
    i = torch.arange(torch.Size(shape).numel())
    values = ((i * 37 + 11 * K[letter]) % 101).double() / 50.0 - 1.0
    return (shift + scale * values if (scale, shift) != (1.0, 0.0) else values).reshape(shape)


def flat(tensor):
    return tensor.detach().flatten().tolist()


def case(name, op, f, shapes, args=None, fixed=()):
    """Runs y = f(inputs) and the backward of sum(y · c). `fixed`: inputs without a gradient."""
    args = args or {}
    inputs = {
        letter: formula(shape, letter, args.get(f"{letter}_scale", 1.0), args.get(f"{letter}_shift", 0.0))
        for letter, shape in shapes.items()
    }
    free = {letter: tensor.requires_grad_() for letter, tensor in inputs.items() if letter not in fixed}
    y = f(**inputs)
    (y * formula(y.shape, "c")).sum().backward()
    gradients = {f"d{letter}": flat(tensor.grad) for letter, tensor in free.items()}
    assert all(any(g) for g in gradients.values()), f"{name}: a gradient is zero everywhere"
    return {
        "name": name, "op": op, "args": args, "shapes": {k: list(s) for k, s in shapes.items()},
        "y_shape": list(y.shape), "y": flat(y), **gradients,
    }  # fmt: skip


def convolutions():
    def conv(name, x, w, b=True, transposed=False, **args):
        out = w[1] * args["groups"] if transposed else w[0]
        function = F.conv_transpose2d if transposed else F.conv2d
        shapes = {"x": x, "w": w, **({"b": (out,)} if b else {})}
        run = lambda x, w, b=None: function(x, w, b, **args)
        return case(name, "conv_transpose2d" if transposed else "conv2d", run, shapes, args)

    yield conv("conv2d", (2, 4, 7, 6), (6, 2, 3, 3), stride=[2, 2], padding=[1, 1], dilation=[2, 2], groups=2)
    yield conv("conv2d without bias, uneven in height and width", (2, 2, 4, 7), (3, 2, 2, 3), b=False,
               stride=[1, 2], padding=[0, 1], dilation=[2, 1], groups=1)  # fmt: skip
    yield conv("conv2d 1x1", (3, 2, 2, 3), (4, 2, 1, 1), stride=[1, 1], padding=[0, 0], dilation=[1, 1], groups=1)
    yield conv("conv2d depthwise", (1, 3, 5, 4), (3, 1, 3, 3), stride=[1, 1], padding=[1, 1], dilation=[1, 1], groups=3)
    yield conv("conv_transpose2d", (2, 4, 3, 4), (4, 3, 3, 3), transposed=True,
               stride=[2, 2], padding=[1, 1], output_padding=[1, 1], dilation=[1, 1], groups=2)  # fmt: skip
    yield conv("conv_transpose2d with dilation, uneven in height and width", (1, 2, 3, 2), (2, 3, 2, 3), transposed=True,
               stride=[1, 3], padding=[1, 0], output_padding=[0, 2], dilation=[2, 1], groups=1)  # fmt: skip


def pools_and_upsampling():
    x = (2, 2, 7, 5)
    pool = dict(kernel_size=3, stride=2, padding=1)
    yield case("max_pool2d", "max_pool2d", lambda x: F.max_pool2d(x, **pool), {"x": x}, pool)
    pool = dict(kernel_size=2, stride=2, padding=0)
    yield case("max_pool2d, last row and column unused", "max_pool2d", lambda x: F.max_pool2d(x, **pool), {"x": x}, pool)
    for include in (True, False):
        pool = dict(kernel_size=2, stride=2, padding=1, count_include_pad=include)
        name = f"avg_pool2d, padding {'' if include else 'not '}counted"
        yield case(name, "avg_pool2d", lambda x: F.avg_pool2d(x, **pool), {"x": x}, pool)
    yield case("adaptive_avg_pool2d", "adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, (3, 2)), {"x": x},
               dict(output_size=[3, 2]))  # fmt: skip
    x, sizes = (1, 2, 3, 4), {"twice": (6, 8), "to an odd size": (7, 5)}
    for size_name, size in sizes.items():
        args = dict(output_size=list(size))
        yield case(f"upsample nearest, {size_name}", "upsample_nearest2d",
                   lambda x: F.interpolate(x, size=size, mode="nearest"), {"x": x}, args)  # fmt: skip
        for align in (False, True):
            args = dict(output_size=list(size), align_corners=align)
            yield case(f"upsample bilinear, {size_name}, {'' if align else 'not '}aligned", "upsample_bilinear2d",
                       lambda x: F.interpolate(x, size=size, mode="bilinear", align_corners=align), {"x": x}, args)  # fmt: skip


def batch_norms():
    for layer, shape in ((nn.BatchNorm2d, (4, 3, 2, 3)), (nn.BatchNorm1d, (5, 3))):
        name = "batch_norm2d" if layer is nn.BatchNorm2d else "batch_norm1d"
        norm = layer(3, dtype=torch.float64)
        args = dict(eps=norm.eps, momentum=norm.momentum)
        shapes, statistics = {"x": shape, "w": (3,), "b": (3,)}, {"running_mean": [], "running_var": []}

        def run(x, w, b):
            y = F.batch_norm(x, norm.running_mean, norm.running_var, w, b, norm.training, norm.momentum, norm.eps)
            for key, values in statistics.items():
                values.append(flat(getattr(norm, key)))
            return y

        train = case(f"{name}, training", name, run, shapes, {**args, "training": True})
        x2 = formula(shape, "x2")
        y2 = run(x2, formula((3,), "w"), formula((3,), "b"))
        yield {**train, "y2": flat(y2), **{key: list(values) for key, values in statistics.items()}}
        norm.eval()
        yield case(f"{name}, eval", name, run, shapes, {**args, "training": False})


def losses():
    shape = (5, 4)
    for reduction in ("mean", "sum", "none"):
        for weighted in (False, True):
            for smoothing in (0.0, 0.1):
                yield cross_entropy(shape, reduction, weighted, smoothing)
    for weighted, smoothing in ((False, 0.0), (True, 0.1)):
        yield cross_entropy((2, 3, 2, 3), "mean", weighted, smoothing)
    for shape, reduction, weighted, smoothing in (
        ((5, 4), "mean", False, 0.0), ((5, 4), "mean", True, 0.1), ((5, 4), "sum", True, 0.0), ((5, 4), "none", False, 0.3),
        ((2, 3, 2, 3), "mean", True, 0.1),
    ):  # fmt: skip
        yield soft_cross_entropy(shape, reduction, weighted, smoothing)
    shapes, target = {"x": (4, 3), "t": (4, 3)}, dict(t_scale=0.5, t_shift=0.5)
    for reduction in ("mean", "sum", "none"):
        args = dict(reduction=reduction, x_scale=0.49, x_shift=0.5, **target)
        run = lambda x, t: F.binary_cross_entropy(x, t, reduction=reduction)
        yield case(f"bce, {reduction}", "bce", run, shapes, args, fixed="t")
        for weighted in (False, True):
            pos_weight = (torch.arange(3).double() + 1) / 2 if weighted else None
            args = dict(reduction=reduction, pos_weight=pos_weight.tolist() if weighted else None, x_scale=3.0, x_shift=0.0, **target)
            run = lambda x, t: F.binary_cross_entropy_with_logits(x, t, pos_weight=pos_weight, reduction=reduction)
            name = f"bce_with_logits, {reduction}{', pos_weight' if weighted else ''}"
            yield case(name, "bce_with_logits", run, shapes, args, fixed="t")
        run = lambda x, t: F.mse_loss(x, t, reduction=reduction)
        args = dict(reduction=reduction, t_scale=0.7, t_shift=0.1)
        yield case(f"mse, {reduction}", "mse", run, shapes, args, fixed="t")
    for shape, axis in (((3, 5), 1), ((2, 3, 2, 2), 1), ((3, 5), 0)):
        name = f"log_softmax of {len(shape)} axes along axis {axis}"
        run = lambda x: F.log_softmax(x, axis)
        yield case(name, "log_softmax", run, {"x": shape}, dict(axis=axis, x_scale=3.0, x_shift=0.0))
    saturated = [0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]
    yield extremes("bce", lambda x, t: F.binary_cross_entropy(x, t, reduction="none"), (4,), dict(reduction="none"), *saturated)
    logits = [-1000.0, -1000.0, -30.0, 0.0, 30.0, 1000.0, 1000.0], [0.0, 1.0, 1.0, 0.25, 0.0, 0.0, 1.0]
    yield extremes("bce_with_logits", lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none"), (7,),
                   dict(reduction="none", pos_weight=None), *logits)  # fmt: skip
    logits = [1000.0, 0.0, -1000.0, -1000.0, -1000.0, -999.0]
    yield extremes("log_softmax", lambda x, t: F.log_softmax(x, 1), (2, 3), dict(axis=1), logits)


def regressions():
    """Losses of real-valued targets. t is a constant; w is the second input of those that compare two."""
    shapes = {"x": (4, 3), "t": (4, 3)}
    for reduction in ("mean", "sum", "none"):
        args = dict(reduction=reduction, x_scale=2.0, x_shift=0.0, t_scale=0.7, t_shift=0.1)
        yield case(f"l1, {reduction}", "l1", lambda x, t: F.l1_loss(x, t, reduction=reduction), shapes, args, fixed="t")
        for delta in (0.5, 1.0):
            run = lambda x, t: F.huber_loss(x, t, reduction=reduction, delta=delta)
            yield case(f"huber, {reduction}, delta {delta}", "huber", run, shapes, dict(delta=delta, **args), fixed="t")
            run = lambda x, t: F.smooth_l1_loss(x, t, reduction=reduction, beta=delta)
            yield case(f"smooth_l1, {reduction}, beta {delta}", "smooth_l1", run, shapes, dict(beta=delta, **args), fixed="t")
        for log_target in (False, True):
            target = dict(t_scale=1.0, t_shift=-1.0) if log_target else dict(t_scale=0.5, t_shift=0.5)
            args = dict(reduction=reduction, log_target=log_target, **target)
            run = lambda x, t: F.kl_div(x, t, reduction=reduction, log_target=log_target)
            yield case(f"kl_div, {reduction}{', log target' * log_target}", "kl_div", run, shapes, args, fixed="t")
    errors = [0.5, -0.5, 0.0, 3.0, -3.0]
    for op, f in (("l1", F.l1_loss), ("huber", lambda x, t, reduction: F.huber_loss(x, t, reduction=reduction, delta=0.5)),
                  ("smooth_l1", lambda x, t, reduction: F.smooth_l1_loss(x, t, reduction=reduction, beta=0.5))):  # fmt: skip
        args = dict(reduction="none", delta=0.5, beta=0.5)
        yield extremes(op, lambda x, t: f(x, t, reduction="none"), (5,), args, errors, [0.0] * 5)
    run = lambda x, t: F.kl_div(x, t, reduction="none")
    yield extremes("kl_div", run, (3,), dict(reduction="none", log_target=False), [-1.0, -800.0, -2.0], [0.0, 1.0, 1e-300])


def signs(shape):
    """1 and -1 in turn, but not quite."""
    i = torch.arange(torch.Size(shape).numel())
    return torch.where((3 * i + 1) % 5 < 2, 1.0, -1.0).double().reshape(shape)


def margins():
    for reduction in ("mean", "sum", "none"):
        for margin in (0.3, 1.0):
            def loss(name, f, shapes, over, shift=0.0):
                t = signs(over)
                args = dict(reduction=reduction, margin=margin, signs=flat(t), signs_shape=list(over), x_scale=2.0, x_shift=shift)
                run = lambda **inputs: f(*inputs.values(), t, margin=margin, reduction=reduction)
                return case(f"{name}, {reduction}, margin {margin}", name, run, shapes, args)

            yield loss("hinge_embedding", F.hinge_embedding_loss, {"x": (4, 3)}, (4, 3), shift=0.5)
            yield loss("margin_ranking", F.margin_ranking_loss, {"x": (7,), "w": (7,)}, (7,))
            if margin < 1:
                yield loss("cosine_embedding", F.cosine_embedding_loss, {"x": (5, 3), "w": (5, 3)}, (5,))
    for shape, dim in (((5, 3), 1), ((2, 3, 4), 1), ((2, 3, 4), -1)):
        args = dict(dim=dim, eps=1e-8, x_scale=2.0, x_shift=0.1)
        run = lambda x, w: F.cosine_similarity(x, w, dim=dim, eps=1e-8)
        yield case(f"cosine_similarity of {len(shape)} axes along axis {dim}", "cosine_similarity", run, {"x": shape, "w": shape}, args)


def likelihoods():
    for shape, reduction, weighted, ignored in (
        ((5, 4), "mean", False, None), ((5, 4), "mean", True, None), ((5, 4), "sum", True, 2), ((5, 4), "none", False, 1),
        ((5, 4), "mean", False, 1), ((2, 3, 2, 3), "mean", True, -100), ((2, 3, 2, 3), "none", False, None),
    ):  # fmt: skip
        yield nll(shape, reduction, weighted, ignored)
    for shape, reduction, weighted, smoothing, ignored in (
        ((5, 4), "mean", False, 0.0, 1), ((5, 4), "mean", True, 0.1, 1), ((5, 4), "sum", True, 0.0, 2),
        ((5, 4), "none", False, 0.3, 1), ((2, 3, 2, 3), "mean", True, 0.1, -100),
    ):  # fmt: skip
        yield cross_entropy(shape, reduction, weighted, smoothing, ignored)


def nll(shape, reduction, weighted, ignored):
    """Log-probabilities (N,C) with labels (N), or (N,C,H,W) with labels (N,H,W)."""
    labels, weight = labels_of(shape, ignored), (torch.arange(shape[1]).double() + 1) / 2 if weighted else None
    args = dict(reduction=reduction, weight=weight.tolist() if weighted else None, labels=labels.flatten().tolist(),
                ignore_index=ignored)  # fmt: skip
    run = lambda x: F.nll_loss(x, labels, weight, reduction=reduction, ignore_index=-100 if ignored is None else ignored)
    parts = [f"{len(shape)} axes", reduction] + ["weights"] * weighted + [f"without {ignored}"] * (ignored is not None)
    return case(f"nll, {', '.join(parts)}", "nll", run, {"x": shape}, args)


def labels_of(shape, ignored=None):
    """Labels (N,…) of x (N,C,…); every fourth is -100 if that is the ignored one."""
    label_shape = shape[:1] + shape[2:]
    i = torch.arange(torch.Size(label_shape).numel())
    labels = (5 * i + 1) % shape[1]
    return (torch.where(i % 4 == 2, -100, labels) if ignored == -100 else labels).reshape(label_shape)


def extremes(op, f, shape, args, x, t=None):
    x_tensor = torch.tensor(x, dtype=torch.float64).reshape(shape).requires_grad_()
    y = f(x_tensor, None if t is None else torch.tensor(t, dtype=torch.float64).reshape(shape))
    y.sum().backward()
    inputs = {"x": x, **({} if t is None else {"t": t})}
    return {"name": f"{op}, at extremes", "op": op, "args": args, "shapes": {key: list(shape) for key in inputs}, **inputs,
            "y_shape": list(y.shape), "y": flat(y), "dx": flat(x_tensor.grad)}  # fmt: skip


def cross_entropy(shape, reduction, weighted, smoothing, ignored=None):
    """Logits (N,C) with labels (N), or (N,C,H,W) with labels (N,H,W)."""
    labels = labels_of(shape, ignored)
    weight = (torch.arange(shape[1]).double() + 1) / 2 if weighted else None
    args = dict(reduction=reduction, weight=weight.tolist() if weighted else None, label_smoothing=smoothing,
                labels=labels.flatten().tolist(), x_scale=3.0, x_shift=0.0)  # fmt: skip
    if ignored is not None:
        args["ignore_index"] = ignored
    run = lambda x: F.cross_entropy(x, labels, weight, reduction=reduction, label_smoothing=smoothing,
                                    ignore_index=args.get("ignore_index", -100))  # fmt: skip
    parts = [f"{len(shape)} axes", reduction] + ["weights"] * weighted + ["smoothing"] * bool(smoothing)
    parts += [f"without {ignored}"] * (ignored is not None)
    return case(f"cross_entropy, {', '.join(parts)}", "cross_entropy", run, {"x": shape}, args)


def soft_cross_entropy(shape, reduction, weighted, smoothing):
    """Logits and class probabilities, which PyTorch does not require to add up to 1."""
    weight = (torch.arange(shape[1]).double() + 1) / 2 if weighted else None
    args = dict(reduction=reduction, weight=weight.tolist() if weighted else None, label_smoothing=smoothing, x_scale=3.0,
                x_shift=0.0, t_scale=0.5, t_shift=0.5)  # fmt: skip
    run = lambda x, t: F.cross_entropy(x, t, weight, reduction=reduction, label_smoothing=smoothing)
    parts = [f"{len(shape)} axes", reduction] + ["weights"] * weighted + ["smoothing"] * bool(smoothing)
    return case(f"soft_cross_entropy, {', '.join(parts)}", "soft_cross_entropy", run, {"x": shape, "t": shape}, args, fixed="t")


# name: (PyTorch's, the formula in mpmath, arguments)
ACTIVATIONS = {
    "relu": (F.relu, lambda x: max(x, 0), {}),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.1), lambda x: x if x > 0 else x * 0.1, dict(slope=0.1)),
    "leaky_relu, absolute value": (lambda x: F.leaky_relu(x, -1.0), abs, dict(slope=-1.0)),
    "sigmoid": (torch.sigmoid, lambda x: 1 / (1 + mpmath.exp(-x)), {}),
    "tanh": (torch.tanh, mpmath.tanh, {}),
    "softplus": (F.softplus, lambda x: mpmath.log1p(mpmath.exp(x)), {}),
    "swish": (F.silu, lambda x: x / (1 + mpmath.exp(-x)), dict(beta=1.0)),
    "swish, beta 1.5": (lambda x: x * torch.sigmoid(1.5 * x), lambda x: x / (1 + mpmath.exp(-1.5 * x)), dict(beta=1.5)),
    "mish": (F.mish, lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))), {}),
    "gelu": (F.gelu, lambda x: x * mpmath.ncdf(x), dict(approximate="none")),
    "gelu, tanh": (
        lambda x: F.gelu(x, approximate="tanh"),
        lambda x: x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3))),
        dict(approximate="tanh"),
    ),
}
EXTREMES = [-1000.0, -100.0, -30.0, -20.0, -5.0, 5.0, 20.0, 21.0, 30.0, 100.0, 1000.0]


def activations():
    for name, (function, _, args) in ACTIVATIONS.items():
        op = name.split(",")[0]
        yield case(name, op, lambda x: function(x), {"x": (5, 9)}, dict(x_scale=4.0, x_shift=0.0, **args))
    for name, (function, exact, args) in ACTIVATIONS.items():
        x = torch.tensor(EXTREMES, dtype=torch.float64, requires_grad=True)
        y = function(x)
        y.sum().backward()
        with mpmath.workdps(1500):  # 1 + tanh cancels hundreds of digits, the differences 500 and more
            exact_y = [float(exact(mpmath.mpf(v))) for v in EXTREMES]
            exact_dx = [float(derivative(exact, mpmath.mpf(v))) for v in EXTREMES]
        for ours, theirs in ((exact_y, y), (exact_dx, x.grad)):
            # 3e-9 for softplus above its threshold; an error of the formula would be far larger.
            torch.testing.assert_close(torch.tensor(ours, dtype=torch.float64), theirs.detach(), rtol=3e-9, atol=1e-12)
        yield {"name": f"{name}, at extremes", "op": name.split(",")[0], "args": args, "shapes": {"x": [len(EXTREMES)]}, "x": EXTREMES,
               "y_shape": [len(EXTREMES)], "y": exact_y, "dx": exact_dx}


def derivative(f, x):
    """A central difference, to as many digits as a double holds and hundreds more."""
    h = mpmath.mpf(10) ** -500
    return (f(x + h) - f(x - h)) / (2 * h)


def main():
    cases = [
        *convolutions(), *pools_and_upsampling(), *batch_norms(), *losses(), *regressions(), *margins(), *likelihoods(),
        *activations(),
    ]  # fmt: skip
    assert len({c["name"] for c in cases}) == len(cases), "two cases have one name"
    write_or_check(__file__, {"k": K}, cases)


main()
