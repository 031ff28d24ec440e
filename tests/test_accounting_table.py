"""Every fault that a workshop knows, one by one and together, against the simulator's ground truth.

All printers print at the same time on one real stack: broker, Node-RED with the repository's flows, PostgreSQL. Two
waves: in the first each fault has a printer and a plug of its own; in the second several faults hit the same printer
while Node-RED is killed in the middle of all prints.

Polls are 2 s apart and plugs report every second, so that minutes are enough. The gaps of these waves are real silences
of more than a minute, which is where a gap begins; gaps of ten minutes are in test_accounting_import.py, where history
is imported.

What must be true of each print is computed beforehand, from the rated power of the printer alone:

- polling and reporting leave `POLL_S + METER_S` seconds at the edges whose energy may be counted or not;
- a fault may hide more: `unknown_s` seconds (between the last report before a reset and the reset, for instance);
- the meter shows its counter in steps.
"""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.enms import LEVELS
from tests.support.http import call
from tests.support.simulated_fleet import SimulatedFleet, Timeline, simulated_fleet
from tests.support.waiting import wait_for

POLL_S = 2
METER_S = 1
SECOND_WAVE = 80
NODERED_KILLED = 98
STEP_WH = {"shelly_gen2": 0.001, "shelly_gen1": 1 / 60, "tasmota": 1.0}
# A Gen2 plug that restarts has stored fewer digits of its counter than it showed.
ROUNDED_WH = 0.1
CHANNEL = {"shelly_gen2": "switch:0", "shelly_gen1": "relay:0", "tasmota": ""}
DONE = ("done",)


@dataclass(frozen=True)
class Case:
    """A printer with its plug, what happens to them, and what the account must show.

    `script`: (second after the start of the print, fault of the simulator or `start`, 'plug' or 'printer', its fields).
    `ends`: the status of each print, in order. `unknown_s` (seconds of full power) and `unknown_wh`: what nobody can
    know because of the fault. `quality`: lowest counts in the first print's energy_quality. `whole`: the counter can be
    compared from the first to the last reading, because it was not reset. `hidden`: a gap hides when the energy flowed,
    so the account must show it.
    """

    name: str
    protocol: str = "prusalink"
    profile: str = "mk4"
    plug: str = "shelly_gen2"
    seconds: float = 55
    script: tuple[tuple[float, str, str, dict[str, Any]], ...] = ()
    ends: tuple[str, ...] = DONE
    unknown_s: float = 0
    unknown_wh: float = 0
    quality: dict[str, int] = field(default_factory=dict)
    whole: bool = True
    hidden: bool = False
    paused_s: float = 0
    wave: int = 1
    printer: dict[str, Any] = field(default_factory=dict)
    meter: dict[str, Any] = field(default_factory=dict)

    @property
    def device_id(self) -> str:
        return f"table-{self.name}"

    @property
    def plug_id(self) -> str:
        return f"plug-{self.name}"

    @property
    def meter_id(self) -> str:
        return f"{self.plug_id}/{CHANNEL[self.plug]}".rstrip("/")


CASES = [
    # nothing happens: each protocol, each kind of plug
    Case("plain", printer={"digest_qop": "auth"}),
    Case("plain-legacy", profile="mini", plug="tasmota", printer={"legacy": True}),
    Case("plain-octoprint", "octoprint", "ender3", "shelly_gen1"),
    Case("plain-moonraker", "moonraker", "voron24", "tasmota"),
    Case("plain-simplyprint", "simplyprint", "k1max"),
    # the meter
    Case("reset", script=((25, "reset_counter", "plug", {}),), unknown_s=METER_S, quality={"resets": 1}, whole=False),
    Case(
        "reboot-loss",
        "octoprint",
        "ender3",
        "shelly_gen1",
        script=((25, "reboot", "plug", {"seconds": 3}),),
        unknown_s=METER_S + 3 + 1,
        quality={"resets": 1},
        whole=False,
    ),
    Case("reboot-gen2", script=((25, "reboot", "plug", {"seconds": 3}),), unknown_wh=ROUNDED_WH),
    Case("step-back", script=((25, "step_back", "plug", {"wh": 0.5}),), unknown_wh=0.5, whole=False),
    Case("jump", script=((25, "jump", "plug", {"wh": 9e6}),), quality={"jumps": 1}),
    Case(
        "jump-tasmota",
        "moonraker",
        "voron24",
        "tasmota",
        script=((25, "jump", "plug", {"wh": 9e6}),),
        quality={"jumps": 1},
    ),
    Case(
        "rebase",
        script=((25, "jump", "plug", {"wh": 5e6, "permanent": True}),),
        unknown_s=METER_S,
        quality={"jumps": 1},
        whole=False,
    ),
    Case("gap-within", seconds=85, script=((10, "silent", "plug", {"seconds": 64}),), quality={"gaps": 1}),
    Case(
        "gap-across-end",
        seconds=45,
        script=((22, "silent", "plug", {"seconds": 64}),),
        quality={"gaps": 1},
        hidden=True,
    ),
    Case("late", script=((15, "late_messages", "plug", {"seconds": 15}),), meter={"status_ntf": False}),
    Case(
        "late-no-clock", "octoprint", "ender3", "shelly_gen1", script=((15, "late_messages", "plug", {"seconds": 15}),)
    ),
    Case("repeated", script=((10, "repeat_messages", "plug", {"seconds": 30, "times": 3}),)),
    Case("out-of-order", script=((15, "out_of_order", "plug", {"seconds": 8}),), meter={"status_ntf": False}),
    Case("garbage", script=((15, "garbage_messages", "plug", {"messages": 5}),)),
    Case(
        "clock-apart",
        "moonraker",
        "voron24",
        script=((-4, "clock_offset", "plug", {"offset_s": 120}), (-4, "clock_offset", "printer", {"offset_s": -120})),
        meter={"status_ntf": False},
    ),
    Case("clock-1970", script=((-4, "clock_1970", "plug", {}),), meter={"status_ntf": False}),
    # the print
    Case("pause", script=((20, "pause", "printer", {"seconds": 14}),), paused_s=14),
    Case("cancel", script=((35, "cancel", "printer", {}),), ends=("cancelled",)),
    Case(
        "cancel-octoprint",
        "octoprint",
        "ender3",
        "shelly_gen1",
        script=((35, "cancel", "printer", {}),),
        ends=("cancelled",),
    ),
    Case("cancel-simplyprint", "simplyprint", "k1max", script=((35, "cancel", "printer", {}),), ends=("cancelled",)),
    Case("error", script=((35, "error", "printer", {}),), ends=("error",)),
    Case("runout", script=((20, "runout", "printer", {"seconds": 14}),), paused_s=14),
    Case(
        "power-cut",
        script=((30, "power_cut", "printer", {"seconds": 12}),),
        ends=("unknown",),
        unknown_s=METER_S,
        unknown_wh=ROUNDED_WH,
    ),
    Case(
        "power-cut-resumed",
        script=((20, "power_cut", "printer", {"seconds": 10, "resume": True}),),
        unknown_s=METER_S,
        unknown_wh=ROUNDED_WH,
    ),
    Case("vanish", script=((15, "vanish", "printer", {"seconds": 25}),)),
    Case(
        "vanish-past-end",
        seconds=50,
        script=((25, "vanish", "printer", {"seconds": 45}),),
        ends=("unknown",),
        unknown_s=POLL_S,
    ),
    Case("hung", script=((15, "hung", "printer", {"seconds": 15}),)),
    Case("unauthorized", script=((15, "unauthorized", "printer", {"seconds": 10}),), printer={"finished_hold_s": 200}),
    Case(
        "next-job",
        seconds=30,
        script=((29.2, "next_job", "printer", {"filename": "next.gcode", "duration_s": 30}),),
        ends=("done", "done"),
    ),
    Case(
        "next-job-midway",
        seconds=60,
        script=((30, "next_job", "printer", {"filename": "next.gcode", "duration_s": 25}),),
        ends=("unknown", "done"),
    ),
    Case(
        "id-reused",
        seconds=30,
        script=(
            (31, "reuse_job_id", "printer", {}),
            (42, "start", "printer", {"filename": "again.gcode", "duration_s": 30}),
        ),
        ends=("done", "done"),
    ),
    Case(
        "same-file-twice",
        "octoprint",
        "ender3",
        seconds=30,
        script=((42, "start", "printer", {"filename": "same-file-twice.gcode", "duration_s": 30}),),
        ends=("done", "done"),
    ),
    # together, while Node-RED is killed 16 to 18 s after the start and away for as long as the machine needs to start
    # it. What begins or ends a pause or a print does so outside of that time: in it nobody polls, and the edge would be
    # as wide as the outage.
    Case("nodered-killed", wave=2, seconds=55),
    Case("nodered-killed-no-ids", "octoprint", "ender3", "tasmota", wave=2, seconds=55),
    Case(
        "together-prusalink",
        wave=2,
        seconds=55,
        unknown_s=METER_S,
        quality={"resets": 1},
        whole=False,
        paused_s=6,
        script=(
            (3, "pause", "printer", {"seconds": 6}),
            (8, "reset_counter", "plug", {}),
            (10, "repeat_messages", "plug", {"seconds": 30}),
            (30, "out_of_order", "plug", {"seconds": 6}),
        ),
    ),
    Case(
        "together-octoprint",
        "octoprint",
        "ender3",
        "shelly_gen1",
        wave=2,
        seconds=60,
        unknown_s=METER_S + 3 + 1,
        quality={"resets": 1},
        whole=False,
        paused_s=6,
        script=(
            (6, "reboot", "plug", {"seconds": 3}),
            (12, "vanish", "printer", {"seconds": 14}),
            (45, "runout", "printer", {"seconds": 6}),
        ),
    ),
    Case(
        "together-moonraker",
        "moonraker",
        "voron24",
        wave=2,
        seconds=70,
        ends=("cancelled",),
        quality={"jumps": 1},
        script=(
            (-4, "clock_offset", "plug", {"offset_s": 120}),
            (8, "jump", "plug", {}),
            (13, "late_messages", "plug", {"seconds": 12}),
            (28, "hung", "printer", {"seconds": 8}),
            (50, "cancel", "printer", {}),
        ),
        meter={"status_ntf": False},
    ),
    Case(
        "together-simplyprint",
        "simplyprint",
        "k1max",
        wave=2,
        seconds=80,
        ends=("done", "done"),
        whole=False,
        unknown_wh=0.4,
        script=(
            (-4, "clock_1970", "plug", {}),
            (6, "unauthorized", "printer", {"seconds": 5}),
            (10, "step_back", "plug", {"wh": 0.4}),
            (14, "garbage_messages", "plug", {"messages": 3}),
            (45, "next_job", "printer", {"filename": "next.gcode", "duration_s": 20}),
        ),
        meter={"status_ntf": False},
    ),
]
BY_NAME = {case.name: case for case in CASES}

# Its plug is registered with a bench device first and moved to the printer in mid-print.
MOVED = Case("moved-meter", seconds=60)
BENCH = "table-bench"
MOVED_AT = 30


def declaration() -> dict[str, Any]:
    """The fleet: a printer and a plug for every case."""
    cases = [*CASES, MOVED]
    return {
        "seed": 7,
        "step_s": 0.5,
        "printers": [
            {
                "device_id": c.device_id,
                "profile": c.profile,
                "protocol": c.protocol,
                "interval_s": POLL_S,
                "finished_hold_s": 8.0,
                **c.printer,
            }
            for c in cases
        ],
        "plugs": [
            {
                "id": c.plug_id,
                "kind": c.plug,
                "channels": {CHANNEL[c.plug]: c.device_id},
                "interval_s": METER_S,
                "start_wh": 52_000.5,
                **c.meter,
            }
            for c in cases
        ],
    }


def plan(fleet: SimulatedFleet, moved: list[float]) -> Timeline:
    """Both waves as a timeline.

    The prints of a wave begin spread over a poll, so that every phase of polling occurs.
    """
    timeline = Timeline()
    begins = {1: 5.0, 2: SECOND_WAVE}
    for i, case in enumerate([*CASES, MOVED]):
        begin = begins[case.wave] + i * POLL_S / (len(CASES) + 1)
        timeline.at(
            begin, f"{case.name} starts", lambda c=case: fleet.start_job(c.device_id, f"{c.name}.gcode", c.seconds)
        )
        for second, kind, target, body in case.script:

            def act(c=case, kind=kind, body=body, target=case.meter_id if target == "plug" else case.device_id):
                if kind == "start":
                    fleet.start_job(c.device_id, body["filename"], body["duration_s"])
                else:
                    fleet.fault(kind, target, **body)

            timeline.at(begin + second, f"{case.name}: {kind}", act)

    def move():
        answer = fleet.enms.change(
            "POST", "/api/meters/assign", {"meterId": MOVED.meter_id, "deviceId": MOVED.device_id, "role": "main"}
        )
        moved.append(time.time())
        assert answer.status == 200, answer.text

    timeline.at(begins[1] + MOVED_AT, "the meter is moved", move)
    timeline.at(NODERED_KILLED, "Node-RED is killed", lambda: fleet.enms.kill("nodered"))
    timeline.at(begins[2] + 71, "the end", lambda: None)
    return timeline


@dataclass
class Outcome:
    """What the simulator knows and what the stack found."""

    fleet: SimulatedFleet
    truth: dict[str, list[dict[str, Any]]]
    found: dict[str, list[dict[str, Any]]]
    moved_at: float


@pytest.fixture(scope="module")
def outcome(enms, tmp_path_factory):
    """Runs both waves once (about 150 s); the tests below look at what came out."""
    moved: list[float] = []
    with simulated_fleet(enms, tmp_path_factory.mktemp("table"), declaration()) as fleet:
        fleet.devices[MOVED.device_id]["shelly_id"] = None
        enms.add_device(
            {
                "device_id": BENCH,
                "device_type": "other",
                "friendly_name": "Bench",
                "source": "none",
                "shelly_id": MOVED.plug_id,
            }
        )
        fleet.register()
        fleet.wait_seen(without=(MOVED.device_id,))
        plan(fleet, moved).run()
        wait_for(
            "final energy of every print",
            lambda: enms.value(
                "SELECT count(*) = count(*) FILTER (WHERE energy_final) FROM print_jobs WHERE device_id LIKE 'table-%%'"
            ),
            100,
            every=1,
        )
        truth: dict[str, list[dict[str, Any]]] = {}
        for job in fleet.jobs():
            truth.setdefault(job["device_id"], []).append(job)
        found: dict[str, list[dict[str, Any]]] = {}
        for job in enms.rows(
            """SELECT *, extract(epoch FROM start_time)::float8 AS start, extract(epoch FROM end_time)::float8 AS "end"
               FROM print_jobs WHERE device_id LIKE 'table-%%' ORDER BY start_time"""
        ):
            found.setdefault(job["device_id"], []).append(job)
        yield Outcome(fleet, truth, found, moved[0])
    enms.change("DELETE", f"/api/devices/{BENCH}")


def allowed_wh(case: Case, fleet: SimulatedFleet) -> float:
    """How far the energy of a print may be off, in Wh: the edges, what the fault hides, and a step of the counter."""
    watts = fleet.devices[case.device_id]["rated_power_w"]
    return watts * (POLL_S + METER_S + case.unknown_s) / 3600 + STEP_WH[case.plug] + case.unknown_wh


@pytest.mark.parametrize("name", BY_NAME)
def test_jobs_found_are_the_jobs_printed(outcome, name):
    """None missing, none doubled, each with its file, its status and its times."""
    case = BY_NAME[name]
    printed, found = outcome.truth[case.device_id], outcome.found.get(case.device_id, [])
    assert [job["filename"] for job in found] == [job["filename"] for job in printed]
    assert tuple(job["status"] for job in found) == case.ends
    for job, true in zip(found, printed):
        assert job["start"] == pytest.approx(true["start"], abs=POLL_S + 1.5)
        if job["status"] != "unknown":
            assert job["end"] == pytest.approx(true["end"], abs=POLL_S + 1.5)
    assert found[0]["paused_seconds"] == pytest.approx(case.paused_s, abs=2 * POLL_S + 1)


@pytest.mark.parametrize("name", BY_NAME)
def test_job_energy_is_the_true_energy(outcome, figures, name):
    """Within the bound that was computed beforehand; cost and CO2 follow from the energy."""
    case = BY_NAME[name]
    allowed = allowed_wh(case, outcome.fleet)
    for i, (job, true) in enumerate(zip(outcome.found[case.device_id], outcome.truth[case.device_id], strict=True)):
        quality = job["energy_quality"]
        error = job["session_energy_wh"] - true["energy_wh"]
        figures(
            "print                  true Wh  found Wh    error  allowed  status     start    end  quality",
            f"{(name if i == 0 else ''):22} {true['energy_wh']:7.3f} {job['session_energy_wh']:9.3f} {error:+8.3f} "
            f"{allowed:8.3f}  {job['status']:9} {job['start'] - true['start']:+6.2f} {job['end'] - true['end']:+6.2f}"
            f"  {json.dumps(quality)}",
        )
        if i == 0:
            for key, least in case.quality.items():
                assert quality[key] >= least, f"{key} in {quality}"
        if case.hidden:
            assert quality["coverage_pct"] < 100
            continue
        assert abs(error) <= allowed
        assert job["cost"] == pytest.approx(job["session_energy_wh"] / 1000 * 0.30)
        assert job["co2_g"] == pytest.approx(job["session_energy_wh"] / 1000 * 380)


def test_the_bounds_are_what_was_asked_for(outcome):
    """Without a fault that hides energy, and with a counter finer than 1 Wh, the bound is below 1 Wh."""
    for case in CASES:
        if not case.unknown_s and not case.unknown_wh and STEP_WH[case.plug] < 1:
            assert allowed_wh(case, outcome.fleet) < 1


@pytest.mark.parametrize("name", BY_NAME)
def test_deltas_sum_to_the_counter(outcome, enms, name):
    """Σ deltas = last − first counter where the counter was not reset; and always the true energy through the meter."""
    case = BY_NAME[name]
    meter = enms.rows(
        """SELECT extract(epoch FROM min(timestamp))::float8 AS first_at,
                  extract(epoch FROM max(timestamp))::float8 AS last_at,
                  sum(energy_delta_wh) AS deltas,
                  (array_agg(energy_total_wh ORDER BY timestamp))[1] AS first_wh,
                  (array_agg(energy_total_wh ORDER BY timestamp DESC))[1] AS last_wh
           FROM energy_data WHERE meter_id = %s AND energy_total_wh IS NOT NULL""",
        case.meter_id,
    )[0]
    if case.whole:
        assert meter["deltas"] == pytest.approx(meter["last_wh"] - meter["first_wh"], abs=1e-6)
    true = outcome.fleet.meter_wh(case.meter_id, meter["first_at"], meter["last_at"])
    watts = outcome.fleet.devices[case.device_id]["rated_power_w"]
    assert meter["deltas"] == pytest.approx(
        true, abs=watts * (METER_S + case.unknown_s) / 3600 + STEP_WH[case.plug] + case.unknown_wh
    )


@pytest.mark.parametrize("name", [*BY_NAME, MOVED.name])
def test_rollups_sum_to_the_deltas(enms, outcome, name):
    """At every level, by meter; the newest minute included."""
    case = BY_NAME.get(name, MOVED)
    # One statement: the plugs continue to report.
    [sums] = enms.rows(
        "SELECT (SELECT sum(energy_delta_wh) FROM energy_data WHERE meter_id = %s) AS deltas"
        + "".join(
            f', (SELECT sum(energy_wh) FROM energy_readings_{level} WHERE meter_id = %s) AS "{level}"'
            for level in LEVELS
        ),
        *[case.meter_id] * 5,
    )
    assert sums == {key: pytest.approx(sums["deltas"], abs=1e-6) for key in sums}


def test_a_moved_meter_leaves_the_past_where_it_was(outcome, enms):
    """The bench keeps what it drew until the move, the print gets what came after, and its coverage shows that."""
    # One statement and whole intervals: the plug continues to report.
    [meter] = enms.rows(
        """
        SELECT extract(epoch FROM t0)::float8 AS first_at, extract(epoch FROM t1)::float8 AS last_at, deltas,
               device_energy(%s, t0, t1) AS bench, device_energy(%s, t0, t1) AS printer
        FROM (SELECT min(timestamp) AS t0, max(timestamp) AS t1, sum(energy_delta_wh) AS deltas FROM energy_data
              WHERE meter_id = %s AND energy_total_wh IS NOT NULL) rows""",
        BENCH,
        MOVED.device_id,
        MOVED.meter_id,
    )
    [job] = outcome.found[MOVED.device_id]
    [true] = outcome.truth[MOVED.device_id]
    allowed = allowed_wh(MOVED, outcome.fleet)
    assert job["session_energy_wh"] == pytest.approx(
        outcome.fleet.meter_wh(MOVED.meter_id, outcome.moved_at, true["end"]), abs=allowed
    )
    assert job["energy_quality"]["coverage_pct"] < 60
    assert meter["bench"] == pytest.approx(
        outcome.fleet.meter_wh(MOVED.meter_id, meter["first_at"], outcome.moved_at), abs=allowed
    )
    assert meter["printer"] == pytest.approx(
        outcome.fleet.meter_wh(MOVED.meter_id, outcome.moved_at, meter["last_at"]), abs=allowed
    )
    assert meter["bench"] + meter["printer"] == pytest.approx(meter["deltas"], abs=1e-6)


@pytest.mark.parametrize("name", [*BY_NAME, MOVED.name])
def test_the_analysis_balances(outcome, enms, name):
    """Whatever happened: the phases sum to the time and to what the database counts.

    So do those of a range that begins in the middle of the print.
    """
    device = BY_NAME.get(name, MOVED).device_id
    jobs = outcome.found[device]
    for begin, end in ((jobs[0]["start"] - 10, jobs[-1]["end"] + 5), (jobs[0]["start"] + 17.123, jobs[-1]["end"] - 3)):
        start, finish = (datetime.fromtimestamp(at, UTC) for at in (begin, end))
        answer = call(
            "POST",
            enms.url + "/api/analyze",
            {"deviceId": device, "from": start.isoformat(), "to": finish.isoformat()},
            timeout=30,
        ).json()
        assert answer["success"], answer["error"]
        phases = answer["results"]["phase_analysis"].values()
        [counted] = enms.rows("SELECT device_energy(%s, %s, %s) AS wh", device, start, finish)
        assert sum(phase["duration_minutes"] for phase in phases) * 60 == pytest.approx(
            (finish - start).total_seconds(), abs=1e-3
        )
        assert 1000 * answer["results"]["summary"]["total_kwh"] == pytest.approx(counted["wh"], rel=1e-3)
        assert 1000 * sum(phase["energy_kwh"] for phase in phases) == pytest.approx(counted["wh"], rel=1e-3)


def test_every_print_is_in_the_summary(outcome, enms):
    """The newest prints of globalHistory carry the energy, the cost and the CO2 of the account."""
    history = {entry["jobId"]: entry for entry in enms.summary()["globalHistory"]}
    ours = [job for jobs in outcome.found.values() for job in jobs if job["job_id"] in history]
    assert len(ours) == len(history) == 50 or len(ours) == sum(map(len, outcome.found.values()))
    for job in ours:
        entry = history[job["job_id"]]
        assert entry["kwh"] == pytest.approx(job["session_energy_wh"] / 1000, abs=5.1e-5)  # rounded to 0.1 Wh
        assert entry["status"].lower() == job["status"] and entry["filename"] == job["filename"]
