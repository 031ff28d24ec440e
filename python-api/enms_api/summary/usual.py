"""What is usual for a printer, by its newest finished jobs."""

from .facts import UsualSums
from .figures import kwh, ratio

DAY_S = 24 * 3600.0


class Usual:
    """What a printer's jobs usually take: sums over sums, so that a short print doesn't weigh like a long one."""

    def __init__(self, sums: UsualSums) -> None:
        self.jobs = sums["jobs"]
        self.job_kwh = ratio(kwh(sums["wh"]), self.jobs)
        self.kwh_per_hour = ratio(sums["timed_wh"], sums["timed_s"], 3600 / 1000)
        self.kwh_per_g = ratio(sums["weighed_wh"], sums["weighed_g"], 1 / 1000)
        self._day_s = min(DAY_S, sums["day_s"] or 0.0)

    def expected_day_kwh(self, idle_power_w: float | None) -> float | None:
        """What the last 24 hours should have taken: their printing hours as usual, the rest at idle power."""
        if idle_power_w is None or (self._day_s and self.kwh_per_hour is None):
            return None
        return (self.kwh_per_hour or 0.0) * self._day_s / 3600 + idle_power_w / 1000 * (DAY_S - self._day_s) / 3600
