"""Power models on disk: written with their hash, read only when it still matches, read again when replaced.

`$ENMS_STATE_DIR/models/best_model.joblib` is the model of the whole fleet, `models/<printer model>/best_model.joblib`
that of one printer model; next to each is `best_model.json`, the model card with the file's SHA-256, and a readable
page.
"""

import hashlib
import importlib
import io
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from .features import Categories, Features, names

MODEL, CARD = "best_model.joblib", "best_model.json"

Kind = Literal["linear", "random_forest", "xgboost"]


class Scaler(TypedDict):
    """Mean and standard deviation of each feature in the training, shape (features,)."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]


class Contents(TypedDict):
    """What a model file contains. `estimator`: XGBoost's own format (UBJSON), else a scikit-learn estimator.

    `categories`: materials and printer models. `scaler`: None for XGBoost, which takes values as they are.
    """

    kind: Kind
    estimator: Any
    features: list[str]
    categories: list[list[str]]
    scaler: Scaler | None
    version: str
    metrics: NotRequired[dict[str, Any] | None]
    fingerprint: NotRequired[str]


class ModelRefused(Exception):
    """The file is not the one that its card describes; its text is a sentence about that."""


def folder(state_dir: str | Path | None = None, device_model: str | None = None) -> Path:
    """Where the model of the fleet, or of one printer model, is. Without `state_dir`: ENMS_STATE_DIR."""
    state = state_dir or os.environ.get("ENMS_STATE_DIR") or Path(os.environ.get("ENMS_RUN_DIR", ".run"), "state")
    base = Path(state) / "models"
    return base / slug(device_model) if device_model else base


def slug(device_model: str) -> str:
    """A printer model's name as a folder name."""
    plain = re.sub(r"[^a-z0-9]+", "-", device_model.lower()).strip("-") or "model"
    return f"{plain[:40]}-{hashlib.sha256(device_model.encode()).hexdigest()[:6]}"


@dataclass(frozen=True, slots=True)
class Model:
    """A trained estimator, the features that it knows by name, and how its values were scaled.

    `card` is the decoded best_model.json.
    """

    kind: Kind
    estimator: Any
    features: tuple[str, ...]
    categories: Categories
    scaler: Scaler | None
    version: str
    card: dict[str, Any]

    def predict(self, features: Features) -> NDArray[np.float64]:
        """W for each row, never below zero; raises ValueError when a feature is missing."""
        values = features.ordered(self.features)
        if not len(values):
            return np.empty(0)
        return np.maximum(estimate(self.estimator, self.scaler, values), 0.0)

    def contributions(self, features: Features) -> NDArray[np.float32]:
        """W that each feature adds to a row's prediction (SHAP values), shape (rows, features + 1); XGBoost only.

        The last column is the base, the mean of the training.
        """
        matrix = xgboost().DMatrix(features.ordered(self.features))
        return self.estimator.predict(matrix, pred_contribs=True, validate_features=False)


def estimate(estimator: Any, scaler: Scaler | None, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """What an estimator makes of values of shape (rows, features): W, shape (rows,).

    XGBoost, which has no scaler, takes unknown values; for the others they count as the mean of the training.
    """
    if scaler is None:
        return estimator.inplace_predict(values, validate_features=False).astype(float)
    return estimator.predict(scaled(scaler, values))


def scaled(scaler: Scaler, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The values standardised, unknown ones as 0."""
    return (np.where(np.isnan(values), scaler["mean"], values) - scaler["mean"]) / scaler["scale"]


def xgboost() -> ModuleType:
    """The module, without the scikit-learn and pandas that it would load to look like them.

    A worker so starts a second sooner and is 100 MB smaller.
    """
    if "xgboost" not in sys.modules:
        absent = [name for name in ("sklearn", "pandas") if name not in sys.modules]
        # None means "not installed" to the import system, which the annotation of sys.modules doesn't know.
        modules: dict[str, Any] = sys.modules
        modules.update(dict.fromkeys(absent))
        try:
            importlib.import_module("xgboost")
        finally:
            for name in absent:
                del sys.modules[name]
    return sys.modules["xgboost"]


def save(place: Path, contents: Contents, card: Mapping[str, Any]) -> dict[str, Any]:
    """Writes a model and its card into the folder `place`, each in one step; returns the card with the hash."""
    import joblib

    place.mkdir(parents=True, exist_ok=True)
    data = io.BytesIO()
    joblib.dump(contents, data, compress=3)
    body = data.getvalue()
    complete = {**card, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
    replace(place / MODEL, body)
    write_card(place / CARD, complete)
    return complete


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Writes a card as JSON, in one step."""
    replace(path, json.dumps(card, indent=1, ensure_ascii=False, sort_keys=True).encode())


def replace(path: Path, body: bytes) -> None:
    """Writes a file so that a reader sees the old or the new one, never half of it."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(body)
    os.replace(part, path)


def load(place: Path) -> Model:
    """The Model in a folder; raises FileNotFoundError or ModelRefused."""
    card = json.loads((place / CARD).read_text(encoding="utf-8"))
    body = (place / MODEL).read_bytes()
    # Unpickling runs code: nothing is unpacked before the hash is right.
    if hashlib.sha256(body).hexdigest() != card.get("sha256"):
        raise ModelRefused(
            f"The model file {MODEL} is not the one that its card describes (wrong hash). Train again: ./enms train"
        )
    import joblib

    contents: Contents = joblib.load(io.BytesIO(body))
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


Stamp = tuple[int, int, int]  # of a file: time of change in ns, size, inode


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The model of a folder as last read, the stamps of its files (None: read them again), and what was wrong."""

    stamps: tuple[Stamp, Stamp] | None
    model: Model | None
    problem: str | None


class Models:
    """The models of a state folder, each read once and again when its files change."""

    def __init__(self, state_dir: str | Path | None = None) -> None:
        self._state_dir = state_dir
        self._known: dict[Path, _Loaded] = {}

    def of(self, device_model: str | None) -> tuple[Model | None, str | None]:
        """The model for a printer model, else the fleet's, and a sentence: what is wrong with it, or why it is None.

        A file that was changed by somebody else is refused; the model that was loaded before it stays in use.
        """
        note = None
        for wanted in (device_model, None) if device_model else (None,):
            model, problem = self._loaded(folder(self._state_dir, wanted))
            if model:
                return model, note or problem
            note = note or problem
        return None, note or "No model has been trained yet: ./enms train makes one."

    def version(self) -> str:
        """A text that changes when any model file does."""
        base = folder(self._state_dir)
        return repr(
            sorted((str(path.parent.name), stamp) for path in base.glob(f"**/{MODEL}") if (stamp := _stamp(path)))
        )

    def _loaded(self, place: Path) -> tuple[Model | None, str | None]:
        of_model, of_card = _stamp(place / MODEL), _stamp(place / CARD)
        if of_model is None or of_card is None:
            self._known.pop(place, None)
            return None, None
        stamps = of_model, of_card
        known = self._known.get(place, _Loaded(None, None, None))
        if known.stamps != stamps:
            try:
                known = _Loaded(stamps, load(place), None)
            except Exception as error:
                # An unpickler of other library versions may raise anything, and an analysis continues without a model.
                sentence = (
                    str(error)
                    if isinstance(error, ModelRefused)
                    else f"The model file can't be read ({type(error).__name__}). Train again: ./enms train"
                )
                # Perhaps it is just being replaced: the next call looks again.
                known = _Loaded(None, known.model, sentence)
            self._known[place] = known
        return known.model, known.problem


def _stamp(path: Path) -> Stamp | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
