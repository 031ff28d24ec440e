"""`./enms train`: learns what a printer draws from what it does, and keeps the model only if it beats the baseline.

    python -m analysis.train_model [--csv FILE] [--device-model M] [--from ISO --to ISO] [--seed N] [--state-dir DIR]
                                   [--max-rows N]

Settings are searched by cross-validation over whole prints inside the first three quarters of the time; the last
quarter is looked at once, at the end. The gain over the baseline is then measured over whole prints that a model has
not seen, with a bootstrap over prints, and its 95 % interval must exclude no gain. The model that is kept is fitted
again on all rows.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import candidates, explain, features, model_card, models
from .core.errors import AnalysisError
from .core.states import PHASES
from .core.times import instant
from .explain import Evaluation
from .features import Features
from .training_data import NoTrainingData, TrainingSet, from_csv, from_database

MAX_ROWS = 40_000
SEARCH_ROWS = 10_000
SEARCH_FOLDS, FINAL_FOLDS = 3, 5
HELD_OUT = 0.25
MIN_ROWS, MIN_GROUPS = 200, 8
BOOTSTRAPS = 2_000
OFTEN_KNOWN = 0.05
IMPORTANCE_ROWS = 3_000
DAYS = 30


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind of estimator with settings, and its mean error in the search."""

    kind: models.Kind
    settings: Mapping[str, Any]
    mae_w: float


@dataclass(frozen=True, slots=True)
class PartEvaluation(Evaluation):
    """The Evaluation of a part of the rows, with their mean power and the baseline's error there, in W."""

    mean_w: float
    baseline_mae_w: float


@dataclass(frozen=True, slots=True)
class JobOut:
    """Errors over rows whose whole print (or rest) was kept from the model.

    The gain is how much smaller its mean error is than the baseline's, in %, with a 95 % bootstrap interval over
    groups.
    """

    folds: int
    groups: int
    smallest_group_rows: int
    metrics: Evaluation
    baseline: Evaluation
    gain_percent: float
    gain_95: list[float]
    by_phase: dict[str, PartEvaluation]
    by_device: dict[str, PartEvaluation]


def train(
    data: TrainingSet,
    place: Path,
    *,
    seed: int = 0,
    device_model: str | None = None,
    max_rows: int = MAX_ROWS,
    say: Callable[[str], object] = print,
) -> dict[str, Any]:
    """Trains, writes model and card into the folder `place` when the model is promoted; returns the card.

    The card's "promoted" and "decision" are the verdict and its reason. Without promotion the model that was there
    stays; last_training.json always has the card. Raises NoTrainingData.
    """
    begun = time.monotonic()
    work = Workbench(data.thinned(max_rows), seed)
    say(
        f"training: {len(data)} rows ({len(work.data)} used), {len(work.groups)} prints and rests, "
        f"{len(work.features.names)} features"
    )

    early, late = work.by_time()
    tried = work.search(early, say)
    chosen: dict[models.Kind, Candidate] = {
        kind: _best(item for item in tried if item.kind == kind) for kind in candidates.SETTINGS
    }
    best = _best(chosen.values())
    say(f"chosen: {best.kind} {best.settings}; now the last quarter of the time")
    held_out = work.held_out(early, late, chosen)
    say("now whole prints that the model has not seen")
    job_out = work.job_out(best)
    promoted, decision = decide(held_out, job_out, best.kind)

    final = work.fitted(best)
    fingerprint = data.fingerprint()
    contents = _contents(work, final, fingerprint, job_out.metrics)
    card = {
        "version": contents["version"],
        "kind": best.kind,
        "settings": best.settings,
        "promoted": promoted,
        "decision": decision,
        "seed": seed,
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "device_model": device_model,
        "data": {**_facts(data, work), "fingerprint": fingerprint},
        "features": contents["features"],
        "search": [asdict(item) for item in tried],
        "held_out": {kind: asdict(errors) for kind, errors in held_out.items()},
        "job_out": asdict(job_out),
        "metrics": asdict(job_out.metrics),
        "feature_importance": work.importance(final),
        "limits": limits(work),
        "seconds": round(time.monotonic() - begun, 1),
        "libraries": _libraries(),
    }
    place.mkdir(parents=True, exist_ok=True)
    if promoted:
        card = models.save(place, contents, card)
        models.replace(place / "best_model.html", model_card.page(card).encode())
    models.write_card(place / "last_training.json", card)
    return card


def _contents(work: "Workbench", final: candidates.Fitted, fingerprint: str, metrics: Evaluation) -> models.Contents:
    return {
        "kind": final.kind,
        "estimator": final.in_file(),
        "features": list(work.features.names),
        "categories": [list(work.categories.materials), list(work.categories.models)],
        "scaler": final.scaler,
        "version": f"{final.kind}-{fingerprint[:8]}-{work.seed}",
        "metrics": asdict(metrics),
        "fingerprint": fingerprint,
    }


def _best(tried: Iterable[Candidate]) -> Candidate:
    return min(tried, key=lambda item: item.mae_w)


def decide(held_out: Mapping[str, Evaluation], job_out: JobOut, kind: str) -> tuple[bool, str]:
    """Whether to promote, and a sentence: the gain over the baseline must show later in time and over unseen prints."""
    low, high = job_out.gain_95
    figures = (
        f"error {job_out.metrics.mae_w:.1f} W against {job_out.baseline.mae_w:.1f} W of the baseline on unseen prints "
        f"({round(job_out.gain_percent)} % less, 95 %: {round(low)} to {round(high)})"
    )
    if low <= 0:
        return False, f"Not promoted: no certain gain over the mean by state: {figures}."
    if held_out[kind].mae_w >= held_out["baseline"].mae_w:
        return False, (
            f"Not promoted: in the last quarter of the time it is no better than the mean by state "
            f"({held_out[kind].mae_w:.1f} W against {held_out['baseline'].mae_w:.1f} W)."
        )
    return True, f"Promoted: {figures}."


class Workbench:
    """The rows of a training, their features and groups, and the ways in which they are split.

    `number` is the group of each row, an index into `groups`; raises NoTrainingData when there are too few of either.
    """

    def __init__(self, data: TrainingSet, seed: int) -> None:
        self.data, self.seed = data, seed
        self.groups, self.number = np.unique(data.columns["group"].astype(str), return_inverse=True)
        if len(data) < MIN_ROWS or len(self.groups) < MIN_GROUPS:
            raise NoTrainingData(
                f"Too little to learn from: {len(data)} rows of {len(self.groups)} prints and rests; "
                f"at least {MIN_ROWS} of {MIN_GROUPS} are needed."
            )
        self.categories = data.categories()
        self.features = worth_learning(data.features(self.categories))
        self.watts = data.columns["power_w"].astype(float)
        self.dice = np.random.default_rng(seed)

    def by_time(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of groups that ended before the last quarter of the time, and of those that began in it.

        Groups on the cut are on neither side. Raises NoTrainingData when a side has too few.
        """
        at = self.data.columns["at"]
        cut = at[int(len(at) * (1 - HELD_OUT))]
        first = np.full(len(self.groups), np.iinfo(np.int64).max)
        last = np.zeros(len(self.groups), np.int64)
        np.minimum.at(first, self.number, at)
        np.maximum.at(last, self.number, at)
        early, late = np.flatnonzero(last[self.number] < cut), np.flatnonzero(first[self.number] >= cut)
        if len(np.unique(self.number[early])) < SEARCH_FOLDS or not len(late):
            raise NoTrainingData("The rows are of too few prints to keep the last quarter of the time apart.")
        return early, late

    def folds(self, rows: NDArray[np.int64], count: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """[(rows to learn from, rows to check)]: whole groups on one side, folds of similar size."""
        present, size = np.unique(self.number[rows], return_counts=True)
        count = min(count, len(present))
        fold_of, load = {}, np.zeros(count)
        for place in np.argsort(-(size + self.dice.random(len(size))), kind="stable"):
            fold_of[present[place]] = int(np.argmin(load))
            load[np.argmin(load)] += size[place]
        fold = np.array([fold_of[group] for group in self.number[rows]])
        return [(rows[fold != index], rows[fold == index]) for index in range(count)]

    def fitted(self, candidate: Candidate, rows: NDArray[np.int64] | None = None) -> candidates.Fitted:
        """The candidate, learnt from some rows (None: all)."""
        values, watts = self.features.values, self.watts
        if rows is not None:
            values, watts = values[rows], watts[rows]
        return candidates.fit(candidate.kind, candidate.settings, values, watts, self.seed)

    def predicted(
        self, candidate: Candidate, learn: NDArray[np.int64], check: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """What the candidate, learnt from some rows, predicts for others, W."""
        return self.fitted(candidate, learn).predict(self.features.values[check])

    def baseline(self, learn: NDArray[np.int64], check: NDArray[np.int64]) -> NDArray[np.float64]:
        """What the baseline, learnt from some rows, predicts for others, W."""
        state, model = self.data.columns["state"], self.data.columns["device_model"]
        return candidates.MeanByState(state[learn], model[learn], self.watts[learn]).predict(state[check], model[check])

    def search(self, rows: NDArray[np.int64], say: Callable[[str], object]) -> list[Candidate]:
        """Every setting of every kind with its error, by cross-validation over groups."""
        folds = self.folds(explain.spread(rows, SEARCH_ROWS), SEARCH_FOLDS)
        found = []
        for kind, settings in candidates.SETTINGS.items():
            for setting in settings:
                candidate = Candidate(kind, setting, np.nan)
                errors = [np.abs(self.predicted(candidate, *fold) - self.watts[fold[1]]) for fold in folds]
                found.append(Candidate(kind, setting, float(np.concatenate(errors).mean())))
                say(f"  {kind} {setting}: {found[-1].mae_w:.2f} W")
        return found

    def held_out(
        self, early: NDArray[np.int64], late: NDArray[np.int64], chosen: Mapping[models.Kind, Candidate]
    ) -> dict[str, Evaluation]:
        """Errors of the baseline and of each kind in the last quarter of the time, learnt from the first three."""
        found = {"baseline": explain.evaluation(self.watts[late], self.baseline(early, late))}
        for kind, candidate in chosen.items():
            found[kind] = explain.evaluation(self.watts[late], self.predicted(candidate, early, late))
        return found

    def job_out(self, candidate: Candidate) -> JobOut:
        """The errors over rows whose whole print (or rest) was kept from the model."""
        predicted, base = np.empty(len(self.watts)), np.empty(len(self.watts))
        for learn, check in self.folds(np.arange(len(self.watts)), FINAL_FOLDS):
            predicted[check] = self.predicted(candidate, learn, check)
            base[check] = self.baseline(learn, check)
        error, base_error = np.abs(predicted - self.watts), np.abs(base - self.watts)
        groups = len(self.groups)
        by_group = np.bincount(self.number, error, groups), np.bincount(self.number, base_error, groups)
        draws = np.random.default_rng(self.seed).integers(0, groups, (BOOTSTRAPS, groups))
        gains = 100 * (1 - by_group[0][draws].sum(axis=1) / np.maximum(by_group[1][draws].sum(axis=1), 1e-9))
        columns = self.data.columns
        return JobOut(
            folds=FINAL_FOLDS,
            groups=groups,
            smallest_group_rows=int(np.bincount(self.number, minlength=groups).min()),
            metrics=explain.evaluation(self.watts, predicted),
            baseline=explain.evaluation(self.watts, base),
            gain_percent=float(100 * (1 - error.sum() / base_error.sum())) if base_error.sum() > 0 else 0.0,
            gain_95=[float(edge) for edge in np.percentile(gains, [2.5, 97.5])],
            by_phase=self._parts(predicted, base, [PHASES[index] for index in columns["phase"]]),
            by_device=self._parts(predicted, base, columns["device_id"]),
        )

    def _parts(
        self, predicted: NDArray[np.float64], base: NDArray[np.float64], labels: Sequence[str] | NDArray[np.object_]
    ) -> dict[str, PartEvaluation]:
        labels = np.asarray(labels, str)
        found = {}
        for label in np.unique(labels):
            rows = labels == label
            found[str(label)] = PartEvaluation(
                **asdict(explain.evaluation(self.watts[rows], predicted[rows])),
                mean_w=float(self.watts[rows].mean()),
                baseline_mae_w=float(np.abs(base[rows] - self.watts[rows]).mean()),
            )
        return found

    def importance(self, fitted: candidates.Fitted) -> list[explain.Importance]:
        """Permutation importance of the final model on a part of its own rows."""
        part = explain.spread(np.arange(len(self.watts)), IMPORTANCE_ROWS)
        return explain.permutation_importance(_OfFeatures(fitted), self.features.of_rows(part), self.watts[part])


def worth_learning(known: Features) -> Features:
    """The Features without those that are always the same or known in few rows.

    What a model makes of these few is chance, and later it may be asked about it all the time.
    """
    kept = [
        place
        for place, column in enumerate(known.values.T)
        if np.mean(~np.isnan(column)) >= OFTEN_KNOWN and np.nanmin(column) < np.nanmax(column)
    ]
    return Features(tuple(known.names[place] for place in kept), known.values[:, kept])


@dataclass(frozen=True, slots=True)
class _OfFeatures:
    """A fitted candidate that takes Features, as a loaded model does."""

    fitted: candidates.Fitted

    def predict(self, features: Features, /) -> NDArray[np.float64]:
        return self.fitted.predict(features.values)


def _facts(data: TrainingSet, work: Workbench) -> dict[str, Any]:
    """`data` of the card."""
    columns = work.data.columns
    return {
        "source": os.path.basename(data.source),
        "rows": len(data),
        "rows_used": len(work.data),
        "groups": len(work.groups),
        "prints": sum(" print " in name for name in work.groups),
        "from": instant(columns["at"][0]).isoformat(),
        "to": instant(columns["at"][-1]).isoformat(),
        "devices": sorted(set(columns["device_id"])),
        "device_models": list(work.categories.models),
        "materials": list(work.categories.materials),
    }


def limits(work: Workbench) -> list[str]:
    """Sentences on what the model can't know."""
    columns = work.data.columns
    printer_models, materials = (
        ", ".join(known) or "none" for known in (work.categories.models, work.categories.materials)
    )
    begin, end = instant(columns["at"][0]), instant(columns["at"][-1])
    found = [
        f"It knows the printer models {printer_models} and the materials {materials}; "
        "others are judged by their temperatures and rated power alone.",
        f"It learnt from {len(set(columns['device_id']))} printers between {begin:%Y-%m-%d} and {end:%Y-%m-%d}; "
        "seasons, repairs and new firmware are beyond that.",
        "It tells what a printer usually draws in such a state. "
        "A difference is a reason to look, not a proof of a fault.",
    ]
    ignored = [name for name in features.names(work.categories) if name not in work.features.names]
    if ignored:
        found.append(f"It takes no account of what was always the same or mostly unknown: {', '.join(ignored)}.")
    unseen = [state for state in ("heating", "printing", "paused") if f"state_{state}" not in work.features.names]
    if unseen:
        found.append(f"It has never seen a printer {' or '.join(unseen)}.")
    return found


def _libraries() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("numpy", "scikit-learn", "xgboost-cpu", "joblib")}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when the training ran to its end (promoted or not), 1 with a sentence when it could not."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        data = _data(parser, options)
        place = models.folder(options.state_dir, options.device_model)
        card = train(
            data,
            place,
            seed=options.seed,
            device_model=options.device_model,
            max_rows=options.max_rows,
            say=lambda text: print(text, flush=True),
        )
    except AnalysisError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    kept = f"model {card['version']} in {place / models.MODEL}" if card["promoted"] else "the model in use stays"
    page = place / ("best_model.html" if card["promoted"] else "last_training.json")
    print(card["decision"])
    print(f"{card['seconds']:.0f} s; {kept}; card: {page}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./enms train", description="Train the power model from the running stack's database or a CSV file."
    )
    parser.add_argument("--csv", metavar="FILE", help="learn from this file instead of the database")
    parser.add_argument("--device-model", metavar="M", help="a model of its own for this printer model")
    parser.add_argument(
        "--from", dest="start", metavar="ISO", help=f"begin of the data (default: {DAYS} days before the end)"
    )
    parser.add_argument("--to", dest="end", metavar="ISO", help="end of the data (default: now)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of every dice (default 0): the same data and seed give the same model"
    )
    parser.add_argument("--state-dir", help="where models/ lives (default: ENMS_STATE_DIR)")
    parser.add_argument("--max-rows", type=int, default=MAX_ROWS, help=f"rows used, evenly chosen (default {MAX_ROWS})")
    return parser


def _data(parser: argparse.ArgumentParser, options: argparse.Namespace) -> TrainingSet:
    """The rows that the options name."""
    if options.csv:
        if options.start or options.end:
            parser.error("--from and --to choose from the database; a CSV file is used whole")
        return from_csv(options.csv, options.device_model)
    from .core.database import Database

    end = _instant(parser, options.end) or datetime.now(UTC)
    start = _instant(parser, options.start) or end - timedelta(days=DAYS)
    if start >= end:
        parser.error("--from must be before --to")
    print("training: reading the database", flush=True)
    return from_database(Database(), start, end, options.device_model)


def _instant(parser: argparse.ArgumentParser, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        parser.error(f"{text} is no ISO 8601 time")
    if found.tzinfo is None:
        parser.error(f"{text} needs an offset or Z")
    return found.astimezone(UTC)


if __name__ == "__main__":
    sys.exit(main())
