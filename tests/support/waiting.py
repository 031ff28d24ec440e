"""Waiting for something to become true, with a sentence when it doesn't; and a port to listen on."""

import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], T | None], timeout: float, every: float = 0.25) -> T:
    """The first true value of `condition()`, called every `every` seconds. An exception counts as "not yet".

    Raises AssertionError after `timeout` seconds, with the last value or exception.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            last = condition()
            if last:
                return last
        except Exception as error:  # the part waited for may be down just now
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:.0f} s for {what}; last seen: {last!r}")
        time.sleep(every)


def free_port() -> int:
    """A TCP port of the loopback interface on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
