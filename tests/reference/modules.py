"""Layers of torch.nn: names and shapes of their parameters, outputs and gradients, in f64.

    pip install torch==2.15.0 numpy
    python tests/reference/modules.py               # writes modules.json; with --check compares instead

Made with torch 2.15.0. Tensor number k has at flat index i (row-major)
    formula(i, k) = ((37 i + 11 k) mod 101) / 50 - 1
Inputs are numbers 1, 2, …, parameters in the order of `named_parameters` 11, 12, …, and the loss is Σ (y · c) with c number
4 (of a second output, number 5). The second-order products are those of L = Σ c · (y + y²/2): with x1, x2, … the inputs that have
a gradient and then the parameters, and v1, v2, … tensors 21, 22, …, `second` holds d(Σ dL/dxi · vi)/dxi for each i. `integers`: the first input is i · 5 mod that number instead, and has no gradient.
A case is {name, layer, args, inputs: [shape, …], parameters: [[name, shape], …], outputs: [{shape, y}, …], dx: [flat, …], dp: [flat, …],
second: [flat, …]}.
"""

import torch
from torch import nn

from common import write_or_check


def formula(shape, k):
    i = torch.arange(torch.Size(shape).numel())
    return (((i * 37 + 11 * k) % 101).double() / 50.0 - 1.0).reshape(shape)


def flat(tensor):
    return tensor.detach().flatten().tolist()


def case(layer, *inputs, integers=None, run=None, **args):
    """`inputs` are shapes, `args` those of the layer's constructor; `run` calls a layer of several inputs."""
    module = getattr(nn, layer)(**args).double()
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.copy_(formula(parameter.shape, 11 + i))
    tensors = [formula(shape, 1 + i).requires_grad_() for i, shape in enumerate(inputs)]
    if integers:
        tensors[0] = (torch.arange(tensors[0].numel()) * 5 % integers).reshape(inputs[0])
    outputs = (run or (lambda module, *xs: module(*xs)))(module, *tensors)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    sum((y * formula(y.shape, 4 + i)).sum() for i, y in enumerate(outputs)).backward(retain_graph=True)
    dx = [flat(x.grad) for x in tensors if x.requires_grad]
    dp = [flat(parameter.grad) for parameter in module.parameters()]
    assert all(any(g) for g in dx + dp), f"{layer}: a gradient is zero everywhere"
    free = [x for x in tensors if x.requires_grad] + list(module.parameters())
    loss = sum((formula(y.shape, 4 + i) * (y + y.square() / 2)).sum() for i, y in enumerate(outputs))
    first = torch.autograd.grad(loss, free, create_graph=True)
    along = sum((g * formula(g.shape, 21 + i)).sum() for i, g in enumerate(first))
    second = [flat(g) for g in torch.autograd.grad(along, free)]
    names = [[name, list(parameter.shape)] for name, parameter in module.named_parameters()]
    text = ", ".join(f"{key} {value}" for key, value in args.items())
    return {
        "name": f"{layer} of {' and '.join(map(str, inputs))}{': ' * bool(text)}{text}", "layer": layer,
        "args": {**args, **({"integers": integers} if integers else {})}, "inputs": [list(shape) for shape in inputs],
        "parameters": names, "outputs": [{"shape": list(y.shape), "y": flat(y)} for y in outputs], "dx": dx, "dp": dp,
        "second": second,
    }  # fmt: skip


def normalizations():
    yield case("LayerNorm", (3, 5), normalized_shape=[5])
    yield case("LayerNorm", (2, 3, 4), normalized_shape=[3, 4], eps=0.1)
    yield case("LayerNorm", (2, 2, 3, 4), normalized_shape=[4], bias=False)
    yield case("LayerNorm", (2, 2, 5), normalized_shape=[2, 5], elementwise_affine=False)
    yield case("GroupNorm", (2, 6, 4), num_groups=3, num_channels=6)
    yield case("GroupNorm", (2, 4, 3, 2), num_groups=2, num_channels=4, eps=0.1)
    yield case("GroupNorm", (3, 4), num_groups=1, num_channels=4)
    yield case("GroupNorm", (2, 4, 3, 2), num_groups=1, num_channels=4, affine=False)
    yield case("InstanceNorm1d", (2, 3, 5), num_features=3)
    yield case("InstanceNorm1d", (3, 2, 4), num_features=2, affine=True)
    yield case("InstanceNorm1d", (1, 4, 7), num_features=4, eps=0.1)
    yield case("InstanceNorm2d", (2, 3, 4, 2), num_features=3)
    yield case("InstanceNorm2d", (3, 2, 3, 3), num_features=2, affine=True, eps=0.1)
    yield case("InstanceNorm2d", (1, 4, 1, 5), num_features=4)


def tables_and_slopes():
    yield case("Embedding", (5,), integers=4, num_embeddings=4, embedding_dim=3)
    yield case("Embedding", (2, 3), integers=7, num_embeddings=7, embedding_dim=2, padding_idx=5)
    yield case("Embedding", (2, 2, 2), integers=3, num_embeddings=4, embedding_dim=5)
    yield case("PReLU", (3, 4))
    yield case("PReLU", (2, 3, 2, 2), num_parameters=3)
    yield case("PReLU", (2, 5), num_parameters=5)


def images():
    for shape, r in (((2, 4, 2, 3), 2), ((1, 9, 1, 2), 3), ((2, 8, 1, 1), 2)):
        yield case("PixelShuffle", shape, upscale_factor=r)
    for shape, r in (((2, 2, 4, 6), 2), ((1, 1, 3, 6), 3), ((1, 3, 2, 2), 1)):
        yield case("PixelUnshuffle", shape, downscale_factor=r)
    for layer in ("ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "CircularPad2d"):
        for shape, padding in (((2, 2, 3, 4), 1), ((1, 2, 3, 3), [2, 1, 0, 2]), ((2, 1, 4, 3), [0, 2, 3, 0])):
            yield case(layer, shape, padding=padding)


def sequences():
    yield case("Conv1d", (2, 3, 8), in_channels=3, out_channels=4, kernel_size=3)
    yield case("Conv1d", (2, 4, 9), in_channels=4, out_channels=6, kernel_size=3, stride=2, padding=2, dilation=2, groups=2)
    yield case("Conv1d", (1, 2, 5), in_channels=2, out_channels=3, kernel_size=1, bias=False)
    for shape, kernel, stride, padding in (((2, 3, 8), 2, 2, 0), ((1, 2, 9), 3, 2, 1), ((2, 1, 5), 4, 1, 2)):
        yield case("MaxPool1d", shape, kernel_size=kernel, stride=stride, padding=padding)
        for include in (True, False):
            yield case("AvgPool1d", shape, kernel_size=kernel, stride=stride, padding=padding, count_include_pad=include)


    for shape, kernel, stride, padding, dilation, ceil in (
        ((2, 3, 8), 2, 2, 1, 3, False), ((1, 2, 9), 3, 2, 1, 2, True), ((2, 1, 5), 3, 3, 1, 1, True), ((1, 2, 2), 3, 2, 0, 1, True),
    ):  # fmt: skip
        yield case("MaxPool1d", shape, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil)
    for shape, kernel, stride, padding in (((2, 3, 8), 3, 2, 1), ((1, 2, 7), 4, 3, 2), ((2, 1, 5), 2, 3, 1), ((1, 2, 2), 3, 2, 0)):
        for include in (True, False):
            yield case("AvgPool1d", shape, kernel_size=kernel, stride=stride, padding=padding, ceil_mode=True, count_include_pad=include)  # fmt: skip
    for layer in ("AdaptiveMaxPool1d", "AdaptiveAvgPool1d"):
        for shape, size in (((2, 3, 8), 3), ((1, 2, 5), 7), ((2, 1, 4), 1)):
            yield case(layer, shape, output_size=size)
    yield case("ConvTranspose1d", (2, 3, 5), in_channels=3, out_channels=4, kernel_size=3)
    yield case("ConvTranspose1d", (2, 4, 4), in_channels=4, out_channels=6, kernel_size=3, stride=2, padding=1, output_padding=1, groups=2)  # fmt: skip
    yield case("ConvTranspose1d", (1, 2, 5), in_channels=2, out_channels=3, kernel_size=2, dilation=3, output_padding=2, bias=False)  # fmt: skip
    yield case("ConvTranspose1d", (3, 2, 1), in_channels=2, out_channels=2, kernel_size=4, stride=3, padding=1, dilation=2, groups=2)  # fmt: skip


def pools():
    """Windows that are dilated, that reach beyond the padding, that are larger than the image, and uneven ones."""
    for shape, kernel, stride, padding, dilation, ceil in (
        ((2, 2, 7, 6), 3, 2, 1, 2, False), ((1, 2, 5, 8), [2, 3], [3, 2], [1, 0], [2, 1], True),
        ((2, 1, 4, 4), 3, 2, 0, 1, True), ((1, 1, 2, 5), 3, 2, 0, 1, True), ((1, 3, 6, 3), [3, 2], 3, 1, [1, 2], True),
    ):  # fmt: skip
        yield case("MaxPool2d", shape, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil)
    for shape, kernel, stride, padding in (
        ((2, 2, 7, 6), 3, 2, 1), ((1, 2, 5, 8), [2, 3], [3, 2], [1, 0]), ((2, 1, 4, 4), 3, 2, 0), ((1, 1, 2, 5), 3, 2, 0),
    ):  # fmt: skip
        for include in (True, False):
            yield case("AvgPool2d", shape, kernel_size=kernel, stride=stride, padding=padding, ceil_mode=True, count_include_pad=include)  # fmt: skip
    for layer in ("AdaptiveMaxPool2d", "AdaptiveAvgPool2d"):
        for shape, size in (((2, 2, 7, 5), [3, 2]), ((1, 2, 3, 4), [5, 4]), ((2, 1, 4, 6), [1, 1])):
            yield case(layer, shape, output_size=size)


def cells():
    def unrolled(module, x, *state):
        """Two steps on the same input, so that gradients pass through the state."""
        state = state if len(state) > 1 else state[0]
        return module(x, module(x, state))

    for n, inputs, hidden, bias in ((2, 3, 4, True), (1, 5, 2, True), (3, 2, 3, False)):
        sizes = dict(input_size=inputs, hidden_size=hidden, bias=bias)
        yield case("RNNCell", (n, inputs), (n, hidden), run=unrolled, **sizes)
        yield case("LSTMCell", (n, inputs), (n, hidden), (n, hidden), run=unrolled, **sizes)
        yield case("GRUCell", (n, inputs), (n, hidden), run=unrolled, **sizes)


def main():
    cases = [*normalizations(), *tables_and_slopes(), *images(), *sequences(), *pools(), *cells()]
    assert len({c["name"] for c in cases}) == len(cases), "two cases have one name"
    write_or_check(__file__, {}, cases)


main()
