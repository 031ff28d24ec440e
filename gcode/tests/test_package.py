"""Programs inside of .gcode.3mf, .ufp and .gx, and pictures however they are marked."""

import base64
import io
import struct
import zipfile

import pytest
from PIL import Image

from gcode import GcodeError, Limits, analyze

from .support import cube


def picture(form="PNG", size=(40, 30)):
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, form)
    return out.getvalue()


def packed(parts, compression=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return out.getvalue()


def facts(result):
    return {key: result[key] for key in ("settings", "stated", "filament", "layers", "geometry", "counts")}


@pytest.fixture(scope="module")
def plain():
    return facts(analyze(io.BytesIO(cube().encode())))


@pytest.mark.parametrize(
    "parts",
    [
        {
            "[Content_Types].xml": "<x/>",
            "3D/3dmodel.model": "<m/>",
            "Metadata/plate_1.gcode": cube(),
            "Metadata/plate_1.png": picture(),
        },
        {"/3D/model.gcode": cube(), "/Metadata/thumbnail.png": picture()},
        {"Metadata/plate_2.gcode": "G28\n", "Metadata/plate_1.gcode": cube(), "Metadata/plate_1.png": picture()},
        {"plate.GCO": cube(), "my_thumbnail.jpg": picture("JPEG")},
    ],
    ids=["3mf", "ufp", "plates", "other"],
)
def test_the_program_of_a_package(tmp_path, plain, parts):
    data = packed(parts)
    result = analyze(io.BytesIO(data), thumbnail=tmp_path / "a.png")
    assert facts(result) == plain
    assert result["file"]["format"] == "package" and result["file"]["bytes"] == len(data)
    assert result["thumbnail"]["source"] == "embedded" and Image.open(tmp_path / "a.png").size == (40, 30)
    several = [name for name in parts if name.endswith(".gcode")]
    assert ("several_programs" in {w["code"] for w in result["warnings"]}) == (len(several) > 1)
    (tmp_path / "b.gcode.3mf").write_bytes(data)
    assert facts(analyze(tmp_path / "b.gcode.3mf")) == plain


def test_a_package_without_a_program_says_what_to_do():
    with pytest.raises(GcodeError, match="slice it, and export the sliced file"):
        analyze(io.BytesIO(packed({"3D/3dmodel.model": "<m/>"})))


def test_bombs_and_damage_are_refused_or_told():
    """200 MB of one letter in 200 kB; cut and mutated packages never do anything but raise a sentence or answer."""
    bomb = packed({"a.gcode": "G1 X1\n" + ";" * 200_000_000})
    with pytest.raises(GcodeError, match="unpacks to more than 200 times its size"):
        analyze(io.BytesIO(bomb))
    picture_bomb = packed({"a.gcode": cube(), "Metadata/plate_1.png": b"\x89PNG" + b"0" * 30_000_000})
    assert analyze(io.BytesIO(picture_bomb))["layers"]["count"] == 10
    with pytest.raises(GcodeError, match="MiB of text, the limit"):
        analyze(io.BytesIO(packed({"a.gcode": cube(400)})), limits=Limits(max_text=100_000))
    good = packed({"a.gcode": cube(), "Metadata/plate_1.png": picture()})
    for place in range(0, len(good), 41):
        for damaged in (good[:place], good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :]):
            try:
                analyze(io.BytesIO(damaged))
            except GcodeError as error:
                assert str(error)
    with pytest.raises(GcodeError, match="damaged package"):
        analyze(io.BytesIO(good[:200]))


def gx(bmp, program):
    head = b"xgcode 1.0\n\0".ljust(16, b"\0") + struct.pack("<III", 58, 58 + len(bmp), 58 + len(bmp))
    return head.ljust(58, b"\0") + bmp + program


def test_the_program_of_a_gx(tmp_path, plain):
    result = analyze(io.BytesIO(gx(picture("BMP", (80, 60)), cube().encode())), thumbnail=tmp_path / "a.png")
    assert facts(result) == plain and result["file"]["format"] == "gx"
    assert result["thumbnail"]["source"] == "embedded" and Image.open(tmp_path / "a.png").size == (80, 60)
    assert facts(analyze(io.BytesIO(gx(b"", cube().encode())))) == plain
    for cut in (20, 58, 70, 500):
        with pytest.raises(GcodeError):
            analyze(io.BytesIO(gx(picture("BMP", (80, 60)), cube().encode())[:cut]))


@pytest.mark.parametrize(
    "begin, end, form",
    [
        ("; thumbnail begin 40x30 {}", "; thumbnail end", "PNG"),
        ("; thumbnail begin 40 30 {}", "; thumbnail end", "PNG"),
        ("; png begin 40*30 {} 3 197 500", "; png end", "PNG"),
        ("; jpg begin 40*30 {}", "; jpg end", "JPEG"),
        (";thumbnail_JPG begin 40x30 {}", ";thumbnail_JPG end", "JPEG"),
        ("; begin 40 30 {}", "; end", "PNG"),
        ("data", "", "PNG"),
        ("data", "", "JPEG"),
    ],
)
def test_pictures_however_they_are_marked(tmp_path, begin, end, form):
    text = base64.b64encode(picture(form)).decode()
    if begin == "data":
        block = f"; thumbnail: data:image/{form.lower()};base64,{text}\n"
    else:
        lines = "\n".join("; " + text[i : i + 78] for i in range(0, len(text), 78))
        block = f"{begin.format(len(text))}\n{lines}\n{end}\n"
    result = analyze(io.BytesIO((block + cube()).encode()), thumbnail=tmp_path / "a.png")
    assert result["thumbnail"]["source"] == "embedded" and Image.open(tmp_path / "a.png").size == (40, 30)
