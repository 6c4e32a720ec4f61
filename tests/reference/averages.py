"""Exponential moving averages of a parameter and a buffer, to be restated in Rust.

    pip install torch==2.15.0 numpy
    python tests/reference/averages.py              # writes averages.json; with --check compares instead

Made with torch 2.15.0. A parameter w of shape (2, 3) (p = 0) and a buffer m of shape (3) (p = 1). With the flat index i and the
update t = 0, 1, …, both are set to
    value(t, p, i) = ((7i + 3t + 5p) mod 11 - 5) / 7
before each update. `f64` and `f32` hold a row per update: w's six averages, then m's three.

torch.optim.swa_utils copies the values at the first update and interpolates at each later one. The cases with `warm_up` give
it the decay min(decay, (1 + t) / (10 + t)), which is TensorFlow's, and diffusers' EMAModel's with use_ema_warmup=False.
"""

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from common import write_or_check

UPDATES = 6
CASES = [
    dict(name="ema", decay=0.9, warm_up=False),
    dict(name="ema_short", decay=0.25, warm_up=False),
    dict(name="ema_warm_up", decay=0.3, warm_up=True),
]


class Net(torch.nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(2, 3, dtype=dtype))
        self.register_buffer("m", torch.zeros(3, dtype=dtype))

    def set(self, t):
        for p, x in enumerate([self.w.data, self.m]):
            i = torch.arange(x.numel(), dtype=x.dtype).reshape(x.shape)
            x.copy_(((7 * i + 3 * t + 5 * p) % 11 - 5) / 7)


def run(case, dtype):
    net = Net(dtype)
    averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(case["decay"]), use_buffers=True)
    rows = []
    for t in range(UPDATES):
        net.set(t)
        if case["warm_up"]:
            averaged.multi_avg_fn = get_ema_multi_avg_fn(min(case["decay"], (1 + t) / (10 + t)))
        averaged.update_parameters(net)
        rows.append([float(x) for tensor in (averaged.module.w, averaged.module.m) for x in tensor.detach().flatten()])
    return rows


write_or_check(__file__, {}, [{**case, "f64": run(case, torch.float64), "f32": run(case, torch.float32)} for case in CASES])
