"""Rules that stand in one place: energy times a rate, the limit of plausibility, how long something holds."""

import re
from pathlib import Path

import pytest

DATABASE = Path(__file__).resolve().parents[1]
SOURCES = [*sorted((DATABASE / "functions").glob("*.sql")), DATABASE / "views.sql"]
FUNCTION = re.compile(r"CREATE (?:OR REPLACE )?FUNCTION (\w+)\(.*?\$(\w*)\$(.*?)\$\2\$", re.S)


def bodies():
    """{function: its text without comments}; of those that a block makes the text is in the block's."""
    found = {}
    for path in SOURCES:
        text = re.sub(r"--[^\n]*", "", path.read_text())
        found.update({name: body for name, _, body in FUNCTION.findall(text)})
        found[f"the rest of {path.name}"] = FUNCTION.sub("", text)
    return found


def places(pattern):
    return {name for name, body in bodies().items() if re.search(pattern, body)}


def test_every_body_is_looked_at():
    found = bodies()
    assert len(found) > 130 and {"at_rate", "plausible_wh", "refold", "ingest_energy", "holds"} <= set(found)


@pytest.mark.parametrize(
    "pattern, where",
    [
        (r"/ *1000(\.0)? *\*|\* *\S+ */ *1000\b", {"at_rate"}),
        (r"(price_per_kwh|g_co2_per_kwh|per_kwh) *\*|\* *(\w+\.)?(price_per_kwh|g_co2_per_kwh|p_per_kwh)", {"at_rate"}),
        (r"max_power_w *\* *\(", {"plausible_wh"}),
        (r"slack_s *\) */ *3600", {"plausible_wh"}),
        (r"interval '5 min", {"holds", "newest_allowed"}),
        (r"PARTITION OF|ATTACH PARTITION", {"ensure_months"}),
        (r"DROP TABLE series", {"drop_months"}),
    ],
)
def test_a_rule_stands_in_one_place(pattern, where):
    """Before: energy × rate six times, the limit five times."""
    assert places(pattern) == where
