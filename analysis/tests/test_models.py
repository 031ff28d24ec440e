"""Training and model files: only a certain gain is promoted, equal data and seed give an equal model, hashes count."""

import csv
import io
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import joblib
import numpy as np
import pytest

from analysis import candidates, explain, features, model_card, models, predictor, train_model
from analysis.core.states import States
from analysis.training_data import (
    FILE_STATES,
    Job,
    NoTrainingData,
    TrainingSet,
    from_csv,
    from_database,
    groups_of_jobs,
)

STATES = FILE_STATES.names


def fleet(prints=24, rows=60, seed=3, shuffled=False):
    """Rows of two printers whose power follows their heaters; `shuffled`: the power of other rows."""
    dice = np.random.default_rng(seed)
    parts = []
    for device, (model, rated) in {"A-1": ("MK4", 300.0), "B-1": ("XL", 550.0)}.items():
        for job in range(prints):
            at = 1_700_000_000_000_000 + (job * rows * 30 + np.arange(rows) * 30) * 1_000_000
            resting = job % 2 == 1
            target = 0.0 if resting else dice.choice([60.0, 85.0, 105.0])
            bed = np.full(rows, 25.0) if resting else np.minimum(target, 25 + np.arange(rows) * 8)
            state = np.where(bed < target - 1, STATES.index("heating"), STATES.index("idle" if resting else "printing"))
            power = (
                rated / 30
                + (bed < target - 1) * rated * 0.7
                + (target > 0) * 0.9 * (target - 22)
                + dice.normal(0, 1, rows)
            )
            columns = {name: np.full(rows, np.nan) for name in (*features.MEASURED, "temperature_c")}
            columns |= {
                "at": at,
                "state": state.astype(np.int64),
                "phase": np.where(state == 3, 0, np.where(state == 4, 1, 4)),
                "power_w": power,
                "bed_temp_actual": bed,
                "bed_temp_target": np.full(rows, target),
                "nozzle_temp_actual": np.full(rows, 25.0 if resting else 215.0),
                "nozzle_temp_target": np.full(rows, 0.0 if resting else 215.0),
                "rated_power_w": np.full(rows, rated),
                "idle_power_w": np.full(rows, rated / 30),
                "bed_width": np.full(rows, 250.0),
                "bed_depth": np.full(rows, 210.0),
            }
            columns |= {
                name: np.array([value] * rows, object)
                for name, value in (
                    ("device_id", device),
                    ("device_model", model),
                    ("material", "PLA"),
                    ("group", f"{device} {'rest' if resting else 'print'} {job}"),
                )
            }
            parts.append(columns)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["at"], kind="stable")
    columns = {name: values[order] for name, values in columns.items()}
    if shuffled:
        columns["power_w"] = dice.permutation(columns["power_w"])
    return TrainingSet(columns, "made for the test", FILE_STATES)


@pytest.fixture(autouse=True, scope="module")
def small_search():
    """Two small settings and one thread, so that a training takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "analysis.candidates.SETTINGS",
            {"linear": ({"alpha": 1.0},), "xgboost": ({"trees": 30, "depth": 4, "eta": 0.2},)},
        )
        patch.setattr("analysis.candidates.THREADS", 1)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder, card) of a promoted model."""
    place = tmp_path_factory.mktemp("state") / "models"
    return place, train_model.train(fleet(), place, say=lambda text: None)


def settle(trained, place, version=None):
    """The promoted model in another folder, under another version if one is given."""
    if version is None:
        shutil.copytree(trained[0], place)
    else:
        models.save(place, {**contents_of(trained), "version": version}, trained[1])


def contents_of(trained) -> models.Contents:
    """What the promoted model's file contains."""
    return joblib.load(trained[0] / models.MODEL)


def model_of(known, device_model) -> models.Model:
    """The model for a printer model, which must be there."""
    model, _ = known.of(device_model)
    assert model
    return model


def printing_rows(n=5, **more):
    """The features of n rows of a printing printer, as a function of categories."""
    statuses = (
        {name: np.full(n, np.nan) for name in features.MEASURED}
        | {
            "state": np.full(n, STATES.index("printing")),
            "bed_temp_target": np.linspace(50, 100, n),
            "bed_temp_actual": np.linspace(50, 100, n),
            "nozzle_temp_target": np.full(n, 215.0),
            "nozzle_temp_actual": np.full(n, 215.0),
        }
        | more
    )
    device = {"rated_power_w": 300, "idle_power_w": 10, "bed_width": 250, "bed_depth": 210, "device_model": "MK4"}
    return lambda categories: features.build(statuses, ["PLA"] * n, np.full(n, np.nan), device, categories, FILE_STATES)


def test_a_gain_is_promoted_with_a_card(trained):
    place, card = trained
    assert card["promoted"] and card["job_out"]["gain_percent"] > 40 and card["job_out"]["gain_95"][0] > 0
    assert {"baseline", "linear", "xgboost"} == set(card["held_out"])
    assert {"Heating", "Printing", "Idle"} == set(card["job_out"]["by_phase"]) and {"A-1", "B-1"} == set(
        card["job_out"]["by_device"]
    )
    stored = json.loads((place / models.CARD).read_text())
    assert stored["sha256"] and stored["version"] == card["version"] and stored["limits"]
    page = (place / "best_model.html").read_text()
    assert card["decision"].split(":")[0] in page and "Known limits" in page


def test_model_predicts_what_it_learnt(trained):
    model = models.load(trained[0])
    watts = model.predict(printing_rows()(model.categories))
    assert np.allclose(watts, 10 + 0.9 * (np.linspace(50, 100, 5) - 22), atol=15)


def test_shuffled_power_is_not_promoted_and_the_old_model_stays(trained, tmp_path):
    place = tmp_path / "models"
    settle(trained, place)
    before = (place / models.MODEL).read_bytes()
    card = train_model.train(fleet(shuffled=True), place, say=lambda text: None)
    assert not card["promoted"] and card["decision"].startswith("Not promoted")
    assert (place / models.MODEL).read_bytes() == before
    assert json.loads((place / models.CARD).read_text())["promoted"] is True
    assert json.loads((place / "last_training.json").read_text())["promoted"] is False


def test_same_data_and_seed_give_the_same_model(trained, tmp_path):
    again = train_model.train(fleet(), tmp_path / "again", say=lambda text: None)
    other = train_model.train(fleet(), tmp_path / "other", seed=1, say=lambda text: None)
    assert (tmp_path / "again" / models.MODEL).read_bytes() == (trained[0] / models.MODEL).read_bytes()
    assert again["version"] == trained[1]["version"] != other["version"]
    assert again["job_out"] == trained[1]["job_out"]


def test_a_forest_is_the_same_to_the_last_bit(monkeypatch):
    """Two threads added the trees in any order, and the bytes after a node's last field were whatever was in memory."""
    monkeypatch.setattr(candidates, "THREADS", 2)
    data = fleet()
    values, watts = data.features(data.categories()).values, data.columns["power_w"]
    settings = {"trees": 30, "leaf": 5}
    first, second = (candidates.fit("random_forest", settings, values, watts, 0) for _ in range(2))
    predicted = first.predict(values)
    assert all(np.array_equal(fitted.predict(values), predicted) for fitted in [first, second] * 5)
    for tree in second.estimator.estimators_:
        nodes = tree.tree_.__getstate__()["nodes"]
        nodes.view(np.uint8).reshape(len(nodes), -1)[:, -1] = 255  # beyond the fields
    candidates.reproducible(second.estimator)
    files = [io.BytesIO(), io.BytesIO()]
    for file, fitted in zip(files, (first, second)):
        joblib.dump(fitted.estimator, file)
    assert files[0].getvalue() == files[1].getvalue()
    assert np.array_equal(second.predict(values), predicted)


def test_constant_power_has_no_r_squared():
    """The mean of 7.3 repeated is not exactly 7.3."""
    assert explain.evaluation(np.full(9, 7.3), np.full(9, 8.0)).r2 is None


def test_other_data_have_another_fingerprint():
    assert fleet().fingerprint() == fleet().fingerprint() != fleet(seed=4).fingerprint()


def test_changed_file_is_refused_and_the_loaded_model_stays(trained, tmp_path):
    place = models.folder(tmp_path)
    settle(trained, place)
    known = models.Models(tmp_path)
    model, note = known.of("MK4")
    assert model and note is None
    body = bytearray((place / models.MODEL).read_bytes())
    body[len(body) // 2] ^= 1
    (place / models.MODEL).write_bytes(body)
    with pytest.raises(models.ModelRefused, match="wrong hash"):
        models.load(place)
    kept, note = known.of("MK4")
    assert kept is model and note and "wrong hash" in note
    assert models.Models(tmp_path).of("MK4") == (None, note)


def test_nothing_is_unpacked_before_the_hash_is_right(tmp_path):
    """A pickle that would run code is never opened."""
    import pickle

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / models.MODEL).write_bytes(pickle.dumps(Bomb()))
    (tmp_path / models.CARD).write_text(json.dumps({"sha256": "0" * 64}))
    with pytest.raises(models.ModelRefused):
        models.load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_replaced_model_is_read_again_and_a_removed_one_is_gone(trained, tmp_path):
    place, known = models.folder(tmp_path), models.Models(tmp_path)
    assert known.of("MK4")[0] is None
    settle(trained, place)
    first, before = model_of(known, "MK4"), known.version()
    settle(trained, place, "another")
    assert model_of(known, "MK4").version == "another" != first.version and known.version() != before
    shutil.rmtree(place)
    assert known.of("MK4")[0] is None


def test_a_printer_model_may_have_its_own(trained, tmp_path):
    known = models.Models(tmp_path)
    settle(trained, models.folder(tmp_path))
    settle(trained, models.folder(tmp_path, "Prusa XL"), "its own")
    assert model_of(known, "Prusa XL").version == "its own"
    assert model_of(known, "Prusa MK4").version.endswith("-0") and model_of(known, None).version.endswith("-0")


def test_features_in_another_order_predict_the_same_and_other_features_are_refused(trained):
    model = models.load(trained[0])
    known = printing_rows()(model.categories)
    order = np.random.default_rng(0).permutation(len(known.names))
    mixed = features.Features(tuple(known.names[i] for i in order), known.values[:, order])
    assert np.array_equal(model.predict(mixed), model.predict(known))
    with pytest.raises(ValueError, match="other features"):
        model.predict(features.Features(known.names[:-1], known.values[:, :-1]))
    with pytest.raises(ValueError, match="other features"):
        model.predict(features.Features((*known.names[:-1], "telepathy"), known.values))


def test_a_model_of_other_features_or_libraries_is_a_note_not_a_failure(trained, tmp_path):
    place, known = models.folder(tmp_path), models.Models(tmp_path)
    contents = contents_of(trained)
    models.save(place, {**contents, "features": [*contents["features"][:-1], "telepathy"]}, {})
    model, note = known.of("MK4")
    assert model is None and note and "another version" in note
    models.save(place, {**contents, "estimator": b"what only another library can read"}, {})
    model, note = known.of("MK4")
    assert model is None and note and "can't be read (XGBoostError). Train again" in note


def test_at_rest_it_does_not_matter_what_a_printer_says_of_its_last_print(trained):
    model = models.load(trained[0])
    idle = np.full(5, STATES.index("idle"))
    silent, talkative = (
        printing_rows(state=idle)(model.categories),
        printing_rows(state=idle, z_height_mm=np.full(5, 48.2), progress_percent=np.full(5, 100.0))(model.categories),
    )
    assert np.array_equal(silent.values, talkative.values, equal_nan=True)
    busy = printing_rows(z_height_mm=np.full(5, 48.2))(model.categories)
    assert (busy.values[:, busy.names.index("z_height_mm")] == np.float32(48.2)).all()


def test_a_state_that_is_added_has_the_feature_of_its_phase():
    rows = [
        (40, "purging", "productive", "Heating"),
        (41, "jammed", "down", "Active"),
        (42, "sleeping", "ready", "Idle"),
    ]
    states = States(rows)
    statuses = {name: np.full(3, 1.0) for name in features.MEASURED} | {"state": states.places(np.array([40, 41, 42]))}
    device: dict[str, float | None] = dict.fromkeys(features.DEVICE_COLUMNS)
    known = features.build(statuses, [None] * 3, np.full(3, np.nan), device, features.Categories(), states)
    by_name = {name: known.values[:, known.names.index(name)].tolist() for name in features.STATE_FEATURES}
    assert by_name == {
        "state_heating": [1, 0, 0],
        "state_printing": [0, 0, 0],
        "state_paused": [0, 0, 0],
        "state_resting": [0, 0, 1],
        "state_error": [0, 1, 0],
    }
    # the progress of a print is one of a print
    assert np.isnan(known.values[:, known.names.index("progress_percent")]).tolist() == [False, True, True]


def test_the_states_of_printers_have_the_features_that_models_were_trained_with():
    """A model of an earlier version still means the same by them."""
    features_of = {
        "state_heating": ("heating",),
        "state_printing": ("printing",),
        "state_paused": ("paused", "attention"),
        "state_resting": ("idle", "ready", "finished", "cancelled"),
        "state_error": ("error", "unknown"),
    }
    n = len(STATES)
    statuses = {name: np.full(n, 1.0) for name in features.MEASURED} | {"state": np.arange(n)}
    device: dict[str, float | None] = dict.fromkeys(features.DEVICE_COLUMNS)
    known = features.build(statuses, [None] * n, np.full(n, np.nan), device, features.Categories(), FILE_STATES)
    for name, members in features_of.items():
        column = known.values[:, known.names.index(name)]
        assert {state for state, value in zip(STATES, column) if value} == set(members), name


def test_a_worker_loads_xgboost_without_what_it_does_not_need():
    code = (
        "import sys; from analysis.models import xgboost; assert xgboost().Booster; "
        "assert not {'sklearn', 'pandas'} & set(sys.modules); "
        "from importlib.util import find_spec; assert find_spec('sklearn') and find_spec('pandas')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_contributions_sum_to_the_prediction(trained):
    model = models.load(trained[0])
    known = printing_rows()(model.categories)
    if model.kind == "xgboost":
        assert np.allclose(model.contributions(known).sum(axis=1), model.predict(known), atol=1e-3)


def test_groups_never_share_a_print():
    data = fleet()
    work = train_model.Workbench(data, 0)
    number = work.number
    early, late = work.by_time()
    assert not set(number[early]) & set(number[late])
    assert data.columns["at"][early].max() < data.columns["at"][late].min()
    for learn, check in work.folds(np.arange(len(data)), 5):
        assert not set(number[learn]) & set(number[check]) and len(learn) + len(check) == len(data)


def test_rows_between_prints_are_groups_of_their_own():
    jobs = [Job(10.0, 20.0), Job(30.0, float("inf"))]
    at = np.array([5, 10, 19, 20, 29, 30, 99]) * 1_000_000
    names = groups_of_jobs("P", at, jobs)
    assert names[1] == names[2] != names[3] == names[4] != names[5] == names[6]
    assert len(set(names)) == 4


def test_too_little_data_is_refused(tmp_path):
    with pytest.raises(NoTrainingData, match="Too little"):
        train_model.train(fleet(prints=2), tmp_path, say=lambda text: None)


def test_training_from_a_csv(tmp_path, monkeypatch, capsys):
    data = fleet(prints=12).columns
    path = tmp_path / "own.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "timestamp",
                "device_id",
                "device_model",
                "state",
                "power_watts",
                "bed_temp_actual",
                "bed_temp_target",
                "nozzle_temp_target",
                "job",
                "material",
            ]
        )
        for i in range(len(data["at"])):
            when = datetime.fromtimestamp(data["at"][i] / 1e6, UTC).isoformat()
            writer.writerow(
                [
                    when,
                    data["device_id"][i],
                    data["device_model"][i],
                    STATES[data["state"][i]],
                    data["power_w"][i],
                    data["bed_temp_actual"][i],
                    data["bed_temp_target"][i],
                    data["nozzle_temp_target"][i],
                    data["group"][i],
                    "PLA",
                ]
            )
    assert train_model.main(["--csv", str(path), "--state-dir", str(tmp_path)]) == 0
    assert "Promoted" in capsys.readouterr().out
    assert (tmp_path / "models" / models.MODEL).exists()
    assert train_model.main(["--csv", str(path), "--device-model", "none such", "--state-dir", str(tmp_path)]) == 1


def test_two_lines_of_the_same_time_have_no_heating_rate(tmp_path):
    path = tmp_path / "own.csv"
    seconds, nozzle = (0, 10, 10, 20), (200, 210, 211, 221)
    lines = [f"2026-01-01T00:00:{s:02}Z,printing,5,{celsius}" for s, celsius in zip(seconds, nozzle)]
    path.write_text("\n".join(["timestamp,state,power_watts,nozzle_temp_actual", *lines]))
    rate = from_csv(path).columns["nozzle_rate"]
    assert rate == pytest.approx([np.nan, 60, np.nan, 60], nan_ok=True)


@pytest.mark.parametrize(("line", "reason"), [
    ("2026-01-01T00:00:00Z,dancing,5", "unknown state"), ("yesterday,printing,5", "no ISO 8601"),
    ("2026-01-01T00:00:00,printing,5", "offset"), ("2026-01-01T00:00:00Z,printing,much", "no number"),
    ("2026-01-01T00:00:00Z,printing,nan", "not finite"),
])  # fmt: skip
def test_a_bad_csv_names_the_line(tmp_path, line, reason):
    path = tmp_path / "bad.csv"
    path.write_text(f"timestamp,state,power_watts\n2026-01-01T00:00:00Z,idle,5\n{line}\n")
    with pytest.raises(NoTrainingData, match=f"line 3: .*{reason}"):
        from_csv(path)


def test_a_csv_without_its_columns_or_file(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("timestamp,power_watts\n")
    with pytest.raises(NoTrainingData, match="state is missing"):
        from_csv(path)
    with pytest.raises(NoTrainingData, match="can't be read"):
        from_csv(tmp_path / "none.csv")
    path.write_bytes("timestamp,state,power_watts,material\n2026-01-01T00:00:00Z,idle,5,grün\n".encode("latin-1"))
    with pytest.raises(NoTrainingData, match="no CSV file in UTF-8"):
        from_csv(path)


@pytest.fixture
def printing(plant):
    """A printer in print right now, with half an hour of statuses and readings."""
    now = datetime.now(UTC).replace(microsecond=0)
    device = plant.printer(
        device_model="MK4",
        rated_power_w=300,
        idle_power_w=10,
        bed_width=250,
        bed_depth=210,
        source="prusalink",
        api_ip="127.0.0.1",
        api_key="k",
    )
    plant.ingest(
        plant.meter(device=device), [(now - timedelta(seconds=s), 1000 - s / 36, 100.0) for s in range(1800, 0, -10)]
    )
    plant.statuses(
        device,
        [
            (
                now - timedelta(seconds=s),
                "printing",
                {
                    "bed_temp_actual": 60 - s / 1000,
                    "bed_temp_target": 60,
                    "nozzle_temp_actual": 215,
                    "nozzle_temp_target": 215,
                    "material": "PLA",
                },
            )
            for s in range(1800, 0, -30)
        ],
    )
    return device


def test_live_prediction_sees_what_the_analysis_sees(database, dataset_of, printing, trained):
    """The newest row of the data set and the live predictor give the same features, so the same watts."""
    model = models.load(trained[0])

    class Always(models.Models):
        def of(self, device_model):
            return model, None

    with database.snapshot() as snapshot:
        answer = predictor.predict(snapshot, Always())
    now = datetime.now(UTC)
    data = dataset_of(printing, now - timedelta(minutes=20), now)
    live = next(row for row in answer["rows"] if row["device_id"] == printing)
    last = np.flatnonzero(data.rows["status"] == data.rows["status"].max())[-1:]
    assert live["predicted_power_watts"] == pytest.approx(
        float(model.predict(features.of_dataset(data, model.categories, last))[0]), abs=0.01
    )
    assert live["model_version"] == model.version and live["timestamp"].endswith("Z")


def test_predictions_answer_for_all_and_say_why_not(plant, service, printing, trained, tmp_path):
    assert service.predict_all()["rows"] == [] and "No model" in service.predict_all()["note"]
    settle(trained, models.folder(tmp_path))
    answer = service.predict_all()
    assert printing in [row["device_id"] for row in answer["rows"]] and answer["error"] is None
    assert set(answer["rows"][0]) == {"device_id", "timestamp", "predicted_power_watts", "model_version"}


def test_a_printer_that_is_asked_rarely_is_predicted_while_its_status_holds(plant, service, trained, tmp_path):
    settle(trained, models.folder(tmp_path))
    now, printers = datetime.now(UTC), {}
    for interval, age in ((10, 400), (1800, 4000), (1800, 5500)):
        printers[interval, age] = plant.printer(data_interval_seconds=interval, device_model="MK4")
        plant.statuses(printers[interval, age], [(now - timedelta(seconds=age), "printing")])
    found = {row["device_id"] for row in service.predict_all()["rows"]}
    assert {key for key, device in printers.items() if device in found} == {(1800, 4000)}


def test_analysis_with_a_model_has_its_parts(service, printing, trained, tmp_path):
    settle(trained, models.folder(tmp_path))
    results = service.analyze({"deviceId": printing, "timeRange": "1h"})["results"]
    summary = results["ml_prediction_summary"]
    assert summary["available"] and summary["actual_kwh"] == pytest.approx(results["summary"]["total_kwh"], rel=0.01)
    assert results["ml_evaluation_metrics"]["n"] == summary["n"] > 100
    assert results["ml_top_drivers"] or summary["model_type"] != "xgboost"
    assert any(value is not None for value in results["series"]["predicted"])


def test_training_on_rows_of_the_database(plant, database, printing):
    now = datetime.now(UTC)
    plant.one(
        "SELECT import_job(%s)",
        json.dumps(
            {
                "device_id": printing,
                "filename": "a.gcode",
                "start_time": (now - timedelta(minutes=25)).isoformat(),
                "end_time": (now - timedelta(minutes=10)).isoformat(),
                "status": "done",
            }
        ),
    )
    data = from_database(database, now - timedelta(days=9), now, "MK4")
    mine = data.columns["device_id"] == printing
    assert mine.sum() == 179 or mine.sum() == 180
    assert len(set(data.columns["group"][mine])) == 3
    with pytest.raises(NoTrainingData, match="No printer of model"):
        from_database(database, now - timedelta(days=9), now, "unheard of")


def test_card_escapes_what_comes_from_outside(trained):
    card = trained[1] | {"device_model": "<script>alert(1)</script>"}
    assert "<script>" not in model_card.page(card)
