"""The picture of a program: the largest one that the slicer embedded, as PNG of at most 640 pixels."""

import base64
import binascii
import io
import warnings
from collections.abc import Iterable
from typing import Literal, TypedDict

from PIL import Image, UnidentifiedImageError

MAX_SIDE = 640
MAX_PIXELS = 16_000_000
MAX_PIXELS_QOI = 4_000_000  # a slow decoder


Picture = tuple[str, int, int, str | bytes]
"""Format, width, height, and the data as bytes or base64 text."""


class Facts(TypedDict):
    """Where a picture comes from, and its size in pixels."""

    source: Literal["embedded", "rendered"]
    format: str
    width: int
    height: int


def embedded(pictures: Iterable[Picture]) -> tuple[tuple[bytes, Facts] | None, list[str]]:
    """Returns (PNG bytes, facts) of the largest readable picture or None, and a sentence on each that can't be read."""
    complaints = []
    for form, width, height, data in sorted(pictures, key=lambda picture: picture[1] * picture[2], reverse=True):
        try:
            if isinstance(data, str):
                data = base64.b64decode(data, validate=False)
            image = _open(form, data)
            made = png(image)  # may make the image smaller
            return (made, Facts(source="embedded", format=form, width=image.width, height=image.height)), complaints
        except (
            ValueError,
            OSError,
            SyntaxError,
            binascii.Error,
            Image.DecompressionBombError,
            Image.DecompressionBombWarning,
            MemoryError,
        ) as error:
            complaints.append(
                f"The embedded {form.upper()[:20]} picture of {width} x {height} can't be read ({str(error)[:120]})."
            )
    return None, complaints


def _open(form: str, data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(data), formats=("QOI",) if form == "qoi" else ("PNG", "JPEG", "BMP"))
        except UnidentifiedImageError:
            raise ValueError("its first bytes are those of another format") from None
        if image.width * image.height > (MAX_PIXELS_QOI if form == "qoi" else MAX_PIXELS):
            raise ValueError("too many pixels")
        image.load()
    return image.convert("RGBA")


def png(image: Image.Image) -> bytes:
    """PNG bytes of a picture; one with a side of more than 640 pixels is made smaller first."""
    if max(image.size) > MAX_SIDE:
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
