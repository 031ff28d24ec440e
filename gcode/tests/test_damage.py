"""Damaged, cut and hostile files: a result with warnings or a sentence, soon, and never a traceback."""

import gzip
import io
import json
import os
import random
import subprocess
import sys
import time
import zlib

import pytest

from gcode import GcodeError, Limits, analyze, worker
from gcode.tests.support import DATA, LONG, ROOT, bgcode, bgcode_block, cube

COMMAND = [sys.executable, str(ROOT / "gcode" / "gcode_analyzer.py")]
MUTATIONS = 10_000 if LONG else 500
PER_CASE = 100


def _seeds() -> list[bytes]:
    text = cube(layers=6)
    arcs = (
        "M82\nG2 X10 Y5 I3 J2 E1\nG3 X1 Y1 R9 E2\nG18\nG2 X3 Z1 I1 K2\nG20\nG1 X1 E3\n"
        'T3\nM486 S1\nM486 A"x"\nM205 X8 J0.01\nM204 S500\nG4 P100\nG92 E0\n'
    )
    picture = "; thumbnail begin 16x16 40\n; aGFsbG8gd2VsdCBoYWxsbyB3ZWx0IGhhbGxvIHdlbHQ=\n; thumbnail end\n"
    seeds = [
        text.encode(),
        (picture + text + arcs).encode(),
        gzip.compress(text.encode()),
        (';SETTING_3 {"global_quality": "[values]\\\\nlayer_height = 0.2\\\\n"}\n' + arcs).encode(),
    ]
    return seeds + [
        bgcode(text + arcs, compression, encoding, checksum)
        for compression in range(4)
        for encoding in (0, 2)
        for checksum in (0, 1)
    ]


SEEDS = _seeds()
_BITS = [
    b"nan",
    b"1e999",
    b"-",
    b"999999999999999999999999",
    b"\0",
    b"\xff\xff\xfb",
    b"\n",
    b"G2 I1e9",
    b"X-1000000",
    b"; thumbnail begin 9999999999x9 1\n",
    b";LAYER:",
    b"\xf0\x9f\x98\x80",
    b"F0",
    b"T99999",
    b"M486 S99999999",
    b"G4 S1e9",
    b"; printing object ",
    b";LAYER_CHANGE\n" * 50,
    b"=" * 300,
    b"M205 X0 Y0\nM201 X0\nM203 X0\nM204 S0\n",
    b"G91\n",
    b"G1 E-99999\n",
]


def mutated(rng: random.Random) -> bytes:
    """One of the seeds with some damage."""
    data = bytearray(rng.choice(SEEDS))
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(data) + 1)
        kind = rng.random()
        if kind < 0.35 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind < 0.5:
            del data[at:]
        elif kind < 0.65:
            del data[at : at + rng.randrange(1, 60)]
        elif kind < 0.8:
            data[at:at] = rng.choice(_BITS)
        elif kind < 0.9:
            other = rng.choice(SEEDS)
            data[at:at] = other[: rng.randrange(400)]
        else:
            data[at:at] = data[: rng.randrange(300)]
        if not data:
            break
    return bytes(data)


@pytest.mark.parametrize("first", range(0, MUTATIONS, PER_CASE))
def test_mutated_files_give_a_result_or_a_sentence(reader, first, tmp_path):
    for number in range(first, first + PER_CASE):
        data = mutated(random.Random(number))
        started = time.monotonic()
        try:
            result = analyze(
                io.BytesIO(data), thumbnail=tmp_path / "t.png" if number % 5 == 0 else None, preview=tmp_path / "p.bin"
            )
            json.dumps(result, allow_nan=False)
        except GcodeError as error:
            assert 5 < len(str(error)) < 300 and "\n" not in str(error)
        assert time.monotonic() - started < 5, f"mutation {number} took too long"


def _run(*arguments: object, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *map(str, arguments)], input=data, capture_output=True, timeout=60)


def test_command_writes_what_it_is_asked_for(tmp_path):
    program = tmp_path / "a 'b\" \n ä.gcode"
    program.write_text(cube())
    done = _run(
        program, "--json", tmp_path / "out.json", "--thumbnail", tmp_path / "t.png", "--preview", tmp_path / "p.bin"
    )
    assert done.returncode == 0 and done.stdout == b"" and done.stderr == b""
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["file"]["name"] == program.name
    assert (tmp_path / "t.png").read_bytes()[:4] == b"\x89PNG" and (tmp_path / "p.bin").read_bytes()[:4] == b"EGPV"
    piped = _run("-", data=program.read_bytes())
    assert json.loads(piped.stdout)["geometry"] == result["geometry"]


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda path: None, "cannot be opened: No such file"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"\x7fELF\2\1\1" + bytes(500)), "is not G-code"),
        (lambda path: path.write_bytes(b"hello world\nthis is a letter\n"), "is not G-code"),
        (lambda path: path.write_bytes(b"GCDE\1\0\0\0"), "ends within its header"),
        (lambda path: path.write_bytes(b"\x1f\x8b" + bytes(30)), "damaged gzip"),
        (lambda path: path.write_bytes(cube().encode("utf-16")), "is not G-code"),
        (lambda path: path.write_bytes(b"<!doctype html>\n<p>404 not found</p>\n"), "is not G-code"),
        (
            lambda path: path.write_bytes(b"GCDE\1\0\0\0\0\0" + bgcode_block(2, b"a=b\n", bytes(2), checksum=0)),
            "holds settings or pictures but no G-code",
        ),
    ],
)
def test_command_says_in_a_sentence_why_it_can_not(tmp_path, make, sentence):
    make(tmp_path / "x.gcode")
    done = _run(tmp_path / "x.gcode")
    error = done.stderr.decode()
    assert done.returncode == 1 and sentence in error and "Traceback" not in error and error.count("\n") == 1


def test_command_says_when_it_can_not_write(tmp_path):
    (tmp_path / "x.gcode").write_text(cube())
    for option in ("--thumbnail", "--preview", "--json"):
        done = _run(tmp_path / "x.gcode", option, tmp_path / "no" / "such" / "folder")
        assert done.returncode == 1 and b"Traceback" not in done.stderr and b"folder" in done.stderr
    assert _run().returncode == 2 and _run("--help").returncode == 0


def test_gzip_bomb_is_refused():
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b"G1 X1\n" * 1_000_000) for _ in range(14)) + packer.flush()
    assert len(bomb) < 1_000_000
    with pytest.raises(GcodeError, match="times its size: refused"):
        analyze(io.BytesIO(bomb))


def test_bgcode_bomb_of_small_blocks_is_refused():
    """No block is beyond the limits of a block, all together are."""
    block = bgcode_block(1, b"G1 X1\n" * 700_000, bytes(2), compression=1, checksum=0)
    assert len(block) < 10_000
    with pytest.raises(GcodeError, match="times its size: refused"):
        analyze(io.BytesIO(b"GCDE\1\0\0\0\0\0" + block * 20))


def test_text_beyond_the_limit_is_refused():
    with pytest.raises(GcodeError, match="the limit"):
        analyze(io.BytesIO(cube(layers=50).encode()), limits=Limits(max_text=4000))


class Dribble(io.RawIOBase):
    """A stream that returns seven bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 7))


def test_gzip_and_streams_give_the_same_as_the_file(tmp_path):
    text = cube().encode()
    (tmp_path / "x.gcode").write_bytes(text)
    expected = analyze(tmp_path / "x.gcode")
    for source in (
        io.BytesIO(text),
        Dribble(text),
        io.BytesIO(gzip.compress(text)),
        io.BytesIO(gzip.compress(text[:900]) + gzip.compress(text[900:])),
    ):
        result = analyze(source)
        assert result["geometry"] == expected["geometry"] and result["layers"] == expected["layers"]
    cut = analyze(io.BytesIO(gzip.compress(text)[:-20]))
    assert any(warning["code"] == "truncated" for warning in cut["warnings"])


def test_gzip_members_and_padding_may_be_cut_anywhere():
    """A read may end between the two bytes that a member begins with, and padding may come in many reads."""
    text = cube().encode()
    first = next(n for n in range(900, 2000) if len(gzip.compress(text[:n])) % 7 == 6)
    data = gzip.compress(text[:first]) + gzip.compress(text[first:]) + bytes(100)
    whole, cut = analyze(io.BytesIO(data)), analyze(Dribble(data))
    assert cut["layers"]["count"] == whole["layers"]["count"] == 10 and cut["warnings"] == whole["warnings"]


def test_endless_line_is_skipped():
    result = analyze(io.BytesIO(b"G1 X1 E1\n" + b"A" * 5_000_000 + b"\nG1 X2 E2\n"))
    assert result["counts"]["moves"] == 2 and any(warning["code"] == "long_line" for warning in result["warnings"])


CUBE = cube(layers=8)
LINES = CUBE.encode()
SAME_AS_CUBE = {
    "windows line ends": LINES.replace(b"\n", b"\r\n"),
    "lines that end in CR": LINES.replace(b"\n", b"\r"),
    "line ends the wrong way round": LINES.replace(b"\n", b"\n\r"),
    "no last line end": LINES.rstrip(),
    "byte order mark": b"\xef\xbb\xbf" + LINES,
    "blank lines": LINES.replace(b"\n", b"\n\n \n\t\n"),
    "zeros behind gzip": gzip.compress(LINES) + bytes(500),
    "an endless comment": b";" + b"a=b " * 400_000 + b"\n" + LINES,
    "a comment of blanks": b";" + b" " * 150_000 + b"x\n" + LINES,
    "a comment of brackets": b"; filament_type = " + b"(" * 90_000 + b"\n" + LINES,
    "a feature's name without end": b";TYPE:" + b"support" * 100_000 + b"\n" + LINES,
    "words that are no numbers": b"G1 XNAN YINF\nG1 X- Y+ E.\nG1 X-. E..\nG28\n" + LINES,
    "lists in lists": b";Generated with Cura_SteamEngine 5.0\n;SETTING_3 " + b"[" * 100_000 + b"\n" + LINES,
    "a picture without end": b"; thumbnail begin 16x16 4\n; AAAA\n" + LINES,
    "a picture of another length": b"; thumbnail begin 16x16 999999\n; AAAA\n; thumbnail end\n" + LINES,
    "a picture in a picture": b"; thumbnail begin 16x16 4\n" * 2 + b"; AAAA\n" + b"; thumbnail end\n" * 2 + LINES,
    "a thousand pictures": b"; thumbnail begin 1x1 4\n; AAAA\n; thumbnail end\n" * 1000 + LINES,
    "a picture of a gigapixel": b"; thumbnail begin 99999x99999 4\n; iVBORw0KGgo=\n; thumbnail end\n" + LINES,
}


@pytest.mark.parametrize("name", SAME_AS_CUBE)
def test_what_is_around_the_program_does_no_harm(reader, tmp_path, name):
    started = time.monotonic()
    result = analyze(io.BytesIO(SAME_AS_CUBE[name]), thumbnail=tmp_path / "t.png")
    assert time.monotonic() - started < 5
    assert result["layers"]["count"] == 8 and result["filament"]["moved_mm"] == pytest.approx(66.33, abs=0.01)
    assert (
        result["geometry"]["size_mm"] == {"x": 20.0, "y": 20.0, "z": 1.6}
        and result["thumbnail"]["source"] == "rendered"
    )
    assert len(result["warnings"]) < 12


HOSTILE = {
    "numbers beyond all machines": b"M83\nG1 X1e308 Y9e99 E1\nG1 X99999999999999999999999 E1\nG1 E1e400\nG1 F1e300\n"
    b"G92 X1e300\nM204 S1e300\nM201 X1e300 Y0 Z-5\nM203 X1e309 Y1e-300\nM205 X1e-300 J1e-9\nG4 S1e300\nG1 X9 E1\n",
    "modes back and forth": b"".join(
        b"M8%d\nG9%d\nG1 X%d E%d\n" % (2 + n % 2, n % 3 & 1, n % 50, n % 7) for n in range(3000)
    ),
    "origins back and forth": b"".join(
        b"G92 E0\nG92 X%d Y1\nG1 X%d E1\nG92 Z0\nG92\n" % (n % 5, n % 50) for n in range(3000)
    ),
    "units back and forth": b"".join(b"G%d\nG1 X%d Y%d E1\n" % (20 + n % 2, n % 9, n % 7) for n in range(3000)),
    "arcs without radius": b"M83\nG1 X5 Y5\n"
    + (
        b"G2 I0 J0 E1\nG3 R0 X5 Y5\nG2 X5 Y5 R5 E1\nG2\nG3 E5\nG2 X1 R1e9\nG2 I1e-9 J1e-9\n"
        b"G18\nG2 X1 Z5 R.1 E1\nG19\nG3 Y5 Z5 J1 K1\nG2 I999999 J999999 E1\nG17\n"
    )
    * 100,
    "layers downwards": b"M83\n"
    + b"".join(b";LAYER_CHANGE\n;Z:-%d\n;HEIGHT:-0.2\nG1 Z-%d\nG1 X%d E1\n" % (n, n, n % 9) for n in range(1, 50)),
    "tools without end": b"M83\n"
    + b"".join(b"T%d\nG1 X%d E1\n" % (n, n % 70) for n in range(2000))
    + b"T-1\nT?\nTx\nT99999999999999\n",
    "settings of nonsense": b"; generated by PrusaSlicer 2.5\n; filament_diameter = 0\n; filament_density = -1e-320\n"
    b"; nozzle_diameter = 1e400\n; layer_height = -3\n; filament used [mm] = -5\n; filament used [g] = nan\n"
    b"; estimated printing time (normal mode) = -5s\nG1 X1 E1\n",
    "settings without end": b"; generated by PrusaSlicer 2.5\n; support_material = \xc2\xb2\n"
    + b"".join(
        b"; %s = %s\n" % (key, b"9" * 400 + end)
        for key, end in (
            (b"estimated printing time (normal mode)", b":00"),
            (b"filament used [mm]", b""),
            (b"filament used [g]", b".5"),
            (b"total filament cost", b", 1"),
            (b"total layers count", b""),
        )
    )
    + b"G1 X1 E1\n",
    "blocks in any order": b"GCDE\1\0\0\0\0\0"
    + b"".join(
        bgcode_block(kind, data, bytes(6 if kind == 5 else 2), checksum=0)
        for kind, data in (
            (1, b"G1 X1 E1\n"),
            (2, b"a=b\n"),
            (5, b"zz"),
            (1, b"G1 X5 E2\n"),
            (0, b"Producer=PrusaSlicer 2.9.0\n"),
            (3, b"=\n\n="),
        )
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_programs_give_a_result(reader, tmp_path, name):
    started = time.process_time()  # of this process, whatever else the machine does
    result = analyze(io.BytesIO(HOSTILE[name]), thumbnail=tmp_path / "t.png", preview=tmp_path / "p.bin")
    assert time.process_time() - started < 5
    assert (
        json.dumps(result, allow_nan=False)
        and result["counts"]["moves"] > 0
        and result["filament"]["total_g"] >= 0
        and result["time"]["total_s"] >= 0
    )


def test_layers_without_end_and_labels_without_end_stay_within_bounds():
    text = b"M83\n" + b"".join(
        b";LAYER_CHANGE\n;TYPE:t%d\n; printing object o%d id:0 copy 0\nG1 X%d E1\n" % (n, n, n & 63)
        for n in range(40_000)
    )
    result = analyze(io.BytesIO(text))
    assert result["layers"]["count"] == 39_999 and len(result["objects"]) <= 4096


# worker --------------------------------------------------------------------------------------------------------------


def test_worker_answers_with_json_only(tmp_path):
    (tmp_path / "x.gcode").write_text(cube())
    answer = worker.analyze_file(
        {
            "path": str(tmp_path / "x.gcode"),
            "thumbnail_path": str(tmp_path / "t.png"),
            "preview_path": str(tmp_path / "p.bin"),
            "max_seconds": 20,
            "max_memory_mb": 512,
        }
    )
    assert answer["ok"] and answer["analysis"]["job_details"]["object_name"] == "box.stl"
    assert json.loads(json.dumps(answer)) == answer and (tmp_path / "p.bin").exists()


def test_worker_reports_what_is_wrong(tmp_path):
    assert worker.analyze_file({"path": str(tmp_path / "none.gcode")}) == {
        "ok": False,
        "error": "'none.gcode' cannot be opened: No such file or directory.",
    }
    assert worker.analyze_file({}) == {"ok": False, "error": "No path was given."}


def test_worker_keeps_its_limits(tmp_path):
    # A FIFO that nobody writes to is a file that never ends.
    os.mkfifo(tmp_path / "never.gcode")
    started = time.monotonic()
    answer = worker.analyze_file({"path": str(tmp_path / "never.gcode"), "max_seconds": 1})
    assert not answer["ok"] and "longer than the limit of 1 s" in answer["error"] and time.monotonic() - started < 5
    (tmp_path / "x.gcode").write_text(
        ("; thumbnail begin 90x90 9\n" + ("; " + "QUJD" * 2000 + "\n") * 800 + "; thumbnail end\n") * 4 + cube()
    )
    # In a process of its own: one that has run other tests has freed memory, which is not new to the limit.
    code = (
        "import json, sys; from gcode import worker; "
        "print(json.dumps(worker.analyze_file({'path': sys.argv[1], 'max_memory_mb': 6})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.gcode")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert not answer["ok"] and "memory" in answer["error"], answer


@pytest.mark.skipif(not DATA.exists(), reason="the sample files are not next to the repository")
@pytest.mark.parametrize(
    "name, seconds, millimetres, grams, layers, size",
    [
        ("bunny_30pct_MK3S_thumbnails.gcode", 2505, 1383.97, 4.13, 161, (32.4, 25.96, 32.2)),
        ("screw_0.20mm_MINI.gcode", 709, 304.17, 0.91, 130, (11, 11, 26)),
    ],
)
def test_real_files(tmp_path, name, seconds, millimetres, grams, layers, size):
    result = analyze(DATA / name, thumbnail=tmp_path / "t.png")
    assert result["time"]["total_s"] == seconds and result["time"]["moves_s"] == pytest.approx(seconds, rel=0.02)
    assert result["filament"]["moved_mm"] - result["filament"]["custom_mm"] == pytest.approx(millimetres, abs=0.05)
    assert result["filament"]["total_g"] == grams and result["layers"]["count"] == layers
    assert list(result["geometry"]["size_mm"].values()) == pytest.approx(size, abs=0.05)
    assert result["thumbnail"]["source"] == ("embedded" if "thumbnails" in name else "rendered")
    assert result["warnings"] == []
