"""Programs inside of other files: .gcode.3mf and .ufp, which are ZIP archives, and FlashForge's .gx."""

import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator

from .errors import GcodeError
from .found import Found

ZIP = b"PK\x03\x04"
GX = b"xgcode 1.0\n"
GX_PICTURE = 58  # bytes before the picture of a .gx, a BMP that says its own length
WINDOW = 1 << 20
MAX_PACKAGE = 1 << 30  # bytes of a package
MAX_MEMBERS = 10_000
MAX_PICTURE = 8 << 20  # bytes of a picture, unpacked
MAX_PICTURES = 8
_PROGRAM = re.compile(r"\.(?:gcode|gco|g)$", re.I)
_PICTURE = re.compile(r"(?:^|/)(?:plate_\d+|[^/]*thumbnail[^/]*)\.(png|jpe?g)$", re.I)
_NUMBER = re.compile(r"\d+")
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)


def read(pieces: Iterator[bytes], found: Found) -> Iterator[bytes]:
    """Yields the program of a package and puts its pictures into `found`.

    Raises GcodeError when there is none, or when it can't be unpacked.
    """
    with tempfile.TemporaryFile() as file:  # a directory stands at the end of a ZIP archive
        for piece in pieces:
            file.write(piece)
            if file.tell() > MAX_PACKAGE:
                raise GcodeError(f"is a package of more than {MAX_PACKAGE >> 20} MiB, the limit")
        try:
            with zipfile.ZipFile(file) as archive:
                yield from _program(archive, found)
        except GcodeError:
            raise
        except _DAMAGE as error:
            if not found.text_bytes:
                raise GcodeError(f"is a damaged package ({str(error)[:200]})") from None
            found.warnings.append(("damaged", "The package is damaged; what stands before the damage was read."))


def _program(archive: zipfile.ZipFile, found: Found) -> Iterator[bytes]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MAX_MEMBERS:
        raise GcodeError(f"is a package of more than {MAX_MEMBERS:,} parts")
    programs = sorted((member for member in members if _PROGRAM.search(member.filename)), key=_place)
    if not programs:
        raise GcodeError("is a package without a G-code program: slice it, and export the sliced file")
    if len(programs) > 1:
        sentence = f"The package holds {len(programs)} programs; {programs[0].filename[:200]} was read."
        found.warnings.append(("several_programs", sentence))
    for member in [member for member in members if _PICTURE.search(member.filename)][:MAX_PICTURES]:
        if member.file_size <= MAX_PICTURE:
            with archive.open(member) as file:
                found.thumbnails.append(_picture(member.filename, file.read(MAX_PICTURE)))
    found.waiting = found.size - programs[0].compress_size  # what is packed beside the program does not count
    with archive.open(programs[0]) as file:
        while data := file.read(WINDOW):
            yield data


def _place(member: zipfile.ZipInfo) -> tuple[int, str]:
    """Plates in the order of their numbers."""
    number = _NUMBER.search(member.filename.rsplit("/", 1)[-1])
    return int(number[0][:9]) if number else 0, member.filename


def _picture(name: str, data: bytes) -> tuple[str, int, int, bytes]:
    width, height = struct.unpack(">II", data[16:24]) if data[:4] == b"\x89PNG" and len(data) >= 24 else (1, 1)
    return name.rsplit(".", 1)[-1].lower(), width, height, data


def read_gx(pieces: Iterator[bytes], found: Found) -> Iterator[bytes]:
    """Yields the program of a .gx and puts its picture into `found`. Raises GcodeError when it ends before."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= GX_PICTURE + 6:
            break
    end = GX_PICTURE
    if head[GX_PICTURE : GX_PICTURE + 2] == b"BM":
        end += struct.unpack("<I", head[GX_PICTURE + 2 : GX_PICTURE + 6])[0]
    if end > MAX_PICTURE:
        raise GcodeError("is a damaged .gx file: its picture is longer than any")
    while len(head) < end and (piece := next(pieces, b"")):
        head += piece
    if len(head) <= end:
        raise GcodeError("is a .gx file that ends before its program")
    if end > GX_PICTURE:
        found.thumbnails.append(("bmp", 1, 1, head[GX_PICTURE:end]))
    yield head[end:].lstrip(b"\0")
    yield from pieces
