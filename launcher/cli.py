"""The command line: parsing, and turning every expected failure into a sentence with a remedy."""

import argparse
import os
import shlex
import signal
import subprocess
import sys

from common import files
from common import logs as log_lines
from common.errors import EnmsError, from_os_error, tell

from . import devices, linters, services, settings
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


def up(arguments):
    """See launcher.up."""
    from . import up as steps

    return steps.up(arguments)


def down(arguments):
    """See launcher.up."""
    from . import up as steps

    return steps.down(arguments)


def status(arguments):
    """See launcher.status."""
    from . import status as view

    return view.status(arguments)


def doctor(arguments):
    """See launcher.doctor."""
    from . import doctor as view

    return view.doctor(arguments)


def backup(arguments):
    """See launcher.backup."""
    from . import backup as steps

    return steps.backup(arguments)


def restore(arguments):
    """See launcher.backup."""
    from . import backup as steps

    return steps.restore(arguments)


def setting(arguments):
    """See launcher.database_settings."""
    from . import database_settings

    return database_settings.setting(arguments)


def test(arguments):
    """See launcher.testing."""
    from . import testing

    return testing.test(arguments)


def lint(arguments):
    """See launcher.testing."""
    from . import testing

    return testing.lint(arguments)


def env(arguments):
    """Prints the stack's settings as KEY=VALUE lines, or as what a shell takes over."""
    values = settings.recorded(settings.paths())
    for name in (name for name in SHOWN if name in values):  # a stack of an older version lacks some
        print(f"export {name}={shlex.quote(values[name])}" if arguments.export else f"{name}={values[name]}")
    return 0


def logs(arguments):
    """Prints the end of the logs; with -f goes on."""
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


def bring_in(arguments):
    """Imports a CSV file through the accounting functions."""
    if not os.path.isfile(arguments.file):
        raise EnmsError(f"There is no file {arguments.file}.", "./enms import FILE.csv")
    if services.needs_file("database/importer.py")():
        raise EnmsError("Importing is not part of this checkout yet.", "Update the checkout.")
    return import_file(os.path.abspath(arguments.file), settings.recorded(settings.paths()))


def bench(arguments):
    """Runs the bench, which starts a stack of its own."""
    if services.needs_file("tests/bench/__main__.py")():
        raise EnmsError("There is no bench in this checkout yet.", "Update the checkout when it is.")
    from . import install

    where = settings.paths()
    settings.prepare_run_dir(where)
    install.system_packages(where.log("install"), print, install.PACKAGES)
    install.environment(where, print)
    install.test_environment(where, print)  # what the bench compares with
    return run_module(
        "tests.bench",
        arguments.rest,
        {
            **os.environ,
            "ENMS_RUN_DIR": str(where.run),
            "ENMS_ENV_DIR": str(where.env),
            "ENMS_PYTHON": str(where.python),
            "ENMS_NODE": str(settings.node_binary(where)),
            "NODE_PATH": str(where.modules),
        },
    )


def train(arguments):
    """Trains the power model from the running stack's database."""
    if services.needs_file("analysis/train_model.py")():
        raise EnmsError(
            "Training is not part of this checkout yet: it comes with the analysis of power models.",
            "Update the checkout when it is.",
        )
    # Where the caller stands, because --csv names a file from there.
    return run_module("analysis.train_model", arguments.rest, settings.recorded(settings.paths()), cwd=None)


def run_module(name, rest, env, cwd=settings.ROOT):
    """Runs one of the project's Python modules in the private environment; returns its exit code."""
    return subprocess.run(
        [env["ENMS_PYTHON"], "-P", "-m", name, *rest], cwd=cwd, env={**env, "PYTHONPATH": str(settings.ROOT)}
    ).returncode


def compose_env(_arguments):
    """Writes `.env` for docker compose: the example with fresh secrets. An existing file is left alone."""
    import secrets

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


def parser():
    """The argument parser of ./enms."""
    top = argparse.ArgumentParser(
        prog="enms",
        allow_abbrev=False,
        description="Energy management for 3D-printer fleets: starts and looks after one stack.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name, function, text, **options):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False, **options)
        command.set_defaults(function=function)
        return command

    start = add("up", up, "install what is needed, start everything, print the addresses and the login")
    start.add_argument("--no-demo", dest="demo", action="store_false", help="without the simulated fleet")
    start.add_argument("--fresh", action="store_true", help="remove all data of this stack first")
    add("down", down, "stop everything that up started")
    add("status", status, "services, memory, health, last readings").add_argument("--json", action="store_true")
    log = add("logs", logs, "the end of the logs")
    log.add_argument("service", nargs="?")
    log.add_argument("-f", "--follow", action="store_true")
    log.add_argument("-n", "--lines", type=int, default=20)
    show = add("env", env, "the stack's settings as KEY=VALUE lines")
    show.add_argument("--export", action="store_true", help='for a shell: eval "$(./enms env --export)"')
    checks = add("lint", lint, "look at the code with every linter and type checker, or with the named ones")
    checks.add_argument("tools", nargs="*", metavar="TOOL", help=f"of {', '.join(linters.COMMANDS)}")
    checks.add_argument("--fix", action="store_true", help="let those that can do it correct what they find")
    tests = add("test", test, "run the test suite on its own database and ports; further arguments go to pytest")
    tests.add_argument("--long", action="store_true", help="also the tests that take minutes")
    add("bench", bench, "measure speed on a stack of its own; further arguments go to the bench", add_help=False)
    add("train", train, "train the power model; further arguments go to the trainer", add_help=False)
    save = add("backup", backup, "write one archive of the running stack: database, flows, models, pictures")
    save.add_argument("file", metavar="FILE.zip")
    save.add_argument(
        "--with-secrets", action="store_true", help="with the printers' keys and the passwords of operator and plugs"
    )
    bring_back = add("restore", restore, "put an archive in the place of what the stack holds")
    bring_back.add_argument("file", metavar="FILE.zip")
    bring_back.add_argument("--replace", action="store_true", help="also when the stack holds data")
    change = add(
        "setting", setting, "list or change what the database keeps as settings, e.g. how long raw rows are kept"
    )
    change.add_argument("name", nargs="?")
    change.add_argument("value", nargs="?")
    add("doctor", doctor, "look for the usual causes of trouble")
    add("compose-env", compose_env, "write .env with fresh secrets for docker compose")
    add("import", bring_in, "bring in history from a CSV file (readings, statuses or jobs)").add_argument(
        "file", metavar="FILE.csv"
    )

    device = commands.add_parser("device", help="add, list, test, remove devices")
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
    return top


def terminate(*_):
    """Handles SIGTERM."""
    raise Terminated


def main(argv):
    """Runs one command; returns the exit code."""
    top = parser()
    arguments, arguments.rest = top.parse_known_args(argv)
    if arguments.rest and arguments.command not in ("test", "bench", "train"):
        top.error(f"unknown: {' '.join(arguments.rest)}")
    # Being told to end (a CI time-out, a shutdown) undoes the same things as Ctrl-C.
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
