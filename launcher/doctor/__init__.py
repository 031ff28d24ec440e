"""`doctor`: looks for the usual causes of trouble; every finding comes with what to do."""

import argparse
from collections.abc import Iterator

from .. import settings, status
from ..settings import Paths
from . import machine, stack
from .finding import OK, PROBLEM, WARNING, Finding

WORDS = {OK: "ok     ", WARNING: "WARNING", PROBLEM: "PROBLEM"}


def look(where: Paths) -> Iterator[Finding]:
    """Every Finding."""
    yield from machine.look(where)
    state = status.collect(where)
    if state["running"]:
        yield from stack.running(where, state)
    else:
        yield from stack.stopped(state["services"])
    yield from stack.backups(state["backup"], settings.configured(), where)


def doctor(_arguments: argparse.Namespace) -> int:
    """Prints the findings; exit code 1 when there is a problem."""
    code = 0
    for level, subject, text, remedy in look(settings.paths()):
        print(f"{WORDS[level]}  {subject:<16} {text}" + (f"\n{'':27}→ {remedy}" if remedy else ""))
        if level == PROBLEM:
            code = 1
    return code
