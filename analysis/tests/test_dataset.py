"""The data set builder against the plain SQL that it replaces: the same rows, on small random data."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import AsIs

from analysis.core.database import decode, query_layout
from analysis.core.states import PHASES, States
from analysis.core.times import instant, micros
from analysis.dataset import build, device_of, states_of
from analysis.request import DRIVERS
from analysis.training_data import FILE_HOLDS_US, FILE_STATES

PLAIN = """
SELECT e.timestamp, e.power_watts, s.state, s.material, s.nozzle_temp_actual, s.bed_temp_target, s.progress_percent,
       s.is_printing, t.temperature_c, h.humidity_pct
FROM energy_data e
LEFT JOIN LATERAL (SELECT * FROM printer_status s WHERE s.device_id = %(device)s AND s.timestamp <= e.timestamp
                   AND s.timestamp >= e.timestamp - interval '5 minutes' ORDER BY s.timestamp DESC LIMIT 1) s ON true
LEFT JOIN LATERAL (SELECT c.temperature_c FROM environment_data c
                   WHERE c.location_id = %(place)s AND c.temperature_c IS NOT NULL
                   AND c.timestamp BETWEEN e.timestamp - interval '15 minutes' AND e.timestamp + interval '15 minutes'
                   ORDER BY abs(extract(epoch FROM c.timestamp - e.timestamp)), c.timestamp LIMIT 1) t ON true
LEFT JOIN LATERAL (SELECT c.humidity_pct FROM environment_data c
                   WHERE c.location_id = %(place)s AND c.humidity_pct IS NOT NULL
                   AND c.timestamp BETWEEN e.timestamp - interval '15 minutes' AND e.timestamp + interval '15 minutes'
                   ORDER BY abs(extract(epoch FROM c.timestamp - e.timestamp)), c.timestamp LIMIT 1) h ON true
WHERE e.meter_id = %(meter)s AND e.timestamp > %(start)s AND e.timestamp <= %(end)s
ORDER BY e.timestamp
"""

SECONDS = st.integers(0, 3600)
TEMPERATURE = st.one_of(st.none(), st.sampled_from([20.0, 60.5, 215.0]))


def number(value):
    """None for NaN."""
    return None if np.isnan(value) else float(value)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    readings=st.lists(SECONDS, min_size=1, max_size=12, unique=True),
    statuses=st.lists(
        st.tuples(SECONDS, st.sampled_from(FILE_STATES.names), TEMPERATURE, st.sampled_from([None, "PLA", "PETG"])),
        max_size=10,
        unique_by=lambda s: s[0],
    ),
    climate=st.lists(
        st.tuples(
            st.integers(-2000, 5000),
            st.one_of(st.none(), st.sampled_from([15.5, 20.25, 30.0])),
            st.one_of(st.none(), st.sampled_from([20.0, 47.5, 80.0])),
        ),
        max_size=8,
        unique_by=lambda c: c[0],
    ),
    cut=st.tuples(st.integers(-10, 1800), st.integers(1801, 3700)),
)
@example(readings=[1801], statuses=[(1801, "idle", 20.0, "PLA")], climate=[], cut=(0, 1801))  # all at the very end
def test_same_rows_as_lateral_sql(plant, dataset_of, readings, statuses, climate, cut):
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=20)
    at = lambda s: begin + timedelta(seconds=s)
    device = plant.printer()
    plant.printer(device, location=f"room of {device}")
    meter = plant.meter(device=device)
    plant.ingest(meter, [(at(s), 100 + s * 0.02, float(s % 200)) for s in sorted(readings)])
    if statuses:
        plant.statuses(
            device,
            [
                (
                    at(s),
                    state,
                    {
                        "nozzle_temp_actual": t,
                        "bed_temp_target": t,
                        "progress_percent": None if t is None else 50,
                        "is_printing": None if t is None else state == "printing",
                        "material": material,
                    },
                )
                for s, state, t, material in statuses
            ],
        )
    if climate:
        plant.climate(f"room of {device}", [(at(s), t, h) for s, t, h in climate])
    # two other rooms, so that none is the only one
    plant.climate("cellar", [(begin, 10, 90)])
    plant.climate("attic", [(begin, 40, 10)])
    start, end = at(cut[0]), at(cut[1])
    with plant.connection.cursor() as cursor:
        cursor.execute(
            PLAIN, {"device": device, "meter": meter, "place": f"room of {device}", "start": start, "end": end}
        )
        wanted = cursor.fetchall()
    data = dataset_of(device, start, end)
    found = data.rows["status"]
    nozzle, bed, progress, printing = (
        data.status_values(name)
        for name in ("nozzle_temp_actual", "bed_temp_target", "progress_percent", "is_printing")
    )
    ours = [
        (
            instant(data.rows["at"][i]),
            data.rows["power_w"][i],
            data.states.names[data.statuses["state"][found[i]]] if found[i] >= 0 else None,
            data.materials.get(data.statuses["material"][found[i]]) if found[i] >= 0 else None,
            number(nozzle[i]),
            number(bed[i]),
            number(progress[i]),
            None if np.isnan(printing[i]) or printing[i] < 0 else bool(printing[i]),
            number(data.rows["temperature_c"][i]),
            number(data.rows["humidity_pct"][i]),
        )
        for i in range(len(found))
    ]
    assert ours == wanted


def test_only_very_frequent_climate_is_thinned(plant, dataset_of, monkeypatch):
    """A sensor every ten minutes is read whole over days; one every half minute counts every five minutes."""
    monkeypatch.setattr("analysis.dataset.CLIMATE_ROWS", 1_000)
    end = datetime.now(UTC).replace(microsecond=0)
    start = end - timedelta(days=3)
    for every, near_s in ((600, 0), (30, 300)):
        device = plant.printer()
        plant.printer(device, location=f"hall of {device}")
        plant.ingest(
            plant.meter(device=device),
            [(start + timedelta(seconds=i), 10 + i / 100, 36.0) for i in range(600, 3 * 86400, 600)],
        )
        plant.climate(
            f"hall of {device}", [(start + timedelta(seconds=i), float(i), None) for i in range(0, 3 * 86400, every)]
        )
        data = dataset_of(device, start, end)
        off = np.abs(data.rows["temperature_c"] - (data.rows["at"] - micros(start)) / 1e6)
        assert len(off) > 400 and off.max() <= near_s


def test_climate_is_read_where_there_are_rows(plant, database, monkeypatch, at):
    """A range may reach back over years from which nothing is known; looking for climate there took many seconds."""
    monkeypatch.setattr("analysis.dataset.CLIMATE_ROWS", 0)
    device = plant.printer()
    plant.printer(device, location=f"yard of {device}")
    plant.ingest(plant.meter(device=device), [(at(s), 10 + s / 100, 36.0) for s in range(0, 7200, 10)])
    plant.climate(f"yard of {device}", [(at(s), 20.0, None) for s in range(0, 7200, 60)])
    with database.snapshot() as snapshot:
        asked = []
        columns = snapshot.columns
        snapshot.columns = lambda query, **parameters: asked.append((query, parameters)) or columns(query, **parameters)
        data = build(
            snapshot,
            device_of(snapshot, device),
            micros(datetime(2001, 1, 1, tzinfo=UTC)),
            micros(at(7200)),
        )
    assert (data.rows["temperature_c"] == 20).all() and len(data.rows["at"])
    (climate,) = [parameters for query, parameters in asked if query == "environment_thinned"]
    assert climate["from"] >= at(-3600) and climate["to"] <= at(7200)


def test_layouts_name_what_the_queries_return(database, at):
    """A column that is NULL or of another type than its file says is an error, not a shifted number."""
    with database.snapshot() as snapshot:
        for query in (
            "readings",
            "statuses",
            "environment",
            "environment_thinned",
            "rollup",
        ):
            empty = snapshot.columns(
                query,
                meter_key=-1,
                device_key=-1,
                holds_s=300.0,
                table=AsIs("series.energy_1min"),
                place=-1,
                step_min=5,
                **{"from": at(0), "to": at(3600)},
            )
            assert list(empty) == [name for name, _ in query_layout(query)]
            assert all(len(column) == 0 for column in empty.values())
    with pytest.raises(ValueError, match="layout"):
        decode(b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\x00\x01\xff\xff\xff\xff" + b"\xff\xff", (("at", "time"),))


def test_states_are_rows(plant, dataset_of, database, at):
    """Each status has the state that was recorded, also one that was added and one whose row is gone."""
    plant.all(
        "INSERT INTO states (state_key, state, name, class, phase) VALUES"
        " (-5, 'drying', 'Drying', 'productive', 'Heating'), (900, 'gone', 'Gone', 'ready', 'Idle')"
    )
    device = plant.printer()
    names = [name for (name,) in plant.all("SELECT state FROM states WHERE state <> 'no_data' ORDER BY random()")]
    plant.statuses(device, [(at(10 * i), state) for i, state in enumerate(names)])
    plant.all("DELETE FROM states WHERE state = 'gone'")
    data = dataset_of(device, at(0), at(3600))
    known = [*data.states.names, "gone"]
    assert [known[place] for place in data.statuses["state"]] == names
    phases = dict(plant.all("SELECT state, phase FROM states"))
    # a phase of which the analysis has not heard is activity
    known_phases = {name: phase if phase in PHASES else "Active" for name, phase in phases.items()}
    assert [known_phases.get(name, "No data") for name in names] == [PHASES[phase] for phase in data.statuses["phase"]]
    with database.snapshot() as snapshot:
        assert states_of(snapshot).places(np.array([-5, 4, 899])).tolist() == [0, 5, len(data.states.names)]
    plant.all("DELETE FROM states WHERE state = 'drying'")


def test_no_state_at_all_is_no_fault():
    nothing = States(())
    assert nothing.places(np.array([4, -1])).tolist() == [0, 0] and nothing.names == ()
    assert PHASES[nothing.phase[0]] == "No data" and nothing.trouble[0] and not nothing.off[0]


def test_a_file_has_the_states_of_a_new_database(plant):
    """Training from a file has no database beside it."""
    rows = plant.all("SELECT state_key, state, class, phase FROM states WHERE state_key BETWEEN 0 AND 10")
    wanted = States(rows)
    assert FILE_STATES.names == wanted.names
    for name in ("phase", "off", "trouble"):
        assert getattr(FILE_STATES, name).tolist() == getattr(wanted, name).tolist()
    assert plant.one("SELECT extract(epoch FROM holds(10))") * 1_000_000 == FILE_HOLDS_US


def test_every_driver_is_a_column(plant, dataset_of, at):
    from analysis.report import driver_columns

    device = plant.printer()
    plant.ingest(plant.meter(device=device), [(at(s), s / 100, 36.0) for s in range(0, 600, 10)])
    plant.statuses(
        device,
        [
            (
                at(s),
                "printing",
                {
                    "nozzle_temp_actual": 200,
                    "nozzle_temp_target": 210,
                    "bed_temp_actual": 60,
                    "bed_temp_target": 60,
                    "z_height_mm": 1,
                    "is_printing": True,
                    "speed_multiplier_percent": 100,
                    "progress_percent": 5,
                    "material": "PLA",
                },
            )
            for s in range(0, 600, 30)
        ],
    )
    data = dataset_of(device, at(0), at(600))
    data.rows["temperature_c"][:] = data.rows["humidity_pct"][:] = 20.0
    columns, notes = driver_columns(data, DRIVERS)
    assert {name.partition("=")[0] for name in columns} == set(DRIVERS) and not notes
