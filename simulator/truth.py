"""Ground truth: the exact integral of power over any interval of the last hours."""

from array import array
from bisect import bisect_right

WINDOW_S = 6 * 3600


class TruthLog:
    """Cumulated energy (Wh) at the end of every model step.

    Power is constant inside a step, so interpolation is exact.
    """

    def __init__(self, at: float, wh: float = 0.0) -> None:
        self.times = array("d", [at])
        self.totals = array("d", [wh])

    @property
    def wh(self) -> float:
        """The energy up to the newest step."""
        return self.totals[-1]

    def add(self, until: float, wh: float) -> None:
        """Appends a step that ends at unix time `until` and took `wh`."""
        self.times.append(until)
        self.totals.append(self.totals[-1] + wh)
        if self.times[0] < until - 1.1 * WINDOW_S:
            old = bisect_right(self.times, until - WINDOW_S) - 1
            del self.times[:old], self.totals[:old]

    def at(self, when: float) -> float:
        """Cumulated Wh at `when`. Raises ValueError outside the recorded time."""
        if not self.times[0] <= when <= self.times[-1]:
            raise ValueError(
                f"ground truth is kept from {self.times[0]:.3f} to {self.times[-1]:.3f}, not at {when:.3f}"
            )
        i = bisect_right(self.times, when) - 1
        if i == len(self.times) - 1:
            return self.totals[i]
        share = (when - self.times[i]) / (self.times[i + 1] - self.times[i])
        return self.totals[i] + share * (self.totals[i + 1] - self.totals[i])

    def between(self, start: float, end: float) -> float:
        """Energy in Wh between two unix times."""
        return self.at(end) - self.at(start)
