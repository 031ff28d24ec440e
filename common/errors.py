"""One error type for everything that a person can do something about."""

import errno
import sys
from pathlib import Path

from . import files


class EnmsError(Exception):
    """What failed, in a sentence, and the remedy.

    `log` is a file whose last lines (from byte `since` on) help to understand it.
    """

    def __init__(self, message: str, remedy: str = "", log: Path | None = None, since: int = 0) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.log = log
        self.since = since


def from_os_error(error: OSError) -> EnmsError:
    """The EnmsError for an OSError that nobody expected: names the file and what to do about it."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EnmsError(f"The disk is full{where}.", "Free some space (at least 1 GB), then run ./enms up again.")
    if error.errno == errno.EROFS:
        return EnmsError(
            f"This file system is read-only{where}.",
            "Choose a directory that you may write: ENMS_RUN_DIR=$HOME/enms ./enms up",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return EnmsError(
            f"No permission{where}.",
            "Run as the user who started the stack, or choose a directory of your own: "
            "ENMS_RUN_DIR=$HOME/enms ./enms up",
        )
    return EnmsError(f"{error.strerror or error}{where}.", "./enms doctor looks for the usual causes.")


def tell(problem: EnmsError) -> None:
    """Prints the problem, the end of its log and the remedy on standard error."""
    print(f"\nFAILED: {problem}", file=sys.stderr)
    if problem.log:
        for line in files.last_lines(problem.log, since=problem.since):
            print(f"    {line[:300]}", file=sys.stderr)
    if problem.remedy:
        print(f"WHAT TO DO: {problem.remedy}", file=sys.stderr)
