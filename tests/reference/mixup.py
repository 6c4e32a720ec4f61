"""Batches mixed by torchvision's MixUp with a given lambda.

    pip install torch==2.15.0 torchvision==0.29.2 numpy
    python tests/reference/mixup.py                 # writes mixup.json; with --check compares instead

Made with torch 2.15.0 and torchvision 0.29.2, whose MixUp would draw lambda itself. The batch has at flat index i of its
(N, 2, 2, 3), in float32, x[i] = ((37 i) mod 101) / 50 - 1; there are four classes. `y` and `targets` are flat.
"""

import torch
import torchvision
from torchvision.transforms import v2

from common import write_or_check


def case(lam, labels):
    n = len(labels)
    x = ((37 * torch.arange(n * 12) % 101).float() / 50 - 1).reshape(n, 2, 2, 3)
    params = dict(labels=torch.tensor(labels), batch_size=n, lam=lam)
    mixup = v2.MixUp(num_classes=4)
    y, targets = (mixup.transform(part, params) for part in (x, params["labels"]))
    return {"lambda": lam, "labels": labels, "y": y.flatten().tolist(), "targets": targets.flatten().tolist()}


about = {"torchvision": torchvision.__version__.split("+")[0]}
write_or_check(__file__, about, [case(0.3, [2, 0, 1]), case(0.9, [3, 3]), case(0.0, [1, 0, 2]), case(1.0, [1])])
