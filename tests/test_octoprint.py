"""A real OctoPrint with its Virtual Printer: what the flows see of it are the prints that it made."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.octoprint_server import OctoPrintServer, dwelling_gcode
from tests.support.waiting import wait_for

pytestmark = pytest.mark.long
DEVICE = "RealOctoPrint-1"
POLL_S = 2


@pytest.fixture(scope="module")
def octoprint(enms, tmp_path_factory):
    """OctoPrint, registered as an operator would, polled every 2 s."""
    server = OctoPrintServer(Path(enms.settings["ENMS_ENV_DIR"]), tmp_path_factory.mktemp("octoprint"))
    try:
        server.start()
        device = {
            "device_id": DEVICE,
            "friendly_name": "A real OctoPrint",
            "device_type": "printer",
            "source": "octoprint",
            "api_ip": server.address,
            "api_key": server.api_key,
            "data_interval_seconds": POLL_S,
        }
        answer = enms.change("POST", "/api/devices/test", device)
        assert answer.status == 200 and server.api_key not in answer.text, answer.text
        enms.add_device(device)
        wait_for("OctoPrint to be idle", lambda: state(enms) in ("idle", "ready"), 20)
        server.upload("short.gcode", dwelling_gcode(12))
        server.upload("long.gcode", dwelling_gcode(60))
        yield server
    finally:
        server.stop()
        enms.change("DELETE", f"/api/devices/{DEVICE}")


def state(enms) -> str | None:
    """What the stack knows of its state."""
    return enms.value("SELECT state FROM device_latest WHERE device_id = %s", DEVICE)


def jobs(enms) -> list[dict[str, Any]]:
    """Its prints, with their times in unix seconds."""
    return enms.rows(
        """SELECT *, extract(epoch FROM start_time)::float8 AS start, extract(epoch FROM end_time)::float8 AS "end"
           FROM print_jobs WHERE device_id = %s ORDER BY start_time""",
        DEVICE,
    )


def wait_closed(enms, count: int) -> dict[str, Any]:
    """The newest of `count` jobs once it is closed."""
    wait_for(f"job {count} to be closed", lambda: len(jobs(enms)) == count and jobs(enms)[-1]["end"], 30)
    return jobs(enms)[-1]


def test_a_print_is_one_job_and_done(octoprint, enms):
    """Start, end and file as OctoPrint had them; no plug, so the energy is unknown and not 0."""
    octoprint.print("short.gcode")
    started = time.time()
    wait_for("the print to be seen", lambda: state(enms) == "printing", 15)
    octoprint.wait_until_done(40)
    ended = time.time()
    job = wait_closed(enms, 1)
    assert (job["filename"], job["status"]) == ("short.gcode", "done")
    assert job["start"] == pytest.approx(started, abs=POLL_S + 2)
    assert job["end"] == pytest.approx(ended, abs=POLL_S + 2)
    assert job["session_energy_wh"] is None


def test_the_same_file_again_is_another_job(octoprint, enms):
    """OctoPrint has no job ids."""
    octoprint.print("short.gcode")
    octoprint.wait_until_done(40)
    job = wait_closed(enms, 2)
    assert (job["filename"], job["status"]) == ("short.gcode", "done")


def test_pause_and_resume_keep_one_job(octoprint, enms):
    """The job stays open, its paused time is counted, and it ends as done."""
    octoprint.print("short.gcode")
    wait_for("the print to be seen", lambda: state(enms) == "printing", 15)
    octoprint.pause()
    wait_for("the pause to be seen", lambda: state(enms) == "paused", 15)
    time.sleep(6)
    octoprint.resume()
    octoprint.wait_until_done(60)
    job = wait_closed(enms, 3)
    assert (job["filename"], job["status"]) == ("short.gcode", "done")
    assert 4 < job["paused_seconds"] < 14


def test_cancel_is_one_cancelled_job(octoprint, enms):
    """It keeps the progress that it had."""
    octoprint.print("long.gcode")
    wait_for("the print to be seen", lambda: state(enms) == "printing", 15)
    time.sleep(2 * POLL_S)
    octoprint.cancel()
    job = wait_closed(enms, 4)
    assert (job["filename"], job["status"]) == ("long.gcode", "cancelled")
    assert 0 < job["progress_percent"] < 50


def test_cancel_while_paused_is_cancelled(octoprint, enms):
    """No fifth and sixth job."""
    octoprint.print("long.gcode")
    wait_for("the print to be seen", lambda: state(enms) == "printing", 15)
    octoprint.pause()
    wait_for("the pause to be seen", lambda: state(enms) == "paused", 15)
    octoprint.cancel()
    assert wait_closed(enms, 5)["status"] == "cancelled"
    time.sleep(2 * POLL_S)
    assert len(jobs(enms)) == 5


def test_a_restarted_octoprint_is_back_without_a_job(octoprint, enms):
    """Killed in mid-print, it returns idle: one job, and nobody knows how it ended."""
    octoprint.print("long.gcode")
    wait_for("the print to be seen", lambda: state(enms) == "printing", 15)
    time.sleep(POLL_S)
    octoprint.kill()
    octoprint.start()
    job = wait_closed(enms, 6)
    assert (job["filename"], job["status"]) == ("long.gcode", "unknown")
