"""The written past: deterministic, balanced, and the live fleet continues from it."""

import csv
import json
from datetime import datetime

import pytest

from simulator.fleet import load
from simulator.history import UNTOLD, write
from simulator.world import World, build_printers

END = 1_795_000_000.0
DAYS = 1.5


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    return folder, write(load(), END, DAYS, folder)


def rows(path):
    with open(path, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def test_same_seed_and_end_give_the_same_bytes_and_another_seed_others(past, tmp_path):
    write(load(), END, DAYS, tmp_path / "again")
    other = load()
    other.seed += 1
    write(other, END, DAYS, tmp_path / "other")
    for name in ("readings.csv", "statuses.csv", "jobs.csv", "running.csv", "truth.json"):
        assert (past[0] / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert (past[0] / "jobs.csv").read_bytes() != (tmp_path / "other" / "jobs.csv").read_bytes()


def test_counters_grow_and_end_where_the_truth_says(past):
    folder, state = past
    truth = json.loads((folder / "truth.json").read_text())
    last, power = {}, {}
    for row in rows(folder / "readings.csv"):
        meter, counter = row["meter_id"], float(row["energy_total_wh"])
        assert counter >= last.get(meter, 0)
        last[meter] = counter
        power[meter] = power.get(meter, 0) + float(row["power_watts"]) * 30 / 3600
    assert set(last) == set(truth["meters"])
    for meter, true in truth["meters"].items():
        assert last[meter] == pytest.approx(true["last_wh"], abs=0.51)
        # The power in the file is the power that was counted.
        assert power[meter] == pytest.approx(true["energy_wh"], rel=0.01)
        plug, _, key = meter.partition("/")
        assert state["plugs"][plug]["counters"][key] == true["last_wh"]


def test_the_jobs_of_a_meter_took_less_than_it_counted(past):
    truth = json.loads((past[0] / "truth.json").read_text())
    for true in truth["meters"].values():
        jobs = [j for j in truth["jobs"] if j["device_id"] == true["device_id"]]
        assert 0 < sum(j["energy_wh"] for j in jobs) < true["energy_wh"]


def test_jobs_are_plausible_and_never_overlap(past):
    last = {}
    found = sorted(rows(past[0] / "jobs.csv"), key=lambda r: r["start_time"])
    assert len({r["device_id"] for r in found}) == 8 and len(found) > 30
    for row in found:
        start, end = (datetime.fromisoformat(row[k]) for k in ("start_time", "end_time"))
        assert end > start >= last.get(row["device_id"], start)
        last[row["device_id"]] = end
        assert row["status"] in ("done", "cancelled", "error") and float(row["filament_used_g"]) >= 0
    assert any(ord(c) > 127 for r in found for c in r["filename"]) and any(" " in r["filename"] for r in found)


def test_prints_that_still_run_have_their_start(past):
    folder, state = past
    running = {r["device_id"]: r for r in rows(folder / "running.csv")}
    open_jobs = {
        device: saved["job"]
        for device, saved in state["printers"].items()
        if saved["job"] and saved["job"]["ended"] is None
    }
    assert running and set(running) == set(open_jobs)
    ended = max(datetime.fromisoformat(r["end_time"]) for r in rows(folder / "jobs.csv") if r["device_id"] in running)
    for device, row in running.items():
        assert (row["end_time"], row["status"]) == ("", "printing")
        start = datetime.fromisoformat(row["start_time"]).timestamp()
        assert start == pytest.approx(open_jobs[device]["started"], abs=0.001)
        assert datetime.fromisoformat(row["last_seen"]).timestamp() == state["at"] >= ended.timestamp()


def test_statuses_agree_with_the_jobs(past):
    spans = [
        (r["device_id"], datetime.fromisoformat(r["start_time"]), datetime.fromisoformat(r["end_time"]))
        for r in rows(past[0] / "jobs.csv")
    ]
    checked = 0
    untold = {p.device_id: UNTOLD["prusalink legacy" if p.legacy else p.protocol] for p in load().printers}
    for i, row in enumerate(rows(past[0] / "statuses.csv")):
        assert not any(row[column] for column in untold[row["device_id"]])
        if row["state"] == "printing":
            assert 0 <= float(row["progress_percent"]) <= 100 and row["filename"]
            assert "z_height_mm" in untold[row["device_id"]] or float(row["z_height_mm"]) > 0
        elif row["state"] == "idle":
            assert row["filename"] == "" and row["progress_percent"] == ""
            at = datetime.fromisoformat(row["timestamp"])
            if i % 50 == 0:
                checked += 1
                assert not any(device == row["device_id"] and start < at < end for device, start, end in spans)
    assert checked > 20


def test_live_continues_from_the_last_counter_with_a_calibration_soon(past, tmp_path, monkeypatch):
    folder = tmp_path / "simulator"
    folder.mkdir()
    (folder / "state.json").write_text(json.dumps(past[1]))
    monkeypatch.setattr("simulator.world.time.time", lambda: END + 45)
    world = World(load(), folder)
    counters = {c.meter_id: c for c in world.channels.values()}
    for plug, saved in past[1]["plugs"].items():
        for channel in world.plugs[plug].channels:
            assert 0 < channel.counter_wh - saved["counters"][channel.key] < 800 * 75 / 3600
    assert counters and any(p.state == "printing" for p in world.printers.values())
    world.advance(END + 45 + 180)
    seconds = [
        job["end"] - job["start"]
        for printer in world.printers.values()
        for job in printer.history
        if job["end"] and job["start"] > END + 45 and job["end"] < END + 45 + 180
    ]
    assert seconds and all(80 < each < 110 for each in seconds)


def test_after_a_very_long_rest_counters_and_job_numbers_continue(past, tmp_path, monkeypatch):
    folder = tmp_path / "simulator"
    folder.mkdir()
    (folder / "state.json").write_text(json.dumps(past[1]))
    monkeypatch.setattr("simulator.world.time.time", lambda: END + 300 * 86400)
    world = World(load(), folder)
    for name, printer in world.printers.items():
        assert printer.state == "idle" and printer.last_number == past[1]["printers"][name]["last_number"] > 0
    assert {m: c.counter_wh for m, c in world.channels.items()} == {
        c.meter_id: past[1]["plugs"][p]["counters"][c.key] for p, plug in world.plugs.items() for c in plug.channels
    }


def test_nothing_runs_on_calibrating_printers_at_the_end_for_any_seed():
    for seed in range(5):
        fleet = load()
        fleet.seed = seed
        printers = build_printers(fleet, END - 86400, {}, auto_jobs=True)
        for printer in printers.values():
            if printer.schedule and printer.schedule.calibrates:
                printer.next_start = END - 86000
                printer.schedule.free_at = END
                printer.advance(END, 30)
                assert printer.state == "idle"
