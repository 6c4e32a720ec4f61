"""Times matrix products in PyTorch (MKL, if built with it): python3 torch_products.py THREADS MxKxN...

Prints "MxKxN GFLOP/s", the median of nine measurements.
"""

import os
import statistics
import sys
import time

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = sys.argv[1]

import torch

torch.set_num_threads(int(sys.argv[1]))
for name in sys.argv[2:]:
    m, k, n = map(int, name.split("x"))
    a, b, c = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
    torch.mm(a, b, out=c)
    calls = max(1, int(2e9 / (2 * m * k * n)))
    rates = []
    for _ in range(9):
        start = time.perf_counter()
        for _ in range(calls):
            torch.mm(a, b, out=c)
        rates.append(calls * 2e-9 * m * k * n / (time.perf_counter() - start))
    print(name, f"{statistics.median(rates):.1f}")
