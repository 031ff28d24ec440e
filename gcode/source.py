"""Where the text comes from: a path or a stream, plain, gzip or .bgcode, as windows of bytes in constant memory."""

import io
import os
import zlib

from . import bgcode
from .errors import GcodeError

WINDOW = 1 << 20
MAX_TEXT = 4 << 30  # bytes of G-code text at most, after decompression
MAX_RATIO = 200  # of text to compressed bytes, looked at after the first 16 MiB: G-code compresses about 4 : 1
RATIO_FROM = 16 << 20
BOM = b"\xef\xbb\xbf"
TAIL = 256 << 10


class Source:
    """The parts of one file: ``windows()`` yields the text, ``settings``, ``thumbnails`` and ``warnings`` fill meanwhile."""

    def __init__(self, path_or_stream, max_text=MAX_TEXT):
        self.max_text = max_text
        self.settings = {}  # raw keys of metadata blocks (bgcode)
        self.thumbnails = []  # (format, width, height, bytes) of thumbnail blocks (bgcode)
        self.warnings = []  # (code, sentence)
        self.text_bytes = 0
        self.size = None  # bytes read so far
        self.waiting = 0  # … of which so many are not unpacked yet
        self._own = None
        if hasattr(path_or_stream, "read"):
            self._stream = path_or_stream
            self.name = str(getattr(path_or_stream, "name", "") or "")
        else:
            self.name = os.fspath(path_or_stream)
            try:
                if os.path.isdir(self.name):
                    raise GcodeError("is a folder, not a G-code file")
                self._stream = self._own = open(self.name, "rb", buffering=0)
            except (OSError, ValueError) as error:
                raise GcodeError(f"cannot be opened: {getattr(error, 'strerror', None) or error}") from None
        try:
            self._head = self._read(WINDOW)
        except BaseException:
            self.close()
            raise
        if self._head[:4] == bgcode.MAGIC:
            self.format = "bgcode"
        elif self._head[:2] == b"\x1f\x8b":
            self.format = "gzip"
        else:
            self.format = "gcode"

    def close(self):
        if self._own is not None:
            self._own.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _read(self, size):
        try:
            data = self._stream.read(size)
        except (OSError, ValueError) as error:
            raise GcodeError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if isinstance(data, str):
            raise GcodeError("is a text stream: open it in binary mode")
        return data or b""

    def size_on_disk(self):
        """Bytes of the file, None for a stream."""
        return os.fstat(self._own.fileno()).st_size if self._own is not None else None

    def tail(self):
        """The last bytes of a plain file (its slicer's settings are there), b"" where one can't look ahead."""
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

    def _raw(self):
        self.size = len(self._head)
        data, self._head = self._head, b""
        while data:
            yield data
            data = self._read(WINDOW)
            self.size += len(data)

    def windows(self):
        """Yields the text, piece by piece; a piece may end anywhere in a line. Lines that end in CR alone end in LF."""
        make = {"gcode": self._raw, "gzip": self._gunzip, "bgcode": self._bgcode}[self.format]
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

    def _gunzip(self):
        decoder, complete = zlib.decompressobj(31), False
        for data in self._raw():
            while data:
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
                data, complete = decoder.unconsumed_tail, decoder.eof
                if complete:
                    data = decoder.unused_data if decoder.unused_data[:2] == b"\x1f\x8b" else b""  # else padding
                    decoder = zlib.decompressobj(31)
        if not complete:
            self.warnings.append(("truncated", "The gzip data end early; what is there was read."))

    def _bgcode(self):
        pending = self._raw()
        yield from bgcode.read(bgcode.Pieces(pending), self)
