"""The preview file: size, tolerance, damage."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np

from gcode import analyze
from gcode.preview import FEATURES, MAX_BYTES, decode
from gcode.tests.support import cube


def _write(tmp_path: Path, text: str) -> tuple[dict[str, Any], bytes]:
    program = tmp_path / "program.gcode"
    program.write_text(text)
    result = analyze(program, preview=tmp_path / "preview.bin")
    return result, (tmp_path / "preview.bin").read_bytes()


def test_preview_holds_the_lines_of_each_layer_and_feature(tmp_path):
    result, data = _write(tmp_path, cube(layers=3))
    header, layers, groups = decode(data)
    assert header["layers"] == 3 and len(data) == result["preview"]["bytes"]
    assert [(layer, FEATURES[feature]) for layer, feature, _ in groups] == [
        (0, "external_perimeter"),
        (0, "perimeter"),
        (0, "skirt"),
        (1, "external_perimeter"),
        (1, "perimeter"),
        (2, "external_perimeter"),
        (2, "perimeter"),
    ]
    np.testing.assert_allclose(layers["z"], [0.2, 0.4, 0.6], atol=1e-6)
    np.testing.assert_allclose(layers["seconds"], result["layers"]["time_s"], atol=0.01)
    square = groups[0][2][0]
    np.testing.assert_allclose(
        square, np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]]) * 19.55 / 2 + 100, atol=header["tolerance_mm"]
    )


def test_no_program_makes_a_preview_of_more_than_a_megabyte(tmp_path):
    rng = random.Random(5)
    lines = ["M83"]
    for layer in range(700):
        lines += [";LAYER_CHANGE", f"G1 Z{0.2 * layer + 0.2:.2f}", ";TYPE:Unheard of"]
        lines += [f"G1 X{rng.uniform(0, 250):.2f} Y{rng.uniform(0, 210):.2f} E.2" for _ in range(700)]
    result, data = _write(tmp_path, "\n".join(lines))
    assert 300_000 < len(data) <= MAX_BYTES
    header, layers, _ = decode(data)
    assert "infill" in header["left_out"] or header["layer_stride"] > 1
    assert math.isclose(sum(layers["seconds"]), sum(result["layers"]["time_s"]), rel_tol=1e-3)


def test_points_of_the_program_lie_within_the_stated_tolerance_of_the_preview(tmp_path):
    points = [(100 + r * math.cos(a / 40), 100 + r * math.sin(a / 40)) for a in range(300) for r in (20 + a / 10,)]
    text = "M83\n;LAYER_CHANGE\nG1 X120 Y100 Z.2\n;TYPE:External perimeter\n" + "".join(
        f"G1 X{x:.4f} Y{y:.4f} E.1\n" for x, y in points
    )
    _, data = _write(tmp_path, text)
    header, _, groups = decode(data)
    ((_, _, (line,)),) = groups
    assert len(line) < 200
    for p in np.array(points):
        a, b = line[:-1], line[1:]
        way = b - a
        part = np.clip(((p - a) * way).sum(1) / np.maximum((way * way).sum(1), 1e-9), 0, 1)[:, None]
        assert np.hypot(*(p - a - way * part).T).min() <= header["tolerance_mm"]
