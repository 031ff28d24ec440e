"""How long the steps of an analysis take, for `timing` in its answer."""

import time
from typing import Literal, get_args

Step = Literal["database_ms", "dataset_ms", "phases_ms", "statistics_ms", "model_ms", "insights_ms"]


class Clock:
    """Milliseconds per step, from its making on; `lap(step)` ends a step."""

    def __init__(self) -> None:
        self._begun = self._last = time.perf_counter()
        self._steps = dict.fromkeys(get_args(Step), 0.0)

    def lap(self, step: Step, of_that_database_s: float = 0.0) -> None:
        """Adds the time since the last lap to `step`, the part spent waiting for the database to database_ms."""
        now = time.perf_counter()
        self._steps[step] += 1000 * (now - self._last - of_that_database_s)
        self._steps["database_ms"] += 1000 * of_that_database_s
        self._last = now

    def milliseconds(self) -> dict[str, float]:
        """{step: ms, "total_ms": ms}, rounded to a tenth."""
        steps = {name: round(value, 1) for name, value in self._steps.items()}
        return {**steps, "total_ms": round(1000 * (time.perf_counter() - self._begun), 1)}
