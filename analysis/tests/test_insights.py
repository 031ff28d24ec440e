"""What people read: figures as people write them, and no sentence that the data do not carry."""

import numpy as np
import pytest

from analysis import insights
from analysis.core import statistics
from analysis.core.states import HEATING, IDLE, NO_DATA, PHASES, PRINTING
from analysis.phases import PhaseSums


@pytest.mark.parametrize(("text", "wanted"), [
    (insights.energy(999.7), "1.000 kWh"), (insights.energy(850.4), "850 Wh"),
    (insights.energy(0.00012), "0.000120 Wh"), (insights.energy(1_234_000), "1234 kWh"), (insights.energy(0), "0 Wh"),
    (insights.mass(123_456), "123 kg"), (insights.mass(2.7), "2.7 g"),
    (insights.money(0.0021, "EUR"), "0.002 EUR"), (insights.money(1234.567, "EUR"), "1234.57 EUR"),
    (insights.percent(63.4), "63 %"), (insights.percent(0.42), "0.4 %"), (insights.percent(0), "0 %"),
    (insights.duration(3 * 86400 + 4 * 3600), "3 d 4 h"), (insights.duration(125 * 60), "2 h 5 min"),
    (insights.duration(40), "40 s"),
    (insights.listed(["a"]), "a"), (insights.listed(["a", "b", "c"]), "a, b and c"),
])  # fmt: skip
def test_figures_are_written_as_people_write_them(text, wanted):
    assert text == wanted


def told(power, columns):
    """The sentences about these drivers."""
    one = statistics.CorrelationsWith(power)
    return insights.driver_sentences(
        power, {name: one.of(column) for name, column in columns.items()}, statistics.ols(power, columns, 5)
    )


def test_a_driver_is_told_with_what_its_rows_are_worth():
    dice = np.random.default_rng(1)
    bed = 60 + 5 * dice.normal(size=500)
    sentences = told(
        20 + 1.5 * bed + dice.normal(size=500), {"bed_temp_target": bed, "humidity_pct": dice.normal(size=500)}
    )
    assert sentences[0].startswith(
        "Of the drivers, the bed's target goes along most closely with the power "
        "(r = 0.99 over 500 rows that are worth "
    )
    assert sentences[1] == "Together the drivers explain 98 % of how the power varies."
    assert sentences[2].startswith("With the other drivers held, 10 °C more of the bed's target goes along with +15.")


def test_drivers_that_tell_the_same_get_no_figure_each():
    dice = np.random.default_rng(1)
    bed = 60 + 5 * dice.normal(size=500)
    sentences = told(
        20 + 1.5 * bed + dice.normal(size=500),
        {"bed_temp_target": bed, "bed_temp_actual": bed + 0.1 * dice.normal(size=500)},
    )
    assert sentences[2].startswith("The drivers tell much the same (VIF ") and sentences[2].endswith("choose fewer.")


def test_noise_is_called_chance_and_steady_power_needs_no_reason():
    dice = np.random.default_rng(4)
    assert (
        told(50 + 20 * dice.normal(size=400), {"humidity_pct": dice.normal(size=400)})[0]
        == "None of the drivers goes along with the power more than chance would have it."
    )
    assert told(7 + 0.05 * dice.normal(size=400), {"humidity_pct": dice.normal(size=400)}) == [
        "The power hardly varied (7.00 ± 0.05 W), so there is little for drivers to explain."
    ]


def test_time_of_which_nothing_is_known_is_no_phase():
    seconds, energy, known = (np.zeros(len(PHASES)) for _ in range(3))
    seconds[[PRINTING, HEATING, IDLE, NO_DATA]] = 5000, 40, 3000, 30_000
    energy[[PRINTING, HEATING, IDLE]] = 100, 10, 5
    known[[PRINTING, HEATING, IDLE]] = seconds[[PRINTING, HEATING, IDLE]]
    assert insights.phase_sentences(PhaseSums(seconds, energy, known, False)) == [
        "Printing took 13 % of the time and 87 % of the energy.",
        "Heating took 0.1 % of the time and 9 % of the energy.",
        "Idle took 8 % of the time and 4 % of the energy.",
    ]
