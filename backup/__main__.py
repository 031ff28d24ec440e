"""`python -m backup write FILE | check FILE | restore FILE | schedule`: called by ./enms, and inside the containers."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg2

from common.errors import EnmsError, from_os_error, tell
from database.migrate import MigrationError

from . import record, schedule, stack

NICENESS = 10  # the ingest comes first


def say(step: str, text: str) -> None:
    """Prints one line of progress."""
    print(f"{step:<12} {text}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m backup", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("write", help="make an archive of the running stack")
    command.add_argument("file")
    command.add_argument(
        "--with-secrets",
        action="store_true",
        help="printers' keys and the operator's, too: keep the file where you keep passwords",
    )
    for name, text in (
        ("check", "verify an archive, touching nothing"),
        ("restore", "restore an archive while Node-RED and the API are stopped"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("file")
        command.add_argument("--replace", action="store_true", help="also when the stack holds data")
    commands.add_parser("schedule", help="one backup a day, until stopped")
    options = parser.parse_args(arguments)
    env = os.environ
    try:
        if options.command == "schedule":
            os.nice(NICENESS)
            schedule.run(env)
        elif options.command == "write":
            os.nice(NICENESS)
            stack.write(env, options.file, options.with_secrets)
            say("backup", f"{options.file}: {Path(options.file).stat().st_size / 1e6:.1f} MB, read back and compared")
        elif options.command == "check":
            stack.check(env, options.file, options.replace)
        else:
            stack.restore(env, options.file, options.replace, say)
        return 0
    except (MigrationError, psycopg2.Error) as error:
        problem = EnmsError(
            str(error).strip().splitlines()[0],
            "The present database was not touched; ./enms doctor looks for the usual causes.",
        )
    except EnmsError as error:
        problem = error
    except OSError as error:
        problem = from_os_error(error)
    if options.command == "write":
        record.failed(env, str(problem))
    tell(problem)
    return 1


if __name__ == "__main__":
    sys.exit(main())
