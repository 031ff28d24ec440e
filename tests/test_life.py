"""What a person sees who clones the repository and runs `./enms up`: a living fleet whose prints have an account."""

import json
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from common.files import ROOT
from tests.support import enms as stacks
from tests.support.http import Answer, call
from tests.support.markdown import pages
from tests.support.reader import BLOCKS, LONG, Reader, compare, special
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def demo():
    """A stack with the demo fleet, in a run directory of its own."""
    stack = stacks.start(Path(os.environ["ENMS_RUN_DIR"]) / "life")
    yield stack
    stack.launch("down", check=False)


def simulator(demo, path, body=None) -> Answer:
    """The answer of the simulator's control API; POST when there is a body."""
    url = f"http://127.0.0.1:{demo.settings['ENMS_SIM_PORT']}{path}"
    return call("GET" if body is None else "POST", url, body)


def true_jobs(demo) -> list[dict[str, Any]]:
    """The simulator's ground truth of the prints."""
    return simulator(demo, f"/truth?since={demo.up_at - 600}").json()["jobs"]


def rated_power(demo) -> dict[str, float]:
    """{device id: W} of the simulated printers."""
    return {device["device_id"]: device["rated_power_w"] for device in simulator(demo, "/fleet").json()}


def test_the_fleet_lives(demo):
    """At least 6 printers of 4 protocols, all seen, all with a plug that reports."""
    devices = wait_for("the fleet in the registry", lambda: demo.get("/api/devices").json(), 30)
    devices = devices["devices"] if isinstance(devices, dict) else devices
    printers = [d for d in devices if d["device_type"] == "printer"]
    assert len(printers) >= 6
    assert {d["source"] for d in printers} >= {"prusalink", "octoprint", "moonraker", "simplyprint"}
    wait_for(
        "every printer to be seen with its power",
        lambda: all(
            p["currentStatus"] not in ("Offline", "Unknown") and p["powerWatts"] is not None
            for p in demo.summary()["printers"]
        ),
        60,
        every=1,
    )


def test_energy_of_a_running_print_rises(demo):
    """A print that runs has jobKwhConsumed, and it grows as the plug counts."""

    def printing():
        return {
            p["deviceId"]: p["jobKwhConsumed"]
            for p in demo.summary()["printers"]
            if p["isPrintingNow"] and p["jobKwhConsumed"]
        }

    before = wait_for("a print with energy", printing, 90, every=1)
    wait_for(
        "its energy to rise",
        lambda: any(now > before.get(device, now) for device, now in printing().items()),
        40,
        every=1,
    )


def test_a_print_that_ran_before_the_first_look_has_its_whole_energy(demo):
    """The past becomes the present within a print: it counts from its true start, whatever its printer says of that."""
    running = [job for job in true_jobs(demo) if job["end"] is None and job["start"] < demo.up_at - 900]
    printers = {p["deviceId"]: p for p in demo.summary()["printers"]}
    rated = rated_power(demo)
    for job in running:  # at some hours of the day none
        kwh = printers[job["device_id"]]["jobKwhConsumed"]
        if kwh is None:  # it ended just now
            continue
        # The summary is up to a report of the plug (30 s) older than the truth.
        assert kwh * 1000 == pytest.approx(job["energy_wh"], abs=0.2 + rated[job["device_id"]] * 40 / 3600), job


def test_history_of_a_week_is_there(demo):
    """The imported past: finished prints, all with energy, cost and CO2."""

    def past():
        return [
            job
            for job in demo.summary()["globalHistory"]
            if datetime.fromisoformat(job["completedAt"]).timestamp() < demo.up_at
        ]

    assert len(past()) >= 20
    # What has just ended, between past and present, waits for its plug's next reading and for Housekeeping's minute.
    wait_for(
        "every print that is done to have its account",
        lambda: (
            [job for job in past() if not (job["kwh"] and job["cost"] and job["co2g"]) and job["status"] == "done"]
            == []
        ),
        120,
        every=2,
    )


def test_a_print_that_began_and_ended_after_up_has_its_account(demo):
    """A short print, started by the simulator's control API on a printer polled every 2 s, has its true energy."""
    states = simulator(demo, "/health").json()["printers"]
    idle = next((device for device, state in states.items() if state == "idle"), None)
    if idle is None:  # all are at work: one of them is stopped
        idle = next(iter(states))
        for command in ("cancel", "clear"):
            simulator(demo, f"/printers/{idle}/{command}", {})
    wait_for(
        f"{idle} to be seen idle",
        lambda: (
            next(p for p in demo.summary()["printers"] if p["deviceId"] == idle)["currentStatus"]
            in ("Idle", "Cooling", "Completed")
        ),
        60,
    )
    assert demo.change("PATCH", f"/api/devices/{idle}", {"data_interval_seconds": 2}).status == 200
    time.sleep(5)
    started = simulator(demo, f"/printers/{idle}/start", {"filename": "after-up.gcode", "duration_s": 20})
    assert started.status == 201, started.text
    entry = wait_for(
        "the print in the history",
        lambda: next(
            (
                job
                for job in demo.summary()["globalHistory"]
                if job["filename"] == "after-up.gcode" and job["kwh"] is not None
            ),
            None,
        ),
        90,
        every=1,
    )
    true = next(job for job in true_jobs(demo) if job["filename"] == "after-up.gcode")
    price = float(demo.value("SELECT price_per_kwh FROM energy_tariffs LIMIT 1"))
    co2 = float(demo.value("SELECT g_co2_per_kwh FROM carbon_factors LIMIT 1"))
    assert entry["status"].lower() == "done"
    # Edges of a poll (2 s) and a report of the plug (at most 30 s apart in the demo fleet) at the rated power.
    assert abs(entry["kwh"] * 1000 - true["energy_wh"]) <= rated_power(demo)[idle] * (2 + 30) / 3600
    assert entry["cost"] == pytest.approx(entry["kwh"] * price, abs=1e-4)
    assert entry["co2g"] == pytest.approx(entry["kwh"] * co2, abs=0.1)


@pytest.mark.long
def test_three_minutes_after_up_a_print_of_the_fleet_itself_is_accounted(demo, figures):
    """Nobody helps: a calibration piece starts and ends within three minutes."""

    def accounted():
        history = {(job["printerName"], job["filename"]): job for job in demo.summary()["globalHistory"]}
        names = {p["deviceId"]: p["friendlyName"] for p in demo.summary()["printers"]}
        for job in true_jobs(demo):
            entry = history.get((names.get(job["device_id"]), job["filename"]))
            ours = job["start"] > demo.up_at and job["end"] and job["filename"] != "after-up.gcode"
            if ours and entry and entry["kwh"] is not None:
                return job, entry
        return None

    job, entry = wait_for(
        "a print of the fleet in the history", accounted, max(1, demo.up_at + 240 - time.time()), every=2
    )
    figures(
        "The first print of the demo fleet",
        f"{entry['filename']} on {entry['printerName']}: {entry['kwh'] * 1000:.2f} Wh, "
        f"truth {job['energy_wh']:.2f} Wh, {entry['cost']:.4f} EUR, {entry['co2g']:.1f} g CO2, "
        f"{time.time() - demo.up_at:.0f} s after up",
    )
    assert entry["kwh"] * 1000 == pytest.approx(job["energy_wh"], abs=3)
    assert entry["cost"] and entry["co2g"]


def secrets_of(demo) -> dict[str, str]:
    """Every secret of the stack and of its fleet: passwords and keys, by name."""
    found = {k: v for k, v in json.loads((demo.run_dir / "secrets.json").read_text()).items() if isinstance(v, str)}
    for device in demo.rows("SELECT device_id, api_key, sp_api_key, gcode_preview_api_key FROM device_credentials"):
        found |= {f"{device['device_id']} {k}": v for k, v in device.items() if k != "device_id" and v}
    return found


def test_no_secret_in_any_answer(demo):
    """Every reading endpoint, also when it complains."""
    secrets = secrets_of(demo)
    assert len(secrets) > 10
    device = demo.summary()["printers"][0]["deviceId"]
    paths = [
        "/",
        "/api/dpp_summary",
        "/api/devices",
        "/api/meters",
        "/api/health",
        "/api/openapi.json",
        "/api/docs",
        "/api/session",
        "/api/rejects",
        "/api/jobs",
        "/api/alarms",
        f"/api/devices/{device}",
        "/api/dpp_summary?scenario=nothing",
        "/nodered/",
        "/nodered/flows",
        "/nodered/settings",
        "/api/nothing",
    ]
    answers = {path: demo.get(path).text for path in paths}
    answers["test"] = demo.change("POST", "/api/devices/test", {"deviceId": device}).text
    answers["bad add"] = demo.change(
        "POST",
        "/api/devices",
        {"device_id": "bad id", "api_key": secrets.get(f"{device} api_key", "x")},
    ).text
    leaks = [(name, path) for path, text in answers.items() for name, secret in secrets.items() if secret in text]
    assert not leaks


def test_no_secret_in_logs_flows_and_status(demo):
    """The logs of all services, the stored flows, what `status` prints, and the stack's rejects and audit log."""
    secrets = secrets_of(demo)
    texts = {str(path): path.read_text(errors="replace") for path in demo.logs()}
    texts |= {str(path): path.read_text(errors="replace") for path in (ROOT / "nodered" / "flows").rglob("*.json")}
    texts |= {
        str(path): path.read_text(errors="replace")
        for path in (Path(demo.settings["ENMS_STATE_DIR"]) / "nodered").rglob("*.json")
        if "node_modules" not in path.parts
    }
    texts["status"] = demo.launch("status", "--json", check=False).stdout
    for table in ("audit_log", "ingest_rejects", "print_jobs", "settings"):
        texts[table] = json.dumps(demo.rows(f"SELECT to_jsonb(t) AS row FROM {table} t"), default=str)
    assert len(texts) > 8
    leaks = [(name, where) for where, text in texts.items() for name, secret in secrets.items() if secret in text]
    assert not leaks


@pytest.fixture(scope="module")
def readers(demo, tmp_path_factory):
    """{page: its Reader}."""
    return {
        name: Reader(pages()[name], demo, tmp_path_factory.mktemp("reader"))
        for name in {block.page for block in BLOCKS}
    }


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, id=f"{block.page}:{block.line}", marks=[pytest.mark.long] if special(block) in LONG else [])
        for block in BLOCKS
    ],
)
def test_what_the_pages_show_is_what_is_printed(block, readers):
    difference = compare(block, readers[block.page])
    assert not difference, f"{block.page}, line {block.line}: {difference}"
