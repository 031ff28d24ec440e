"""Plugs and hub over a real broker: payloads, counters against the truth, faults, last wills."""

import json
import time

import pytest

from .support import Listener, MosquittoProcess, SimulatorProcess, wait_for


def numbers(payloads, *path):
    """One value out of each JSON payload that has it."""
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
    full = json.loads(wait_for(lambda: listener.on("g2/status/switch:0"), 5)[-1])
    assert {"id", "source", "output", "apower", "voltage", "current", "aenergy", "temperature"} <= set(
        full
    ) and "pf" not in full
    assert len(full["aenergy"]["by_minute"]) == 3 and full["aenergy"]["total"] == round(full["aenergy"]["total"], 3)
    delta = json.loads(wait_for(lambda: listener.on("g2/events/rpc"), 5)[-1])
    assert delta["method"] == "NotifyStatus" and delta["src"] == "g2" and abs(delta["params"]["ts"] - time.time()) < 3
    assert "output" not in delta["params"]["switch:0"]
    assert "freq" in json.loads(wait_for(lambda: listener.on("pm/status/pm1:0"), 5)[-1])
    assert any(t == "g2/online" and p == "true" for _, t, p, _ in listener.messages)


def test_every_channel_of_a_plug_reports_and_status_only_when_asked_if_it_is_off(simulator, listener):
    start = time.time()
    wait_for(
        lambda: (
            {k for p in listener.on("g2two/events/rpc", start) for k in json.loads(p)["params"] if ":" in k}
            == {"switch:0", "switch:1"}
        ),
        5,
    )
    assert not listener.on("g2two/status/switch:1", start)
    listener.client.publish("g2two/command", "status_update", qos=1)
    wait_for(lambda: listener.on("g2two/status/switch:1", start), 3, "the answer")


def test_counter_is_the_integral_of_true_power_for_a_job(simulator, listener):
    job = simulator.print("MK4", 3)
    wait_for(lambda: simulator.get("/health")["printers"]["MK4"] == "finished", 8)
    time.sleep(0.5)
    job = [j for j in simulator.get("/truth")["jobs"] if j["device_id"] == "MK4"][-1]
    assert (
        job["status"] == "done" and job["end"] - job["start"] == pytest.approx(3, abs=0.01) and job["energy_wh"] > 0.15
    )
    true = simulator.get(f"/truth/meter/g2/switch:0?from={job['start']}&to={job['end']}")["energy_wh"]
    printer = simulator.get(f"/truth/printer/MK4?from={job['start']}&to={job['end']}")["energy_wh"]
    assert true == pytest.approx(job["energy_wh"], abs=1e-3) and printer == pytest.approx(true, abs=1e-6)
    seen = [
        (at, json.loads(p)["aenergy"]["total"])
        for at, t, p, _ in listener.messages
        if t == "g2/status/switch:0" and job["start"] - 1 < at < job["end"] + 1
    ]
    told = seen[-1][1] - seen[0][1]
    assert told == pytest.approx(
        simulator.get(f"/truth/meter/g2/switch:0?from={seen[0][0]}&to={seen[-1][0]}")["energy_wh"], abs=0.02
    )


def test_gen1_counts_watt_minutes_and_loses_them_on_reboot(simulator, listener):
    payload = wait_for(lambda: listener.on("shellies/g1/relay/0/energy"), 5)[-1]
    assert payload.isdigit() and int(payload) >= 50 * 60
    assert float(listener.on("shellies/g1/relay/0/power")[-1]) > 0
    start = time.time()
    simulator.fault("reboot", "g1", seconds=0.3)
    wait_for(lambda: "false" in listener.on("shellies/g1/online", start), 4, "the last will")
    after = wait_for(lambda: listener.on("shellies/g1/relay/0/energy", start + 0.3), 8, "its return")
    assert int(after[-1]) < 60


def test_tasmota_tells_kwh_in_local_time_and_answers_status_10(simulator, listener):
    sensor = json.loads(wait_for(lambda: listener.on("tele/tas/SENSOR"), 5)[-1])
    assert set(sensor) == {"Time", "ENERGY"} and "+" not in sensor["Time"] and "Z" not in sensor["Time"]
    assert (
        sensor["ENERGY"]["Total"] >= 0.904 and sensor["ENERGY"]["Factor"] and isinstance(sensor["ENERGY"]["Power"], int)
    )
    listener.client.publish("cmnd/tas/STATUS", "10", qos=1)
    answer = json.loads(wait_for(lambda: listener.on("stat/tas/STATUS10"), 3)[-1])
    assert set(answer["StatusSNS"]["ENERGY"]) == set(sensor["ENERGY"])
    late = Listener(listener.client._port)
    assert wait_for(lambda: [(p, r) for _, t, p, r in late.messages if t == "tele/tas/LWT"], 3)[0] == ("Online", True)
    late.close()


def test_hub_sends_one_number_per_message(simulator, listener):
    wait_for(lambda: listener.on("esp32/raptorblingx/max6675/temperature_c"), 5)
    topics = {
        t.removeprefix("esp32/raptorblingx/"): float(p)
        for _, t, p, _ in list(listener.messages)
        if t.startswith("esp32/raptorblingx/")
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
    wait_for(lambda: len(totals(listener, start)) >= 4, 8)
    seen = totals(listener, start)
    assert max(seen) > 9e6 and seen[-1] < 9e5
    simulator.fault("jump", "pm", wh=700, permanent=True)
    before = simulator.get("/truth")["meters"]["pm/pm1:0"]["counter_wh"]
    simulator.fault("step_back", "pm/pm1:0", wh=2)
    assert simulator.get("/truth")["meters"]["pm/pm1:0"]["counter_wh"] == pytest.approx(before - 2, abs=0.5)
    true = simulator.get("/truth")["meters"]["pm/pm1:0"]["true_wh"]
    start = time.time()
    simulator.fault("reset_counter", "pm")
    wait_for(lambda: totals(listener, start + 0.3), 5)
    assert totals(listener, start + 0.3)[0] < 1
    assert simulator.get("/truth")["meters"]["pm/pm1:0"]["true_wh"] >= true


def test_message_faults(simulator, listener):
    start = time.time()
    simulator.fault("lose_messages", "pm", seconds=1)
    time.sleep(0.9)
    assert not totals(listener, start + 0.2)
    wait_for(lambda: totals(listener, start + 1), 4, "the end of the silence")

    start = time.time()
    simulator.fault("late_messages", "pm", seconds=1)
    wait_for(lambda: len(totals(listener, start)) >= 2, 5)
    held = numbers(listener.on("pm/events/rpc", start + 0.9), "params", "ts")
    assert held[0] < start + 0.5 and held == sorted(held), "late messages carry their old time"

    start = time.time()
    simulator.fault("repeat_messages", "pm", seconds=1.5, times=3)
    wait_for(lambda: len(totals(listener, start)) >= 3, 4)
    assert len(totals(listener, start)) > len(set(totals(listener, start)))

    start = time.time()
    simulator.fault("garbage_messages", "pm", messages=2)
    wait_for(lambda: len(listener.on("pm/status/pm1:0", start)) >= 2, 5)
    assert len(totals(listener, start)) < len(listener.on("pm/status/pm1:0", start)) + len(
        listener.on("pm/events/rpc", start)
    )

    start = time.time()
    simulator.fault("constant_load_silence", "pm", seconds=1.5)
    time.sleep(0.3)
    listener.client.publish("pm/command", "status_update", qos=1)
    wait_for(lambda: totals(listener, start + 0.3), 1.2, "the answer in the silence")


def test_clock_faults_and_moving_a_meter(simulator, listener):
    simulator.fault("clock_offset", "g2two", offset_s=-120)
    start = time.time()
    seen = wait_for(lambda: numbers(listener.on("g2two/events/rpc", start + 0.2), "params", "ts"), 4)
    assert seen[-1] == pytest.approx(time.time() - 120, abs=3)
    simulator.fault("clock_1970", "g2two")
    start = time.time()
    assert wait_for(lambda: numbers(listener.on("g2two/events/rpc", start + 0.2), "params", "ts"), 4)[-1] < 86400
    simulator.fault("clock_offset", "g2two", offset_s=0)
    simulator.fault("move_meter", "g2two/switch:1", load=None)
    time.sleep(0.5)
    meters = simulator.get("/truth")["meters"]
    assert meters["g2two/switch:1"]["power_watts"] == 0
    assert simulator.get("/truth/meter/g2two/switch:1")["energy_wh"] == pytest.approx(
        meters["g2two/switch:1"]["true_wh"], abs=0.01
    )
    simulator.fault("move_meter", "g2two/switch:1", load="Old")
    wait_for(lambda: simulator.get("/truth")["meters"]["g2two/switch:1"]["power_watts"] > 5, 3)


def test_power_cut_takes_printer_and_plug_and_gives_them_back(simulator, listener):
    start = time.time()
    simulator.print("MK4", 60)
    simulator.fault("power_cut", "MK4", seconds=1)
    wait_for(lambda: "false" in listener.on("g2/online", start), 4, "the last will")
    with pytest.raises(OSError):
        simulator.ask("MK4", "/api/v1/status")
    wait_for(lambda: "true" in listener.on("g2/online", start), 8, "the plug's return")
    assert wait_for(lambda: simulator.ask("MK4", "/api/v1/job"), 3).status_code == 204
    assert [j for j in simulator.get("/truth")["jobs"] if j["device_id"] == "MK4"][-1]["status"] == "error"


def test_restart_and_broker_loss_keep_counters_ports_and_keys(tmp_path):
    broker = MosquittoProcess(tmp_path)
    broker.start()
    process = SimulatorProcess(tmp_path, mqtt_port=broker.port).start()
    process.print("MK4", 60)
    broker.kill()
    wait_for(lambda: not process.get("/health")["mqtt"]["g2"]["connected"], 5)
    time.sleep(0.6)
    assert process.get("/health")["mqtt"]["g2"]["dropped"] > 0
    broker.start()
    wait_for(lambda: process.get("/health")["mqtt"]["g2"]["connected"], 8, "the way back to the broker")
    before, devices = process.get("/truth"), process.devices
    process.stop()
    time.sleep(1)
    again = SimulatorProcess(tmp_path, mqtt_port=broker.port).start()
    after = again.get("/truth")
    assert again.devices == devices
    job = [j for j in after["jobs"] if j["device_id"] == "MK4"][-1]
    assert job["end"] is None and job["start"] == before["jobs"][-1]["start"]
    for meter, was in before["meters"].items():
        gained = after["meters"][meter]["counter_wh"] - was["counter_wh"]
        assert 0 < gained < 600 * (after["now"] - before["now"]) / 3600
    assert (
        json.loads((tmp_path / "simulator" / "identity.json").read_text())["keys"]["MK4"] == devices["MK4"]["api_key"]
    )
    assert (tmp_path / "simulator" / "identity.json").stat().st_mode & 0o077 == 0
    again.stop()
    broker.kill()
