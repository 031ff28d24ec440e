"""What reading a file finds beside its text."""

from dataclasses import dataclass, field

from .thumbnail import Picture


@dataclass
class Found:
    """What the blocks of a file contain beside the text, what was wrong, and how much was read.

    `settings`: raw keys of metadata blocks (bgcode). `thumbnails`: pictures beside the text. `warnings`: (code,
    sentence). `text_bytes`: bytes of text so far. `size`: bytes read so far; of these `waiting` are not unpacked yet.
    """

    settings: dict[str, str] = field(default_factory=dict)
    thumbnails: list[Picture] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    text_bytes: int = 0
    size: int = 0
    waiting: int = 0
