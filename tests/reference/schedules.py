"""The learning rate at each step under each schedule.

    pip install torch==2.15.0 numpy
    python tests/reference/schedules.py             # writes schedules.json; with --check compares instead

Made with torch 2.15.0. lr[t] is what step t trains with, t = 0 at the first step; scheduler.step() follows each step.
`formula` is the closed form in t; the script asserts that PyTorch's value equals it to 1e-12 relative (PyTorch gets some of
them by recurrence, each value from the one before). OneCycleLR runs without cycling the momentum.

A case with `metrics` is ReduceLROnPlateau: lr[t] is the rate after its step with metrics[t]; "nan" stands for NaN.
"""

import math

import torch
from torch.optim import lr_scheduler as schedulers

from common import write_or_check


def cosine(start, end, fraction):
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


def one_cycle(t, anneal=cosine):
    initial, peak, final, turn = 0.1 / 25, 0.1, 0.1 / 25 / 1e4, 0.3 * 20 - 1
    return anneal(initial, peak, t / turn) if t <= turn else anneal(peak, final, (t - turn) / (19 - turn))


def straight(start, end, fraction):
    return start + (end - start) * fraction


def triangle(share):
    return straight(0.2, 1, share / 0.23) if share < 0.23 else straight(1, 0.07, (share - 0.23) / 0.77)


def warm_up_cosine(optimizer, total_iters):
    warm_up = schedulers.LinearLR(optimizer, start_factor=0.2, total_iters=total_iters)
    then = schedulers.CosineAnnealingLR(optimizer, T_max=10, eta_min=1e-4)
    return schedulers.SequentialLR(optimizer, [warm_up, then], milestones=[5])


ONE_CYCLE = dict(max_lr=0.1, total_steps=20, pct_start=0.3, div_factor=25.0, final_div_factor=1e4)

# name, base lr, number of values, arguments, scheduler, closed form, closed form in words
SCHEDULES = [
    (
        "step", 0.1, 12, dict(step_size=3, gamma=0.1),
        lambda o: schedulers.StepLR(o, step_size=3, gamma=0.1),
        lambda t: 0.1 * 0.1 ** (t // 3),
        "base · gamma^floor(t / step_size)",
    ),
    (
        "cosine", 0.1, 11, dict(t_max=10, eta_min=1e-4),
        lambda o: schedulers.CosineAnnealingLR(o, T_max=10, eta_min=1e-4),
        lambda t: cosine(0.1, 1e-4, t / 10),
        "eta_min + (base - eta_min)(1 + cos(pi t / t_max)) / 2, t <= t_max",
    ),
    (
        "one_cycle", 0.1, 20, dict(anneal="cos", **ONE_CYCLE),
        lambda o: schedulers.OneCycleLR(o, max_lr=0.1, total_steps=20, cycle_momentum=False),
        one_cycle,
        "initial = max_lr / div_factor; final = initial / final_div_factor; turn = pct_start · total_steps - 1; "
        "cosine from initial to max_lr over 0..turn, then cosine from max_lr to final over turn..total_steps - 1",
    ),
    (
        "one_cycle_linear", 0.1, 20, dict(anneal="linear", **ONE_CYCLE),
        lambda o: schedulers.OneCycleLR(o, max_lr=0.1, total_steps=20, anneal_strategy="linear", cycle_momentum=False),
        lambda t: one_cycle(t, straight),
        "as one_cycle with straight lines",
    ),
    (
        "warm_up_cosine", 0.1, 16, dict(start_factor=0.2, warm_up=5, t_max=10, eta_min=1e-4),
        lambda o: warm_up_cosine(o, total_iters=5),
        lambda t: 0.1 * straight(0.2, 1, t / 5) if t < 5 else cosine(0.1, 1e-4, (t - 5) / 10),
        "t < 5: base (start_factor + (1 - start_factor) t / 5); then cosine in t - 5: the full rate comes once, at t = 5",
    ),
    (
        "warm_up_ramp_cosine", 0.1, 16, dict(warm_up=5, t_max=10, eta_min=1e-4),
        lambda o: warm_up_cosine(o, total_iters=4),
        lambda t: 0.1 * (t + 1) / 5 if t < 5 else cosine(0.1, 1e-4, (t - 5) / 10),
        "t < 5: base (t + 1) / 5; then cosine in t - 5: the full rate comes twice, at t = 4 and t = 5",
    ),
    (
        "triangle", 0.1, 26, dict(steps=25, start=0.2, rising=0.23, end=0.07),
        lambda o: schedulers.LambdaLR(o, lambda t: triangle(t / 25)),
        lambda t: 0.1 * triangle(t / 25),
        "share = t / steps; line from start · base to base over 0..rising, then line to end · base over rising..1",
    ),
    (
        "exponential", 0.1, 12, dict(gamma=0.9),
        lambda o: schedulers.ExponentialLR(o, gamma=0.9),
        lambda t: 0.1 * 0.9**t,
        "base · gamma^t",
    ),
    (
        "polynomial", 0.1, 12, dict(total_iters=10, power=1.5),
        lambda o: schedulers.PolynomialLR(o, total_iters=10, power=1.5),
        lambda t: 0.1 * (1 - min(t, 10) / 10) ** 1.5,
        "base (1 - t / total_iters)^power, 0 from total_iters on",
    ),
    (
        "linear", 0.1, 8, dict(start_factor=0.25, end_factor=0.75, total_iters=5),
        lambda o: schedulers.LinearLR(o, start_factor=0.25, end_factor=0.75, total_iters=5),
        lambda t: 0.1 * straight(0.25, 0.75, min(t, 5) / 5),
        "base · the line from start_factor to end_factor over 0..total_iters, then end_factor",
    ),
    (
        "lambda", 0.1, 12, dict(factor="1 / (1 + t / 3)"),
        lambda o: schedulers.LambdaLR(o, lambda t: 1 / (1 + t / 3)),
        lambda t: 0.1 / (1 + t / 3),
        "base · factor",
    ),
    (
        "chained", 0.1, 12, dict(gamma=0.9, step_size=4, step_gamma=0.5, start_factor=0.25, total_iters=5),
        lambda o: schedulers.ChainedScheduler([
            schedulers.ExponentialLR(o, gamma=0.9), schedulers.StepLR(o, step_size=4, gamma=0.5),
            schedulers.LinearLR(o, start_factor=0.25, total_iters=5),
        ]),
        lambda t: 0.1 * 0.9**t * 0.5 ** (t // 4) * straight(0.25, 1, min(t, 5) / 5),
        "the product of exponential, step and linear",
    ),
    (
        "sequential", 0.1, 14, dict(milestones=[3, 8], factor=0.25, gamma=0.9, power=2, total_iters=4),
        lambda o: schedulers.SequentialLR(
            o, [
                schedulers.ConstantLR(o, factor=0.25, total_iters=99), schedulers.ExponentialLR(o, gamma=0.9),
                schedulers.PolynomialLR(o, total_iters=4, power=2),
            ], milestones=[3, 8],
        ),
        lambda t: 0.025 if t < 3 else 0.1 * 0.9 ** (t - 3) if t < 8 else 0.1 * (1 - min(t - 8, 4) / 4) ** 2,
        "constant, from 3 on exponential, from 8 on polynomial",
    ),
]  # fmt: skip

# name, base lr, arguments, metrics
NAN = float("nan")
PLATEAUS = [
    ("plateau", 0.1, dict(patience=1), [1.0, 0.9, 0.89995, 0.95, 0.8, NAN, 0.81, 0.79, 0.79, 0.79, 0.79, 0.79, 0.79]),
    (
        "plateau_cooldown", 0.1, dict(factor=0.5, patience=0, cooldown=2, min_lr=0.02),
        [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
    ),
    ("plateau_max", 0.1, dict(mode="max", factor=0.3, patience=2, threshold=0.1), [0.5, 0.54, 0.56, 0.58, 0.7, 0.6, 0.77, 0.76, 0.9]),
    (
        "plateau_absolute", 0.1, dict(factor=0.3, patience=1, threshold=0.05, threshold_mode="abs"),
        [-1.0, -1.04, -1.06, -1.08, -1.1, -1.2, -1.2, -1.2, -1.2],
    ),
    (
        "plateau_max_absolute", 1e-7, dict(mode="max", patience=0, threshold=0.05, threshold_mode="abs"),
        [-1.0, -0.96, -0.94, -0.94, -0.94, -0.94],
    ),
]  # fmt: skip


def plateau(name, base, args, metrics):
    optimizer = torch.optim.SGD([torch.zeros(1, dtype=torch.float64, requires_grad=True)], lr=base)
    schedule = schedulers.ReduceLROnPlateau(optimizer, **args)
    lr = []
    for metric in metrics:
        schedule.step(metric)
        lr.append(float(optimizer.param_groups[0]["lr"]))
    assert lr[-1] < base
    metrics = ["nan" if math.isnan(metric) else metric for metric in metrics]
    return {"name": name, "base_lr": base, "args": args, "metrics": metrics, "lr": lr}


def main():
    cases = []
    for name, base, count, args, scheduler, closed, formula in SCHEDULES:
        parameter = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([parameter], lr=base)
        schedule = scheduler(optimizer)
        lr = []
        for t in range(count):
            lr.append(float(optimizer.param_groups[0]["lr"]))
            assert math.isclose(lr[t], closed(t), rel_tol=1e-12), (name, t, lr[t], closed(t))
            if t + 1 < count:
                optimizer.step()
                schedule.step()
        cases.append({"name": name, "base_lr": base, "args": args, "formula": formula, "lr": lr})
    cases += [plateau(*case) for case in PLATEAUS]
    write_or_check(__file__, {}, cases)


main()
