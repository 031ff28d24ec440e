"""What the doctor says about one thing."""

from typing import NamedTuple

OK, WARNING, PROBLEM = "ok", "warning", "problem"


class Finding(NamedTuple):
    """level: OK, WARNING or PROBLEM; the thing; what is seen; what to do (empty when nothing is to be done)."""

    level: str
    subject: str
    text: str
    remedy: str = ""
