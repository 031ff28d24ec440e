"""Embedded QOI pictures: those of an encoder written from the specification come back, damage is reported."""

import io
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gcode import thumbnail
from gcode.tests.support import EXAMPLES, qoi_encode


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
    found, complaints = thumbnail.embedded([("qoi", width, height, qoi_encode(width, height, pixels))])
    assert found
    with Image.open(io.BytesIO(found[0])) as image:
        assert image.size == (width, height) and complaints == []
        assert image.convert("RGBA").tobytes() == bytes(v for pixel in pixels for v in pixel)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"qoif",
        b"nope" + bytes(20),
        b"qoif" + struct.pack(">IIBB", 0, 5, 4, 0),
        b"qoif" + struct.pack(">IIBB", 60000, 60000, 4, 0),
        b"qoif" + struct.pack(">IIBB", 4, 4, 9, 0),
        qoi_encode(4, 4, [(random.Random(1).randint(0, 255), n, 3, 255) for n in range(16)])[:25],
    ],
)
def test_damage_is_reported(data):
    found, complaints = thumbnail.embedded([("qoi", 4, 4, data)])
    assert found is None and len(complaints) == 1
    assert complaints[0].startswith("The embedded QOI picture of 4 x 4 can't be read")
