"""How to reach PostgreSQL: its programs on this machine, and the connection settings of each of our roles."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .errors import EnmsError

VERSIONS = ("15", "16", "17")
EVERY_FACTORY = "*"  # the value of enms.factories with which a reader sees all of them; otherwise ids between commas
# Role of the database: the variable with its password.
PASSWORDS = {
    "postgres": "ENMS_DB_SUPERUSER_PASSWORD",
    "enms_owner": "ENMS_DB_OWNER_PASSWORD",
    "enms_ingest": "ENMS_DB_INGEST_PASSWORD",
    "enms_api": "ENMS_DB_API_PASSWORD",
    "enms_grafana": "ENMS_DB_GRAFANA_PASSWORD",
}


def find(name: str) -> str | None:
    """Path of a PostgreSQL program, Debian's own directories first; None when it isn't there."""
    for version in VERSIONS:
        path = Path("/usr/lib/postgresql") / version / "bin" / name
        if path.exists():
            return str(path)
    return shutil.which(name)


def program(name: str) -> str:
    """Path of a PostgreSQL program, to start it; its name when it isn't there, so that the start fails with it."""
    return find(name) or name


def installed_version() -> str:
    """Version of the installed server (`15.14`); "" when there is none."""
    server = find("postgres")
    text = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout if server else ""
    return text.split()[2] if text else ""


def connection_settings(
    role: str, environ: Mapping[str, str] = os.environ, database: str | None = None
) -> dict[str, str]:
    """libpq keywords to connect as `role` (a key of PASSWORDS), from the ENMS_DB_* variables.

    Raises EnmsError when the role's password is not set.
    """
    password = environ.get(PASSWORDS[role])
    if not password:
        raise EnmsError(
            f"{PASSWORDS[role]} is not set.",
            "Call this through ./enms or in its container, or set the ENMS_DB_* variables of .env.example.",
        )
    return {
        "host": environ.get("ENMS_DB_HOST", "127.0.0.1"),
        "port": environ.get("ENMS_DB_PORT", "5432"),
        "dbname": database or environ.get("ENMS_DB_NAME", "enms"),
        "user": role,
        "password": password,
    }
