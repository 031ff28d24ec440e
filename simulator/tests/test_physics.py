"""Heat and power: exact steps, realistic levels, energy that is conserved."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.fleet import FleetError, load, parse
from simulator.physics import PROFILES, Machine, heat
from simulator.printer import Printer, PrinterError
from simulator.truth import TruthLog

T0 = 1_790_000_000.0


def make_printer(profile="mk4", at=T0, step_s=1.0, **more):
    fleet = parse({"printers": [{"device_id": "P", "profile": profile, "protocol": "prusalink", **more}]})
    return Printer(fleet.printers[0], 1, at, step_s)


@settings(max_examples=200, deadline=None)
@given(
    temp=st.floats(15, 290),
    target=st.one_of(st.just(0.0), st.floats(30, 280)),
    dt=st.floats(0.1, 600),
    cuts=st.integers(2, 40),
)
def test_one_long_step_of_heat_equals_many_short_ones(temp, target, dt, cuts):
    args = (22.0, dt, 40.0, 13.0, 0.09)
    whole_temp, whole_j = heat(temp, target, *args)
    part_temp, part_j = temp, 0.0
    for _ in range(cuts):
        part_temp, joules = heat(part_temp, target, 22.0, dt / cuts, 40.0, 13.0, 0.09)
        part_j += joules
    assert part_temp == pytest.approx(whole_temp, abs=1e-6)
    assert part_j == pytest.approx(whole_j, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(temp=st.floats(20, 250), target=st.floats(0, 280), dt=st.floats(1, 300))
def test_heat_taken_is_heat_stored_plus_heat_lost(temp, target, dt):
    c, h, air, joules, lost, at = 600.0, 0.85, 22.0, 0.0, 0.0, temp
    for _ in range(500):
        before = at
        at, j = heat(at, target, air, dt / 500, 200.0, c, h)
        joules += j
        lost += h * ((before + at) / 2 - air) * dt / 500
    assert joules == pytest.approx(c * (at - temp) + lost, abs=0.02 * 200 * dt / 100 + 1)


def run(printer, seconds):
    powers = []
    for _ in range(int(seconds)):
        printer.advance(printer.at + 1)
        powers.append(printer.power)
    return powers


def test_power_levels_of_an_mk4_are_those_of_an_mk4():
    printer = make_printer()
    assert 8 < sum(run(printer, 60)) / 60 < 12
    printer.start(printer.custom_plan("a.gcode", 3000, "PLA"))
    assert 250 < sum(run(printer, 30)) / 30 < 400
    run(printer, 600)
    pla = sum(run(printer, 600)) / 600
    assert 80 < pla < 130
    assert printer.machine.nozzle == pytest.approx(215, abs=1) and printer.machine.bed == pytest.approx(60, abs=1)


@pytest.mark.parametrize("profile", PROFILES)
def test_hotter_materials_draw_more(profile):
    means = []
    for material in ("PLA", "PETG", "ASA"):
        printer = make_printer(profile)
        printer.start(printer.custom_plan("a.gcode", 7200, material))
        run(printer, 1500)
        means.append(sum(run(printer, 300)) / 300)
    assert means[0] * 1.08 < means[1] and means[1] * 1.08 < means[2], means


def test_power_agrees_with_temperature_while_it_heats_and_cools():
    printer = make_printer()
    job = printer.start(printer.custom_plan("a.gcode", 1000))
    while job.moving_from is None:
        before, bed = printer.power, printer.machine.bed
        printer.advance(printer.at + 1)
        if printer.machine.bed < printer.machine.bed_target - 2 and before:
            assert printer.power > 200 and printer.machine.bed > bed
    printer.advance(job.started + 1001)
    assert printer.state == "finished" and printer.power < 15
    hot = printer.machine.bed
    printer.advance(printer.at + 600)
    assert hot - 20 > printer.machine.bed > 22


class Integral:
    """A meter that sums energy by itself."""

    def __init__(self):
        self.steps_wh = []

    def add(self, until, dt, watts):
        self.steps_wh.append(dt * watts / 3600)


@settings(max_examples=20, deadline=None)
@given(duration=st.floats(5, 4000), steps=st.integers(1, 800), cuts=st.lists(st.floats(0.01, 0.99), max_size=4))
def test_energy_is_the_integral_of_power_and_jobs_keep_their_times(duration, steps, cuts):
    printer = make_printer(step_s=duration / steps)
    integral = Integral()
    printer.channels.append(integral)
    printer.advance(T0 + 10)
    job = printer.start(printer.custom_plan("a.gcode", duration))
    for share in sorted(cuts):
        printer.advance(job.started + share * duration)
    printer.advance(T0 + 20 + duration)
    assert printer.truth.wh == pytest.approx(sum(integral.steps_wh), rel=1e-9)
    (truth,) = printer.history
    start, end = truth["start"], truth["end"]
    assert end is not None
    assert (start, end) == pytest.approx((T0 + 10, T0 + 10 + duration), abs=1e-3)
    assert truth["energy_wh"] == pytest.approx(printer.truth.between(start, end), abs=1e-3)


def test_coarse_steps_of_history_give_the_energy_of_live_steps():
    energies = []
    for step in (1.0, 30.0):
        printer = make_printer(step_s=step)
        printer.start(printer.custom_plan("a.gcode", 7200))
        printer.advance(T0 + 8000)
        energies.append(printer.history[0]["energy_wh"])
    assert energies[0] == pytest.approx(energies[1], rel=0.01)


def test_a_pause_stops_the_jobs_clock_but_not_its_energy():
    printer = make_printer()
    job = printer.start(printer.custom_plan("a.gcode", 100))
    printer.advance(T0 + 80)
    printer.pause(50)
    assert printer.state == "paused"
    printer.advance(T0 + 120)
    assert job.elapsed == pytest.approx(80) and job.paused == pytest.approx(40)
    printer.advance(T0 + 200)
    assert job.status == "done" and job.ended == pytest.approx(T0 + 150) and job.paused == pytest.approx(50)


def test_power_cut_ends_the_print_or_lets_it_continue():
    lost, panic = make_printer(), make_printer()
    for printer, resume in ((lost, False), (panic, True)):
        printer.start(printer.custom_plan("a.gcode", 100))
        printer.advance(T0 + 30)
        printer.power_off(60, resume)
        before = printer.truth.wh
        printer.advance(T0 + 80)
        assert printer.state == "off" and printer.truth.wh == before and printer.power == 0
        printer.advance(T0 + 300)
    assert lost.state == "idle"
    assert lost.history[0]["status"] == "error" and lost.history[0]["end"] == pytest.approx(T0 + 30)
    assert panic.history[0]["status"] == "done" and panic.history[0]["end"] == pytest.approx(T0 + 160)


def test_job_ids_grow_and_can_be_reused():
    printer = make_printer()
    printer.start(printer.custom_plan("a.gcode", 10))
    printer.advance(T0 + 11)
    printer.reuse_id = True
    assert printer.start(printer.custom_plan("b.gcode", 10)).number == 1
    printer.advance(T0 + 22)
    assert printer.start(printer.custom_plan("c.gcode", 10)).number == 2


def test_commands_that_do_not_fit_the_state_are_refused():
    printer = make_printer()
    for command in (printer.pause, printer.resume, printer.cancel, printer.clear):
        with pytest.raises(PrinterError):
            command()
    with pytest.raises(PrinterError, match="material"):
        printer.custom_plan("a.gcode", 10, "WOOD")


def test_state_survives_a_restart_in_mid_print():
    one = make_printer()
    one.start(one.custom_plan("Gehäuse.gcode", 500))
    one.advance(T0 + 200)
    two = make_printer()
    two.restore(one.to_dict())
    for printer in (one, two):
        printer.advance(T0 + 600)
    uninterrupted, restored = one.history[0], two.history[0]
    assert restored["start"] == uninterrupted["start"] and restored["end"] == pytest.approx(uninterrupted["end"])
    assert restored["energy_wh"] == pytest.approx(uninterrupted["energy_wh"], rel=0.01)


def test_truth_between_is_exact_and_refuses_times_outside_its_window():
    log = TruthLog(100.0)
    log.add(101.0, 1.0)
    log.add(103.0, 4.0)
    assert log.between(100.5, 102.0) == pytest.approx(0.5 + 2.0)
    with pytest.raises(ValueError):
        log.between(99.0, 101.0)


def test_noise_is_seeded():
    a, b = (Machine(PROFILES["mk4"], random.Random(5), T0) for _ in range(2))
    assert [a.step(T0, 1, 1) for _ in range(5)] == [b.step(T0, 1, 1) for _ in range(5)]


def test_the_demo_fleet_has_what_the_demo_needs():
    fleet = load()
    assert len(fleet.printers) >= 8
    assert {p.protocol for p in fleet.printers} == {"prusalink", "octoprint", "moonraker", "simplyprint"}
    assert {p.kind for p in fleet.plugs} == {"shelly_gen2", "shelly_gen1", "tasmota"} and fleet.hubs
    metered = [load for plug in fleet.plugs for load in plug.channels.values()]
    assert Counter(metered) == Counter(p.device_id for p in fleet.printers)


@pytest.mark.parametrize(
    "declaration, names",
    [
        ({"printers": [{"device_id": "A", "profile": "mk9", "protocol": "prusalink"}]}, "mk9"),
        ({"printers": [{"device_id": "A", "profile": "mk4", "protocol": "telnet"}]}, "telnet"),
        ({"printers": [{"device_id": "A", "profile": "mk4", "protocol": "prusalink", "colour": 1}]}, "colour"),
        ({"printers": [{"profile": "mk4", "protocol": "prusalink"}]}, "device_id"),
        ({"plugs": [{"id": "S", "kind": "shelly_gen2", "channels": {"switch:0": "ghost"}}]}, "ghost"),
        ({"plugs": [{"id": "S", "kind": "zigbee", "channels": {}}]}, "zigbee"),
        ({"step_s": 5}, "step_s"),
    ],
)
def test_a_bad_declaration_names_what_is_wrong(declaration, names):
    with pytest.raises(FleetError, match=names):
        parse(declaration)
