"""Plugs and hub over a real broker: payloads, counters against the truth, faults, last wills."""

import json
import time

import pytest

from tests.support.waiting import wait_for

from .support import Listener, MosquittoProcess, SimulatorProcess


def heard(listener, topic):
    """The newest payload of a topic, once there is one."""
    return wait_for(f"a message on {topic}", lambda: listener.on(topic), 5)[-1]


def numbers(payloads, *path):
    """One value of each JSON payload that has it."""
    values = []
    for payload in payloads:
        try:
            value = json.loads(payload)
            for key in path:
                value = value[key]
            values.append(value)
        except (ValueError, KeyError, TypeError):
            pass
    return values


def test_shelly_gen2_status_and_deltas_have_the_shape_of_the_device(simulator, listener):
    full = json.loads(heard(listener, "g2/status/switch:0"))
    assert {"id", "source", "output", "apower", "voltage", "current", "aenergy", "temperature"} <= set(full)
    assert "pf" not in full
    assert len(full["aenergy"]["by_minute"]) == 3 and full["aenergy"]["total"] == round(full["aenergy"]["total"], 3)
    delta = json.loads(heard(listener, "g2/events/rpc"))
    assert delta["method"] == "NotifyStatus" and delta["src"] == "g2" and abs(delta["params"]["ts"] - time.time()) < 3
    assert "output" not in delta["params"]["switch:0"]
    assert "freq" in json.loads(heard(listener, "pm/status/pm1:0"))
    assert "true" in listener.on("g2/online")


def test_every_channel_reports_and_without_status_ntf_the_status_comes_only_when_asked_for(simulator, listener):
    start = time.time()
    wait_for(
        "both channels",
        lambda: (
            {k for p in listener.on("g2two/events/rpc", start) for k in json.loads(p)["params"] if ":" in k}
            == {"switch:0", "switch:1"}
        ),
        5,
    )
    assert not listener.on("g2two/status/switch:1", start)
    listener.send("g2two/command", "status_update")
    wait_for("the answer", lambda: listener.on("g2two/status/switch:1", start), 3)


def test_counter_is_the_integral_of_true_power_for_a_job(simulator, listener):
    simulator.start_job("MK4", "test.gcode", 3)
    wait_for("the end", lambda: simulator.get("/health")["printers"]["MK4"] == "finished", 8)
    time.sleep(0.5)
    job = simulator.jobs("MK4")[-1]
    assert job["status"] == "done" and job["end"] - job["start"] == pytest.approx(3, abs=0.01)
    assert job["energy_wh"] > 0.15
    true = simulator.meter_wh("g2/switch:0", job["start"], job["end"])
    printer = simulator.get(f"/truth/printer/MK4?from={job['start']}&to={job['end']}")["energy_wh"]
    assert true == pytest.approx(job["energy_wh"], abs=1e-3) and printer == pytest.approx(true, abs=1e-6)
    seen = [
        (at, json.loads(payload)["aenergy"]["total"])
        for at, topic, payload, _ in listener.messages
        if topic == "g2/status/switch:0" and job["start"] - 1 < at < job["end"] + 1
    ]
    counted = seen[-1][1] - seen[0][1]
    assert counted == pytest.approx(simulator.meter_wh("g2/switch:0", seen[0][0], seen[-1][0]), abs=0.02)


def test_gen1_counts_watt_minutes_and_loses_them_on_reboot(simulator, listener):
    payload = heard(listener, "shellies/g1/relay/0/energy")
    assert payload.isdigit() and int(payload) >= 50 * 60
    assert float(listener.on("shellies/g1/relay/0/power")[-1]) > 0
    start = time.time()
    simulator.fault("reboot", "g1", seconds=0.3)
    wait_for("the last will", lambda: "false" in listener.on("shellies/g1/online", start), 4)
    after = wait_for("its return", lambda: listener.on("shellies/g1/relay/0/energy", start + 0.3), 8)
    assert int(after[-1]) < 60


def test_tasmota_reports_kwh_in_local_time_and_answers_status_10(simulator, listener, broker):
    sensor = json.loads(heard(listener, "tele/tas/SENSOR"))
    assert set(sensor) == {"Time", "ENERGY"} and "+" not in sensor["Time"] and "Z" not in sensor["Time"]
    assert sensor["ENERGY"]["Total"] >= 0.904 and sensor["ENERGY"]["Factor"]
    assert isinstance(sensor["ENERGY"]["Power"], int)
    listener.send("cmnd/tas/STATUS", "10")
    answer = json.loads(heard(listener, "stat/tas/STATUS10"))
    assert set(answer["StatusSNS"]["ENERGY"]) == set(sensor["ENERGY"])
    late = Listener(broker.port)
    retained = wait_for("the retained LWT", lambda: [m for m in late.messages if m.topic == "tele/tas/LWT"], 3)[0]
    assert (retained.payload, retained.retained) == ("Online", True)
    late.close()


def test_hub_sends_one_number_per_message(simulator, listener):
    heard(listener, "esp32/raptorblingx/max6675/temperature_c")
    topics = {
        message.topic.removeprefix("esp32/raptorblingx/"): float(message.payload)
        for message in list(listener.messages)
        if message.topic.startswith("esp32/raptorblingx/")
    }
    assert set(topics) == {
        "dht22/temperature_c",
        "dht22/humidity",
        "mpu6050/temperature_c",
        "max6675/temperature_c",
        *(f"mpu6050/{kind}/{axis}" for kind in ("accel", "gyro") for axis in "xyz"),
    }
    assert topics["mpu6050/accel/z"] == pytest.approx(9.81, abs=2)


def totals(listener, since):
    return numbers(listener.on("pm/status/pm1:0", since), "aenergy", "total")


def test_counter_faults(simulator, listener):
    simulator.fault("jump", "pm", wh=5000)
    start = time.time()
    simulator.fault("jump", "pm", wh=9e6, messages=2)
    wait_for("four totals", lambda: len(totals(listener, start)) >= 4, 8)
    seen = totals(listener, start)
    assert max(seen) > 9e6 and seen[-1] < 9e5
    simulator.fault("jump", "pm", wh=700, permanent=True)
    before = simulator.truth_of("pm/pm1:0")["counter_wh"]
    simulator.fault("step_back", "pm/pm1:0", wh=2)
    assert simulator.truth_of("pm/pm1:0")["counter_wh"] == pytest.approx(before - 2, abs=0.5)
    true = simulator.truth_of("pm/pm1:0")["true_wh"]
    start = time.time()
    simulator.fault("reset_counter", "pm")
    wait_for("a total", lambda: totals(listener, start + 0.3), 5)
    assert totals(listener, start + 0.3)[0] < 1
    assert simulator.truth_of("pm/pm1:0")["true_wh"] >= true


def test_message_faults(simulator, listener):
    start = time.time()
    simulator.fault("lose_messages", "pm", seconds=1)
    time.sleep(0.9)
    assert not totals(listener, start + 0.2)
    wait_for("the end of the silence", lambda: totals(listener, start + 1), 4)

    start = time.time()
    simulator.fault("late_messages", "pm", seconds=1)
    wait_for("what was held", lambda: len(totals(listener, start)) >= 2, 5)
    held = numbers(listener.on("pm/events/rpc", start + 0.9), "params", "ts")
    assert held[0] < start + 0.5 and held == sorted(held), "late messages have their old time"

    start = time.time()
    simulator.fault("repeat_messages", "pm", seconds=1.5, times=3)
    wait_for("three totals", lambda: len(totals(listener, start)) >= 3, 4)
    assert len(totals(listener, start)) > len(set(totals(listener, start)))

    start = time.time()
    simulator.fault("garbage_messages", "pm", messages=2)
    wait_for("two messages", lambda: len(listener.on("pm/status/pm1:0", start)) >= 2, 5)
    sent = len(listener.on("pm/status/pm1:0", start)) + len(listener.on("pm/events/rpc", start))
    assert len(totals(listener, start)) < sent

    start = time.time()
    simulator.fault("constant_load_silence", "pm", seconds=1.5)
    time.sleep(0.3)
    listener.send("pm/command", "status_update")
    wait_for("the answer in the silence", lambda: totals(listener, start + 0.3), 1.2, every=0.05)


def device_time(listener):
    """The time of a plug in the next message."""
    start = time.time()
    times = lambda: numbers(listener.on("g2two/events/rpc", start + 0.2), "params", "ts")
    return wait_for("a message with a time", times, 4)[-1]


def test_clock_faults_and_moving_a_meter(simulator, listener):
    simulator.fault("clock_offset", "g2two", offset_s=-120)
    assert device_time(listener) == pytest.approx(time.time() - 120, abs=3)
    simulator.fault("clock_1970", "g2two")
    assert device_time(listener) < 86400
    simulator.fault("clock_offset", "g2two", offset_s=0)
    simulator.fault("move_meter", "g2two/switch:1", load=None)
    time.sleep(0.5)
    meter = simulator.truth_of("g2two/switch:1")
    assert meter["power_watts"] == 0
    assert simulator.get("/truth/meter/g2two/switch:1")["energy_wh"] == pytest.approx(meter["true_wh"], abs=0.01)
    simulator.fault("move_meter", "g2two/switch:1", load="Old")
    wait_for("its power", lambda: simulator.truth_of("g2two/switch:1")["power_watts"] > 5, 3)


def test_a_power_cut_ends_printer_and_plug_and_both_come_back(simulator, listener):
    start = time.time()
    simulator.start_job("MK4", "test.gcode", 60)
    simulator.fault("power_cut", "MK4", seconds=1)
    wait_for("the last will", lambda: "false" in listener.on("g2/online", start), 4)
    with pytest.raises(OSError):
        simulator.ask("MK4", "/api/v1/status")
    wait_for("the plug's return", lambda: "true" in listener.on("g2/online", start), 8)
    assert wait_for("an answer", lambda: simulator.ask("MK4", "/api/v1/job"), 3).status_code == 204
    assert simulator.jobs("MK4")[-1]["status"] == "error"


@pytest.fixture
def own_broker(tmp_path):
    """A broker that the test may kill."""
    broker = MosquittoProcess(tmp_path)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def own_simulator(own_broker, tmp_path):
    """A simulator that the test may restart."""
    process = SimulatorProcess(tmp_path, own_broker.port)
    process.start()
    yield process
    process.stop()


def test_restart_and_broker_loss_keep_counters_ports_and_keys(own_simulator, own_broker, tmp_path):
    session = lambda: own_simulator.get("/health")["mqtt"]["g2"]
    own_simulator.start_job("MK4", "test.gcode", 60)
    own_broker.kill()
    wait_for("the loss of the broker", lambda: not session()["connected"], 5)
    time.sleep(0.6)
    assert session()["dropped"] > 0
    own_broker.start()
    wait_for("the way back to the broker", lambda: session()["connected"], 8)
    before, devices = own_simulator.get("/truth"), own_simulator.devices
    assert own_simulator.stop() == 0
    time.sleep(1)
    own_simulator.start()
    after = own_simulator.get("/truth")
    assert own_simulator.devices == devices
    job = [j for j in after["jobs"] if j["device_id"] == "MK4"][-1]
    assert job["end"] is None and job["start"] == before["jobs"][-1]["start"]
    for meter, was in before["meters"].items():
        gained = after["meters"][meter]["counter_wh"] - was["counter_wh"]
        assert 0 < gained < 600 * (after["now"] - before["now"]) / 3600
    identity = tmp_path / "simulator" / "identity.json"
    assert json.loads(identity.read_text())["keys"]["MK4"] == devices["MK4"]["api_key"]
    assert identity.stat().st_mode & 0o077 == 0
