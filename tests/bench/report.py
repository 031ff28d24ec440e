"""How a figure is shown: with its unit, its baseline and the ratio between them."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure; `ratio` is how many times better than the baseline it is, None without a baseline."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    baseline: str = ""
    note: str = ""


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(title: str, rows: Iterable[Row]) -> None:
    """Prints one section as a table."""
    print(f"\n{title}\n{'-' * len(title)}")
    for row in rows:
        ratio = f"{row.ratio:8.1f} x {row.baseline}" if row.ratio is not None else " " * 9 + row.baseline
        print(
            f"  {row.name:<54}{row.value:>13,.1f} {row.unit:<10}{ratio}{'   ' + row.note if row.note else ''}",
            flush=True,
        )
