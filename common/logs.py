"""One form for the log lines of our own parts, one event a line, for people and for machines (logfmt):

    time=2026-01-31T09:15:02.125Z level=warning part=supervisor msg="nginx ended with 1"

`level` is error, warning, info or debug; more `key=value` may follow, a traceback as `trace`. nodered/log.js writes the same form.
"""

import json
import logging
import re
import sys
from datetime import datetime, timezone

LEVELS = ("error", "warning", "info", "debug")
BARE = re.compile(r'[^\s"=\\]+')


def line(fields):
    """The fields as one line."""
    return " ".join(
        f"{name}={value if BARE.fullmatch(value) else json.dumps(value, ensure_ascii=False)}"
        for name, value in ((name, str(value)) for name, value in fields.items())
    )


class Logfmt(logging.Formatter):
    """Formats the records of one part."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def format(self, record):
        """The line of one record."""
        at = (
            datetime.fromtimestamp(record.created, timezone.utc)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z")
        )
        fields = {"time": at, "level": record.levelname.lower(), "part": self.part, "msg": record.getMessage()}
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return line(fields)


def configure(part, level):
    """Everything that this process logs goes to standard error as lines of `part`; `level`: one of LEVELS, what is below is left out."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Logfmt(part))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def unfolded(text):
    """A line for people: a traceback over several lines, as Python prints it."""
    return re.sub(
        r' trace="((?:[^"\\]|\\.)*)"',
        lambda found: "\n    " + json.loads(f'"{found[1]}"').replace("\n", "\n    "),
        text,
    )
