"""Energy of one meter as a line over time, so that any cut of any range is two look-ups and every account balances.

This is the numpy twin of the database's accounting in `database/functions/30_energy_between.sql` (`energy_between()`,
`energy_edge()`), which is the one that counts. The rule of both: a reading's power holds until the next row; the energy
of an interval is shared among its pieces in proportion to power × time, evenly when no power of it is known. An
interval meter's interval may begin after the row before it: between them is a gap of which nothing is known. Property
tests in `analysis/tests/test_balance.py` hold them equal on random meters, faults and ranges: `test_any_meter_balances`
and `test_any_interval_meter_balances` at every cut, `test_any_device_balances` for every phase of a device. A change
here needs the same change there.

Units: times are int64 microseconds since 1970, energy is Wh, power is W. NaN is unknown, never zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .columns import Columns
from .times import NO_TIME, US

# Bits of `quality`, as readings.sql sends them.
GAP, RESET, JUMP, BACK, INTEGRATED, EXCLUDED = 1, 2, 4, 8, 16, 32


@dataclass(frozen=True, slots=True)
class Segments:
    """n consecutive pieces of a meter's time, ascending, without overlap; there may be holes between them.

    `start`, `end`: µs, shape (n,). `energy_wh`: Wh of the piece, NaN unknown. `power_w`: W while it lasts, NaN unknown.
    `gap`: the meter was silent, or what it said does not count; the energy is then known in sum only, or not at all.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    energy_wh: NDArray[np.float64]
    power_w: NDArray[np.float64]
    gap: NDArray[np.bool_]

    @classmethod
    def empty(cls) -> "Segments":
        """No piece at all."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0, bool))


def segments_of_readings(rows: Columns, spans: bool) -> Segments:
    """The Segments between n readings of one meter: n − 1, and more where an interval begins where no row is.

    `rows` are the columns of readings.sql in time order: `at` (µs), `power_w` (W, NaN unknown), `delta_wh` (Wh of the
    interval that ends here, NaN unknown), `interval_start` (µs, NO_TIME when none ends here), `quality` (bits).
    `spans`: the meter reports intervals, which may begin after the row before them.
    """
    at, power, delta, begin = rows["at"], rows["power_w"], rows["delta_wh"], rows["interval_start"]
    flags = rows["quality"]
    owner = np.flatnonzero(begin != NO_TIME)
    # Without `spans` only the first can begin where no row is: rows that are gone by retention.
    first = begin[owner] if spans else begin[owner[:1]]
    first = first[at[np.searchsorted(at, first)] != first]
    if len(first):
        place = np.searchsorted(at, first)
        at, power, delta, begin, flags = (
            np.insert(values, place, value)
            for values, value in (
                (at, first),
                (power, np.nan),
                (delta, np.nan),
                (begin, NO_TIME),
                (flags, GAP if spans else 0),
            )
        )
        owner = np.flatnonzero(begin != NO_TIME)
    start, end, held = at[:-1], at[1:], power[:-1]
    # Segment i ends at row i + 1; the interval around it ends at the first owning row from there on.
    group = np.searchsorted(owner, np.arange(1, len(at)))
    energy = _shared(start, end, held, owner, begin, delta, group)
    gap = (flags[1:] & (GAP | EXCLUDED)) != 0
    seconds = (end - start) / US
    mean = energy * 3600 / seconds
    # A piece without a power reading shows the mean that its energy implies; in a gap nobody knows the shape.
    power_w = np.where(np.isnan(held) & ~gap, mean, held)
    if spans:
        # An interval is no gap itself: the flag is about what lies before it.
        gap = np.where(begin[1:] <= start, (flags[1:] & EXCLUDED) != 0, gap)
        alone = np.bincount(group, minlength=1)[group] == 1
        power_w = np.where((alone & ~np.isnan(energy)) | (np.isnan(held) & ~gap), mean, held)
    return Segments(start, end, energy, power_w, gap)


def _shared(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    held: NDArray[np.float64],
    owner: NDArray[np.integer],
    begin: NDArray[np.int64],
    delta: NDArray[np.float64],
    place: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Wh of each segment: its share of the interval around it, NaN outside of any.

    `held` is the power of each segment; `owner` are the rows at which an interval ends, `begin` and `delta` its start
    and energy at each row; `place` is the place in `owner` of each segment's.
    """
    energy = np.full(len(start), np.nan)
    if not len(owner) or not len(start):
        return energy
    inside = place < len(owner)
    row = owner[np.minimum(place, len(owner) - 1)]
    inside &= start >= begin[row]
    group = np.where(inside, place, len(owner))
    seconds = (end - start) / US
    size = len(owner) + 1
    if np.bincount(group[inside], minlength=1).max(initial=0) <= 1:
        energy[inside] = delta[row[inside]]
        return energy
    known = ~np.isnan(held)
    count = np.bincount(group[known], minlength=size)
    mean = np.bincount(group[known], held[known], minlength=size) / np.maximum(count, 1)
    watts = np.where(known, held, np.where(count[group] > 0, mean[group], 1.0))
    weight = watts * seconds
    total = np.bincount(group, weight, minlength=size)[group]
    whole = np.bincount(group, seconds, minlength=size)[group]
    share = np.where(total > 0, weight / np.where(total > 0, total, 1), seconds / np.where(whole > 0, whole, 1))
    energy[inside] = (delta[row] * share)[inside]
    return energy


def segments_of_rollup(rows: Columns, bucket_s: int) -> Segments:
    """The Segments of n stored buckets of `bucket_s` seconds, with their mean power.

    `rows` are the columns of rollup.sql: `at` (µs, start of the bucket), `energy_wh` (NaN unknown), `coverage_s`
    (seconds that readings cover). A bucket without coverage but with energy is in a gap.
    """
    start, energy = rows["at"], rows["energy_wh"]
    gap = (rows["coverage_s"] <= 0) & ~np.isnan(energy)
    return Segments(start, start + bucket_s * US, energy, np.where(gap, np.nan, energy * 3600 / bucket_s), gap)


def clipped(segments: Segments, start: int, end: int) -> Segments:
    """The Segments inside [start, end) (µs); at the edges cut in proportion to time, as their power is constant."""
    inside = (segments.end > start) & (segments.start < end)
    old_start, old_end = segments.start[inside], segments.end[inside]
    new_start, new_end = np.maximum(old_start, start), np.minimum(old_end, end)
    energy = segments.energy_wh[inside] * ((new_end - new_start) / np.maximum(old_end - old_start, 1))
    return Segments(new_start, new_end, energy, segments.power_w[inside], segments.gap[inside])


def joined(pieces: Sequence[Segments]) -> Segments:
    """Segments of consecutive pieces of time (at least one) as one."""
    return Segments(
        *(
            np.concatenate([getattr(piece, field) for piece in pieces])
            for field in ("start", "end", "energy_wh", "power_w", "gap")
        )
    )


def summed(meters: Sequence[Segments]) -> Segments:
    """The Segments of a device from those of its meters (at least one): energies and powers added where they overlap.

    Energy or power is NaN where no meter knows it, and the sum of those that do elsewhere; a gap of any is a gap.
    """
    if len(meters) == 1:
        return meters[0]
    start, end, parts = _laid_over(meters)
    energy, power = np.full(len(start), np.nan), np.full(len(start), np.nan)
    gap = np.zeros(len(start), bool)
    for part in parts:
        for total, amount in ((energy, part.energy_wh), (power, part.power_w)):
            add = ~np.isnan(amount)
            total[add] = np.nan_to_num(total[add]) + amount[add]
        gap |= part.gap
    some = ~np.isnan(energy) | ~np.isnan(power) | gap
    return Segments(start[some], end[some], energy[some], power[some], gap[some])


def weighted(parts: Sequence[tuple[Segments, float]]) -> Segments:
    """The Segments of a virtual meter, Σ factor × part, from those of its parts (at least one).

    What one part does not know the sum does not know; a gap of any is a gap.
    """
    meters, factors = zip(*parts)
    if len(meters) == 1:
        one, factor = meters[0], factors[0]
        return Segments(one.start, one.end, factor * one.energy_wh, factor * one.power_w, one.gap)
    start, end, pieces = _laid_over(meters)
    energy = np.sum([factor * part.energy_wh for part, factor in zip(pieces, factors)], axis=0)
    power = np.sum([factor * part.power_w for part, factor in zip(pieces, factors)], axis=0)
    return Segments(start, end, energy, power, np.any([part.gap for part in pieces], axis=0))


def _laid_over(
    meters: Sequence[Segments],
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Segments]]:
    """Starts and ends of the pieces into which all edges of the meters cut time, and each meter in these pieces."""
    edges = np.unique(np.concatenate([edge for meter in meters for edge in (meter.start, meter.end)]))
    start, end = edges[:-1], edges[1:]
    return start, end, [_cut(meter, start, end) for meter in meters]


def _cut(meter: Segments, start: NDArray[np.int64], end: NDArray[np.int64]) -> Segments:
    """The meter in pieces that none of its edges cuts; NaN where it has no segment."""
    if not len(meter.start):
        nothing = np.full(len(start), np.nan)
        return Segments(start, end, nothing, nothing, np.zeros(len(start), bool))
    place = np.clip(np.searchsorted(meter.start, start, "right") - 1, 0, None)
    inside = (meter.start[place] <= start) & (end <= meter.end[place])
    share = (end - start) / np.maximum(meter.end[place] - meter.start[place], 1)
    return Segments(
        start,
        end,
        np.where(inside, meter.energy_wh[place] * share, np.nan),
        np.where(inside, meter.power_w[place], np.nan),
        inside & meter.gap[place],
    )


class EnergyLine:
    """Cumulated energy and time of Segments; all of it is 0 before the first segment and constant after the last.

    The difference at two times is what lies between them. Times (µs) are a number or an array of any shape; so is the
    result. Unknown energy adds nothing: the known seconds tell zero and unknown apart.
    """

    def __init__(self, segments: Segments) -> None:
        self.segments = segments
        energy = np.nan_to_num(segments.energy_wh)
        seconds = (segments.end - segments.start) / US
        known = ~np.isnan(segments.energy_wh)
        covered = ~segments.gap & (known | ~np.isnan(segments.power_w))
        self._edges = np.empty(2 * len(energy), np.int64)
        self._edges[0::2], self._edges[1::2] = segments.start, segments.end
        self._wh = _steps(energy)
        self._known_s = _steps(np.where(known, seconds, 0.0))
        self._covered_s = _steps(np.where(covered, seconds, 0.0))
        self._gap_s = _steps(np.where(segments.gap, seconds, 0.0))

    def wh_until(self, at: NDArray[np.int64] | int) -> NDArray[np.float64]:
        """Wh up to these times."""
        return self._until(at, self._wh)

    def known_s_until(self, at: NDArray[np.int64] | int) -> NDArray[np.float64]:
        """Seconds whose energy is known, at least in sum."""
        return self._until(at, self._known_s)

    def covered_s_until(self, at: NDArray[np.int64] | int) -> NDArray[np.float64]:
        """Seconds that readings cover without silence."""
        return self._until(at, self._covered_s)

    def gap_s_until(self, at: NDArray[np.int64] | int) -> NDArray[np.float64]:
        """Seconds of silence between readings."""
        return self._until(at, self._gap_s)

    def _until(self, at: NDArray[np.int64] | int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if not len(values):
            return np.zeros(np.shape(at))
        return np.asarray(np.interp(at, self._edges, values))


def _steps(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values at the edges begin0, end0, begin1, end1 … of a line that rises by each amount."""
    after = np.cumsum(amounts)
    steps = np.empty(2 * len(amounts))
    steps[1::2] = after
    steps[0::2] = after - amounts
    return steps
