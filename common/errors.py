"""One error type for everything that a person at the terminal can do something about."""

import errno


class LauncherError(Exception):
    """What failed, in a sentence, and the remedy. `log` is a file whose last lines (from byte `since`) help to understand it."""

    def __init__(self, message, remedy="", log=None, since=0):
        super().__init__(message)
        self.remedy = remedy
        self.log = log
        self.since = since


class Terminated(KeyboardInterrupt):
    """SIGTERM: handled as Ctrl-C is, but our children have not been told by the terminal."""


def from_os_error(error):
    """The LauncherError for an OSError that nobody expected: names the file and what to do about it."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LauncherError(f"The disk is full{where}.", "Free some space (at least 1 GB), then run ./enms up again.")
    if error.errno == errno.EROFS:
        return LauncherError(
            f"This file system is read-only{where}.",
            "Choose a directory that you may write: ENMS_RUN_DIR=$HOME/enms ./enms up",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return LauncherError(
            f"No permission{where}.",
            "Run as the user who started the stack, or choose a directory of your own: "
            "ENMS_RUN_DIR=$HOME/enms ./enms up",
        )
    return LauncherError(f"{error.strerror or error}{where}.", "./enms doctor looks for the usual causes.")
