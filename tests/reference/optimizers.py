"""Ten steps of each optimizer, to be restated in Rust.

    pip install torch==2.15.0 numpy
    python tests/reference/optimizers.py            # writes optimizers.json; with --check compares instead

Made with torch 2.15.0. Two parameters, w of shape (2, 3) (p = 0) and b of shape (3) (p = 1). With the flat index i,
    start     value(p, i)    = ((5i + 3p) mod 7 - 3) / 4                    exact in binary
    gradient  grad(t, p, i)  = ((7i + 3t + 5p) mod 11 - 5) / 7              t = 1 at the first step; one division in the dtype
so that nothing but the optimizer is compared. `f64` and `f32` hold a row per step: w's six values, then b's three.
A case with `groups` gives each parameter's own options, w's first. A case with `clip_norm` or `clip_value` clips the
gradients of both parameters before each step; `norm_f64` and `norm_f32` are the global norms before clipping.

Traps that the numbers pin down: momentum's buffer starts as the first gradient, not dampened; SGD and Adam add the weight decay to
the gradient, AdamW multiplies the parameter by 1 - lr·decay beforehand; Adam adds eps to sqrt(v / (1 - beta2^t)), outside
the root; clip_grad_norm_ divides by norm + 1e-6 and never scales up; RMSprop's momentum takes the quotient, not the gradient, and
its eps is outside the root; Adagrad's rate at the first step is not yet decayed; NAdam keeps the product of its momenta in
the default dtype, which here is that of the case.
"""

import numpy as np
import torch

from common import write_or_check

STEPS = 10
SHAPES = [(2, 3), (3,)]
OPTIMIZERS = {
    "sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad, "nadam": torch.optim.NAdam,
}  # fmt: skip

CASES = [
    dict(name="sgd", optimizer="sgd", lr=0.1),
    dict(name="sgd_momentum", optimizer="sgd", lr=0.1, momentum=0.9),
    dict(name="sgd_momentum_dampening", optimizer="sgd", lr=0.1, momentum=0.9, dampening=0.1),
    dict(name="sgd_nesterov", optimizer="sgd", lr=0.1, momentum=0.9, nesterov=True),
    dict(name="sgd_momentum_weight_decay", optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.01),
    dict(name="sgd_nesterov_weight_decay", optimizer="sgd", lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    dict(name="adam", optimizer="adam", lr=0.01),
    dict(name="adam_weight_decay", optimizer="adam", lr=0.01, weight_decay=0.01),
    dict(name="adam_betas_eps", optimizer="adam", lr=0.01, betas=[0.8, 0.95], eps=1e-3),
    dict(name="adamw", optimizer="adamw", lr=0.01, weight_decay=0.01),
    dict(name="adamw_betas_eps", optimizer="adamw", lr=0.01, weight_decay=0.1, betas=[0.8, 0.95], eps=1e-3),
    dict(
        name="sgd_groups", optimizer="sgd", momentum=0.9,
        groups=[dict(lr=0.1, weight_decay=0.01), dict(lr=0.02, weight_decay=0.0)],
    ),
    dict(
        name="adamw_groups", optimizer="adamw",
        groups=[dict(lr=0.01, weight_decay=0.1), dict(lr=0.002, weight_decay=0.0)],
    ),
    dict(name="sgd_clip_norm", optimizer="sgd", lr=0.1, clip_norm=1.0),
    dict(name="sgd_clip_norm_momentum", optimizer="sgd", lr=0.1, momentum=0.9, clip_norm=1.36),
    dict(name="sgd_clip_value", optimizer="sgd", lr=0.1, clip_value=0.5),
    dict(name="rmsprop", optimizer="rmsprop", lr=0.01),
    dict(name="rmsprop_momentum_weight_decay", optimizer="rmsprop", lr=0.01, momentum=0.9, weight_decay=0.01),
    dict(name="rmsprop_centered", optimizer="rmsprop", lr=0.01, alpha=0.9, eps=1e-3, centered=True),
    dict(name="rmsprop_centered_momentum", optimizer="rmsprop", lr=0.01, momentum=0.5, eps=1e-3, centered=True),
    dict(
        name="rmsprop_groups", optimizer="rmsprop", momentum=0.9,
        groups=[dict(lr=0.01, weight_decay=0.1), dict(lr=0.002, weight_decay=0.0)],
    ),
    dict(name="adagrad", optimizer="adagrad", lr=0.1),
    dict(
        name="adagrad_lr_decay_weight_decay", optimizer="adagrad", lr=0.1, lr_decay=0.1, weight_decay=0.01,
        initial_accumulator_value=0.5, eps=1e-3,
    ),
    dict(
        name="adagrad_groups", optimizer="adagrad", lr_decay=0.1,
        groups=[dict(lr=0.1, weight_decay=0.1), dict(lr=0.02, weight_decay=0.0)],
    ),
    dict(name="nadam", optimizer="nadam", lr=0.01),
    dict(name="nadam_weight_decay", optimizer="nadam", lr=0.01, weight_decay=0.01),
    dict(
        name="nadam_decoupled", optimizer="nadam", lr=0.01, weight_decay=0.1, decoupled_weight_decay=True,
        betas=[0.8, 0.95], eps=1e-3, momentum_decay=0.1,
    ),
    dict(
        name="nadam_groups", optimizer="nadam",
        groups=[dict(lr=0.01, weight_decay=0.1), dict(lr=0.002, weight_decay=0.0)],
    ),
]  # fmt: skip


def start(p, dtype):
    i = torch.arange(torch.Size(SHAPES[p]).numel())
    return (((5 * i + 3 * p) % 7 - 3).to(dtype) / 4).reshape(SHAPES[p])


def gradient(t, p, dtype):
    i = torch.arange(torch.Size(SHAPES[p]).numel())
    return (((7 * i + 3 * t + 5 * p) % 11 - 5).to(dtype) / 7).reshape(SHAPES[p])


def shortest(values):
    """As Python floats whose repr is the shortest text of the value in its own dtype."""
    return [float(str(v)) for v in np.asarray(values)]


def run(case, dtype):
    torch.set_default_dtype(dtype)
    parameters = [start(p, dtype).requires_grad_() for p in range(2)]
    options = {key: value for key, value in case.items() if key not in ("name", "optimizer", "groups", "clip_norm", "clip_value")}
    groups = [{"params": [p], **group} for p, group in zip(parameters, case.get("groups", [{}, {}]))]
    optimizer = OPTIMIZERS[case["optimizer"]](groups, **options, foreach=False)
    rows, norms = [], []
    for t in range(1, STEPS + 1):
        for p, parameter in enumerate(parameters):
            parameter.grad = gradient(t, p, dtype)
        if "clip_norm" in case:
            norms.append(torch.nn.utils.clip_grad_norm_(parameters, case["clip_norm"]).numpy()[()])
        if "clip_value" in case:
            torch.nn.utils.clip_grad_value_(parameters, case["clip_value"])
        optimizer.step()
        rows.append(shortest(torch.cat([p.detach().flatten() for p in parameters]).numpy()))
    return rows, shortest(norms)


def main():
    cases = []
    for case in CASES:
        (f64, norm64), (f32, norm32) = run(case, torch.float64), run(case, torch.float32)
        norms = {"norm_f64": norm64, "norm_f32": norm32} if norm64 else {}
        cases.append({**case, **norms, "f64": f64, "f32": f32})
    write_or_check(__file__, {"steps": STEPS}, cases)


main()
