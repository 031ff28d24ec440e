"""Power models on disk: written with their hash, read only when it still matches, read again when replaced.

`$ENMS_STATE_DIR/models/best_model.joblib` holds the model of the whole fleet, `models/<printer model>/best_model.joblib` one of
a printer model; beside each stands `best_model.json`, the model card with the file's SHA-256, and a readable page.
"""

import hashlib
import io
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .features import Categories, names

MODEL, CARD = "best_model.joblib", "best_model.json"


class ModelRefused(Exception):
    """The file is not the one that its card describes; a sentence says so."""


def folder(state_dir=None, device_model=None):
    """Where the model of the fleet, or of one printer model, lives."""
    base = (
        Path(state_dir or os.environ.get("ENMS_STATE_DIR") or Path(os.environ.get("ENMS_RUN_DIR", ".run"), "state"))
        / "models"
    )
    return base / slug(device_model) if device_model else base


def slug(device_model):
    """A printer model's name as a folder name."""
    plain = re.sub(r"[^a-z0-9]+", "-", device_model.lower()).strip("-") or "model"
    return f"{plain[:40]}-{hashlib.sha256(device_model.encode()).hexdigest()[:6]}"


@dataclass
class Model:
    """A trained estimator, the features that it knows by name, and how its values were scaled."""

    kind: str
    estimator: object
    features: tuple
    categories: Categories
    scaler: dict | None
    version: str
    card: dict

    def predict(self, features):
        """Watts for each row of Features (never below zero)."""
        values = features.ordered(self.features)
        if not len(values):
            return np.empty(0)
        return np.maximum(self._watts(values), 0.0)

    def _watts(self, values):
        if self.kind == "xgboost":
            return self.estimator.inplace_predict(values, validate_features=False).astype(float)
        return predict_scaled(self.estimator, self.scaler, values)

    def contributions(self, features):
        """Watts that each feature adds to a row's prediction (SHAP values), and the base in the last column; XGBoost only."""
        matrix = xgboost().DMatrix(features.ordered(self.features))
        return self.estimator.predict(matrix, pred_contribs=True, validate_features=False)


def predict_scaled(estimator, scaler, values):
    """Watts of an estimator that needs known, standardised values: unknown ones count as the mean of the training."""
    filled = np.where(np.isnan(values), scaler["mean"], values)
    return estimator.predict((filled - scaler["mean"]) / scaler["scale"])


def xgboost():
    """The module, without the scikit-learn and pandas that it would load to look like them: a worker starts a second sooner and 100 MB smaller."""
    if "xgboost" not in sys.modules:
        absent = [name for name in ("sklearn", "pandas") if name not in sys.modules]
        sys.modules.update(dict.fromkeys(absent))  # None: "not installed"
        try:
            import xgboost
        finally:
            for name in absent:
                del sys.modules[name]
    return sys.modules["xgboost"]


def save(place, contents, card):
    """Writes a model (a dictionary, see `load`) and its card with the hash; each file is replaced in one step."""
    import joblib

    place.mkdir(parents=True, exist_ok=True)
    data = io.BytesIO()
    joblib.dump(contents, data, compress=3)
    body = data.getvalue()
    card = {**card, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
    _replace(place / MODEL, body)
    _replace(place / CARD, json.dumps(card, indent=1, ensure_ascii=False, sort_keys=True).encode())
    return card


def _replace(path, body):
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(body)
    os.replace(part, path)


def load(place):
    """The Model in a folder; raises FileNotFoundError or ModelRefused."""
    card = json.loads((place / CARD).read_text(encoding="utf-8"))
    body = (place / MODEL).read_bytes()
    # Unpickling runs code: nothing is unpacked before the hash is right.
    if hashlib.sha256(body).hexdigest() != card.get("sha256"):
        raise ModelRefused(
            f"The model file {MODEL} is not the one that its card describes (wrong hash). Train again: ./enms train"
        )
    import joblib

    contents = joblib.load(io.BytesIO(body))
    categories = Categories(*map(tuple, contents["categories"]))
    if not set(contents["features"]) <= set(names(categories)):
        raise ModelRefused(
            "The model was trained by another version of ENMS, with other features. Train again: ./enms train"
        )
    estimator = contents["estimator"]
    if contents["kind"] == "xgboost":
        estimator = xgboost().Booster()
        estimator.load_model(bytearray(contents["estimator"]))
        # There are several workers, and threads that wait for each other on busy cores cost more than they bring.
        estimator.set_param({"nthread": 1})
    return Model(
        contents["kind"],
        estimator,
        tuple(contents["features"]),
        categories,
        contents["scaler"],
        contents["version"],
        card,
    )


class Models:
    """The models of a state folder, each read once and again when its files change."""

    def __init__(self, state_dir=None):
        self._state_dir = state_dir
        self._known = {}

    def of(self, device_model):
        """(Model or None, sentence or None): the model for a printer model, else the fleet's; the sentence says why there is none.

        A file that was changed by somebody else is refused; the model that was loaded before it stays in use.
        """
        note = None
        for wanted in (device_model, None) if device_model else (None,):
            model, problem = self._loaded(folder(self._state_dir, wanted))
            if model:
                return model, note or problem
            note = note or problem
        return None, note or "No model has been trained yet: ./enms train makes one."

    def version(self):
        """A text that changes when any model file does."""
        base = folder(self._state_dir)
        return repr(
            sorted((str(path.parent.name), stamp) for path in base.glob(f"**/{MODEL}") if (stamp := _stamp(path)))
        )

    def _loaded(self, place):
        stamp = _stamp(place / MODEL), _stamp(place / CARD)
        known = self._known.get(place, (None, None, None))
        if stamp[0] is None or stamp[1] is None:
            self._known.pop(place, None)
            return None, None
        if known[0] != stamp:
            try:
                known = (stamp, load(place), None)
            except Exception as error:  # an unpickler of other library versions may raise anything, and an analysis goes on without a model
                sentence = (
                    str(error)
                    if isinstance(error, ModelRefused)
                    else f"The model file can't be read ({type(error).__name__}). Train again: ./enms train"
                )
                # Perhaps it is just being replaced: the next call looks again.
                known = (None, known[1], sentence)
            self._known[place] = known
        return known[1], known[2]


def _stamp(path):
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
