"""Binary G-code: every compression, encoding and block type, damage and bombs; support.py has an encoder."""

import io
import struct
import zlib

import pytest
from PIL import Image

from gcode import GcodeError, analyze
from gcode import bgcode as reader
from gcode.packing import meatpack_decode
from gcode.tests.support import bgcode, bgcode_block, cube, heatshrink_encode, meatpack_encode


def _png(size=(16, 16)):
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 40)).save(out, "PNG")
    return out.getvalue()


def _facts(result):
    return {key: result[key] for key in ("geometry", "features", "objects", "layers")}


@pytest.fixture(scope="module")
def plain():
    return analyze(io.BytesIO(cube(layers=4).encode()))


@pytest.mark.parametrize("compression", reader.COMPRESSIONS)
@pytest.mark.parametrize("encoding", [0, 2])
@pytest.mark.parametrize("checksum", [0, 1])
def test_every_compression_and_encoding_gives_the_same_analysis(plain, compression, encoding, checksum):
    result = analyze(io.BytesIO(bgcode(cube(layers=4), compression, encoding, checksum)))
    assert result["file"]["format"] == "bgcode"
    assert {warning["code"] for warning in result["warnings"]} == {
        "time_differs",
        "filament_differs",
        "limits_unknown",
        "density_from_table",
    }  # all true of this toy
    assert result["slicer"] == {"name": "PrusaSlicer", "version": "2.8.0", "dialect": "prusa"}
    assert result["settings"]["printer_model"] == "MK4" and result["settings"]["layer_height_mm"] == 0.2
    assert result["stated"]["time_s"] == 3723 and result["stated"]["filament_mm"] == [12.5]
    ours, theirs = _facts(result), _facts(plain)
    assert ours["geometry"] == theirs["geometry"]
    assert [row["filament_mm"] for row in ours["features"]] == [row["filament_mm"] for row in theirs["features"]]
    assert ours["objects"][0]["size_mm"] == theirs["objects"][0]["size_mm"]
    assert ours["layers"]["z_mm"] == theirs["layers"]["z_mm"]


def test_machine_limits_of_the_slicer_metadata_count_for_the_time():
    slow = (
        "machine_max_acceleration_extruding=200,200\nmachine_max_acceleration_x=150,150\n"
        "machine_max_feedrate_x=30,30\nmachine_max_jerk_x=2,2\n"
    )
    quick, careful = (
        analyze(io.BytesIO(bgcode(cube(layers=4), settings=settings)))["time"]
        for settings in ("layer_height=0.2\n", slow)
    )
    assert careful["limits"] == "slicer settings" and careful["moves_s"] > 1.2 * quick["moves_s"]


@pytest.mark.parametrize("compression", reader.COMPRESSIONS)
def test_meatpack_without_comments_still_gives_the_geometry(plain, compression):
    result = analyze(io.BytesIO(bgcode(cube(layers=4, skirt=False), compression, 1)))
    assert result["filament"]["moved_mm"] == pytest.approx(
        analyze(io.BytesIO(cube(layers=4, skirt=False).encode()))["filament"]["moved_mm"]
    )
    assert {"layers_by_height", "box_by_heuristic"} <= {warning["code"] for warning in result["warnings"]}
    assert result["geometry"]["size_mm"]["x"] == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize("form, name", reader.THUMBNAIL_FORMATS.items())
def test_thumbnail_blocks_are_read(tmp_path, form, name):
    data = _png()
    if name == "jpg":
        out = io.BytesIO()
        Image.open(io.BytesIO(data)).save(out, "JPEG")
        data = out.getvalue()
    elif name == "qoi":
        data = (
            b"qoif"
            + struct.pack(">IIBB", 16, 16, 4, 0)
            + b"\xfe\xc8\x1e\x28"
            + bytes([0xC0 | 61]) * 4
            + bytes([0xC0 | 6])
            + bytes(7)
            + b"\1"
        )
    result = analyze(
        io.BytesIO(bgcode(cube(layers=2), thumbnails=[(form, 16, 16, data)])), thumbnail=tmp_path / "t.png"
    )
    assert result["thumbnail"]["source"] == "embedded" and result["thumbnail"]["format"] == name
    with Image.open(tmp_path / "t.png") as image:
        assert image.size == (16, 16)
        assert image.convert("RGB").getpixel((15, 15)) == pytest.approx((200, 30, 40), abs=4)


def test_wrong_crc_is_reported_and_what_is_before_it_is_kept():
    data = bytearray(bgcode(cube(layers=600), compression=1, encoding=0))
    data[-40] ^= 1
    result = analyze(io.BytesIO(bytes(data)))
    assert any("wrong CRC" in warning["text"] for warning in result["warnings"])
    assert result["layers"]["count"] > 10
    data = bytearray(bgcode(cube(layers=2)))
    data[30] ^= 1
    with pytest.raises(GcodeError, match=r"wrong CRC in block 1 \(file metadata\)"):
        analyze(io.BytesIO(bytes(data)))


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"GCDE\1\0", "ends within its header"),
        (b"GCDE" + struct.pack("<IH", 2, 1), "is .bgcode version 2"),
        (b"GCDE" + struct.pack("<IH", 1, 7), "unknown .bgcode checksum type 7"),
        (b"GCDE" + struct.pack("<IH", 1, 0), "without blocks"),
        (b"GCDE" + struct.pack("<IH", 1, 0) + struct.pack("<HHI", 9, 0, 0), "unknown block type 9"),
        (b"GCDE" + struct.pack("<IH", 1, 0) + struct.pack("<HHI", 1, 5, 0), "unknown compression 5"),
        (
            b"GCDE" + struct.pack("<IH", 1, 0) + struct.pack("<HHII", 1, 1, 4 << 30 - 1 & 0xFFFFFFFF or 1 << 31, 90),
            "refused",
        ),
        (
            b"GCDE" + struct.pack("<IH", 1, 0) + bgcode_block(1, b"G1 X1\n", struct.pack("<H", 9), checksum=0),
            "unknown G-code encoding 9",
        ),
        (b"GCDE" + struct.pack("<IH", 1, 0) + struct.pack("<HHI", 1, 0, 500) + b"\0\0short", "ends within block 1"),
    ],
)
def test_a_sentence_says_what_is_wrong_with_a_file(data, sentence):
    with pytest.raises(GcodeError, match=sentence):
        analyze(io.BytesIO(data))


def _bomb(claim, packed):
    return b"GCDE" + struct.pack("<IH", 1, 0) + struct.pack("<HHII", 1, 1, claim, len(packed)) + b"\0\0" + packed


def test_blocks_that_unpack_to_too_much_are_refused():
    zeros = zlib.compress(bytes(30 << 20))
    with pytest.raises(GcodeError, match="refused"):
        analyze(io.BytesIO(_bomb(1 << 30, zeros)))
    with pytest.raises(GcodeError, match="refused"):
        analyze(io.BytesIO(_bomb(20 << 20, zlib.compress(bytes(100)))))
    with pytest.raises(GcodeError, match="another size than stated"):
        analyze(io.BytesIO(_bomb(1 << 20, zeros)))


@pytest.mark.parametrize("window", [11, 12])
def test_heatshrink_round_trip(window):
    data = (b"G1 X10.5 Y20.25 E.0332\n" * 40 + bytes(range(256))) * 3
    packed = heatshrink_encode(data, window, 4)
    assert len(packed) < len(data) / 2
    assert reader.unpack(packed, 2 if window == 11 else 3, len(data), "block 1") == data


def test_meatpack_round_trip():
    text = "G1 X10.5 Y-3 E.5\nM204 P800\n;TYPE:Perimeter é\nG1 X1\nM117 Hello 10\n"
    assert (
        meatpack_decode(meatpack_encode(text, True)).decode()
        == "G1X10.5Y-3E.5\nM204 P800\n;TYPE:Perimeter é\nG1X1\nM117 Hello 10\n"
    )
