"""The container stack as far as it can be run without an engine: its file, its entry scripts, its health checks."""

import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import yaml

from common.files import ROOT
from tests.support.waiting import free_port, wait_for

ROOT_ONLY = pytest.mark.skipif(
    os.geteuid() != 0, reason="the broker's script needs its own user, which only root can become"
)
PROFILES = ("demo", "backup", "monitoring")


@pytest.fixture(scope="module")
def compose(tmp_path_factory):
    """What docker-compose makes of its file with the .env of `./enms compose-env`, all profiles on."""
    tool = shutil.which("docker-compose")
    if not tool:
        pytest.skip("docker-compose is not on this machine (./enms test installs it as root)")
    place = tmp_path_factory.mktemp("compose")
    for name in ("docker-compose.yml", ".env.example", "enms"):
        shutil.copy(ROOT / name, place)
    for name in ("launcher", "backup", "common"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    env = {"PATH": os.environ["PATH"], "HOME": str(place)}
    made = subprocess.run([place / "enms", "compose-env"], env=env, text=True, capture_output=True)
    assert made.returncode == 0 and (place / ".env").stat().st_mode & 0o077 == 0, made.stderr
    again = subprocess.run([place / "enms", "compose-env"], env=env, text=True, capture_output=True)
    assert again.returncode == 1 and "not overwritten" in again.stderr
    done = subprocess.run(
        [tool, *(word for name in PROFILES for word in ("--profile", name)), "config"],
        cwd=place,
        env=env,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return yaml.safe_load(done.stdout)


def test_every_image_is_pinned(compose):
    """By a full version; ours are built from bases that are."""
    images = [service["image"] for service in compose["services"].values() if "build" not in service]
    for name in ("python-api", "nodered", "nginx"):
        images += re.findall(r"^FROM (\S+)", (ROOT / name / "Dockerfile").read_text(), re.M)
    assert len(images) >= 6
    for image in images:
        assert re.search(r":\d+\.\d+\.\d+", image) and "latest" not in image, image


def test_only_nginx_has_a_port_of_the_host(compose):
    published = {name: service["ports"] for name, service in compose["services"].items() if service.get("ports")}
    assert list(published) == ["nginx"] and "127.0.0.1" in str(published["nginx"])
    assert not [
        name
        for name, service in compose["services"].items()
        if service.get("network_mode") or service.get("privileged")
    ]


def test_every_service_is_confined_and_watched(compose):
    """No root, no writable image, no capabilities, bounded memory, processes and logs; all that run for long have a
    health check.
    """
    for name, service in compose["services"].items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"] and service["pids_limit"] and service["logging"]["options"]["max-size"], name
        if service["restart"] == "no":
            assert name in ("migrate", "demo-fleet")
        else:
            assert service["restart"] == "unless-stopped" and service["healthcheck"]["test"], name
        user = service.get("user") or dockerfile_user(service)
        assert user and user.split(":")[0] not in ("root", "0"), name


def dockerfile_user(service):
    """The last USER of the service's Dockerfile."""
    users = re.findall(r"^USER (\S+)", (ROOT / service["build"]["dockerfile"]).read_text(), re.M)
    return users[-1] if users else None


def test_each_service_sees_only_its_own_secrets(compose):
    secrets = {
        name
        for name in re.findall(r"^(ENMS_\w+)=$", (ROOT / ".env.example").read_text(), re.M)
        if "PASSWORD" in name or name == "ENMS_SECRET_KEY"
    }
    seen = {name: secrets & set(service.get("environment") or {}) for name, service in compose["services"].items()}
    assert seen["nginx"] == set() and seen["python-api"] == {"ENMS_DB_API_PASSWORD"}
    assert seen["mosquitto"] == {"ENMS_MQTT_DEVICE_PASSWORD", "ENMS_MQTT_INGEST_PASSWORD"}
    assert seen["nodered"] == {
        "ENMS_DB_INGEST_PASSWORD",
        "ENMS_DB_API_PASSWORD",
        "ENMS_MQTT_INGEST_PASSWORD",
        "ENMS_EDITOR_PASSWORD",
        "ENMS_SECRET_KEY",
    }
    assert {name for name, found in seen.items() if "ENMS_DB_SUPERUSER_PASSWORD" in found} == {
        "backup"
    }  # migrate has it in its URL


def test_what_the_images_copy_is_there():
    for name in ("python-api", "nodered", "nginx"):
        text = (ROOT / name / "Dockerfile").read_text()
        for words in re.findall(r"^COPY (?!--from)(.+)$", text, re.M):
            for source in words.split()[:-1]:
                assert (ROOT / source).exists(), f"{name}/Dockerfile copies {source}"
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    for name in ("python-api", "nodered"):
        copied = set(re.findall(r"^COPY ([\w-]+) (?:/opt/enms/)?\1$", (ROOT / name / "Dockerfile").read_text(), re.M))
        sources = [path for folder in copied for path in (ROOT / folder).rglob("*.py") if "tests" not in path.parts]
        imported = {
            module for path in sources for module in re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.M)
        }
        assert imported & folders <= copied, f"{name}/Dockerfile lacks what the code that it copies imports"


def test_the_python_commands_of_the_services_can_be_run(compose, enms):
    """Each `python -m …` and each health check in Python, with this machine's interpreter."""
    python, env = enms.settings["ENMS_PYTHON"], {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    modules = {
        service["command"][2]
        for service in compose["services"].values()
        if (service.get("command") or [""])[:2] == ["python", "-m"]
    }
    modules.add(compose["services"]["backup"]["entrypoint"][2])
    assert modules == {"database.migrate", "simulator", "launcher.demo", "backup"}
    for module in modules:
        name = f"{module}.__main__" if (ROOT / module).is_dir() else module
        done = subprocess.run(
            [python, "-c", f"import importlib.util; assert importlib.util.find_spec({name!r})"], env=env, cwd=ROOT
        )
        assert done.returncode == 0, module
    check = compose["services"]["python-api"]["healthcheck"]["test"][-1].replace("5000", enms.settings["ENMS_API_PORT"])
    nobody = check.replace(enms.settings["ENMS_API_PORT"], "9")
    assert subprocess.run([python, "-c", check], env=env).returncode == 0
    assert subprocess.run([python, "-c", nobody], env=env, capture_output=True).returncode == 1
    check = compose["services"]["nodered"]["healthcheck"]["test"][-1].replace(
        "1880", enms.settings["ENMS_NODERED_PORT"]
    )
    nobody = check.replace(enms.settings["ENMS_NODERED_PORT"], "9")
    assert subprocess.run([enms.settings["ENMS_NODE"], "-e", check]).returncode == 0
    assert subprocess.run([enms.settings["ENMS_NODE"], "-e", nobody]).returncode == 1


def test_the_health_of_the_backup_service(compose, enms, tmp_path):
    """Unhealthy before the first backup and when the last one is older than 26 hours."""
    check = compose["services"]["backup"]["healthcheck"]["test"][-1].replace("/state", str(tmp_path))
    healthy = lambda: subprocess.run([enms.settings["ENMS_PYTHON"], "-c", check], cwd=ROOT).returncode == 0
    assert not healthy()
    for hours, well in ((1, True), (27, False)):
        (tmp_path / "backup.json").write_text(json.dumps({"at": time.time() - hours * 3600}))
        assert healthy() is well


def script_env(**more: str) -> dict[str, str]:
    """The environment of an entry script."""
    return {"PATH": f"{os.environ['PATH']}:/usr/sbin", **more}


class Entry:
    """A running entry script."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self.process, self.output = process, output

    def check(self) -> None:
        """Raises AssertionError with what the script printed when it has ended."""
        assert self.process.poll() is None, self.output.read().decode()


@contextlib.contextmanager
def entry(script: Path, env: dict[str, str], as_user: str | None = None) -> Iterator[Entry]:
    """Runs the entry script of a container."""
    process = subprocess.Popen(
        ["sh", script],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        start_new_session=True,
        user=as_user,
        group=as_user,
        extra_groups=[] if as_user else None,
    )
    assert process.stdout
    with process.stdout as output:
        try:
            yield Entry(process, output)
        finally:
            process.terminate()
            process.wait(10)


@ROOT_ONLY
def test_the_broker_starts_as_in_its_container(compose, tmp_path_factory):
    """As an ordinary user, with users and passwords that a template engine could misread; the service's own health
    check passes.
    """
    place = Path("/tmp") / f"enms-broker-{os.getpid()}"
    place.mkdir(mode=0o777)
    try:
        shutil.copytree(ROOT / "mosquitto", place / "enms")
        (place / "data").mkdir()
        subprocess.run(["chown", "-R", "mosquitto", place], check=True)
        port = free_port()
        env = script_env(
            ENMS_MQTT_LISTEN=f"{port} 127.0.0.1",
            ENMS_MQTT_DATA_DIR=f"{place}/data",
            ENMS_MQTT_CONFIG_DIR=f"{place}/config",
            ENMS_MQTT_DEVICE_USER="dev&ice|1",
            ENMS_MQTT_DEVICE_PASSWORD="p&w|\\1$x",
            ENMS_MQTT_INGEST_USER="ingest",
            ENMS_MQTT_INGEST_PASSWORD="in gest",
        )
        check = compose["services"]["mosquitto"]["healthcheck"]["test"][-1]
        check = check.replace("$$", "$").replace("1883", str(port))
        with entry(place / "enms/start.sh", env, "mosquitto") as broker:

            def answers(user, password):
                broker.check()
                login = {"ENMS_MQTT_INGEST_USER": user, "ENMS_MQTT_INGEST_PASSWORD": password}
                done = subprocess.run(["sh", "-c", check], env={**env, **login}, capture_output=True)
                return done.returncode == 0

            wait_for("the broker", lambda: answers("ingest", "in gest"), 15)
            assert not answers("ingest", "wrong")
            address, login = ["-h", "127.0.0.1", "-p", str(port)], ["-u", "dev&ice|1", "-P", "p&w|\\1$x"]
            sent = subprocess.run(
                ["mosquitto_pub", *address, *login, "-t", "plug/status", "-m", "1", "-q", "1"],
                env=env,
                capture_output=True,
            )
            assert sent.returncode == 0, sent.stderr
            assert "user dev&ice|1" in (place / "config/mosquitto.acl").read_text()
            assert not re.search(r"\$\{ENMS_[A-Z]", (place / "config/mosquitto.conf").read_text())
            passwords = (place / "config/mosquitto.passwords").read_text()
            assert "in gest" not in passwords and passwords.count("$7$") == 2
            assert (place / "config/mosquitto.passwords").stat().st_mode & 0o077 == 0
    finally:
        shutil.rmtree(place)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for enms.test, and its key."""
    place = tmp_path_factory.mktemp("tls")
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=enms.test", "-addext", "subjectAltName=DNS:enms.test,IP:127.0.0.1"]
    files = ["-keyout", place / "key.pem", "-out", place / "cert.pem"]
    subprocess.run(["openssl", "req", "-x509", *kind, *names, *files], check=True, capture_output=True)
    return place / "cert.pem", place / "key.pem"


def door_env(enms, place, port, **more):
    """The environment of the door's entry script, in front of a running stack."""
    return script_env(
        ENMS_NGINX_LISTEN=f"127.0.0.1:{port}",
        ENMS_NGINX_DIR=str(place / "nginx"),
        ENMS_NGINX_ACCESS_LOG=str(place / "access.log"),
        ENMS_FRONTEND_DIR=str(place),
        ENMS_GCODE_PUBLIC_DIR=str(place),
        ENMS_API_RATE="100",
        ENMS_GRAFANA_URL="http://127.0.0.1:9",
        ENMS_NODERED_UPSTREAM=f"127.0.0.1:{enms.settings['ENMS_NODERED_PORT']}",
        ENMS_API_UPSTREAM=f"127.0.0.1:{enms.settings['ENMS_API_PORT']}",
        **more,
    )


def test_the_door_starts_as_in_its_container(enms, tmp_path):
    """Without a certificate: http, the API behind it."""
    port = free_port()
    with entry(ROOT / "nginx/start.sh", door_env(enms, tmp_path, port)) as door:

        def version() -> bytes:
            door.check()
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/api/version", timeout=3).read()

        assert b"enms" in wait_for("the door", version, 10)
        text = (tmp_path / "nginx/nginx.conf").read_text()
        assert not re.search(r"\$\{ENMS_[A-Z]", text) and "$http_host" in text


def test_the_door_with_the_operators_certificate(enms, tmp_path, certificate):
    """https with the certificate checked, old protocols refused, and http redirected."""
    cert, key = certificate
    port = free_port()
    trusting = ssl.create_default_context(cafile=cert)
    env = door_env(enms, tmp_path, port, ENMS_TLS_CERT=str(cert), ENMS_TLS_KEY=str(key))
    with entry(ROOT / "nginx/start.sh", env) as door:

        def version() -> bytes:
            door.check()
            return urllib.request.urlopen(f"https://127.0.0.1:{port}/api/version", timeout=3, context=trusting).read()

        assert b"enms" in wait_for("the door", version, 10)
        with socket.create_connection(("127.0.0.1", port), 3) as plain:
            plain.sendall(f"GET /api/version HTTP/1.1\r\nHost: enms.test:{port}\r\nConnection: close\r\n\r\n".encode())
            answer = plain.recv(4096).decode()
        assert answer.startswith("HTTP/1.1 301") and f"Location: https://enms.test:{port}/api/version" in answer
        with (
            socket.create_connection(("127.0.0.1", port), 3) as link,
            trusting.wrap_socket(link, server_hostname="enms.test") as secure,
        ):
            assert secure.version() in ("TLSv1.2", "TLSv1.3")
