"""TCP ports: is one free, and choosing one that stays the same over restarts."""

import random
import socket
from collections.abc import Iterable, Mapping

# Below the range from which Linux takes the ports of outgoing connections, so that none of those is in the way later.
CHOICE = range(20000, 32000)


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """True when a listener can be opened on host:port. A port in TIME_WAIT counts as free, as it does for the services.

    Raises PermissionError for a port that this user may not open.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except PermissionError:
            raise
        except OSError:
            return False
    return True


def choose(names: Iterable[str], remembered: Mapping[str, int]) -> dict[str, int]:
    """{name: port}: the remembered port where it is still free, otherwise a new free one."""
    chosen: dict[str, int] = {}
    for name in names:
        port = remembered.get(name)
        while port is None or port in chosen.values() or not is_free(port):
            port = random.choice(CHOICE)
        chosen[name] = port
    return chosen
