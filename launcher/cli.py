"""The command line: parsing, and turning every expected failure into a sentence with a remedy."""

import argparse
import os
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

from common import files
from common import logs as log_lines
from common.errors import EnmsError, from_os_error, tell

from . import backup, database_settings, devices, doctor, linters, modules, settings, status, testing, up
from .demo import import_file
from .processes import Terminated

SHOWN = (
    "ENMS_HTTP_URL",
    "ENMS_MQTT_HOST",
    "ENMS_MQTT_PORT",
    "ENMS_MQTT_DEVICE_USER",
    "ENMS_MQTT_DEVICE_PASSWORD",
    "ENMS_DATABASE_URL",
    "ENMS_DATABASE_READ_URL",
    "ENMS_EDITOR_USER",
    "ENMS_EDITOR_PASSWORD",
    "ENMS_BIND",
    "ENMS_HTTP_PORT",
    "ENMS_DB_HOST",
    "ENMS_DB_PORT",
    "ENMS_DB_NAME",
    "ENMS_NODERED_PORT",
    "ENMS_API_PORT",
    "ENMS_SIM_PORT",
    "ENMS_RUN_DIR",
    "ENMS_ENV_DIR",
    "ENMS_STATE_DIR",
    "ENMS_LOG_DIR",
    "ENMS_PYTHON",
    "ENMS_NODE",
    "NODE_PATH",
)


def env(arguments: argparse.Namespace) -> int:
    """Prints the stack's settings as KEY=VALUE lines, or as commands for a shell."""
    values = settings.recorded(settings.paths())
    for name in (name for name in SHOWN if name in values):  # a stack of an older version lacks some
        print(f"export {name}={shlex.quote(values[name])}" if arguments.export else f"{name}={values[name]}")
    return 0


def logs(arguments: argparse.Namespace) -> int:
    """Prints the end of the logs; with -f continues."""
    where = settings.paths()
    known = sorted(path.stem for path in where.logs.glob("*.log")) if where.logs.exists() else []
    if arguments.service and arguments.service not in known:
        raise EnmsError(f"There is no log of {arguments.service!r}.", f"There are: {', '.join(known) or 'none yet'}")
    chosen = [arguments.service] if arguments.service else known
    if arguments.follow:
        try:
            return subprocess.run(["tail", "-n", "20", "-F", *(str(where.log(name)) for name in chosen)]).returncode
        except KeyboardInterrupt:
            return 0
    for name in chosen:
        if len(chosen) > 1:
            print(f"── {name}")
        print("\n".join(map(log_lines.unfolded, files.last_lines(where.log(name), arguments.lines))))
    return 0


def bring_in(arguments: argparse.Namespace) -> int:
    """Imports a CSV file through the accounting functions."""
    if not os.path.isfile(arguments.file):
        raise EnmsError(f"There is no file {arguments.file}.", "./enms import FILE.csv")
    return import_file(os.path.abspath(arguments.file), settings.recorded(settings.paths()))


def train(arguments: argparse.Namespace) -> int:
    """Trains the power model from the running stack's database."""
    return modules.run(settings.recorded(settings.paths()), "analysis.train_model", *arguments.rest)


def compose_env(_arguments: argparse.Namespace) -> int:
    """Writes `.env` for docker compose: the example with fresh secrets. An existing file is left alone."""
    target = settings.ROOT / ".env"
    if target.exists():
        raise EnmsError(
            f"{target} exists already; it is not overwritten.", "Remove it first if new secrets are wanted."
        )
    lines = []
    for line in (settings.ROOT / ".env.example").read_text().splitlines():
        name = line.partition("=")[0]
        lines.append(f"{name}={secrets.token_urlsafe(24)}" if line == f"{name}=" and name in settings.SECRETS else line)
    files.write(target, "\n".join(lines) + "\n", 0o600)
    print(f"{target} written with fresh secrets. Next: docker compose up --build -d")
    return 0


def parser() -> argparse.ArgumentParser:
    """The argument parser of ./enms."""
    top = argparse.ArgumentParser(
        prog="enms",
        allow_abbrev=False,
        description="Energy management for 3D-printer fleets: starts and looks after one stack.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str, function: Callable[[argparse.Namespace], int], text: str, add_help: bool = True
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False, add_help=add_help)
        command.set_defaults(function=function)
        return command

    start = add("up", up.up, "install what is needed, start everything, print the addresses and the login")
    start.add_argument("--no-demo", dest="demo", action="store_false", help="without the simulated fleet")
    start.add_argument("--fresh", action="store_true", help="remove all data of this stack first")
    add("down", up.down, "stop everything that up started")
    add("status", status.status, "services, memory, health, last readings").add_argument("--json", action="store_true")
    log = add("logs", logs, "the end of the logs")
    log.add_argument("service", nargs="?")
    log.add_argument("-f", "--follow", action="store_true")
    log.add_argument("-n", "--lines", type=int, default=20)
    show = add("env", env, "the stack's settings as KEY=VALUE lines")
    show.add_argument("--export", action="store_true", help='for a shell: eval "$(./enms env --export)"')
    checks = add("lint", testing.lint, "look at the code with every linter and type checker, or with the named ones")
    checks.add_argument("tools", nargs="*", metavar="TOOL", help=f"of {', '.join(linters.COMMANDS)}")
    checks.add_argument("--fix", action="store_true", help="let those that can do it correct what they find")
    tests = add(
        "test", testing.test, "run the test suite on its own database and ports; further arguments go to pytest"
    )
    tests.add_argument("--long", action="store_true", help="also the tests that take minutes")
    tests.add_argument("--coverage", action="store_true", help="count which lines of Python and JavaScript they reach")
    bench_text = "measure speed on a stack of its own; further arguments go to the bench"
    add("bench", testing.bench, bench_text, add_help=False)
    add("train", train, "train the power model; further arguments go to the trainer", add_help=False)
    save = add("backup", backup.backup, "write one archive of the running stack: database, flows, models, pictures")
    save.add_argument("file", metavar="FILE.zip")
    save.add_argument(
        "--with-secrets", action="store_true", help="with the printers' keys and the passwords of operator and plugs"
    )
    bring_back = add("restore", backup.restore, "put an archive in place of what the stack holds")
    bring_back.add_argument("file", metavar="FILE.zip")
    bring_back.add_argument("--replace", action="store_true", help="also when the stack holds data")
    setting_text = "list or change what the database keeps as settings, e.g. how long raw rows are kept"
    change = add("setting", database_settings.setting, setting_text)
    change.add_argument("name", nargs="?")
    change.add_argument("value", nargs="?")
    add("doctor", doctor.doctor, "look for the usual causes of trouble")
    add("compose-env", compose_env, "write .env with fresh secrets for docker compose")
    history = add("import", bring_in, "bring in history from a CSV file (readings, statuses or jobs)")
    history.add_argument("file", metavar="FILE.csv")
    add_device_actions(commands.add_parser("device", help="add, list, test, remove devices"))
    return top


def add_device_actions(device: argparse.ArgumentParser) -> None:
    """Adds what `./enms device` can do."""
    actions = device.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("add", help="register a device")
    devices.options(action)
    action.add_argument("--replace", action="store_true", help="change the given columns of an existing device")
    action.set_defaults(function=devices.add)
    actions.add_parser("list", help="list the registry").set_defaults(function=devices.listing)
    action = actions.add_parser(
        "test", help="ask the printer and the plug of a registered device, or with more options of one that is to be"
    )
    devices.options(action)
    action.set_defaults(function=devices.test)
    action = actions.add_parser("remove", help="remove a device; one that has a past is deactivated")
    devices.id_option(action)
    action.set_defaults(function=devices.remove)


def terminate(*_: object) -> None:
    """Handles SIGTERM."""
    raise Terminated


def main(argv: Sequence[str]) -> int:
    """Runs one command; returns the exit code."""
    top = parser()
    arguments, arguments.rest = top.parse_known_args(argv)
    if arguments.rest and arguments.command not in ("test", "bench", "train"):
        top.error(f"unknown: {' '.join(arguments.rest)}")
    # SIGTERM (a CI time-out, a shutdown) undoes the same things as Ctrl-C.
    signal.signal(signal.SIGTERM, terminate)
    try:
        return arguments.function(arguments)
    except EnmsError as error:
        problem = error
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # `./enms logs | head`: the reader has gone, which is no failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        problem = from_os_error(error)
    tell(problem)
    return 1
