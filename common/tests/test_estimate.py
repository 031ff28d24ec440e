"""Estimates are kept apart from accounts."""

import re

from common.estimate import estimated
from common.files import ROOT

RATE = r"(?:[\w.]*(?:price|per_kwh|g_co2|co2_per)\w*|rate\[\"\w+\"\]|PRICE|G_CO2)"
PRODUCT = re.compile(rf"{RATE}\"?\]? *\*(?!\*)|[*/] *\(?{RATE}\b", re.IGNORECASE)
SOURCES = ("python-api/enms_api", "analysis", "grafana", "voice", "common")


def test_an_estimate_needs_a_rate():
    assert estimated(2.5, 0.3) == 0.75
    assert estimated(2.5, None) is None


def test_nothing_else_multiplies_energy_by_a_rate():
    """In Python only the estimate does; SQL outside the database's functions calls at_rate()."""
    assert PRODUCT.search("cost = kwh * price") and PRODUCT.search("wh / 1000 * rate.g_co2_per_kwh")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in SOURCES
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".sql") and "tests" not in path.parts
        for line in path.read_text(encoding="utf-8").splitlines()
        if PRODUCT.search(line)
    ]
    # the price of an hour that the demo makes cheaper is no product with energy
    assert [line for line in found if "cheaper_in_h" not in line] == [
        "common/estimate.py: return None if per_kwh is None else kwh * per_kwh"
    ]
