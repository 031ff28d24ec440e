"""Where the text comes from: a path or a stream, plain, gzip, .bgcode, a package or .gx, as windows of bytes.

Memory is constant, whatever the size.
"""

import io
import os
import zlib
from collections.abc import Iterator
from typing import Protocol, Self

from . import bgcode, package
from .errors import GcodeError
from .found import Found

WINDOW = 1 << 20
MAX_TEXT = 4 << 30  # bytes of G-code text at most, after decompression
MAX_RATIO = 200  # of text to compressed bytes, checked after the first 16 MiB: G-code compresses about 4 : 1
RATIO_FROM = 16 << 20
BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
TAIL = 256 << 10


class Readable(Protocol):
    """A binary stream."""

    def read(self, size: int, /) -> bytes | None:
        """At most `size` bytes, none at the end."""
        ...


class Source(Found):
    """The parts of one file: windows() yields the text and fills the fields of Found."""

    def __init__(self, path_or_stream: str | os.PathLike[str] | Readable, max_text: int) -> None:
        super().__init__()
        self.max_text = max_text
        self._own: io.FileIO | None = None
        if isinstance(path_or_stream, (str, os.PathLike)):
            self.name = os.fspath(path_or_stream)
            try:
                if os.path.isdir(self.name):
                    raise GcodeError("is a folder, not a G-code file")
                self._stream = self._own = io.FileIO(self.name)
            except (OSError, ValueError) as error:
                raise GcodeError(f"cannot be opened: {getattr(error, 'strerror', None) or error}") from None
        else:
            self._stream = path_or_stream
            self.name = str(getattr(path_or_stream, "name", "") or "")
        try:
            self._head = self._read(WINDOW)
        except BaseException:
            self.close()
            raise
        if self._head[:4] == bgcode.MAGIC:
            self.format = "bgcode"
        elif self._head[:2] == GZIP:
            self.format = "gzip"
        elif self._head[:4] == package.ZIP:
            self.format = "package"
        elif self._head.startswith(package.GX):
            self.format = "gx"
        else:
            self.format = "gcode"

    def close(self) -> None:
        """Closes the file, if it was opened here."""
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _read(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except (OSError, ValueError) as error:
            raise GcodeError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if isinstance(data, str):
            raise GcodeError("is a text stream: open it in binary mode")
        return data or b""

    def size_on_disk(self) -> int | None:
        """Bytes of the file, None for a stream."""
        return os.fstat(self._own.fileno()).st_size if self._own is not None else None

    def tail(self) -> bytes:
        """The last bytes of a plain file (with its slicer's settings), b"" where nothing can be read in advance."""
        if self.format != "gcode" or self._own is None:
            return b""
        try:
            here = self._own.tell()
            end = self._own.seek(0, io.SEEK_END)
            self._own.seek(max(0, end - TAIL))
            data = self._own.read(TAIL)
            self._own.seek(here)
            return data
        except OSError:
            return b""

    def _raw(self) -> Iterator[bytes]:
        self.size = len(self._head)
        data, self._head = self._head, b""
        while data:
            yield data
            data = self._read(WINDOW)
            self.size += len(data)

    def windows(self) -> Iterator[bytes]:
        """Yields the text, piece by piece; a piece may end anywhere in a line. Line ends of CR alone become LF.

        Raises GcodeError for damage with nothing before it, and for more text than max_text or MAX_RATIO allow.
        """
        make = {
            "gcode": self._raw,
            "gzip": self._gunzip,
            "bgcode": self._bgcode,
            "package": self._package,
            "gx": self._gx,
        }[self.format]
        only_cr = False
        for piece in make():
            if self.text_bytes == 0:
                piece = piece.removeprefix(BOM)
                only_cr = b"\r" in piece and b"\n" not in piece
            self.text_bytes += len(piece)
            if self.text_bytes > self.max_text:
                raise GcodeError(f"holds more than {self.max_text >> 20} MiB of text, the limit")
            if self.text_bytes > RATIO_FROM and self.text_bytes > MAX_RATIO * (self.size - self.waiting):
                raise GcodeError(f"unpacks to more than {MAX_RATIO} times its size: refused")
            yield piece.replace(b"\r", b"\n") if only_cr else piece

    def _gunzip(self) -> Iterator[bytes]:
        decoder, cut = zlib.decompressobj(31), b""
        for data in self._raw():
            data, cut = cut + data, b""
            while data:
                if decoder.eof:  # what follows is another member, or padding
                    if len(data) < len(GZIP):
                        cut = data
                        break
                    if not data.startswith(GZIP):
                        break
                    decoder = zlib.decompressobj(31)
                try:
                    piece = decoder.decompress(data, WINDOW)
                except zlib.error as error:
                    if not self.text_bytes:
                        raise GcodeError(f"is damaged gzip data ({error})") from None
                    self.warnings.append(
                        ("damaged", "The gzip data are damaged; what stands before the damage was read.")
                    )
                    return
                self.waiting = len(decoder.unconsumed_tail)
                if piece:
                    yield piece
                data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
        if not decoder.eof:
            self.warnings.append(("truncated", "The gzip data end early; what is there was read."))

    def _bgcode(self) -> Iterator[bytes]:
        return bgcode.read(bgcode.Pieces(self._raw()), self)

    def _package(self) -> Iterator[bytes]:
        return package.read(self._raw(), self)

    def _gx(self) -> Iterator[bytes]:
        return package.read_gx(self._raw(), self)
