"""The verdict of the soak (`./enms bench --only soak`): it distinguishes a leak from noise."""

import random

import pytest

from tests.bench.soak import trend


def series(start, per_hour, noise, minutes=30):
    """(seconds, MB) each 15 s: a warm-up of 20 MB, a steady growth, noise."""
    dice = random.Random(7)
    return [
        (t, start + min(20.0, t / 10) + per_hour * t / 3600 + dice.uniform(-noise, noise))
        for t in range(0, minutes * 60 + 1, 15)
    ]


@pytest.mark.parametrize(
    "start, per_hour, noise, flat",
    [
        (100, 0, 5, True),
        (100, 2, 3, True),
        (100, 40, 3, False),
        (300, 30, 10, True),
        (300, 60, 10, False),
        (5, 30, 0, False),
    ],
)
def test_verdict(start, per_hour, noise, flat):
    found = trend("x", series(start, per_hour, noise))
    assert found.flat is flat
    assert found.per_hour == pytest.approx(per_hour, abs=noise * 2 + 0.1)
