"""One form for the log lines of our own parts, one event a line, for people and for machines (logfmt):

    time=2026-01-31T09:15:02.125Z level=warning part=supervisor msg="nginx ended with 1"

`level` is error, warning, info or debug; more `key=value` may follow, a traceback as `trace`. nodered/log.js writes the
same form.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

LEVELS = ("error", "warning", "info", "debug")
BARE = re.compile(r'[^\s"=\\]+')


def line(fields: Mapping[str, object]) -> str:
    """The fields as one log line."""
    texts = {name: str(value) for name, value in fields.items()}
    return " ".join(
        f"{name}={text if BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)}"
        for name, text in texts.items()
    )


class Logfmt(logging.Formatter):
    """Formats the records of one part."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "part": self.part,
            "msg": record.getMessage(),
        }
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return line(fields)


def configure(part: str, level: str) -> None:
    """Sends everything that this process logs to standard error as lines of `part`, from `level` (one of LEVELS) on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Logfmt(part))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def unfolded(text: str) -> str:
    """A line for people: a traceback over several lines, as Python prints it."""

    def over_several_lines(found: re.Match[str]) -> str:
        return "\n    " + json.loads(f'"{found[1]}"').replace("\n", "\n    ")

    return re.sub(r' trace="((?:[^"\\]|\\.)*)"', over_several_lines, text)
