"""`setting`: the settings that live in the database, listed and changed by a person at the terminal."""

import argparse
import getpass

from common.errors import EnmsError

from . import probes, services, settings

CHANGEABLE = (
    "retention_raw",
    "retention_1min",
    "compress_after",
    "plant_seed_kwh",
    "plant_full_kwh",
    "database_budget_gb",
)
LIST = (
    "SELECT name, value, comment FROM settings "
    f"WHERE name IN ({', '.join(map(services.quoted, CHANGEABLE))}) ORDER BY name"
)


def setting(arguments: argparse.Namespace) -> int:
    """Without a name lists them; with a value changes one, which is written to the audit log."""
    env = settings.recorded(settings.paths())
    try:
        if arguments.value is not None:
            words = ", ".join(map(services.quoted, (arguments.name, arguments.value, getpass.getuser())))
            print(f"{arguments.name} is {probes.sql(env, f'SELECT change_setting({words})', timeout=30)} now.")
        else:
            rows = [line.split("|", 2) for line in probes.sql(env, LIST).splitlines()]
            for name, value, comment in (row for row in rows if arguments.name in (None, row[0])):
                print(f"{name:<20} {value:<12} {comment}")
    except RuntimeError as error:
        raise EnmsError(
            str(error).removeprefix("ERROR:").strip() + ".",
            "./enms setting lists what can be changed; the stack must run.",
        ) from error
    return 0
