"""The QOI reader against an encoder written from the specification's text, and against damage."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gcode import qoi
from gcode.tests.support import EXAMPLES


def encode(width, height, pixels):
    """QOI of RGBA pixels (a list of 4-tuples), with every kind of chunk."""
    out, seen, before, run = bytearray(b"qoif" + struct.pack(">IIBB", width, height, 4, 0)), {}, (0, 0, 0, 255), 0

    def close():
        nonlocal run
        if run:
            out.append(0xC0 | run - 1)
            run = 0

    for pixel in pixels:
        if pixel == before:
            run += 1
            if run == 62:
                close()
            continue
        close()
        place = (pixel[0] * 3 + pixel[1] * 5 + pixel[2] * 7 + pixel[3] * 11) % 64
        r, g, b = ((pixel[n] - before[n] + 128) % 256 - 128 for n in range(3))
        if seen.get(place) == pixel:
            out.append(place)
        elif pixel[3] != before[3]:
            out += bytes([255, *pixel])
        elif all(-2 <= d <= 1 for d in (r, g, b)):
            out.append(0x40 | r + 2 << 4 | g + 2 << 2 | b + 2)
        elif -32 <= g <= 31 and -8 <= r - g <= 7 and -8 <= b - g <= 7:
            out += bytes([0x80 | g + 32, r - g + 8 << 4 | b - g + 8])
        else:
            out += bytes([254, *pixel[:3]])
        seen[place] = before = pixel
    close()
    return bytes(out) + bytes(7) + b"\1"


@settings(max_examples=40 * EXAMPLES, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.randoms(use_true_random=False))
def test_every_picture_comes_back(width, height, rng):
    pixel, pixels = (10, 20, 30, 255), []
    for _ in range(width * height):
        kind = rng.random()
        if kind < 0.3:
            pixel = tuple((v + rng.randint(-2, 1)) % 256 for v in pixel[:3]) + pixel[3:]
        elif kind < 0.5:
            step = rng.randint(-32, 31)
            pixel = (
                tuple((v + step + d) % 256 for v, d in zip(pixel, (rng.randint(-8, 7), 0, rng.randint(-8, 7))))
                + pixel[3:]
            )
        elif kind < 0.6:
            pixel = tuple(rng.randint(0, 255) for _ in range(4))
        elif kind < 0.7 and pixels:
            pixel = rng.choice(pixels)
        pixels.append(pixel)
    assert qoi.decode(encode(width, height, pixels)) == (width, height, bytes(v for pixel in pixels for v in pixel))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"qoif",
        b"nope" + bytes(20),
        b"qoif" + struct.pack(">IIBB", 0, 5, 4, 0),
        b"qoif" + struct.pack(">IIBB", 60000, 60000, 4, 0),
        b"qoif" + struct.pack(">IIBB", 4, 4, 9, 0),
        encode(4, 4, [(random.Random(1).randint(0, 255), n, 3, 255) for n in range(16)])[:25],
    ],
)
def test_damage_is_a_value_error(data):
    with pytest.raises(ValueError):
        qoi.decode(data)
