"""supervisor.json: what the supervisor knows of its services, for `up`, `status`, `down` and the doctor."""

from typing import Literal, TypedDict

from common import files

from .processes import Identity
from .settings import Paths

State = Literal["waiting", "starting", "ready", "done", "failed", "stopped"]


class _Life(TypedDict, total=False):
    """What comes to be known of a service."""

    failures: int  # since it last was ready for a while
    error: str | None
    exit: int
    ready_at: float | None  # seconds since 1970
    seconds: float  # from the start until it was ready, or a task done
    # Its leading process, as an Identity.
    pid: int | None
    start: int | None
    comm: str | None
    boot: str


class ServiceRecord(_Life):
    """What is known of a service. `log_from`: where in its log this start begins, bytes."""

    state: State
    restarts: int
    task: bool
    log_from: int


class Changes(_Life, total=False):
    """What is new of a service."""

    state: State
    restarts: int


class Record(Identity):
    """The whole file; the identity is the supervisor's own."""

    demo: bool
    started_at: float  # seconds since 1970
    services: dict[str, ServiceRecord]


def read(where: Paths) -> Record | None:
    """The record of a stack that runs, or whose supervisor was killed; None when there is none."""
    return files.read_json(where.supervisor)


def process(known: ServiceRecord) -> Identity | None:
    """The leading process of a service; None when it has none."""
    pid = known.get("pid")
    if not pid:
        return None
    return {"pid": pid, "start": known.get("start"), "comm": known.get("comm"), "boot": known.get("boot", "")}
