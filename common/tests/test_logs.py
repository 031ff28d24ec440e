"""Log lines in logfmt, and how people read them."""

import logging
import sys

from common import logs


def test_log_lines_are_key_value_and_unfold_for_people():
    record = logging.LogRecord("x", logging.WARNING, __file__, 1, 'the "big" %s', ("one",), None)
    record.created = 1769850902.125
    assert (
        logs.Logfmt("api").format(record)
        == 'time=2026-01-31T09:15:02.125Z level=warning part=api msg="the \\"big\\" one"'
    )
    try:
        raise ValueError("a\nb")
    except ValueError:
        record.exc_info = sys.exc_info()
    text = logs.Logfmt("api").format(record)
    assert "\n" not in text and text.endswith('ValueError: a\\nb"')
    assert logs.unfolded(text).splitlines()[-2:] == ["    ValueError: a", "    b"]
    assert logs.unfolded("an ordinary line") == "an ordinary line"
