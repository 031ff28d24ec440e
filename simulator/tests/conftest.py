"""One broker, one listener and one simulated fleet for all tests of the folder."""

import pytest

from .support import Listener, MosquittoProcess, SimulatorProcess


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    mosquitto = MosquittoProcess(tmp_path_factory.mktemp("broker"))
    mosquitto.start()
    yield mosquitto
    mosquitto.kill()


@pytest.fixture(scope="session")
def listener(broker):
    listener = Listener(broker.port)
    yield listener
    listener.close()


@pytest.fixture(scope="session")
def simulator(tmp_path_factory, broker, listener):
    process = SimulatorProcess(tmp_path_factory.mktemp("simulator"), mqtt_port=broker.port).start()
    yield process
    process.stop()
