"""From the start of a print to its picture: the file is fetched from emulated printers of each kind, analysed, stored
and served.
"""

import re

import pytest

from tests.support.http import call
from tests.support.simulated_fleet import simulated_fleet
from tests.support.waiting import wait_for

KINDS = {
    "enrich-mk4": ("mk4", "prusalink", False),
    "enrich-mini": ("mini", "prusalink", True),
    "enrich-ender": ("ender3", "octoprint", False),
    "enrich-voron": ("voron24", "moonraker", False),
}
JOB = """
SELECT job_id::text, gcode_status, gcode_analysis_data, per_part_analysis, thumbnail_url, preview_url, material,
       filament_used_g
FROM print_jobs WHERE device_id = %s
"""


@pytest.fixture(scope="module")
def fleet(enms, tmp_path_factory):
    """A printer of each source that hands out files, all printing."""
    declaration = {
        "seed": 5,
        "step_s": 0.5,
        "printers": [
            {
                "device_id": name,
                "profile": profile,
                "protocol": protocol,
                "legacy": legacy,
                "interval_s": 2,
                "finished_hold_s": 4.0,
            }
            for name, (profile, protocol, legacy) in KINDS.items()
        ],
        "plugs": [],
    }
    with simulated_fleet(enms, tmp_path_factory.mktemp("enrichment"), declaration) as made:
        made.register()
        for name in KINDS:
            made.start_job(name, f"Gehäuse {name}.gcode", 600)
        yield made


def find_job(enms, name):
    """The print of a printer, None until its G-code was looked at."""
    rows = enms.rows(JOB, name)
    return rows[0] if rows and rows[0]["gcode_status"] else None


def wait_job(enms, name):
    """The print of a printer, once its G-code was looked at."""
    return wait_for(f"the G-code of {name}", lambda: find_job(enms, name), 30, every=0.5)


def wait_end(enms, name):
    """Waits until the print of a printer has ended."""
    wait_for("the end", lambda: enms.value("SELECT end_time FROM print_jobs WHERE device_id = %s", name), 20)


@pytest.mark.parametrize("name", KINDS)
def test_a_running_print_shows_its_picture_within_30_s(enms, fleet, name):
    """Status, details, grams and parts are stored; picture and preview come through the door."""
    job = wait_job(enms, name)
    assert job["gcode_status"] == "done"
    assert job["material"] and job["gcode_analysis_data"]["filament"]["total_g"] > 0 and job["per_part_analysis"]
    shown = next(p for p in enms.summary()["printers"] if p["deviceId"] == name)
    assert shown["job_details"]["layer_height_mm"] and shown["job_details"]["estimated_material_g"] > 0
    assert (shown["thumbnailUrl"], shown["gcodePreviewUrl"]) == (job["thumbnail_url"], job["preview_url"])
    for url, kind, begin in (
        (job["thumbnail_url"], "image/png", b"\x89PNG"),
        (job["preview_url"], "application/octet-stream", b"EGPV"),
    ):
        assert re.fullmatch(r"/files/gcode/[0-9a-f]{64}\.(png|bin)", url)
        answer = enms.get(url)
        assert answer.status == 200 and answer.headers["content-type"] == kind and answer.body.startswith(begin)
        assert "immutable" in answer.headers["cache-control"] and answer.headers["x-content-type-options"] == "nosniff"


def test_nothing_else_is_served(enms, fleet):
    """No list, no G-code, no way out of the folder."""
    digest = "0" * 64
    for path in (
        "/files/gcode/",
        "/files/",
        f"/files/gcode/{digest}",
        f"/files/gcode/{digest}.gcode",
        f"/files/gcode/{digest}.png",
        "/files/gcode/..%2ffiles%2f" + digest,
    ):
        assert enms.get(path).status == 404


def test_grams_of_a_cancelled_print_are_those_it_used(enms, fleet):
    """The source reports no grams: they follow from its progress and the file."""
    wait_job(enms, "enrich-mk4")
    fleet.command("enrich-mk4", "cancel")
    wait_end(enms, "enrich-mk4")
    job = wait_job(enms, "enrich-mk4")
    assert 0 <= job["filament_used_g"] < job["gcode_analysis_data"]["filament"]["total_g"]


def test_a_print_without_its_file_says_why_and_can_be_asked_for_again(enms, fleet):
    """The file is gone from the printer; a request needs the operator, and what is known stays."""
    job = wait_job(enms, "enrich-voron")
    fleet.command("enrich-voron", "cancel")
    wait_end(enms, "enrich-voron")
    enms.rows("UPDATE print_jobs SET download_ref = '/server/files/gcodes/gone.gcode' WHERE job_id = %s", job["job_id"])
    path = f"/api/jobs/{job['job_id']}/enrich"
    assert call("POST", enms.url + path, {}).status == 401
    assert enms.change("POST", "/api/jobs/nonsense/enrich", {}).status == 400
    assert enms.change("POST", "/api/jobs/00000000-0000-0000-0000-000000000000/enrich", {}).status == 404
    assert enms.change("POST", path, {}).status == 202
    wait_for(
        "the reason",
        lambda: wait_job(enms, "enrich-voron")["gcode_status"] == "The printer no longer has the file.",
        40,
        every=0.5,
    )
    assert wait_job(enms, "enrich-voron")["thumbnail_url"] == job["thumbnail_url"]
