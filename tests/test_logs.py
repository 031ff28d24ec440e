"""Our parts' log lines: one form that a program can read, the right level, and no secret."""

import json
import re

import pytest

from tests.support.waiting import wait_for

OURS = {"supervisor": "supervisor", "nodered": "nodered", "api": "api", "nginx-access": "nginx"}
PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"]+)(?: |$)')
REQUIRED = ["time", "level", "part"]


def fields(line):
    """The fields of a line; fails when it is not key=value all through."""
    found = PAIR.findall(line)
    assert "".join(f"{name}={value} " for name, value in found).rstrip() == line.rstrip(), f"not key=value: {line}"
    return {name: json.loads(value) if value.startswith('"') else value for name, value in found}


def lines(enms, name):
    """The fields of every line of a log."""
    return [fields(line) for line in (enms.run_dir / "log" / f"{name}.log").read_text().splitlines()]


@pytest.mark.parametrize("name, part", OURS.items())
def test_every_line_of_our_parts_is_one_form(enms, name, part):
    enms.get('/api/jobs?deviceId="quotes"&x=a b'.replace(" ", "%20"))
    found = lines(enms, name)
    assert found
    for one in found:
        assert list(one)[:3] == REQUIRED and "msg" in one
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?(Z|[+-]\d\d:\d\d)", one["time"])
        assert one["level"] in ("error", "warning", "info") and one["part"] in (part, "python")


def test_what_happens_is_logged_where_it_happens(enms):
    """A refused request by nginx, the start of the flows by Node-RED."""
    enms.change("POST", "/api/devices", {"device_id": "bad id!"})
    wait_for(
        "the request in the log of nginx",
        lambda: any(
            one["msg"].startswith("POST /api/devices ") and one["status"] == "400"
            for one in lines(enms, "nginx-access")
        ),
        5,
    )
    started = [one for one in lines(enms, "nodered") if one["msg"] == "Started flows"]
    assert started and started[0]["level"] == "info"


def test_no_secret_of_the_stack_and_of_a_printer_is_logged(enms):
    """After a wrong login, a printer that refuses its key, and an analysis that fails."""
    enms.add_device(
        {
            "device_id": "logged-printer",
            "friendly_name": "x",
            "source": "prusalink",
            "api_ip": "127.0.0.1:9",
            "api_key": "KEY-of-a-printer",
            "data_interval_seconds": 2,
        }
    )
    try:
        enms.change("POST", "/api/devices/test", {"deviceId": "logged-printer"})
        enms.change(
            "POST", "/api/analyze", {"deviceId": "logged-printer", "timeRange": "nonsense", "selectedDrivers": {}}
        )
        enms.get("/api/session", user=("operator", "WRONG-password"))
    finally:
        enms.change("DELETE", "/api/devices/logged-printer")
    secrets = [*json.loads((enms.run_dir / "secrets.json").read_text()).values(), "KEY-of-a-printer", "WRONG-password"]
    for path in (enms.run_dir / "log").iterdir():
        text = path.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in text], path.name


def test_the_command_for_people_shows_them(enms):
    newest = (enms.run_dir / "log" / "nodered.log").read_text().splitlines()[-1]
    assert newest in enms.launch("logs", "nodered").stdout.splitlines()
    refused = enms.launch("logs", "nothing", check=False)
    assert refused.returncode == 1 and "There is no log of 'nothing'" in refused.stderr
