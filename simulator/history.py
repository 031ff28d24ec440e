"""Days of plausible past for the demo fleet, by the same physics as live:

    python -m simulator.history --days 7 --out DIR

Writes readings.csv, statuses.csv, jobs.csv, running.csv (import format) and truth.json, and leaves the fleet's state so
that the live fleet continues from the last counter. The same seed, fleet and end give the same bytes.
"""

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from .fleet import DEMO, Fleet, FleetError, load
from .meters import Channel, Plug
from .printer import JobTruth, Printer
from .world import FleetState, build_plugs, build_printers, fleet_state, write_json

STEP_S = 30
STATUS_EVERY_S = 60

READING_COLUMNS = ("meter_id", "timestamp", "power_watts", "energy_total_wh", "voltage")
STATUS_COLUMNS = (
    "device_id",
    "timestamp",
    "state",
    "state_text",
    "is_operational",
    "is_printing",
    "is_paused",
    "is_error",
    "is_busy",
    "nozzle_temp_actual",
    "nozzle_temp_target",
    "bed_temp_actual",
    "bed_temp_target",
    "z_height_mm",
    "speed_multiplier_percent",
    "fan_rpm",
    "material",
    "filename",
    "source_job_id",
    "progress_percent",
    "time_left_seconds",
)
# What a protocol does not report of a printer: its past must not know more than its present, or a model learns from
# what it never sees again.
UNTOLD = {
    "prusalink": {"material"},
    "prusalink legacy": {"fan_rpm"},
    "moonraker": {"material"},
    "octoprint": {"z_height_mm", "speed_multiplier_percent", "fan_rpm", "material"},
    "simplyprint": {"z_height_mm", "speed_multiplier_percent", "fan_rpm"},
}
JOB_COLUMNS = (
    "device_id",
    "filename",
    "start_time",
    "end_time",
    "status",
    "status_reason",
    "source_job_id",
    "material",
    "filament_used_g",
    "filament_used_mm",
    "paused_seconds",
    "nozzle_diameter",
    "filament_diameter",
    "last_seen",
)


def iso(at: float) -> str:
    """Unix seconds as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def counter_text(kind: str, wh: float) -> str:
    """A counter with the digits that this kind of plug reports."""
    if kind == "tasmota":
        return f"{round(wh / 1000, 3) * 1000:.0f}"
    return f"{int(wh * 60) / 60:.4f}" if kind == "shelly_gen1" else f"{wh:.3f}"


def state_of(printer: Printer) -> str:
    """The printer's state in the words of ENMS."""
    if printer.state == "preheat" or (printer.state == "printing" and not printer.moving_job):
        return "heating"
    if printer.state == "off":
        return "offline"
    over = printer.job.status if printer.job and printer.state in ("idle", "finished", "cancelled") else None
    if over is None:
        return printer.state
    # Some protocols continue to report how the last print ended, some say nothing about it.
    if printer.spec.protocol == "moonraker" or (printer.spec.protocol == "octoprint" and over == "done"):
        return "finished" if over == "done" else over
    return printer.state if printer.spec.protocol == "prusalink" and not printer.spec.legacy else "idle"


def status_row(printer: Printer, stamp: str) -> list[object]:
    """One row of statuses.csv; empty where the value does not apply."""
    m, job, state = printer.machine, printer.active_job, state_of(printer)
    fan = printer.moving_job.fan if printer.moving_job else 0
    untold = UNTOLD["prusalink legacy" if printer.spec.legacy else printer.spec.protocol]
    row = [
        printer.spec.device_id,
        stamp,
        state,
        state.upper(),
        state not in ("error", "offline"),
        printer.state == "printing",
        state in ("paused", "attention"),
        state == "error",
        state == "heating",
        f"{m.nozzle:.1f}",
        f"{m.nozzle_target:.0f}",
        f"{m.bed:.1f}",
        f"{m.bed_target:.0f}",
        f"{job.z:.2f}" if job else "",
        f"{printer.speed:.0f}",
        f"{fan * 5900:.0f}",
        printer.loaded_material,
        job.plan.filename if job else "",
        printer.source_id(job.number) or "" if job else "",
        f"{job.progress * 100:.2f}" if job else "",
        f"{job.left:.0f}" if job else "",
    ]
    return ["" if column in untold else value for column, value in zip(STATUS_COLUMNS, row, strict=True)]


def job_row(job: JobTruth, seen: float) -> list[object]:
    """One row of jobs.csv or running.csv from a ground-truth job that was last seen at `seen`."""
    end, status = (iso(job["end"]), job["status"]) if job["end"] else ("", "printing")
    return [
        job["device_id"],
        job["filename"],
        iso(job["start"]),
        end,
        status,
        job["reason"] or "",
        job["source_job_id"] or "",
        job["material"],
        f"{job['filament_g']:.2f}",
        f"{job['filament_mm']:.1f}",
        f"{job['paused_seconds']:.1f}",
        "0.4",
        "1.75",
        iso(seen),
    ]


def write(fleet: Fleet, end: float, days: float, out: Path) -> FleetState:
    """Writes the files for `days` before unix time `end`; returns the state from which the live fleet continues."""
    end = end // STEP_S * STEP_S
    start = end - round(days * 86400 / STEP_S) * STEP_S
    printers = build_printers(fleet, start, {}, auto_jobs=True)
    plugs = build_plugs(fleet, None, start, {}, printers, "UTC")
    for i, printer in enumerate(printers.values()):
        printer.next_start = start + 600 * (i + 1)
        if printer.schedule and printer.schedule.calibrates:
            # These print their calibration piece right after the start of the live fleet.
            printer.schedule.free_at = end
    channels = [channel for plug in plugs.values() for channel in plug.channels]
    first = {channel.meter_id: channel.counter_wh for channel in channels}
    out.mkdir(parents=True, exist_ok=True)
    ended = _write_telemetry(out, start, end, printers, plugs)
    running = [job for printer in printers.values() for job in printer.jobs()]  # those that ended were taken out
    _write_jobs(out / "jobs.csv", ended, end)
    _write_jobs(out / "running.csv", running, end)
    _write_truth(out / "truth.json", start, end, ended, channels, first)
    return fleet_state(end, printers, plugs)


def _write_telemetry(
    out: Path, start: float, end: float, printers: Mapping[str, Printer], plugs: Mapping[str, Plug]
) -> list[JobTruth]:
    """Moves the fleet from `start` to `end` and writes its readings and statuses; returns the jobs that ended."""
    meters = [(plug.spec.kind, channel) for plug in plugs.values() for channel in plug.channels]
    jobs: list[JobTruth] = []
    last_state: dict[Printer, str] = {}
    with (
        open(out / "readings.csv", "w", newline="", encoding="utf-8") as f,
        open(out / "statuses.csv", "w", newline="", encoding="utf-8") as g,
    ):
        readings, statuses = csv.writer(f, lineterminator="\n"), csv.writer(g, lineterminator="\n")
        readings.writerow(READING_COLUMNS)
        statuses.writerow(STATUS_COLUMNS)
        for step in range(1, round((end - start) / STEP_S) + 1):
            at = start + step * STEP_S
            stamp = iso(at)
            for printer in printers.values():
                printer.advance(at, STEP_S)
                while printer.history:
                    jobs.append(printer.history.popleft())
                state = state_of(printer)
                if step * STEP_S % STATUS_EVERY_S == 0 or last_state.get(printer) != state:
                    last_state[printer] = state
                    statuses.writerow(status_row(printer, stamp))
            readings.writerows(
                [
                    (c.meter_id, stamp, f"{c.power:.1f}", counter_text(kind, c.counter_wh), f"{c.voltage(at):.1f}")
                    for kind, c in meters
                ]
            )
    return sorted(jobs, key=lambda job: (job["start"], job["device_id"]))


def _write_jobs(path: Path, jobs: Iterable[JobTruth], end: float) -> None:
    with open(path, "w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(JOB_COLUMNS)
        writer.writerows(job_row(job, job["end"] or end) for job in jobs)


def _write_truth(
    path: Path,
    start: float,
    end: float,
    jobs: Sequence[JobTruth],
    channels: Iterable[Channel],
    first: Mapping[str, float],
) -> None:
    """The exact account of the past; `first` is each meter's counter at `start`, Wh."""
    truth = {
        "from": iso(start),
        "to": iso(end),
        "jobs": jobs,
        "meters": {
            c.meter_id: {
                "device_id": c.load,
                "first_wh": first[c.meter_id],
                "last_wh": c.counter_wh,
                "energy_wh": c.counter_wh - first[c.meter_id],
            }
            for c in channels
        },
    }
    path.write_text(json.dumps(truth, indent=1, ensure_ascii=False), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns 1, after a sentence on standard error, when something can't be done."""
    parser = argparse.ArgumentParser(
        prog="python -m simulator.history", description="Write plausible past of the fleet for `./enms import`."
    )
    parser.add_argument("--days", type=float, default=7, help="how far back (7)")
    parser.add_argument("--end", type=datetime.fromisoformat, metavar="ISO", help="end of the history (now)")
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder for readings.csv, statuses.csv, jobs.csv, running.csv, truth.json",
    )
    parser.add_argument("--fleet", default=str(DEMO), metavar="FILE", help="the fleet's declaration")
    parser.add_argument("--seed", type=int, help="other dice than the fleet's own")
    parser.add_argument(
        "--state-dir",
        default=os.environ.get("ENMS_STATE_DIR"),
        metavar="DIR",
        help="parent of the simulator's state folder; live goes on from there "
        "(default: ENMS_STATE_DIR; none: no state is written)",
    )
    args = parser.parse_args(argv)
    if not 0 < args.days <= 400:
        parser.error("--days must be between 0 and 400")
    if args.end and args.end.tzinfo is None:
        parser.error("--end needs an offset, as in 2026-11-21T12:00:00+00:00")
    try:
        fleet = load(args.fleet)
        if args.seed is not None:
            fleet.seed = args.seed
        state = write(fleet, args.end.timestamp() if args.end else time.time(), args.days, args.out)
        if args.state_dir:
            folder = Path(args.state_dir) / "simulator"
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / "state.json", state)
    except FleetError as error:
        print(f"history: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"history: cannot write: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
