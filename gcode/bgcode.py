"""Binary G-code (.bgcode), version 1: header, then blocks of metadata, thumbnails and compressed G-code."""

import struct
import zlib
from collections.abc import Iterable, Iterator

from . import packing
from .errors import GcodeError
from .found import Found

MAGIC = b"GCDE"
BLOCK_NAMES = {
    0: "file metadata",
    1: "G-code",
    2: "slicer metadata",
    3: "printer metadata",
    4: "print metadata",
    5: "thumbnail",
}
COMPRESSIONS = {0: "none", 1: "deflate", 2: "heatshrink 11/4", 3: "heatshrink 12/4"}
THUMBNAIL_FORMATS = {0: "png", 1: "jpg", 2: "qoi"}
MAX_BLOCK = 32 << 20  # bytes; G-code blocks are written with 64 KiB, thumbnails and settings with some 100 KiB
MAX_BLOCK_RATIO = 1100  # deflate reaches 1,032 : 1 at best: a claim above that is false


class Pieces:
    """A stream of bytes read by exact counts from pieces of any size."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    @property
    def waiting(self) -> int:
        """How many bytes came but were not taken yet."""
        return len(self._rest)

    def take(self, count: int) -> bytes:
        """`count` bytes, fewer at the end of the file."""
        while len(self._rest) < count:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._rest += piece
        data, self._rest = self._rest[:count], self._rest[count:]
        return data


def read(stream: Pieces, found: Found) -> Iterator[bytes]:
    """Yields the G-code text of the blocks; settings, thumbnails and warnings go to `found`.

    Raises GcodeError for damage before the first text; later damage is a warning.
    """
    header = stream.take(10)
    if len(header) < 10:
        raise GcodeError("is a .bgcode file that ends within its header")
    version, checksum = struct.unpack_from("<IH", header, 4)
    if version != 1:
        raise GcodeError(f"is .bgcode version {version}; version 1 is the one that is read")
    if checksum > 1:
        raise GcodeError(f"has the unknown .bgcode checksum type {checksum}")
    blocks = 0
    while True:
        head = stream.take(8)
        if not head:
            break
        name = f"block {blocks + 1}"
        try:
            text = _block(stream, head, checksum, found, name)
        except GcodeError as error:
            if not found.text_bytes:
                raise
            found.warnings.append(("damaged", f"The .bgcode file {error}; what stands before it was read."))
            return
        if text is not None:
            found.waiting = stream.waiting
            yield text
        blocks += 1
    if not blocks:
        raise GcodeError("is a .bgcode file without blocks")


def _block(stream: Pieces, head: bytes, checksum: int, found: Found, name: str) -> bytes | None:
    """Reads one block; returns its text if it is G-code. Raises GcodeError for damage."""
    if len(head) < 8:
        raise GcodeError(f"ends within the header of {name}")
    kind, compression, size = struct.unpack("<HHI", head)
    packed_size = size
    if compression > 3:
        raise GcodeError(f"has the unknown compression {compression} in {name}")
    if kind not in BLOCK_NAMES:
        raise GcodeError(f"has the unknown block type {kind} in {name}")
    if compression:
        more = stream.take(4)
        if len(more) < 4:
            raise GcodeError(f"ends within the header of {name}")
        head += more
        packed_size = struct.unpack("<I", more)[0]
    if size > MAX_BLOCK or packed_size > MAX_BLOCK:
        raise GcodeError(f"claims {max(size, packed_size):,} bytes in {name}; more than {MAX_BLOCK:,} is refused")
    if compression and size > MAX_BLOCK_RATIO * max(packed_size, 1):
        raise GcodeError(f"claims in {name} that {packed_size:,} bytes unpack to {size:,}: refused")
    parameters = stream.take(6 if kind == 5 else 2)
    data = stream.take(packed_size)
    if len(data) < packed_size:
        raise GcodeError(f"ends within {name} ({BLOCK_NAMES[kind]})")
    if checksum:
        stated = stream.take(4)
        if len(stated) < 4:
            raise GcodeError(f"ends within the checksum of {name}")
        if zlib.crc32(data, zlib.crc32(head + parameters)) != struct.unpack("<I", stated)[0]:
            raise GcodeError(f"has a wrong CRC in {name} ({BLOCK_NAMES[kind]}): the file is damaged")
    data = unpack(data, compression, size, name)
    if kind == 5:
        form, width, height = struct.unpack("<HHH", parameters)
        found.thumbnails.append((THUMBNAIL_FORMATS.get(form, f"format {form}"), width, height, data))
        return None
    if kind == 1:
        encoding = struct.unpack("<H", parameters)[0]  # 0: none, 1: MeatPack, 2: MeatPack with comments
        if encoding > 2:
            raise GcodeError(f"has the unknown G-code encoding {encoding} in {name}")
        return packing.meatpack_decode(data) if encoding else data
    for line in data.decode("utf-8", "replace").splitlines():
        key, mark, value = line.partition("=")
        if mark and len(found.settings) < 20000:
            found.settings[key.strip()[:200]] = value.strip()[:100_000]
    return None


def unpack(data: bytes, compression: int, size: int, name: str) -> bytes:
    """The bytes of a block. Raises GcodeError if they are damaged or their count is not `size`."""
    if compression == 0:
        return data
    if compression == 1:
        try:
            decoder = zlib.decompressobj()
            made = decoder.decompress(data, size + 1)
        except zlib.error as error:
            raise GcodeError(f"has damaged deflate data in {name} ({error})") from None
    else:
        made = packing.heatshrink_decode(data, size, 11 if compression == 2 else 12, 4)
    if len(made) != size:
        raise GcodeError(f"has {name} unpack to another size than stated ({size:,} bytes)")
    return made
