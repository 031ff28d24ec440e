"""Reads QOI pictures (qoiformat.org, specification 1.0)."""

import struct

MAX_PIXELS = 4_000_000


def decode(data):
    """(width, height, RGBA bytes). Raises ValueError with a sentence when the data are no such picture."""
    if len(data) < 14 or data[:4] != b"qoif":
        raise ValueError("no QOI header")
    width, height, channels, _ = struct.unpack_from(">IIBB", data, 4)
    if not 0 < width * height <= MAX_PIXELS or channels not in (3, 4):
        raise ValueError(f"a QOI picture of {width} x {height} with {channels} channels")
    total = width * height
    out = bytearray()
    seen = [bytes(4)] * 64
    pixel, at, size = b"\x00\x00\x00\xff", 14, len(data)
    while len(out) < total * 4:
        if at >= size:
            raise ValueError("the QOI data end early")
        tag = data[at]
        at += 1
        if tag >= 0xFE:
            need = 3 if tag == 0xFE else 4
            if at + need > size:
                raise ValueError("the QOI data end early")
            pixel = data[at : at + need] + (pixel[3:] if need == 3 else b"")
            at += need
        elif tag < 64:
            pixel = seen[tag]
        elif tag < 128:
            r, g, b, a = pixel
            pixel = bytes(
                ((r + (tag >> 4 & 3) - 2) & 255, (g + (tag >> 2 & 3) - 2) & 255, (b + (tag & 3) - 2) & 255, a)
            )
        elif tag < 192:
            if at >= size:
                raise ValueError("the QOI data end early")
            r, g, b, a = pixel
            green, more = (tag & 63) - 32, data[at]
            at += 1
            pixel = bytes(
                ((r + green - 8 + (more >> 4)) & 255, (g + green) & 255, (b + green - 8 + (more & 15)) & 255, a)
            )
        else:
            out += pixel * min((tag & 63) + 1, total - len(out) // 4)
            continue
        seen[(pixel[0] * 3 + pixel[1] * 5 + pixel[2] * 7 + pixel[3] * 11) & 63] = pixel
        out += pixel
    return width, height, bytes(out)
