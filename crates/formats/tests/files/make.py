"""The files of the tests beside it, as PyTorch and NumPy write them.

    pip install torch==2.15.0 torchvision==0.29.2 numpy==2.4.6
    python crates/formats/tests/files/make.py

Made with torch 2.15.0 and numpy 2.4.6. Numbers are such that the tests can compute them: see `numbers`.
"""

import io
import os
import struct
import sys
from collections import OrderedDict
from pathlib import Path

import numpy
import torch
from torch import nn

HERE = Path(__file__).parent


def numbers(*shape, dtype=torch.float32, start=0):
    """start, start + 1, … as quarters if they are floats."""
    n = int(numpy.prod(shape))
    x = torch.arange(start, start + n, dtype=torch.float64)
    return (x / 4 if dtype.is_floating_point else x).reshape(shape).to(dtype)


def net():
    """Three layers, whose parameters and buffers have the numbers from 0 on, in order."""
    layers = nn.Sequential(nn.Conv2d(1, 2, 2, bias=False), nn.BatchNorm2d(2), nn.Linear(3, 2))
    start = 0
    for x in layers.state_dict().values():
        x.copy_(numbers(*x.shape, dtype=x.dtype, start=start))
        start += x.numel()
    return layers


def formats():
    kinds = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8".split()
    tensors = {kind: numbers(2, 3, dtype=getattr(torch, kind)) for kind in kinds}
    return tensors | {"bool": torch.tensor([True, False, True]), "uint16": numbers(3, dtype=torch.uint16)}


def views():
    """Views that share storages, as PyTorch saves them: with offsets and strides."""
    base = numbers(4, 6)
    tied = nn.Parameter(numbers(2, start=100))
    return OrderedDict(
        base=base,
        transposed=base.t(),
        part=base[1:3, 2:5],
        every_other=base[::2, 1::2],
        expanded=numbers(3, start=50).expand(4, 3),
        scalar=numbers(start=7).reshape(()),
        empty=torch.empty(0, 3),
        tied=tied,
        also_tied=tied,
        detached=tied.detach(),
        channels_last=numbers(1, 2, 2, 2).to(memory_format=torch.channels_last),
    )


class Net(nn.Module):
    """A module without others in it, since the legacy format has their source code."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(numbers(2))


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/chainrule-was-here",)


def checkpoint():
    layers = net()
    optimizer = torch.optim.AdamW(layers.parameters())
    layers(torch.zeros(1, 1, 3, 4)).sum().backward()
    state = net().state_dict()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    return {
        "epoch": 3,
        "best": 0.5,
        "args": ["--lr", "0.1"],
        "seed": 2**64 - 1,
        "model": state,
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "rng": torch.get_rng_state()[:16].clone(),
    }


def pytorch():
    def save(name, value, **options):
        torch.save(value, HERE / name, **options)

    legacy = {"_use_new_zipfile_serialization": False}
    save("net.pt", net().state_dict())
    # The header of its first entry has 76 bytes: see `archive.rs`.
    save("name_of_21_characters.pt", net().state_dict())
    save("net_legacy.pt", net().state_dict(), **legacy)
    torch.serialization.set_crc32_options(False)
    save("net_without_checksums.pt", net().state_dict())
    torch.serialization.set_crc32_options(True)
    for protocol in (3, 4, 5):
        save(f"net_protocol{protocol}.pt", net().state_dict(), pickle_protocol=protocol)
    save("net_legacy_protocol4.pt", net().state_dict(), pickle_protocol=4, **legacy)
    save("formats.pt", formats())
    save("formats_legacy.pt", {k: v for k, v in formats().items() if k != "uint16"}, **legacy)
    save("views.pt", views())
    save("views_legacy.pt", views(), **legacy)
    save("checkpoint.pt", checkpoint())
    save("checkpoint_legacy.pt", checkpoint(), **legacy)
    save("module.pt", Net())
    save("module_legacy.pt", Net(), **legacy)
    save("sequential.pt", nn.Sequential())
    save("evil.pt", {"weight": numbers(2), "evil": Evil()})
    save("evil_legacy.pt", {"weight": numbers(2), "evil": Evil()}, **legacy)
    save("tensor.pt", numbers(3))
    save("complex.pt", {"w": torch.zeros(2, dtype=torch.complex64)})
    save("sparse.pt", {"w": torch.eye(2).to_sparse()})
    save("negative.pt", {"w": torch.zeros(2, dtype=torch.complex64).conj().imag})
    sys.stderr.flush()
    torch.jit.save(torch.jit.script(nn.Linear(2, 1)), HERE / "script.pt")


def arrays():
    kinds = "f8 f4 f2 i8 i4 i2 i1 u8 u4 u2 u1".split()
    arrays = {kind: (numpy.arange(6) / (4 if kind[0] == "f" else 1)).reshape(2, 3).astype(kind) for kind in kinds}
    return arrays | {"b1": numpy.array([True, False, True])}


def numpy_files():
    for name, x in arrays().items():
        numpy.save(HERE / f"{name}.npy", x)
    x = arrays()["f4"]
    numpy.save(HERE / "big_fortran.npy", numpy.asfortranarray(numpy.arange(24).reshape(2, 3, 4).astype(">i4")))
    numpy.save(HERE / "scalar.npy", numpy.float32(1.5))
    numpy.save(HERE / "empty.npy", numpy.empty((0, 3), "f4"))
    numpy.save(HERE / "long.npy", numpy.arange(5, dtype="f4"))
    # Its header fills blocks of 64 bytes without padding, so a whole block is added.
    numpy.save(HERE / "aligned.npy", numpy.zeros((1,) * 13 + (100,), "f2"))
    assert (HERE / "aligned.npy").stat().st_size == 192 + 200
    for version in ((2, 0), (3, 0)):
        with open(HERE / f"version{version[0]}.npy", "wb") as file:
            numpy.lib.format.write_array(file, x, version=version)
    numpy.save(HERE / "object.npy", numpy.array([{}, None]), allow_pickle=True)
    numpy.save(HERE / "text.npy", numpy.array(["a", "bc"]))
    numpy.save(HERE / "records.npy", numpy.zeros(2, [("x", "<f4"), ("y", "<i4")]))
    numpy.save(HERE / "complex.npy", numpy.zeros(2, "c8"))
    numpy.savez(HERE / "arrays.npz", **arrays())
    numpy.savez_compressed(HERE / "compressed.npz", **arrays())


pytorch()
numpy_files()
