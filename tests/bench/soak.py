"""Does the memory of a service grow? A steady 1,000 messages a second for a long while, and the memory of each service
over time.

Counted is what a service has written (heaps, buffers, shared memory), not the programs and libraries that it maps:
their share changes with every other process that uses the same files.
"""

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from common import files
from launcher import processes
from launcher.settings import Paths

from .database import cursor_of, first
from .ingest import METERS, connect, status

CHUNK_S = 5
SAMPLE_EVERY_S = 15
WARM_UP = 0.25  # of the time: caches and heaps fill, which is no leak
FLAT_MB, FLAT_SHARE = 8.0, 0.05


@dataclass(frozen=True, slots=True)
class Trend:
    """The memory of one service after the warm-up: mean and fitted growth over that time, MB; growth per hour, MB."""

    service: str
    mean: float
    growth: float
    per_hour: float

    @property
    def flat(self) -> bool:
        """True when the line that fits best rises by less than noise does."""
        return self.growth < max(FLAT_MB, FLAT_SHARE * self.mean)


def trend(service: str, samples: Sequence[tuple[float, float]]) -> Trend:
    """Least squares over (seconds, MB) after the warm-up; needs three samples there."""
    end = samples[-1][0]
    kept = [(t, mb) for t, mb in samples if t >= WARM_UP * end]
    mean_t, mean = (sum(column) / len(kept) for column in zip(*kept))
    slope = sum((t - mean_t) * (mb - mean) for t, mb in kept) / sum((t - mean_t) ** 2 for t, _ in kept)
    return Trend(service, mean, slope * (kept[-1][0] - kept[0][0]), slope * 3600)


def _publish(settings: Mapping[str, str], prefix: str, seconds: int, rate: int, sent: "Synchronized[int]") -> None:
    """A process of its own: `rate` messages a second of METERS meters; `sent` is how many the broker acknowledged."""
    publisher = connect(settings, prefix)
    begin, count = time.monotonic(), 0
    while time.monotonic() - begin < seconds:
        messages = []
        for i in range(count, count + CHUNK_S * rate):
            turn, meter = divmod(i, METERS)
            messages.append((f"{prefix}-{meter:03d}/status/switch:0", status(1000 + turn * 0.002, 60 + turn % 80)))
        count += publisher.blast(messages, rate=1.1 * rate).acknowledged
        sent.value = count
        time.sleep(max(0.0, begin + count / rate - time.monotonic()))
    publisher.close()


def _memory(where: Paths) -> dict[str, float]:
    """MB of each service of the stack, its children included, of the supervisor, and of all together."""
    record, tree = files.read_json(where.supervisor), processes.snapshot()
    leaders = {name: known["pid"] for name, known in record["services"].items() if known.get("pid")}
    found = {
        name: sum(_written_kb(each) for each in (pid, *processes.descendants(pid, tree))) / 1024
        for name, pid in leaders.items()
    }
    found["supervisor"] = _written_kb(record["pid"]) / 1024
    return {**found, "all": sum(found.values())}


def _written_kb(pid: int) -> int:
    """Proportional size of a process without mapped files, kB; 0 when it has ended meanwhile."""
    try:
        lines = (processes.PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def soak(settings: Mapping[str, str], run_dir: Path, minutes: float, rate: int = 1000) -> bool:
    """Prints the memory of each service over time and a verdict.

    Returns True when all are flat and every message is accounted for.
    """
    prefix, where, seconds = f"soak{int(time.time())}", Paths(run_dir, settings["ENMS_ENV_DIR"]), int(minutes * 60)
    sent = multiprocessing.Value("l", 0)
    sender = multiprocessing.Process(target=_publish, args=(settings, prefix, seconds, rate, sent), daemon=True)
    print(
        f"\nSoak: {rate:,} messages/s for {minutes:g} minutes, memory of each service (without mapped files, MB)",
        flush=True,
    )
    begin = time.monotonic()
    sender.start()
    samples: dict[str, list[tuple[float, float]]] = {}
    printed = -1e9
    while sender.is_alive():
        at = time.monotonic() - begin
        now = _memory(where)
        for name, mb in now.items():
            samples.setdefault(name, []).append((at, mb))
        if printed < 0:
            print("  minute  messages/s  " + "  ".join(f"{name:>10}" for name in now), flush=True)
        if at - printed >= seconds / 12:
            printed = at
            print(
                f"  {at / 60:6.1f}  {sent.value / max(at, 1):10,.0f}  "
                + "  ".join(f"{mb:10.1f}" for mb in now.values()),
                flush=True,
            )
        sender.join(SAMPLE_EVERY_S)
    trends = [trend(name, series) for name, series in samples.items()]
    print(
        f"\n  {'service':<12}{'mean':>9}{'growth':>9}{'per hour':>10}   after the first {WARM_UP:.0%} of the time, MB"
    )
    for one in trends:
        verdict = "flat" if one.flat else "GROWS"
        print(f"  {one.service:<12}{one.mean:9.1f}{one.growth:+9.1f}{one.per_hour:+10.1f}   {verdict}")
    complete = _complete(settings, prefix, sent.value)
    account = "every one stored once, accounts balance" if complete else "NOT all accounted for"
    print(f"  {sent.value:,} messages sent, {account}; {sent.value / seconds:,.0f} a second", flush=True)
    return complete and all(one.flat for one in trends)


def _complete(settings: Mapping[str, str], prefix: str, sent: int) -> bool:
    """Waits until all rows are there; True when each was stored once and Σ deltas is the difference of the counters."""
    with cursor_of(settings["ENMS_DATABASE_URL"]) as cursor:
        deadline = time.monotonic() + 60
        while True:
            rows, distinct, energy = first(
                cursor,
                """SELECT count(*), count(DISTINCT (meter_id, energy_total_wh)), sum(energy_delta_wh)
                   FROM energy_data WHERE meter_id LIKE %s""",
                (prefix + "-%",),
            )
            if rows >= sent or time.monotonic() > deadline:
                break
            time.sleep(1)
    return rows == distinct == sent and abs(energy - (sent - METERS) * 0.002) < 1e-3
