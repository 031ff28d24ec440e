"""Each finding of the doctor, made to happen; those that need a running stack are in tests/test_launcher.py."""

import os
import socket
import time
from datetime import date

import pytest

from launcher import settings
from launcher.doctor import machine, stack
from launcher.doctor.finding import OK, PROBLEM, WARNING
from launcher.settings import Paths
from launcher.status import LastBackup, ServiceState


def only(findings):
    """The one finding; every one that is not ok has a remedy."""
    found = list(findings)
    assert len(found) == 1, found
    assert found[0].level == OK or found[0].remedy
    return found[0]


@pytest.fixture
def where(tmp_path):
    paths = Paths(tmp_path / "run")
    settings.prepare_run_dir(paths)
    return paths


def test_versions_whose_faults_are_no_longer_fixed():
    assert machine.supported("Python 3.11", date(2027, 10, 31)) == ""
    assert (
        machine.supported("Python 3.11", date(2027, 11, 1))
        == "Python 3.11 gets no security updates since 31 October 2027"
    )
    assert machine.supported("PostgreSQL 99", date(2099, 1, 1)) == ""
    assert only(machine.versions((3, 15, 0))).level == OK


def test_packages_missing_or_with_updates(monkeypatch):
    monkeypatch.setattr(machine.install, "missing_packages", lambda packages: ["mosquitto"])
    assert only(machine.packages()).level == PROBLEM
    monkeypatch.setattr(machine.install, "missing_packages", lambda packages: [])
    policy = (
        "postgresql-15:\n  Installed: 15.13\n  Candidate: 15.14\n  Version table:\n"
        "nginx-light:\n  Installed: (none)\n  Candidate: 1.22\n"
        "mosquitto:\n  Installed: 2\n  Candidate: 2\n"
    )
    assert machine.outdated(policy) == [("postgresql-15", "15.13", "15.14")]
    monkeypatch.setattr(machine, "policy", lambda names: policy)
    finding = only(machine.packages())
    assert (
        finding.level == WARNING
        and "15.13 → 15.14" in finding.text
        and "--only-upgrade postgresql-15;" in finding.remedy
    )
    monkeypatch.setattr(machine, "policy", lambda names: "")
    assert only(machine.packages()).level == OK


def test_the_environment_of_another_checkout(where, monkeypatch):
    assert "not installed yet" in only(machine.environment(where)).text
    node = settings.node_binary(where)
    node.parent.mkdir(parents=True)
    node.write_text("#!/bin/sh\necho v24.1.0\n")
    node.chmod(0o755)
    assert "not that of this checkout" in only(machine.environment(where)).text
    monkeypatch.setattr(machine.install, "is_installed", lambda paths: True)
    monkeypatch.setattr(machine.install, "is_built", lambda paths: True)
    assert only(machine.environment(where)).text == "as the lock files say, Node 24.1.0"


@pytest.mark.parametrize(
    "free, files, level",
    [
        (299, 10**6, PROBLEM),
        (1999, 10**6, WARNING),
        (9999, 10**6, OK),
        (9999, 9999, WARNING),
        (9999, None, OK),  # btrfs
    ],
)
def test_disk(where, free, files, level):
    assert only([machine.space(where.run, free, files)]).level == level


def test_a_disk_that_counts_no_files(where, monkeypatch):
    blocks = 10**7  # of 4096 bytes
    uncounted = os.statvfs_result((4096, 4096, blocks, blocks, blocks, 0, 0, 0, 0, 255))
    monkeypatch.setattr(machine.os, "statvfs", lambda place: uncounted)
    assert only(machine.disks(where)).level == OK


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written(where):
    where.run.chmod(0o500)
    assert any(finding.subject == "rights" for finding in machine.disks(where))


def test_memory():
    assert only(machine.memory("MemTotal: 9\nMemAvailable:    300000 kB\n")).level == WARNING
    assert only(machine.memory("MemAvailable:    900000 kB\n")).level == OK


def test_clock(monkeypatch):
    assert only(machine.clock(newest=time.time() + 10 * 86400)).level == PROBLEM
    for answer, level in (("no", WARNING), ("yes", OK), ("", OK)):
        monkeypatch.setattr(machine, "synchronised", lambda answer=answer: answer)
        assert only(machine.clock(newest=0)).level == level


def test_a_log_that_nobody_rotates(where):
    where.log("api").write_bytes(b"x" * (3 << 20))
    finding = only(machine.logs(where, 0.5))
    assert finding.level == WARNING and "api.log" in finding.text
    assert only(machine.logs(where, 10)).text.startswith("3.0 MB")


def test_what_prevents_a_start(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("ENMS_HTTP_PORT", str(taken.getsockname()[1]))
        calm, port = stack.stopped({})
        assert (calm.level, port.level) == (OK, PROBLEM) and f"pid {os.getpid()}" in port.text
    left = next(stack.stopped({"nginx": service(pid=7)}))
    assert left.level == WARNING and "nginx" in left.text


def service(pid: int | None, health: str = "ok", restarts: int = 0) -> ServiceState:
    """A service that runs, or a task that is done."""
    return {"state": "ready" if pid else "done", "pid": pid, "restarts": restarts, "health": health}


def test_services_that_are_ill_or_were_restarted():
    entries: dict[str, ServiceState] = {
        "api": service(1, "answers 500"),
        "nginx": {**service(2, restarts=3), "port": 80},
        "postgres": {**service(3), "port": 5432},
        "migrate": service(None),
    }
    found = list(stack.services(entries, memory_kb=1000 << 10))
    assert [finding.level for finding in found] == [PROBLEM, WARNING, OK, OK, WARNING]
    assert [finding.text for finding in found[2:4]] == ["pid 3, port 5432", "done"]


def test_an_old_server_and_another_schema():
    assert list(stack.server_version("15.14", "15.14")) == []
    assert "15.13 runs, 15.14 is installed" in only(stack.server_version("15.13", "15.14")).text
    ours = sorted(path.name for path in (settings.ROOT / "database/migrations").glob("*.sql"))
    assert only(stack.schema(ours)).level == OK
    assert only(stack.schema(ours[:-1])).level == WARNING
    newer = only(stack.schema([*ours, "9999_future.sql"]))
    assert newer.level == PROBLEM and "9999_future.sql" in newer.text


def health(rows, failing=None, connected=True):
    return {
        "sources": [{"client_id": "enms-shelly", "connected": connected, "problem": "refused", "received": 1000}],
        "spool": {"spooled_rows": rows, "bytes": 5 << 20, "failing": failing},
    }


@pytest.mark.parametrize(
    "answers, levels, words",
    [
        ([health(0)], [OK, OK], "empty"),
        ([health(0, connected=False)], [PROBLEM, OK], "empty"),
        ([health(900), health(400)], [OK, WARNING], "get fewer"),
        ([health(900), health(900)], [OK, PROBLEM], "do not get fewer: more come"),
        ([health(900), health(400, failing="disk full")], [OK, PROBLEM], "disk full"),
        ([health(900), None], [OK, PROBLEM], "900 rows"),
    ],
)
def test_broker_and_spool(answers, levels, words):
    found = list(stack.ingest(iter(answers).__next__, pause_s=0))
    assert [finding.level for finding in found] == levels and words in found[-1].text


def test_alarms_have_a_remedy():
    of_each = [{"kind": kind, "object": "A", "text": "…"} for kind in (*stack.REMEDIES, "rejects")]
    found = list(stack.alarms({"alarms": of_each}))
    assert len(found) == len(stack.REMEDIES) and all(finding.remedy for finding in found)
    assert found[0].remedy == "./enms device test --id A"
    assert list(stack.alarms(None)) == []
    crowd = only(
        stack.alarms({"alarms": [{"kind": "meter_unassigned", "object": f"m{n}", "text": "…"} for n in range(100)]})
    )
    assert crowd.subject == "meter unassigned" and crowd.text == "100 times: m0, m1, m2, m3, m4 and 95 more"


GOOD: LastBackup = {"file": "/b/x.zip", "bytes": 1, "age_seconds": 3600, "error": None, "failed_age_seconds": None}


@pytest.mark.parametrize(
    "last, scheduled, levels",
    [
        ({**GOOD, "age_seconds": None, "file": None}, False, [WARNING]),
        (GOOD, False, [OK]),
        (GOOD, True, [OK]),
        ({**GOOD, "age_seconds": 27 * 3600}, True, [PROBLEM]),
        ({**GOOD, "age_seconds": 27 * 3600}, False, [OK]),
        ({**GOOD, "error": "disk full", "failed_age_seconds": 60}, True, [PROBLEM, OK]),
    ],
)
def test_backups(where, last, scheduled, levels):
    found = list(stack.backups(last, {"ENMS_BACKUP_DIR": "/elsewhere" if scheduled else ""}, where))
    assert [finding.level for finding in found] == levels


def test_a_backup_on_the_disk_of_the_data(where):
    assert "is on the disk of the data" in list(stack.backups(GOOD, {"ENMS_BACKUP_DIR": str(where.run)}, where))[1].text
