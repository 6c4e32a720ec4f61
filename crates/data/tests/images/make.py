"""The images of the tests: 4×3 pixels in every common kind of PNG and JPEG, and two of 3×2 pixels in one gray.

    pip install pillow==13.0.0
    python crates/data/tests/images/make.py        # writes the files next to this script

PNG files are written chunk by chunk, since no library writes all kinds; JPEG files by Pillow.
"""

import io
import struct
import zlib
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
W, H = 4, 3
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def sample(x, y, channel, bits):
    """A sample that depends on its position. Of 16 bits, rounding to 8 and truncating to 8 differ for many of them."""
    if bits < 8:
        return (x + 2 * y + 1) % (1 << bits)
    return (97 * x + 57 * y + 31 * channel + 20) * 509 % 65521 >> (16 - bits)


def rows(color, bits, xs, ys):
    """The rows `ys` of the columns `xs`, each after filter type 0; samples below 8 bits are packed, high bits first."""
    out = b""
    for y in ys:
        text = "".join(f"{sample(x, y, c, bits):0{bits}b}" for x in xs for c in range(CHANNELS[color]))
        text += "0" * (-len(text) % 8)
        out += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")
    return out


def png(name, color, bits, *chunks, interlaced=False):
    # Adam7: (first x, step, first y, step) of the seven passes.
    passes = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)]
    if not interlaced:
        passes = [(0, 1, 0, 1)]
    data = b""
    for x, dx, y, dy in passes:
        xs, ys = range(x, W, dx), range(y, H, dy)
        data += rows(color, bits, xs, ys) if xs else b""
    header = struct.pack(">IIBBBBB", W, H, bits, color, 0, 0, interlaced)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(data, 9)), chunk(b"IEND", b"")]
    (HERE / name).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def palette(n):
    return chunk(b"PLTE", bytes((37 * i + 11 * c) % 256 for i in range(n) for c in range(3)))


def jpeg(name, mode, **options):
    image = Image.new(mode, (W, H))
    bands = len(image.getbands())
    pixels = [tuple((50 * x + 40 * y + 60 * c + 10) % 256 for c in range(bands)) for y in range(H) for x in range(W)]
    image.putdata([p[0] for p in pixels] if bands == 1 else pixels)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, **options)
    (HERE / name).write_bytes(buffer.getvalue())
    return buffer.getvalue()


for bits in (1, 2, 4, 8, 16):
    png(f"gray{bits}.png", GRAY, bits)
for bits in (8, 16):
    png(f"gray_alpha{bits}.png", GRAY_ALPHA, bits)
    png(f"rgb{bits}.png", RGB, bits)
    png(f"rgba{bits}.png", RGBA, bits)
for bits in (1, 2, 4):
    png(f"palette{bits}.png", PALETTE, bits, palette(1 << bits))
png("palette8.png", PALETTE, 8, palette(256))
png("palette_transparent.png", PALETTE, 4, palette(16), chunk(b"tRNS", bytes([0, 128, 255])))
png("gray_transparent.png", GRAY, 8, chunk(b"tRNS", struct.pack(">H", sample(0, 0, 0, 8))))
png("rgb_transparent.png", RGB, 8, chunk(b"tRNS", struct.pack(">HHH", *(sample(1, 1, c, 8) for c in range(3)))))
png("rgb_gamma.png", RGB, 8, chunk(b"gAMA", struct.pack(">I", 100000)))
png("interlaced.png", RGB, 8, interlaced=True)
png("interlaced_palette.png", PALETTE, 2, palette(4), interlaced=True)

for name, level in [("plain50.jpg", 50), ("plain200.jpg", 200)]:
    Image.new("RGB", (3, 2), (level, level, level)).save(HERE / name, quality=90)

jpeg("gray.jpg", "L")
jpeg("rgb444.jpg", "RGB", subsampling=0)
jpeg("rgb422.jpg", "RGB", subsampling=1)
jpeg("rgb420.jpg", "RGB", subsampling=2)
jpeg("rgb_stored.jpg", "RGB", keep_rgb=True)
jpeg("progressive.jpg", "RGB", progressive=True)
jpeg("progressive_gray.jpg", "L", progressive=True)
jpeg("restarts.jpg", "RGB", restart_marker_blocks=1)
cmyk = jpeg("cmyk.jpg", "CMYK")
# The same samples declared as YCCK: the transform is the last byte of the Adobe marker.
adobe = cmyk.index(b"Adobe") + 11
(HERE / "ycck.jpg").write_bytes(cmyk[:adobe] + b"\x02" + cmyk[adobe + 1:])
