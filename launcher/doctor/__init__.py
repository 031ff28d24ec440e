"""`doctor`: looks for the usual causes of trouble; every finding comes with what to do."""

from .. import settings, status
from . import machine, stack
from .finding import OK, PROBLEM, WARNING

WORDS = {OK: "ok     ", WARNING: "WARNING", PROBLEM: "PROBLEM"}


def look(where):
    """Yields every Finding."""
    yield from machine.look(where)
    state = status.collect(where)
    if state["running"]:
        yield from stack.running(where, state)
    else:
        yield from stack.stopped(where, state)
    yield from stack.backups(state["backup"], settings.configured(), where)


def doctor(_arguments):
    """Prints the findings; exit code 1 when there is a problem."""
    worst = 0
    for level, subject, text, remedy in look(settings.paths()):
        print(f"{WORDS[level]}  {subject:<16} {text}" + (f"\n{'':27}→ {remedy}" if remedy else ""))
        worst = max(worst, level == PROBLEM)
    return int(worst)
