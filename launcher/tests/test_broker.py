"""The broker's configuration, in a real mosquitto: who may do what, and what survives a kill."""

import os
import queue
import signal
import socket
import time

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from launcher import settings


class Client:
    """A connected MQTT client whose messages are in a queue."""

    def __init__(self, env, user, name, clean=True, password=None):
        self.messages, ready, subscribed = queue.Queue(), queue.Queue(), queue.Queue()
        self.subscribed = subscribed
        self.link = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean)
        if user:
            self.link.username_pw_set(env[f"ENMS_MQTT_{user}_USER"], password or env[f"ENMS_MQTT_{user}_PASSWORD"])
        self.link.on_connect = lambda client, data, flags, reason, properties: ready.put(reason)
        self.link.on_subscribe = lambda *_: subscribed.put(1)
        self.link.on_message = lambda client, data, message: self.messages.put(
            (message.topic, message.payload.decode())
        )
        self.link.max_inflight_messages_set(1000)
        self.link.connect(env["ENMS_MQTT_HOST"], int(env["ENMS_MQTT_PORT"]))
        self.link.loop_start()
        self.reason = ready.get(timeout=5)

    def subscribe(self, topic):
        """Subscribes with QoS 1 and waits for the answer."""
        self.link.subscribe(topic, 1)
        self.subscribed.get(timeout=5)

    def publish(self, topic, text):
        """Publishes with QoS 1 and waits until the broker has acknowledged it."""
        self.link.publish(topic, text, 1).wait_for_publish(5)

    def next(self, seconds=2):
        """The next message, None when there is none in time."""
        try:
            return self.messages.get(timeout=seconds)
        except queue.Empty:
            return None

    def close(self):
        self.link.disconnect()
        self.link.loop_stop()


@pytest.fixture
def connect(env):
    made = []

    def client(*arguments, **more):
        made.append(Client(env, *arguments, **more))
        return made[-1]

    yield client
    for each in made:
        each.close()


def test_nobody_without_the_right_password(start, connect):
    start("mosquitto")
    assert connect(None, "nobody").reason.is_failure
    assert connect("DEVICE", "guesser", password="wrong").reason.is_failure
    assert not connect("DEVICE", "plug").reason.is_failure


def test_devices_speak_and_hear_only_their_commands(start, connect):
    start("mosquitto")
    ingest, plug, spy = connect("INGEST", "ingest"), connect("DEVICE", "plug"), connect("DEVICE", "spy")
    ingest.subscribe("#")
    spy.subscribe("#")
    # mosquitto throws out who publishes what it may not, so that is a client of its own.
    connect("DEVICE", "forger").publish("enms/ingest/x/marker", "forged")
    plug.publish("hall/plug 1/events/rpc", "{}")
    assert ingest.next() == ("hall/plug 1/events/rpc", "{}")
    ingest.publish("plug-1/command", "status_update")
    ingest.publish("a/b/command", "status_update")
    ingest.publish("cmnd/tasmota_1/Status", "10")
    ingest.publish("enms/ingest/x/marker", "1")
    assert [spy.next() for _ in range(3)] == [
        ("plug-1/command", "status_update"),
        ("a/b/command", "status_update"),
        ("cmnd/tasmota_1/Status", "10"),
    ]
    assert spy.next(0.3) is None
    assert [ingest.next()[0] for _ in range(4)][-1] == "enms/ingest/x/marker"


def test_what_was_acknowledged_survives_a_kill(start, connect):
    """A second after the acknowledgement: autosave_interval."""
    broker = start("mosquitto")
    ingest = connect("INGEST", "keeper", clean=False)
    ingest.subscribe("meter/#")
    ingest.close()
    plug = connect("DEVICE", "plug")
    for number in range(300):
        plug.link.publish("meter/1", str(number), 1)
    plug.publish("meter/1", "last")
    time.sleep(2.2)
    broker.send_signal(signal.SIGKILL)
    broker.wait()
    start("mosquitto")
    again = connect("INGEST", "keeper", clean=False)
    assert [again.next()[1] for _ in range(301)] == [*map(str, range(300)), "last"]


def test_plugs_on_the_network_reach_it_where_enms_bind_says(start, tmp_path):
    """(Another address of this machine stands for the network.)"""
    where = settings.Paths(tmp_path / "bound")
    settings.prepare_run_dir(where)
    env = settings.build(where, {"PATH": os.environ["PATH"], "ENMS_HTTP_PORT": "0", "ENMS_BIND": "127.0.0.2"}, tmp_path)
    assert env["ENMS_MQTT_HOST"] == "127.0.0.2" and env["ENMS_HTTP_URL"].startswith("http://127.0.0.2:")
    start("mosquitto", **env)
    plug = Client(env, "DEVICE", "plug")
    assert plug.reason == 0
    plug.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(env["ENMS_MQTT_PORT"]))) != 0
