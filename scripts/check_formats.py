"""Exchange of weights and arrays with PyTorch and NumPy: see check_formats.sh.

    python scripts/check_formats.py make DIR      # files of random numbers, beside each a .safetensors with its contents
    python scripts/check_formats.py check DIR     # what the test `exchange` of crates/formats wrote of them
"""

import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from torch import nn

torch.manual_seed(0)
rng = np.random.default_rng(0)
FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
INTEGERS = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8]
KINDS = "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8".split()


def net():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)
    )


def trained():
    model = net()
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(3):
        model(torch.randn(5, 3, 8, 8)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def random(shape, dtype):
    if dtype == torch.bool:
        return torch.randn(shape) > 0
    if dtype.is_floating_point:
        return (torch.randn(shape) * 10).to(dtype)
    return torch.randint(0 if dtype == torch.uint8 else -100, 100, shape).to(dtype)


def views(dtype):
    base = random((7, 5, 4), dtype)
    return OrderedDict(
        base=base,
        transposed=base.transpose(0, 2),
        permuted=base.permute(1, 2, 0),
        part=base[2:5, 1:, ::2],
        flat=base.view(-1)[3:17],
        row=base[4],
        expanded=random((3, 1), dtype).expand(3, 4),
        scalar=random((), dtype),
        empty=random((0, 4), dtype),
        one=random((1, 1, 1), dtype),
    )


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(6, 4)
        self.head = nn.Linear(4, 6)
        self.head.weight = self.embedding.weight
        self.lstm = nn.LSTM(4, 3, num_layers=2)
        self.register_buffer("positions", torch.arange(5))
        self.register_buffer("mask", torch.ones(3, 3).tril().bool())


def make(folder):
    def save(name, value, weights=None, **options):
        torch.save(value, folder / name, **options)
        weights = {k: v.detach().clone().contiguous() for k, v in (value if weights is None else weights).items()}
        safetensors.torch.save_file(weights, (folder / name).with_suffix(".safetensors"))

    model, optimizer = trained()
    weights = model.state_dict()
    save("net.pth", weights)
    for container in ("zip", "legacy"):
        options = {} if container == "zip" else {"_use_new_zipfile_serialization": False}
        for dtype in [*FLOATS, *INTEGERS, torch.bool]:
            save(f"views_{str(dtype)[6:]}_{container}.pt", views(dtype), **options)
        for dtype in FLOATS:
            converted = {k: v.to(dtype) if v.is_floating_point() else v for k, v in weights.items()}
            save(f"net_{str(dtype)[6:]}_{container}.pt", converted, **options)
        for protocol in (2, 3, 4, 5):
            save(f"protocol{protocol}_{container}.pt", weights, pickle_protocol=protocol, **options)
        save(f"tied_{container}.pt", Tied().state_dict(), **options)
        save(f"parameters_{container}.pt", dict(model.named_parameters()), **options)
        for key in ("state_dict", "model", "model_state_dict"):
            state = {"epoch": 3, key: weights, "optimizer": optimizer.state_dict(), "loss": [0.5, None], "name": ("a", b"b")}
            save(f"checkpoint_{key}_{container}.pt", state, weights, **options)

    def array(kind):
        if kind[0] == "f":
            return rng.normal(size=(4, 3, 5)).astype(kind)
        info = np.iinfo(kind)
        return rng.integers(info.min, info.max, (4, 3, 5), kind, endpoint=True)

    arrays = {kind: array(kind) for kind in KINDS} | {"b1": rng.integers(0, 2, (4, 3)).astype(bool)}
    for name, x in arrays.items():
        for order, variant in (("c", x), ("fortran", np.asfortranarray(x)), ("big", x.astype(x.dtype.newbyteorder(">")))):
            np.save(folder / f"{name}_{order}.npy", variant)
            safetensors.numpy.save_file({"array": x}, folder / f"{name}_{order}.safetensors")
    for name, write in (("arrays.npz", np.savez), ("compressed.npz", np.savez_compressed)):
        write(folder / name, **arrays)
        safetensors.numpy.save_file(arrays, (folder / name).with_suffix(".safetensors"))
    np.save(folder / "images.npy", rng.normal(size=(6, 3, 8, 8)).astype("f4"))
    safetensors.numpy.save_file({"array": np.load(folder / "images.npy")}, folder / "images.safetensors")


def same(ours, theirs, what):
    assert list(ours) == list(theirs) or sorted(ours) == sorted(theirs), (what, sorted(ours), sorted(theirs))
    for name, x in theirs.items():
        y = ours[name]
        assert x.dtype == y.dtype and x.shape == y.shape, (what, name, x.dtype, y.dtype, x.shape, y.shape)
        equal = torch.equal(x, y) if isinstance(x, torch.Tensor) else np.array_equal(x, y)
        assert equal, (what, name)


def check(folder):
    checked = 0
    for path in sorted(folder.iterdir()):
        ours = path.with_suffix(".ours")
        if path.suffix in (".pt", ".pth"):
            same(safetensors.torch.load_file(ours), safetensors.torch.load_file(path.with_suffix(".safetensors")), path)
        elif path.suffix == ".npz":
            same(safetensors.numpy.load_file(ours), dict(np.load(path)), path)
        elif path.suffix == ".npy":
            # Little-endian and in C's order, whatever was read.
            x = np.load(path)
            expected = folder / "expected"
            with open(expected, "wb") as file:
                np.save(file, np.ascontiguousarray(x.astype(x.dtype.newbyteorder("<"))))
            assert ours.read_bytes() == expected.read_bytes(), path
        else:
            continue
        checked += 1
    for name in ("stored_by_us", "compressed_by_us"):
        same(dict(np.load(folder / f"{name}.npz.ours")), dict(np.load(folder / "arrays.npz")), name)

    # The two lines of docs/weights.md.
    model = net()
    model.load_state_dict(safetensors.torch.load_file(folder / "our_net.ours"))
    images = torch.from_numpy(np.load(folder / "images.npy"))
    differences = []
    for name in ("outputs", "outputs_of_pytorch"):
        with torch.no_grad():
            expected = model.eval()(images)
        differences.append((torch.from_numpy(np.load(folder / f"{name}.ours")) - expected).abs().max().item())
        assert differences[-1] < 1e-5, (name, differences)
        model.load_state_dict(torch.load(folder / "net.pth"))
    model.load_state_dict({k: torch.from_numpy(v) for k, v in np.load(folder / "our_net.npz.ours").items()})
    print(f"{checked} files agree; outputs of the same net differ by at most {max(differences):.1e}")


{"make": make, "check": check}[sys.argv[1]](Path(sys.argv[2]))
