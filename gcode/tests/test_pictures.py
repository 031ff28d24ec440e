"""Embedded pictures and drawn ones."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gcode import analyze
from gcode.tests.support import cube, qoi_encode


def _embedded(form: str, image: Image.Image, name: str = "thumbnail") -> str:
    """Comments with a picture, as PrusaSlicer writes them."""
    out = io.BytesIO()
    image.save(out, form)
    text = base64.b64encode(out.getvalue()).decode()
    lines = "\n".join("; " + text[at : at + 78] for at in range(0, len(text), 78))
    return f";\n; {name} begin {image.width}x{image.height} {len(text)}\n{lines}\n; {name} end\n;\n"


def _picture(tmp_path: Path, text: str) -> tuple[dict[str, Any], Image.Image]:
    result = analyze(io.BytesIO(text.encode()), thumbnail=tmp_path / "t.png")
    with Image.open(tmp_path / "t.png") as image:
        return result, image.convert("RGBA")


def test_largest_embedded_picture_is_taken_and_made_small_enough(tmp_path):
    text = (
        _embedded("PNG", Image.new("RGB", (16, 16), "red"))
        + _embedded("JPEG", Image.new("RGB", (1280, 960), "blue"), "thumbnail_JPG")
        + cube()
    )
    result, image = _picture(tmp_path, text)
    assert result["thumbnail"] | {"bytes": 0} == {
        "source": "embedded",
        "format": "jpg",
        "width": 640,
        "height": 480,
        "bytes": 0,
    }
    pixel = image.getpixel((5, 5))
    assert image.size == (640, 480) and isinstance(pixel, tuple) and pixel[2] > 240


def test_qoi_in_comments_is_read(tmp_path):
    data = base64.b64encode(qoi_encode(16, 16, [(200, 30, 40, 255)] * 256)).decode()
    result, image = _picture(
        tmp_path, f"; thumbnail_QOI begin 16x16 {len(data)}\n; {data}\n; thumbnail_QOI end\n" + cube()
    )
    assert result["thumbnail"]["format"] == "qoi" and image.getpixel((8, 8)) == (200, 30, 40, 255)


def test_damaged_picture_is_reported_and_the_next_one_taken(tmp_path):
    text = (
        "; thumbnail begin 900x900 12\n; AAAAAAAAAAAA\n; thumbnail end\n"
        + _embedded("PNG", Image.new("RGB", (16, 16), "red"))
        + cube()
    )
    result, image = _picture(tmp_path, text)
    assert image.size == (16, 16) and "thumbnail_damaged" in {warning["code"] for warning in result["warnings"]}


def test_picture_is_drawn_where_there_is_none(tmp_path):
    result, image = _picture(tmp_path, cube(layers=60))
    assert result["thumbnail"]["source"] == "rendered" and image.size == (480, 480)
    pixels = np.asarray(image).astype(int)
    orange = (pixels[..., 3] > 200) & (pixels[..., 0] > pixels[..., 2] + 60)
    assert 0.08 < orange.mean() < 0.6  # the box is there, with air around it
    rows, columns = np.nonzero(orange)
    assert 100 < rows.mean() < 340 and 150 < columns.mean() < 330  # in the middle
    assert len(np.unique(pixels[orange][:, 0] // 20)) >= 3  # its sides differ in light


def test_drawn_picture_has_the_colour_of_the_filament(tmp_path):
    _, image = _picture(tmp_path, cube(layers=40) + "; filament_colour = #2050E0\n")
    pixels = np.asarray(image).astype(int)
    blue = (pixels[..., 3] > 200) & (pixels[..., 2] > 2 * pixels[..., 0])
    assert blue.mean() > 0.08


def test_what_is_nearer_hides_what_is_behind(tmp_path):
    """A low wall of support before a tall box: the box stands out above it, the wall covers its foot."""
    wall = "".join(
        f";LAYER_CHANGE\n;Z:{z:.1f}\n;HEIGHT:0.2\nG1 Z{z:.1f}\n;TYPE:External perimeter\n;WIDTH:0.45\n"
        "G1 X90 Y110\nG1 X110 Y110 E1\nG1 X110 Y120 E1\nG1 X90 Y120 E1\nG1 X90 Y110 E1\n"
        + (";TYPE:Support\nG1 X80 Y100\nG1 X120 Y100 E1\n" if z < 6 else "")
        for z in np.arange(1, 101) / 5
    )
    _, image = _picture(tmp_path, "M83\n" + wall)
    pixels = np.asarray(image).astype(int)
    solid, orange = pixels[..., 3] > 200, pixels[..., 0] > pixels[..., 2] + 60
    rows = np.nonzero((solid & orange).any(axis=1))[0]
    middle = solid[:, 200:280] & ~orange[:, 200:280]
    assert middle.sum() > 500 and np.nonzero(middle)[0].mean() > rows.mean()


def test_nothing_to_draw_is_reported(tmp_path):
    result = analyze(io.BytesIO(b"G1 X5\n"), thumbnail=tmp_path / "t.png")
    assert result["thumbnail"] is None and not (tmp_path / "t.png").exists()
    assert "no_picture" in {warning["code"] for warning in result["warnings"]}


@pytest.mark.parametrize("x", [1e5, -9e5])
def test_far_away_lines_do_no_harm(tmp_path, x):
    result, _ = _picture(
        tmp_path,
        f"M83\n;LAYER_CHANGE\n;TYPE:External perimeter\nG1 Z.2\nG1 X5 Y5 E1\nG1 X{x} E1\nG1 X10 Y10 E1\nG1 X20 E1\n",
    )
    assert result["thumbnail"]["source"] == "rendered"
