"""The services of a stack: how each is started and stopped, when it is ready, and what must be ready before it."""

import base64
import hashlib
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from common import files
from common.errors import EnmsError

from . import grafana, postgres, probes, templates
from .postgres import Rights
from .settings import ROOT, SECRETS, Paths


@dataclass(frozen=True, slots=True)
class Service:
    """One process that the supervisor keeps alive, or (`task`) runs to its end once per start. `up` waits for no
    `background` one, nor fails with it.

    All functions get the stack's variables. `command` returns argv and further Popen arguments, `prepare` runs before
    every start, `probe` returns '' when the service is ready, otherwise what is missing; `extra` returns variables of
    its own. `needs` names the services that must be ready before it, `secrets` the secrets that its environment may
    contain, `port` the variable with its port; lines of its log that begin with one of `progress` are shown by `up`.
    """

    name: str
    command: Callable[[Mapping[str, str]], tuple[list[str], Rights]]
    probe: Callable[[Mapping[str, str]], str] = lambda env: ""
    prepare: Callable[[Mapping[str, str]], None] = lambda env: None
    needs: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    extra: Callable[[Mapping[str, str]], dict[str, str]] = lambda env: {}
    port: str = ""
    cwd: Path = ROOT
    task: bool = False
    background: bool = False
    stop_signal: int = signal.SIGTERM
    grace: float = 10.0
    ready_seconds: float = 60.0
    demo: bool = False
    progress: tuple[str, ...] = ()


def where(env: Mapping[str, str]) -> Paths:
    """The Paths of the stack that has these variables."""
    return Paths(env["ENMS_RUN_DIR"], env["ENMS_ENV_DIR"])


def prepare_postgres(env: Mapping[str, str]) -> None:
    """Makes the cluster ready to start, whatever a crash left."""
    base = where(env).postgres
    postgres.clear_stale_pid(base)
    postgres.configure(base)


def password_line(user: str, password: str) -> str:
    """A line of Mosquitto's password file (PBKDF2-SHA512)."""
    salt, rounds = secrets.token_bytes(12), 1000
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, 64)
    return f"{user}:$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


def prepare_migrate(env: Mapping[str, str]) -> None:
    """Makes the database itself; the migration, as superuser, makes the roles and hands it over to its owner."""
    name = env["ENMS_DB_NAME"]
    find_it = f"SELECT 1 FROM pg_database WHERE datname = {quoted(name)}"
    make_it = 'CREATE DATABASE "' + name.replace('"', '""') + '"'
    try:
        if not probes.sql(env, find_it, "postgres", "postgres"):
            probes.sql(env, make_it, "postgres", "postgres", timeout=60)
    except RuntimeError as error:
        raise EnmsError(f"The database {name} could not be made: {error}") from error


def quoted(text: str) -> str:
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def superuser_url(env: Mapping[str, str]) -> str:
    """The connection string of the cluster's superuser: only for the migration."""
    return (
        f"postgresql://postgres:{env['ENMS_DB_SUPERUSER_PASSWORD']}@{env['ENMS_DB_HOST']}:{env['ENMS_DB_PORT']}"
        f"/{env['ENMS_DB_NAME']}"
    )


def prepare_mosquitto(env: Mapping[str, str]) -> None:
    """Renders the broker's configuration, ACL and password file."""
    place = where(env)
    data = place.run / "mosquitto"
    data.mkdir(mode=0o700, exist_ok=True)
    values = {
        **env,
        "ENMS_MQTT_LISTEN": f"{env['ENMS_MQTT_PORT']} {env['ENMS_BIND']}",
        "ENMS_MQTT_DATA_DIR": str(data),
        "ENMS_MQTT_CONFIG_DIR": str(place.config),
        # The broker drops root for a user that can't read a run directory below a private home.
        "ENMS_MQTT_UNIX_USER": "root" if os.geteuid() == 0 else "mosquitto",
    }
    for name in ("mosquitto.conf", "mosquitto.acl"):
        files.write(place.config / name, templates.render((ROOT / "mosquitto" / name).read_text(), values), 0o600)
    files.write(
        place.config / "mosquitto.passwords",
        password_line(env["ENMS_MQTT_DEVICE_USER"], env["ENMS_MQTT_DEVICE_PASSWORD"])
        + password_line(env["ENMS_MQTT_INGEST_USER"], env["ENMS_MQTT_INGEST_PASSWORD"]),
        0o600,
    )


def prepare_nodered(env: Mapping[str, str]) -> None:
    """Makes Node-RED's user directory."""
    (where(env).state / "nodered").mkdir(mode=0o700, exist_ok=True)


def nodered_probe(env: Mapping[str, str]) -> str:
    """Ready when the flows are started, the broker and the database are reached."""
    try:
        status, answer, _ = probes.request(
            "GET", f"http://127.0.0.1:{env['ENMS_NODERED_PORT']}/api/nodered/health", timeout=5
        )
    except OSError as error:
        return str(error)
    if status == 200 or not isinstance(answer, dict):
        return "" if status == 200 else f"answers {status}"
    return f"flows {answer.get('flows')}, broker {answer.get('mqtt')}, database {answer.get('database')}"


def grafana_upstream(env: Mapping[str, str]) -> str:
    """host:port of Grafana for nginx; a port that nobody listens on when there is none, so that its path answers
    502.
    """
    url = urlsplit(env.get("ENMS_GRAFANA_URL", ""))
    return f"{url.hostname}:{url.port or 80}" if url.hostname else "127.0.0.1:9"


def prepare_grafana(env: Mapping[str, str]) -> None:
    """Makes the directory of Grafana's own data: its database, sessions and logs."""
    (where(env).state / "grafana").mkdir(mode=0o700, exist_ok=True)


def prepare_nginx(env: Mapping[str, str]) -> None:
    """Renders the door's configuration."""
    place = where(env)
    data = place.run / "nginx"
    data.mkdir(mode=0o700, exist_ok=True)
    bind = env["ENMS_BIND"]
    tls = env["ENMS_TLS_CERT"]
    values = {
        **env,
        "ENMS_NGINX_LISTEN": f"{f'[{bind}]' if ':' in bind else bind}:{env['ENMS_HTTP_PORT']}{' ssl' if tls else ''}",
        "ENMS_NGINX_TLS": f"ssl_certificate {tls}; ssl_certificate_key {env['ENMS_TLS_KEY']};" if tls else "",
        "ENMS_NODERED_UPSTREAM": f"127.0.0.1:{env['ENMS_NODERED_PORT']}",
        "ENMS_API_UPSTREAM": f"127.0.0.1:{env['ENMS_API_PORT']}",
        "ENMS_GRAFANA_UPSTREAM": grafana_upstream(env),
        "ENMS_FRONTEND_DIR": str(place.pages),
        "ENMS_GCODE_PUBLIC_DIR": str(place.state / "gcode/public"),
        "ENMS_NGINX_DIR": str(data),
        "ENMS_NGINX_ACCESS_LOG": str(place.log("nginx-access")),
    }
    files.write(place.config / "nginx.conf", templates.render((ROOT / "nginx/nginx.conf").read_text(), values))


def nginx_command(env: Mapping[str, str]) -> tuple[list[str], Rights]:
    """nginx in the foreground; as root its workers stay root, because they must read a checkout that may be private."""
    place = where(env)
    options = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    places = ["-p", str(place.run / "nginx"), "-c", str(place.config / "nginx.conf"), "-e", "stderr"]
    return [program("nginx"), *places, "-g", options], {}


def nginx_probe(env: Mapping[str, str]) -> str:
    """Ready with any answer of nginx itself, on the address that people use."""
    return probes.http_get(env["ENMS_HTTP_URL"] + "/", accept=lambda status: True)


def find(name: str) -> str | None:
    """Path of a system program, None when it isn't there; Debian keeps daemons in sbin, which an ordinary user's PATH
    lacks.
    """
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


def program(name: str) -> str:
    """Path of a system program, to start it; its name when it isn't there, so that the start fails with it."""
    return find(name) or name


def python(module: str, *arguments: str) -> Callable[[Mapping[str, str]], tuple[list[str], Rights]]:
    """A `command` function: a Python module in the private environment."""
    return lambda env: ([env["ENMS_PYTHON"], "-m", module, *arguments], {})


def history_command(env: Mapping[str, str]) -> tuple[list[str], Rights]:
    """Seven days of the demo fleet's past, as import files."""
    target = where(env).state / "demo-history"
    return [env["ENMS_PYTHON"], "-m", "simulator.history", "--days", "7", "--out", str(target)], {}


def nodered_command(env: Mapping[str, str]) -> tuple[list[str], Rights]:
    """Node-RED with the checkout's settings and a user directory of the stack's own."""
    place = where(env)
    script, user_dir = place.modules / "node-red" / "red.js", place.state / "nodered"
    words = ["--max-old-space-size=256", str(script), "-s", str(ROOT / "nodered/settings.js"), "-u", str(user_dir)]
    return [env["ENMS_NODE"], *words], {}


def http(port: str, path: str, accept: Callable[[int], bool]) -> Callable[[Mapping[str, str]], str]:
    """A `probe` function: GET on a service behind nginx, whose port is in the variable `port`."""
    return lambda env: probes.http_get(f"http://127.0.0.1:{env[port]}{path}", accept=accept)


SERVICES = (
    Service(
        "postgres",
        lambda env: postgres.command(where(env).postgres, env["ENMS_DB_PORT"]),
        probes.database,
        prepare_postgres,
        port="ENMS_DB_PORT",
        stop_signal=signal.SIGINT,
        grace=30,
        cwd=Path("/"),
    ),
    Service(
        "mosquitto",
        lambda env: ([program("mosquitto"), "-c", str(where(env).config / "mosquitto.conf")], {}),
        probes.mqtt,
        prepare_mosquitto,
        port="ENMS_MQTT_PORT",
    ),
    Service("nginx", nginx_command, nginx_probe, prepare_nginx, port="ENMS_HTTP_PORT"),
    Service(
        "migrate",
        python("database.migrate"),
        prepare=prepare_migrate,
        task=True,
        needs=("postgres",),
        secrets=tuple(name for name in SECRETS if name.startswith("ENMS_DB_")),
        extra=lambda env: {"ENMS_DATABASE_URL": superuser_url(env)},
        # of database/series_copy.py (minutes, after an upgrade) and database/migrate.py
        progress=("old rows: ", "setting: "),
    ),
    Service(
        "nodered",
        nodered_command,
        nodered_probe,
        prepare_nodered,
        needs=("migrate", "mosquitto"),
        port="ENMS_NODERED_PORT",
        secrets=(
            "ENMS_DB_INGEST_PASSWORD",
            "ENMS_DB_API_PASSWORD",
            "ENMS_MQTT_INGEST_PASSWORD",
            "ENMS_EDITOR_PASSWORD",
            "ENMS_SECRET_KEY",
        ),
    ),
    Service(
        "api",
        lambda env: ([env["ENMS_PYTHON"], "-m", "gunicorn", "-c", "gunicorn.conf.py"], {}),
        http("ENMS_API_PORT", "/api/health", lambda status: True),
        needs=("migrate",),
        port="ENMS_API_PORT",
        cwd=ROOT / "python-api",
        secrets=("ENMS_DB_API_PASSWORD",),
    ),
    Service(
        "grafana",
        lambda env: (grafana.command(env, ROOT), {}),
        http("ENMS_GRAFANA_PORT", "/grafana/api/health", lambda status: status == 200),
        prepare_grafana,
        needs=("migrate",),
        port="ENMS_GRAFANA_PORT",
        background=True,
        ready_seconds=120,
        secrets=("ENMS_DB_GRAFANA_PASSWORD", "ENMS_EDITOR_PASSWORD", "ENMS_SECRET_KEY"),
        extra=lambda env: {
            "ENMS_GRAFANA_DIR": str(ROOT / "grafana"),
            "ENMS_GRAFANA_DATA_DIR": str(where(env).state / "grafana"),
            "ENMS_GRAFANA_LISTEN": "127.0.0.1",
        },
    ),
    Service("history", history_command, task=True, demo=True),
    Service(
        "simulator",
        python("simulator"),
        http("ENMS_SIM_PORT", "/health", lambda status: status == 200),
        needs=("mosquitto", "history"),
        port="ENMS_SIM_PORT",
        demo=True,
        secrets=("ENMS_MQTT_DEVICE_PASSWORD",),
    ),
    Service(
        "training",
        python("launcher.first_model"),
        task=True,
        background=True,
        needs=("migrate",),
        demo=True,
        secrets=("ENMS_DB_API_PASSWORD",),
    ),
    Service(
        "backup", python("backup", "schedule"), background=True, needs=("migrate",), secrets=("ENMS_DB_OWNER_PASSWORD",)
    ),
)
BY_NAME = {service.name: service for service in SERVICES}
# What ends together, first to last: what writes stops before what keeps the data.
STOP_ORDER = (
    ("backup", "training", "simulator", "history", "nginx", "grafana", "api", "nodered", "migrate"),
    ("mosquitto",),
    ("postgres",),
)


def wanted(env: Mapping[str, str], demo: bool, history: bool) -> list[Service]:
    """The services of a start: with the demo fleet or without, `history` when its past is still to be made, `backup`
    and `grafana` when they are set up.
    """
    left_out = {
        name
        for name, there in (
            ("history", history),
            ("backup", env["ENMS_BACKUP_DIR"]),
            ("grafana", env["ENMS_GRAFANA_BIN"]),
        )
        if not there
    }
    return [service for service in SERVICES if (demo or not service.demo) and service.name not in left_out]


def environment(service: Service, env: Mapping[str, str]) -> dict[str, str]:
    """The variables that a service sees: all but the secrets that it doesn't need."""
    hidden = {*SECRETS, "ENMS_DATABASE_URL", "ENMS_DATABASE_READ_URL"} - set(service.secrets)
    # Only nginx and the broker, which plugs must reach, listen where ENMS_BIND says; everything behind them stays on
    # this machine.
    return {
        **{name: value for name, value in env.items() if name not in hidden},
        "ENMS_BIND": "127.0.0.1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(ROOT),
        **service.extra(env),
    }
