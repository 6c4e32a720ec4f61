"""Image transforms on 8-bit images.

    pip install torch==2.15.0 torchvision==0.29.2 pillow==11.3.0 numpy
    python tests/reference/transforms.py            # writes transforms.json; with --check compares instead

Made with torch 2.15.0, torchvision 0.29.2 and pillow 11.3.0. The image has at flat index i of its (C, H, W)
    x[i] = (i² · 7 + i · 37 + (i div 13) · 91) mod 256
A case is {name, op, args, shape, y_shape, y}, y a flat array. All are torchvision.transforms.functional on tensors of uint8,
but resize, which is that on PIL images, and cutout, which is the authors' program (github.com/uoguelph-mlrg/Cutout,
util/cutout.py) with the given center.
"""

import numpy as np
import PIL
import torch
import torchvision
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from common import write_or_check

SHAPES = [(1, 7, 5), (3, 8, 8), (3, 9, 12), (1, 11, 11)]


def image(shape):
    i = np.arange(np.prod(shape), dtype=np.int64)
    return torch.from_numpy(((i * i * 7 + i * 37 + i // 13 * 91) % 256).astype(np.uint8).reshape(shape))


def case(op, args, shape, f):
    y = f(image(shape))
    name = f"{op} {args} of {shape}"
    return dict(name=name, op=op, args=args, shape=list(shape), y_shape=list(y.shape), y=y.flatten().tolist())


def through_pil(f):
    def of_tensor(x):
        channels = [F.pil_to_tensor(f(F.to_pil_image(channel[None], "L"))) for channel in x]
        return torch.cat(channels)

    return of_tensor


def cutout(x, length, y_center, x_center):
    h, w = x.shape[1:]
    y1, y2 = (int(np.clip(y_center + d, 0, h)) for d in (-(length // 2), length // 2))
    x1, x2 = (int(np.clip(x_center + d, 0, w)) for d in (-(length // 2), length // 2))
    y = x.clone()
    y[:, y1:y2, x1:x2] = 0
    return y


def cases():
    for shape in [*SHAPES, (1, 28, 28), (3, 32, 32)]:
        c, h, w = shape
        for size in [(h // 2, w // 2), (h // 3 + 1, w + 3), (2 * h - 1, w), (5, 1), (13, 9)]:
            yield case("resize", dict(size=size), shape, through_pil(lambda x: F.resize(x, list(size))))
    for shape in SHAPES:
        for side in (4, 10):
            yield case("resize", dict(shorter_side=side), shape, through_pil(lambda x: F.resize(x, [side])))
        for size in [(4, 4), (5, 3), (6, 2), (9, 4), (12, 13), (7, 5), (20, 1)]:
            yield case("center_crop", dict(size=size), shape, lambda x: F.center_crop(x, list(size)))
        for mode in ("constant", "reflect"):
            for padding, top, left, size in [(2, 0, 0, (6, 5)), (4, 1, 6, (7, 3)), (3, 7, 5, (6, 6))]:
                args = dict(padding=padding, mode=mode, top=top, left=left, size=size)
                crop = lambda x: F.crop(F.pad(x, [padding] * 4, padding_mode=mode), top, left, *size)
                yield case("crop", args, shape, crop)
        for mode in (InterpolationMode.NEAREST, InterpolationMode.BILINEAR):
            for angle in (-170.0, -33.0, 0.0, 10.0, 77.0, 180.0):
                args = dict(degrees=angle, interpolation=mode.value)
                yield case("rotate", args, shape, lambda x: F.rotate(x, angle, mode))
            for angle, translate, scale, shear in [
                (0.0, [2, -1], 1.0, [0.0, 0.0]), (20.0, [0, 0], 1.3, [0.0, 0.0]), (0.0, [0, 0], 1.0, [17.0, 0.0]),
                (0.0, [0, 0], 1.0, [0.0, -12.0]), (-40.0, [-1, 3], 0.7, [8.0, 21.0]),
            ]:  # fmt: skip
                args = dict(degrees=angle, translate=translate, scale=scale, shear=shear, interpolation=mode.value)
                yield case("affine", args, shape, lambda x: F.affine(x, angle, translate, scale, shear, mode))
        for op in ("brightness", "contrast", "saturation"):
            for factor in (0.0, 0.37, 1.0, 1.6):
                f = getattr(F, f"adjust_{op}")
                yield case(op, dict(factor=factor), shape, lambda x: f(x, factor))
        for turns in (-0.5, -0.13, 0.0, 0.07, 1 / 3, 0.5):
            yield case("hue", dict(factor=turns), shape, lambda x: F.adjust_hue(x, turns))
        for length, y, x in [(4, 3, 2), (3, 0, 4), (10, 6, 0)]:
            yield case("cutout", dict(length=length, y=y, x=x), shape, lambda image: cutout(image, length, y, x))
        yield case("invert", {}, shape, F.invert)
        yield case("horizontal_flip", {}, shape, F.hflip)


if __name__ == "__main__":
    about = dict(torchvision=torchvision.__version__.split("+")[0], pillow=PIL.__version__)
    write_or_check(__file__, about, list(cases()))
