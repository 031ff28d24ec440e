"""What the doctor reports about one thing."""

from typing import Final, Literal, NamedTuple

OK: Final = "ok"
WARNING: Final = "warning"
PROBLEM: Final = "problem"


class Finding(NamedTuple):
    """The thing, what is seen of it, and what to do (empty when there is nothing to do)."""

    level: Literal["ok", "warning", "problem"]
    subject: str
    text: str
    remedy: str = ""
