"""`./enms` as people use it: real starts and stops, on stacks of their own."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg2
import pytest

from common.files import ROOT
from launcher import processes
from tests.support import enms as stacks
from tests.support.http import call
from tests.support.waiting import wait_for

RUN = Path(os.environ["ENMS_RUN_DIR"])


def enms(run_dir: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs ./enms with no variables but `more`; returns the finished process."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ENMS_", "PG"))}
    env.update(
        {"ENMS_RUN_DIR": str(run_dir), "ENMS_ENV_DIR": os.environ["ENMS_ENV_DIR"], "ENMS_HTTP_PORT": "0", **more}
    )
    return subprocess.run(
        [sys.executable, ROOT / "enms", *words],
        env=env,
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


def processes_of(run_dir: Path) -> list[str]:
    """The processes whose command line contains the run directory."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path("/proc", pid, "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if str(run_dir) in line and int(pid) != os.getpid() and "pytest" not in line:
            found.append(f"{pid} {line}")
    return found


@pytest.fixture(scope="module")
def stack():
    """A stack of this module's own, because its tests kill and stop it."""
    made = stacks.start(RUN / "launcher", "--no-demo")
    yield made
    made.launch("down", check=False)


def test_up_prints_each_step_and_the_login(stack):
    for service in ("postgres", "mosquitto", "nginx", "migrate", "nodered", "api"):
        assert f"  {service} " in stack.up_output
    assert stack.url in stack.up_output and stack.settings["ENMS_EDITOR_PASSWORD"] in stack.up_output


def test_second_up_does_nothing_and_says_so(stack):
    before = stack.status()
    began = time.monotonic()
    done = stack.launch("up", "--no-demo")
    assert time.monotonic() - began < 3
    assert "already running" in done.stdout
    after = stack.status()
    assert {n: s["pid"] for n, s in after["services"].items()} == {n: s["pid"] for n, s in before["services"].items()}


def test_status_shows_every_service(stack):
    state = stack.status()
    assert state["healthy"] and state["database_engine"] in ("plain", "timescale")
    for name in ("postgres", "mosquitto", "nginx", "nodered", "api"):
        service = state["services"][name]
        assert service["health"] == "ok" and service["pid"] > 1 and service["port"] > 0 and service["memory_kb"] > 500
    assert state["memory_kb"] < 600 * 1024
    assert "postgres" in stack.launch("status").stdout


def test_env_is_complete_and_true(stack):
    for name in (
        "ENMS_HTTP_URL",
        "ENMS_MQTT_HOST",
        "ENMS_MQTT_PORT",
        "ENMS_MQTT_DEVICE_USER",
        "ENMS_MQTT_DEVICE_PASSWORD",
        "ENMS_DATABASE_URL",
        "ENMS_DATABASE_READ_URL",
        "ENMS_EDITOR_USER",
        "ENMS_EDITOR_PASSWORD",
    ):
        assert stack.settings[name]
    assert stack.value("SELECT current_user") == "enms_owner"
    with psycopg2.connect(stack.settings["ENMS_DATABASE_READ_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM devices")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT api_key FROM device_credentials")


def test_env_for_a_shell(stack):
    taken = subprocess.run(
        ["sh", "-c", f'eval "$({shlex.quote(str(ROOT / "enms"))} env --export)"; env'],
        env=stack.env,
        text=True,
        capture_output=True,
        check=True,
    )
    assert {f"{name}={value}" for name, value in stack.settings.items()} <= set(taken.stdout.splitlines())


def test_a_new_password_ends_the_sessions_of_the_old_one(stack):
    """Both kinds: the cookie of the pages and the token of the editor."""
    password = stack.settings["ENMS_EDITOR_PASSWORD"]
    login = call("POST", stack.url + "/api/login", {"user": "operator", "password": password})
    page = {"Cookie": login.headers["set-cookie"].partition(";")[0]}
    token = call(
        "POST",
        stack.url + "/nodered/auth/token",
        {
            "client_id": "node-red-editor",
            "grant_type": "password",
            "scope": "*",
            "username": "operator",
            "password": password,
        },
    ).json()["access_token"]
    editor = {"Authorization": f"Bearer {token}"}

    def known():
        user = stack.get("/api/session", headers=page).json()["user"]
        return user, stack.get("/nodered/settings", headers=editor).status

    def restart(env):
        stack.launch("down")
        done = subprocess.run([ROOT / "enms", "up", "--no-demo"], env=env, text=True, capture_output=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr

    assert known() == ("operator", 200)
    restart(stack.env)
    assert known() == ("operator", 200)
    try:
        restart({**stack.env, "ENMS_EDITOR_PASSWORD": "quite another one"})
        assert known() == (None, 401)
    finally:
        restart({**stack.env, "ENMS_EDITOR_PASSWORD": password})


def test_secrets_are_for_the_owner_only(stack):
    for path in ("secrets.json", "settings.json", "supervisor.json", "config/mosquitto.passwords"):
        assert (stack.run_dir / path).stat().st_mode & 0o077 == 0, path
    for path in stack.logs():
        text = path.read_text(errors="replace")
        for name in ("ENMS_EDITOR_PASSWORD", "ENMS_MQTT_DEVICE_PASSWORD"):
            assert stack.settings[name] not in text, path


def test_only_this_machine_can_reach_it(stack):
    """Every listener of the stack is on 127.0.0.1."""
    ports = {service["port"] for service in stack.status()["services"].values() if service.get("port")}
    listening = [
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    ]
    ours = [address for address in listening if int(address.rpartition(":")[2], 16) in ports]
    assert len(ours) == len(ports)
    assert all(address.startswith("0100007F:") for address in ours)


@pytest.mark.parametrize("service", ["postgres", "mosquitto", "nginx", "api", "nodered"])
def test_a_killed_service_is_back_within_seconds(stack, service):
    """kill -9 of the leading process alone: its orphans must not be in the way."""
    old = stack.kill(service)

    def back():
        entry = stack.status()["services"][service]
        return entry["pid"] not in (None, old) and entry["health"] == "ok" and entry["state"] == "ready"

    wait_for(f"{service} to be back", back, 15, every=0.2)
    assert stack.status()["services"][service]["restarts"] >= 1


def test_a_stale_pid_file_of_postgres_is_no_obstacle(stack):
    """After a power cut the number in postmaster.pid may belong to anybody, here to this test."""
    os.kill(stack.pid("postgres"), signal.SIGSTOP)  # the supervisor must not be quicker than this test
    pid_file = stack.run_dir / "postgres/data/postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    stack.kill("postgres")
    wait_for("postgres to be back", lambda: stack.status()["services"]["postgres"]["health"] == "ok", 15, every=0.2)


def test_up_recovers_from_a_killed_supervisor(stack):
    """The services continue; the next `up` takes the stack over, and nothing of the old one stays."""
    record = json.loads((stack.run_dir / "supervisor.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    assert stack.get("/api/health").status == 200
    assert "./enms up" in stack.launch("status", check=False).stdout
    done = stack.launch("up", "--no-demo")
    assert "recover" in done.stdout
    assert [
        name
        for name, service in record["services"].items()
        if processes.is_alive(service if service.get("pid") else None)
    ] == []
    assert stack.status()["healthy"]


def test_two_stacks_side_by_side(stack):
    other = stacks.start(RUN / "launcher2", "--no-demo")
    try:
        mine, yours = stack.status(), other.status()
        assert mine["healthy"] and yours["healthy"]
        assert not (
            {s["port"] for s in mine["services"].values() if s.get("port")}
            & {s["port"] for s in yours["services"].values() if s.get("port")}
        )
    finally:
        other.launch("down")
    assert stack.status()["healthy"]


def test_down_works_without_a_supervisor_and_leaves_nothing(figures):
    """Supervisor and one leader killed: their orphans are ended too; no process, no port, no lock."""
    run_dir = RUN / "launcher3"
    made = stacks.start(run_dir, "--no-demo")
    ports = [s["port"] for s in made.status()["services"].values() if s.get("port")]
    record = json.loads((run_dir / "supervisor.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    made.kill("nginx")
    made.launch("down")
    assert processes_of(run_dir) == []
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, port
    assert not list(run_dir.glob("*.lock")) and not (run_dir / "supervisor.json").exists()
    assert "Nothing is running" in made.launch("down").stdout
    # The second start finds everything in place.
    began = time.monotonic()
    made.launch("up", "--no-demo")
    figures("Starts", f"the second start after down took {time.monotonic() - began:.1f} s")
    made.launch("down")


@pytest.mark.parametrize("name", ["ENMS_HTTP_PORT", "ENMS_BROKER_PORT"])
def test_a_port_in_use_is_a_sentence_with_the_remedy(name):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = enms(RUN / "taken", "up", "--no-demo", **{name: str(port)})
    assert done.returncode == 1 and f"Port {port}" in done.stderr and f"{name}=" in done.stderr
    assert "Traceback" not in done.stderr
    assert processes_of(RUN / "taken") == []


def test_a_run_directory_that_is_a_file_is_a_sentence(tmp_path):
    (tmp_path / "run").write_text("")
    done = enms(tmp_path / "run", "up")
    assert done.returncode == 1 and "not a directory" in done.stderr and "ENMS_RUN_DIR" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_a_sentence_with_the_remedy(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "enms-test", place], capture_output=True).returncode:
        pytest.skip("this machine does not allow a mount")
    try:
        done = enms(place / "run", "up", "--no-demo")
        assert done.returncode == 1 and "MB are free" in done.stderr and "Free some space" in done.stderr
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_missing_package_is_a_sentence_with_the_command(tmp_path):
    """As an ordinary user nothing is installed: the command is printed. (The user is simulated, the search is real.)"""
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); os.geteuid = lambda: 1000\n"
        "from launcher import install; from launcher.cli import main\n"
        "install.PACKAGES += (('surely-missing', lambda: False),)\n"
        "sys.exit(main(['up']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT)],
        text=True,
        capture_output=True,
        env={"PATH": os.environ["PATH"], "ENMS_RUN_DIR": str(tmp_path / "run"), "ENMS_HTTP_PORT": "0"},
    )
    assert done.returncode == 1 and "surely-missing" in done.stderr and "apt-get install" in done.stderr


def test_commands_without_a_stack_say_so(tmp_path):
    for words in (
        ("env",),
        ("device", "list"),
        ("import", str(ROOT / "CHANGELOG.md")),
        ("backup", str(tmp_path / "x.zip")),
        ("setting",),
    ):
        done = enms(tmp_path / "none", *words)
        assert done.returncode == 1 and "./enms up" in done.stderr and "Traceback" not in done.stderr, words
    missing = enms(tmp_path / "none", "restore", str(tmp_path / "x.zip"))
    assert missing.returncode == 1 and "There is no file" in missing.stderr and not (tmp_path / "none").exists()
    assert "Nothing is running" in enms(tmp_path / "none", "down").stdout
    assert enms(tmp_path / "none", "status").returncode == 3


def test_doctor_finds_nothing_wrong(stack):
    done = stack.launch("doctor", check=False)
    assert "PROBLEM" not in done.stdout, done.stdout
    assert "database" in done.stdout


def test_doctor_finds_what_is_wrong_with_the_data(stack):
    """Refused messages, a jumping meter, one without a device, a wrong clock, a newer schema: each with its remedy."""
    stack.rows("SELECT register_meters(ARRAY['doctor/switch:0'], ARRAY['shelly_gen2'])")
    stack.rows("SELECT ingest_energy(ARRAY['doctor/switch:0'], ARRAY[now()], ARRAY[5.0::float8], ARRAY[1.0::float8])")
    stack.rows("UPDATE meter_state SET jumps_in_row = 5, clock_offset_s = 7200 WHERE meter_id = 'doctor/switch:0'")
    stack.rows("SELECT record_rejects(ARRAY['doctor'], ARRAY['a/topic'], ARRAY['{'], ARRAY['not JSON'])")
    stack.rows("INSERT INTO schema_migrations VALUES ('9999_future.sql', '', now())")
    try:
        done = stack.launch("doctor", check=False)
    finally:
        stack.rows("DELETE FROM schema_migrations WHERE name = '9999_future.sql'")
        stack.rows("DELETE FROM meters WHERE meter_id = 'doctor/switch:0'")
        stack.rows("DELETE FROM meter_state WHERE meter_id = 'doctor/switch:0'")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    for level, words in (
        ("WARNING", "The counter of doctor/switch:0 jumps (5 times in a row)"),
        ("WARNING", "The meter doctor/switch:0 belongs to no device yet"),
        ("WARNING", "off by more than 2 minutes: doctor/switch:0"),
        ("WARNING", "messages refused within an hour"),
        ("PROBLEM", "the database is newer than this checkout: 9999_future.sql"),
    ):
        place = next((n for n, line in enumerate(lines) if line.startswith(level) and words in line), None)
        assert place is not None, f"no {level} with {words!r} in\n{done.stdout}"
        assert lines[place + 1].lstrip().startswith("→ ")


def test_settings_of_the_database(stack):
    listed = stack.launch("setting").stdout
    shown = {line.split()[0]: " ".join(line.split()[1:3]) for line in listed.splitlines()}
    assert shown["retention_raw"] == "6 months" and shown["retention_1min"] == "2 years"
    assert shown["compress_after"] == "7 days" and "engine" not in shown
    try:
        assert stack.launch("setting", "retention_raw", "12 months").stdout == "retention_raw is 12 months now.\n"
        assert "12 months" in stack.launch("setting", "retention_raw").stdout
        for words in (("retention_raw", "1 day"), ("retention_raw", "'; DROP TABLE devices"), ("engine", "plain")):
            refused = stack.launch("setting", *words, check=False)
            assert refused.returncode == 1 and "FAILED" in refused.stderr and "Traceback" not in refused.stderr
        assert stack.value("SELECT count(*) FROM audit_log WHERE object = 'retention_raw'") == 1
    finally:
        stack.launch("setting", "retention_raw", "6 months")


def test_device_commands(stack):
    def device(*words, check=True):
        return stack.launch("device", *words, check=check)

    lathe = ["--id", "Lathe-1"]
    device("add", *lathe, "--type", "other", "--source", "none", "--shelly-id", "plug-lathe", "--interval", "60")
    assert "plug-lathe" in device("list").stdout
    device("add", *lathe, "--name", "The old lathe", "--replace")
    assert "The old lathe" in device("list").stdout
    refused = device("add", "--id", "bad id!", check=False)
    assert refused.returncode == 1 and "FAILED" in refused.stderr and "Traceback" not in refused.stderr
    tested = device("test", *lathe).stdout
    assert "is not asked" in tested and "plug-lathe has not sent anything yet" in tested
    printer = ["--id", "New-1", "--source", "prusalink", "--host", "127.0.0.1:9"]
    assert "--api-key is missing" in device("add", *printer, check=False).stderr
    described = device("test", *printer, "--api-key", "x", check=False)
    assert described.returncode == 1 and "nothing listens there" in described.stdout
    assert "The device was removed." in device("remove", *lathe).stdout
    assert "Lathe-1" not in device("list").stdout
