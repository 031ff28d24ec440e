"""One broker, one listener and one simulated fleet for all tests of the folder."""

from collections.abc import Iterator

import pytest

from .support import Listener, MosquittoProcess, SimulatorProcess


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MosquittoProcess]:
    mosquitto = MosquittoProcess(tmp_path_factory.mktemp("broker"))
    mosquitto.start()
    yield mosquitto
    mosquitto.kill()


@pytest.fixture(scope="session")
def listener(broker: MosquittoProcess) -> Iterator[Listener]:
    listener = Listener(broker.port)
    yield listener
    listener.close()


@pytest.fixture(scope="session")
def simulator(
    tmp_path_factory: pytest.TempPathFactory, broker: MosquittoProcess, listener: Listener
) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess(tmp_path_factory.mktemp("simulator"), broker.port)
    process.start()
    yield process
    assert process.stop() == 0
