"""Values, gradients and second-order products of the ops that rearrange, reduce, multiply and pool, in f64.

    pip install torch==2.15.0
    python tests/reference/array_ops.py             # writes array_ops.json; with --check compares instead

Made with torch 2.15.0. The inputs are a, b, c; tensor number k has at flat index i (row-major)
    formula(i, k) = ((37 i + 11 k) mod 101) / 50 - 1
with the numbers a 1, b 2, c 3, w (of the loss) 4, and v (the directions of a, b, c) 5, 6, 7. Cases of `VALUES` have a in full.
The loss is L = sum(w · (y + y²/2)). A case is {expression, shapes, y_shape, y, first, second}, the last two with a flat array
for each input: first = dL/dx, second = d(Σ first · v)/dx, the Hessian of L times v.

The expressions are evaluated here by Python; tests/array_ops_against_pytorch.rs has each beside the same in Rust.
"""

import torch
from torch.nn import functional as F  # noqa: F401, of the expressions

from common import write_or_check

I, J = torch.tensor([[-1], [0]]), torch.tensor([1, 0, 1])
PLAIN, PLANES = [(2, 3), (4, 1), (3, 2, 2)], [(3, 4), (4, 2), (2, 2, 3)]
LINES = [(2, 4), (1, 3), (2, 2, 5)]
IMAGES = [(2, 2, 7, 6), (1, 2, 5, 8), (1, 1, 4, 3)]

CASES = {
    # Parts.
    "torch.stack([a, b], 1)": [[(2, 3)] * 2, [(4,)] * 2, [(1, 2, 2)] * 2, [(0, 3)] * 2],
    "torch.cat(a.split(2, 0)[::-1], 0)": [(5, 2), (4,), (3, 1, 2)],
    "torch.cat(a.split([1, 2], -1)[::-1], -1)": [(2, 3), (3,), (2, 2, 3)],
    "torch.cat(a.chunk(3, 0)[::-1], 0)": [(5,), (7, 2), (2, 2)],
    "a.unbind(1)[1]": [(2, 3), (2, 2, 2), (1, 4)],
    "torch.stack(torch.meshgrid(a, b, indexing='ij'))": [[(2,), (3,)], [(1,), (4,)], [(), (2,)]],
    # Rearranging.
    "a.repeat(2, 3)": [(2, 3), (3,), (1, 1), ()],
    "a.roll((1, -5), (0, 1))": [*PLAIN, (0, 2)],
    "a.roll(2)": [(2, 3), (5,), ()],
    "a.flip(0, -1)": [*PLAIN, (2, 0)],
    "a.diagonal(1)": [*PLANES, (1, 1)],
    "a.diagonal(-1, 0, 2)": [(3, 2, 2), (2, 1, 4), (4, 2, 3)],
    "a.unfold(0, 2, 1)": [(4,), (3, 2), (2, 1, 3)],
    "a.unfold(1, 3, 2)": [(2, 7), (1, 3), (2, 4, 2)],
    "F.pad(a, (2, 1), mode='reflect')": LINES,
    "F.pad(a, (2, 1), mode='replicate')": LINES,
    "F.pad(a, (3, 2), mode='circular')": LINES,
    "F.pad(a, (1, 2, 2, 0), mode='reflect')": [(1, 3, 4), (2, 1, 3, 3), (1, 1, 4, 3)],
    "F.pad(a, (1, 2, 2, 0), mode='replicate')": [(1, 3, 2), (2, 1, 1, 3), (1, 1, 2, 1)],
    # Selecting.
    "a.index_select(1, J)": [(2, 3), (3, 2), (1, 2, 2), (0, 2)],
    "a[I, J]": [(3, 2), (2, 3), (2, 2, 2)],
    "a[I]": [(2,), (3, 2), (2, 1, 2)],
    "a.masked_fill(a > 0.3, 0.7)": [*PLAIN, (0,)],
    "a.masked_select(a > -0.3)": [*PLAIN, (0,)],
    "a.tril(-1)": [*PLANES, (0, 2)],
    "a.triu(1)": [*PLANES, (0, 2)],
    "torch.where(a > b, a, b)": [[(2, 3)] * 2, [(2, 1), (3,)], [(), (4,)]],
    # Reductions and scans.
    "a.prod()": [*PLAIN, (0,)],
    "a.prod(1)": [*PLAIN, (2, 0)],
    "a.cumprod(0)": [(5,), (4, 2), (3, 2, 1), (0, 2)],
    "a.cumsum(1)": [(2, 5), (1, 8), (2, 3, 2), (2, 0)],
    "a.std()": PLAIN,
    "a.std(1, correction=0)": [(2, 3), (3, 2), (2, 4, 1)],
    "a.var((0, 1), keepdim=True)": PLAIN,
    "torch.linalg.vector_norm(a)": PLAIN,
    "torch.linalg.vector_norm(a, 1, 0)": PLAIN,
    "torch.linalg.vector_norm(a, 3.5, (0, 1), keepdim=True)": PLAIN,
    "torch.linalg.vector_norm(a, 0.5, 1)": PLAIN,
    "torch.linalg.vector_norm(a, torch.inf, 0)": PLAIN,
    "torch.linalg.vector_norm(a, -torch.inf)": PLAIN,
    "a.logsumexp((0, 1))": PLAIN,
    "a.logsumexp(1, keepdim=True)": PLAIN,
    "a.max(1).values": PLAIN,
    "a.min(0, keepdim=True).values": PLAIN,
    "a.sort(dim=0, stable=True).values": [(6,), *PLAIN],
    "a.sort(dim=-1, descending=True, stable=True).values": [(6,), *PLAIN, (2, 0)],
    # Products.
    "a @ b": [[(3,), (3,)], [(3,), (3, 2)], [(2, 3), (3,)], [(3,), (2, 3, 2)], [(2, 2, 3), (3,)], [(2, 1, 2, 3), (3, 3, 1)],
              [(0, 3), (3,)], [(2, 0), (0,)]],  # fmt: skip
    "a.dot(b)": [[(4,)] * 2, [(1,)] * 2, [(0,)] * 2],
    "torch.outer(a, b)": [[(3,), (2,)], [(1,), (4,)], [(0,), (2,)]],
    "torch.einsum('ij,jk', a, b)": [[(2, 3), (3, 2)], [(1, 4), (4, 1)], [(3, 1), (1, 3)]],
    "torch.einsum('bij,bjk->bik', a, b)": [[(2, 2, 3), (2, 3, 1)], [(1, 2, 1), (3, 1, 2)], [(2, 1, 2), (2, 2, 2)]],
    "torch.einsum('ij,ijk,kl->li', a, b, c)": [[(2, 3), (2, 3, 2), (2, 2)], [(1, 2), (1, 2, 3), (3, 1)], [(2, 2), (2, 1, 2), (2, 1)]],
    "torch.einsum('iij->ji', a)": [(2, 2, 3), (3, 3, 1), (1, 1, 4)],
    "torch.einsum('ii', a)": [(3, 3), (1, 1), (2, 2)],
    "torch.einsum('ij,kj->k', a, b)": [[(2, 3), (2, 3)], [(1, 2), (3, 2)], [(3, 2), (1, 1)]],
    "torch.einsum('i,j,k->kij', a, b, c)": [[(2,), (3,), (2,)], [(1,), (2,), (2,)], [(2,), (1,), (1,)]],
    # Windows.
    "F.max_pool2d(a, 2, 2, 1, dilation=2)": IMAGES,
    "F.max_pool2d(a, 3, 2, 1, ceil_mode=True)": [*IMAGES, (1, 1, 2, 2)],
    "F.max_pool2d(a, (2, 3), (3, 2), (1, 0), (2, 1), ceil_mode=True)": IMAGES,
    "F.avg_pool2d(a, 3, 2, 1, ceil_mode=True)": [*IMAGES, (1, 1, 2, 2)],
    "F.avg_pool2d(a, (2, 3), (3, 2), (1, 0), ceil_mode=True, count_include_pad=False)": IMAGES,
    "F.adaptive_max_pool2d(a, (3, 2))": [*IMAGES, (1, 2, 2, 1)],
    "F.adaptive_avg_pool2d(a, (3, 2))": [*IMAGES, (1, 2, 2, 1)],
    # Interpolation.
    "torch.lerp(a, b, 0.3)": [[(2, 3)] * 2, [(2, 1), (3,)], [(), (4,)]],
    "torch.lerp(a, b, 0.8)": [[(2, 3)] * 2, [(2, 1), (3,)], [(), (4,)]],
    "torch.lerp(a, b, c)": [[(2, 3)] * 3, [(2, 1), (3,), (1,)], [(4,), (4,), (2, 1)]],
}

# Zeros and ties: (a, its shape).
VALUES = {
    "a.prod()": [([0.0, 2.0, 3.0], (3,)), ([0.0, 2.0, 0.0, 5.0], (2, 2)), ([0.0, 0.0, 0.0, 5.0], (4,))],
    "a.prod(1)": [([0.0, 2.0, 3.0, 0.0, 0.0, 4.0], (2, 3))],
    "a.cumprod(0)": [([2.0, 0.0, 3.0, 4.0], (4,)), ([2.0, 0.0, 3.0, 0.0, 4.0], (5,))],
    "a.std(1, correction=0)": [([2.0, 2.0, 2.0, 1.0, 2.0, 4.0], (2, 3))],
    "torch.linalg.vector_norm(a, torch.inf, 0)": [([2.0, -2.0, 1.0, 2.0], (4,))],
    "a.max(1).values": [([1.0, 3.0, 3.0, 2.0, 2.0, 2.0], (2, 3))],
    "a.min(0, keepdim=True).values": [([1.0, 3.0, 1.0, 2.0, 1.0, 3.0], (3, 2))],
    "a.sort(dim=0, stable=True).values": [([3.0, 1.0, 3.0, 1.0, 2.0], (5,))],
    "a.sort(dim=-1, descending=True, stable=True).values": [([3.0, 1.0, 3.0, 1.0, 2.0], (5,))],
    # All below 0, which padding with 0 would exceed.
    "F.max_pool2d(a, 2, 2, 1, dilation=2)": [([-1.0, -2.0, -2.0, -3.0, -1.0, -3.0, -3.0, -3.0, -1.0], (1, 1, 3, 3))],
    "F.max_pool2d(a, 3, 2, 1, ceil_mode=True)": [([-2.0, -2.0, -5.0, -3.0, -2.0, -5.0, -5.0, -5.0], (1, 1, 2, 4))],
    "F.adaptive_max_pool2d(a, (3, 2))": [([1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0], (1, 2, 2, 2))],
    "a.logsumexp(1, keepdim=True)": [([1000.0, 1000.0, -1000.0, 3.0], (2, 2))],
}


def formula(shape, k):
    i = torch.arange(torch.Size(shape).numel())
    return (((i * 37 + 11 * k) % 101).double() / 50.0 - 1.0).reshape(shape)


def gradients(y, inputs):
    found = torch.autograd.grad(y, inputs, create_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs)]


def case(expression, shapes, values=None):
    inputs = [formula(shape, 1 + k) for k, shape in enumerate(shapes)]
    if values is not None:
        inputs = [torch.tensor(values, dtype=torch.float64).reshape(shapes[0])]
    inputs = [x.requires_grad_() for x in inputs]
    y = eval(expression, globals(), dict(zip("abc", inputs)))
    first = gradients((formula(y.shape, 4) * (y + y.square() / 2)).sum(), inputs)
    along = sum((g * formula(g.shape, 5 + k)).sum() for k, g in enumerate(first))
    second = gradients(along, inputs)
    flat = lambda tensors: [t.detach().flatten().tolist() for t in tensors]
    return {
        "expression": expression, "shapes": [list(shape) for shape in shapes], **({} if values is None else {"values": values}),
        "y_shape": list(y.shape), "y": flat([y])[0], "first": flat(first), "second": flat(second),
    }  # fmt: skip


def main():
    as_list = lambda shapes: [shapes] if isinstance(shapes, tuple) else shapes
    cases = [case(expression, as_list(shapes)) for expression, all in CASES.items() for shapes in all]
    cases += [case(expression, [shape], values) for expression, all in VALUES.items() for values, shape in all]
    write_or_check(__file__, {}, cases)


main()
