"""`./enms train`: learns what a printer draws from what it does, and keeps the model only if it beats the baseline.

    python -m analysis.train_model [--csv FILE] [--device-model M] [--from ISO --to ISO] [--seed N] [--state-dir DIR] [--max-rows N]

Settings are searched by cross-validation over whole prints inside the first three quarters of the time; the last quarter is looked
at once, at the end. The gain over the baseline is then measured over whole prints that a model has not seen, with a bootstrap
over prints, and its 95 % interval must exclude no gain. The model that is kept is fitted again on all rows.
"""

import argparse
import os
import sys
import time
from datetime import UTC, datetime, timedelta, timezone

import numpy as np

from . import candidates, explain, features, model_card, models
from .core.errors import AnalysisError
from .core.states import PHASES
from .dataset import instant
from .training_data import NoTrainingData, from_csv, from_database

MAX_ROWS = 40_000
SEARCH_ROWS = 10_000
SEARCH_FOLDS, FINAL_FOLDS = 3, 5
HELD_OUT = 0.25
MIN_ROWS, MIN_GROUPS = 200, 8
BOOTSTRAPS = 2_000
OFTEN_KNOWN = 0.05
IMPORTANCE_ROWS = 3_000
DAYS = 30


def train(data, place, *, seed=0, device_model=None, max_rows=MAX_ROWS, say=print):
    """Trains on a TrainingSet, writes model and card into the folder `place` when it is promoted; returns the card.

    The card's "promoted" says which; "decision" says why. Without promotion the model that was there stays, and the card goes to
    last_training.json. Raises NoTrainingData.
    """
    begun = time.monotonic()
    all_rows, fingerprint = len(data), data.fingerprint()
    data = data.thinned(max_rows)
    groups, number = np.unique(data.columns["group"].astype(str), return_inverse=True)
    if len(data) < MIN_ROWS or len(groups) < MIN_GROUPS:
        raise NoTrainingData(
            f"Too little to learn from: {len(data)} rows of {len(groups)} prints and rests; at least {MIN_ROWS} of {MIN_GROUPS} are needed."
        )
    work = _Workbench(data, number, len(groups), seed)
    say(
        f"training: {all_rows} rows ({len(data)} used), {len(groups)} prints and rests, {len(work.features.names)} features"
    )

    early, late = work.by_time()
    tried = work.search(early, say)
    chosen = {
        kind: min((item for item in tried if item["kind"] == kind), key=lambda item: item["mae_w"])
        for kind in candidates.SETTINGS
    }
    best = min(chosen.values(), key=lambda item: item["mae_w"])
    say(f"chosen: {best['kind']} {best['settings']}; now the last quarter of the time")
    held_out = work.held_out(early, late, chosen)
    say("now whole prints that the model has not seen")
    job_out = work.job_out(best)
    promoted, decision = decide(held_out, job_out, best["kind"])

    final = candidates.fit(best["kind"], best["settings"], work.features.values, work.watts, seed)
    version = f"{best['kind']}-{fingerprint[:8]}-{seed}"
    contents = {
        "kind": best["kind"], "estimator": bytes(final.estimator.save_raw("ubj")) if best["kind"] == "xgboost" else final.estimator,
        "features": list(work.features.names), "categories": [list(work.categories.materials), list(work.categories.models)],
        "scaler": final.scaler, "version": version, "metrics": job_out["metrics"], "fingerprint": fingerprint,
    }  # fmt: skip
    columns = data.columns
    card = {
        "version": version, "kind": best["kind"], "settings": best["settings"], "promoted": promoted, "decision": decision, "seed": seed,
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"), "device_model": device_model,
        "data": {
            "source": os.path.basename(data.source), "fingerprint": fingerprint, "rows": all_rows, "rows_used": len(data), "groups": len(groups),
            "prints": sum(" print " in name for name in groups), "from": instant(columns["at"][0]).isoformat(), "to": instant(columns["at"][-1]).isoformat(),
            "devices": sorted(set(columns["device_id"])), "device_models": list(work.categories.models), "materials": list(work.categories.materials),
        },
        "features": list(work.features.names), "search": tried, "held_out": held_out, "job_out": job_out, "metrics": job_out["metrics"],
        "feature_importance": work.importance(final), "limits": limits(data, work), "seconds": round(time.monotonic() - begun, 1),
        "libraries": _libraries(),
    }  # fmt: skip
    place.mkdir(parents=True, exist_ok=True)
    if promoted:
        card = models.save(place, contents, card)
        model_card.write(place, card)
    model_card.write_json(place / "last_training.json", card)
    return card


def decide(held_out, job_out, kind):
    """(promoted, sentence): the gain over the baseline must show in time to come and over unseen prints."""
    gain, (low, high) = job_out["gain_percent"], job_out["gain_95"]
    figures = f"error {job_out['metrics']['mae_w']:.1f} W against {job_out['baseline']['mae_w']:.1f} W of the baseline on unseen prints ({round(gain)} % less, 95 %: {round(low)} to {round(high)})"
    if low <= 0:
        return False, f"Not promoted: no certain gain over the mean by state: {figures}."
    if held_out[kind]["mae_w"] >= held_out["baseline"]["mae_w"]:
        return False, (
            f"Not promoted: in the last quarter of the time it is no better than the mean by state "
            f"({held_out[kind]['mae_w']:.1f} W against {held_out['baseline']['mae_w']:.1f} W)."
        )
    return True, f"Promoted: {figures}."


class _Workbench:
    """The thinned rows, their features and groups, and the ways in which they are split."""

    def __init__(self, data, number, groups, seed):
        self.data, self.number, self.groups, self.seed = data, number, groups, seed
        self.categories = data.categories()
        self.features = worth_learning(data.features(self.categories))
        self.watts = data.columns["power_w"].astype(float)
        self.dice = np.random.default_rng(seed)

    def by_time(self):
        """(rows of groups that ended before the cut, rows of groups that began after it); groups on the cut are on neither side."""
        at = self.data.columns["at"]
        cut = at[int(len(at) * (1 - HELD_OUT))]
        first = np.full(self.groups, np.iinfo(np.int64).max)
        last = np.zeros(self.groups, np.int64)
        np.minimum.at(first, self.number, at)
        np.maximum.at(last, self.number, at)
        early, late = np.flatnonzero(last[self.number] < cut), np.flatnonzero(first[self.number] >= cut)
        if len(np.unique(self.number[early])) < SEARCH_FOLDS or not len(late):
            raise NoTrainingData("The rows are of too few prints to keep the last quarter of the time apart.")
        return early, late

    def folds(self, rows, count):
        """[(learn, check)] with whole groups on one side, sizes alike."""
        present, size = np.unique(self.number[rows], return_counts=True)
        count = min(count, len(present))
        fold_of, load = {}, np.zeros(count)
        for place in np.argsort(-(size + self.dice.random(len(size))), kind="stable"):
            fold_of[present[place]] = int(np.argmin(load))
            load[np.argmin(load)] += size[place]
        fold = np.array([fold_of[group] for group in self.number[rows]])
        return [(rows[fold != index], rows[fold == index]) for index in range(count)]

    def search(self, rows, say):
        """[{kind, settings, mae_w}] of every setting, by cross-validation over groups."""
        folds = self.folds(explain.spread(rows, SEARCH_ROWS), SEARCH_FOLDS)
        found = []
        for kind, settings in candidates.SETTINGS.items():
            for setting in settings:
                errors = [
                    self._errors(
                        candidates.fit(kind, setting, self.features.values[learn], self.watts[learn], self.seed), check
                    )
                    for learn, check in folds
                ]
                found.append({"kind": kind, "settings": setting, "mae_w": float(np.concatenate(errors).mean())})
                say(f"  {kind} {setting}: {found[-1]['mae_w']:.2f} W")
        return found

    def _errors(self, fitted, rows):
        return np.abs(np.maximum(fitted.predict(self.features.values[rows]), 0) - self.watts[rows])

    def _baseline(self, learn, check):
        state, model = self.data.columns["state"], self.data.columns["device_model"]
        return candidates.MeanByState(state[learn], model[learn], self.watts[learn]).predict(state[check], model[check])

    def held_out(self, early, late, chosen):
        """{kind: metrics} in the last quarter of the time, learnt from the first three."""
        found = {"baseline": explain.evaluation(self.watts[late], self._baseline(early, late))}
        for kind, item in chosen.items():
            fitted = candidates.fit(kind, item["settings"], self.features.values[early], self.watts[early], self.seed)
            found[kind] = explain.evaluation(
                self.watts[late], np.maximum(fitted.predict(self.features.values[late]), 0)
            )
        return found

    def job_out(self, best):
        """Metrics over rows whose whole print (or rest) was kept from the model, and the gain with its bootstrap interval over groups."""
        predicted, base = np.empty(len(self.watts)), np.empty(len(self.watts))
        for learn, check in self.folds(np.arange(len(self.watts)), FINAL_FOLDS):
            fitted = candidates.fit(
                best["kind"], best["settings"], self.features.values[learn], self.watts[learn], self.seed
            )
            predicted[check] = np.maximum(fitted.predict(self.features.values[check]), 0)
            base[check] = self._baseline(learn, check)
        error, base_error = np.abs(predicted - self.watts), np.abs(base - self.watts)
        count = np.bincount(self.number, minlength=self.groups)
        sums = np.bincount(self.number, error, self.groups), np.bincount(self.number, base_error, self.groups)
        draws = np.random.default_rng(self.seed).integers(0, self.groups, (BOOTSTRAPS, self.groups))
        gains = 100 * (1 - sums[0][draws].sum(axis=1) / np.maximum(sums[1][draws].sum(axis=1), 1e-9))
        columns = self.data.columns
        return {
            "folds": FINAL_FOLDS, "groups": self.groups, "smallest_group_rows": int(count.min()),
            "metrics": explain.evaluation(self.watts, predicted), "baseline": explain.evaluation(self.watts, base),
            "gain_percent": float(100 * (1 - error.sum() / base_error.sum())) if base_error.sum() > 0 else 0.0,
            "gain_95": [float(edge) for edge in np.percentile(gains, [2.5, 97.5])],
            "by_phase": self._parts(predicted, base, [PHASES[index] for index in columns["phase"]]),
            "by_device": self._parts(predicted, base, columns["device_id"]),
        }  # fmt: skip

    def _parts(self, predicted, base, labels):
        labels = np.asarray(labels, str)
        found = {}
        for label in np.unique(labels):
            rows = labels == label
            found[str(label)] = {
                **explain.evaluation(self.watts[rows], predicted[rows]),
                "mean_w": float(self.watts[rows].mean()),
                "baseline_mae_w": float(np.abs(base[rows] - self.watts[rows]).mean()),
            }
        return found

    def importance(self, fitted):
        """Permutation importance of the final model on a part of its own rows."""
        part = explain.spread(np.arange(len(self.watts)), IMPORTANCE_ROWS)
        known = features.Features(self.features.names, self.features.values[part])
        return explain.permutation_importance(_Plain(fitted), known, self.watts[part])


def worth_learning(known):
    """The Features without those that are always the same or known in few rows: what a model makes of these few is chance, and may be asked of it all the time later."""
    kept = [
        place
        for place, column in enumerate(known.values.T)
        if np.mean(~np.isnan(column)) >= OFTEN_KNOWN and np.nanmin(column) < np.nanmax(column)
    ]
    return features.Features(tuple(known.names[place] for place in kept), known.values[:, kept])


class _Plain:
    """A fitted candidate that takes Features, as a loaded model does."""

    def __init__(self, fitted):
        self._fitted = fitted

    def predict(self, known):
        return np.maximum(self._fitted.predict(known.values), 0)


def limits(data, work):
    """Sentences on what the model can't know."""
    columns = data.columns
    found = [
        f"It knows the printer models {', '.join(work.categories.models) or 'none'} and the materials {', '.join(work.categories.materials) or 'none'}; others are judged by their temperatures and rated power alone.",
        f"It learnt from {len(set(columns['device_id']))} printers between {instant(columns['at'][0]):%Y-%m-%d} and {instant(columns['at'][-1]):%Y-%m-%d}; seasons, repairs and new firmware are beyond that.",
        "It tells what a printer usually draws in such a state. A difference is a reason to look, not a proof of a fault.",
    ]
    ignored = [name for name in features.names(work.categories) if name not in work.features.names]
    if ignored:
        found.append(f"It takes no account of what was always the same or mostly unknown: {', '.join(ignored)}.")
    unseen = [state for state in ("heating", "printing", "paused") if f"state_{state}" not in work.features.names]
    if unseen:
        found.append(f"It has never seen a printer {' or '.join(unseen)}.")
    return found


def _libraries():
    from importlib.metadata import version

    return {name: version(name) for name in ("numpy", "scikit-learn", "xgboost-cpu", "joblib")}


def main(arguments=None):
    """The command line; 0 when the training ran to its end (promoted or not), 1 with a sentence when it could not."""
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
    options = parser.parse_args(arguments)
    try:
        if options.csv:
            if options.start or options.end:
                parser.error("--from and --to choose from the database; a CSV file is used whole")
            data = from_csv(options.csv, options.device_model)
        else:
            from .core.database import Database

            end = _instant(parser, options.end) or datetime.now(UTC)
            start = _instant(parser, options.start) or end - timedelta(days=DAYS)
            if start >= end:
                parser.error("--from must be before --to")
            print("training: reading the database", flush=True)
            data = from_database(Database(), start, end, options.device_model)
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
    print(card["decision"])
    print(
        f"{card['seconds']:.0f} s; {'model ' + card['version'] + ' in ' + str(place / models.MODEL) if card['promoted'] else 'the model in use stays'}; "
        f"card: {place / ('best_model.html' if card['promoted'] else 'last_training.json')}"
    )
    return 0


def _instant(parser, text):
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        parser.error(f"{text} is no ISO 8601 time")
    return found.astimezone(UTC) if found.tzinfo else parser.error(f"{text} needs an offset or Z")


if __name__ == "__main__":
    sys.exit(main())
