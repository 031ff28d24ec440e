"""The model card as a page for people; best_model.json has the same for programs."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">\
<title>Model card {version}</title>
<style>\
body{{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}}
table{{border-collapse:collapse;margin:.5rem 0 1.5rem}}\
th,td{{padding:.25rem .75rem;border-bottom:1px solid #ddd;text-align:right}}
th:first-child,td:first-child,.facts td{{text-align:left}}\
.verdict{{padding:.75rem 1rem;background:#eef5ea;border-left:4px solid #5a8f3c}}
@media (prefers-color-scheme:dark){{body{{background:#181a1b;color:#ddd}}th,td{{border-color:#444}}\
.verdict{{background:#22301c}}}}</style></head>
<body><h1>Power model {version}</h1>
<p class="verdict">{decision}</p>
{body}
</body></html>
"""
ERRORS = ("", "mean error W", "RMSE W", "R²", "rows")


def empty_page(note: str) -> str:
    """The page where no model can be shown."""
    return PAGE.format(version="", decision=escape(note), body="")


def page(card: Mapping[str, Any]) -> str:
    """The card as a page that needs nothing else."""
    unseen = card["job_out"]
    tried = [(_candidate(item), f"{item['mae_w']:.2f}") for item in card["search"]]
    matters = [
        (item["feature"], f"{item['importance_w']:.1f}", f"{100 * item['share']:.0f} %")
        for item in card["feature_importance"]
    ]
    body = [
        _table(("", ""), _facts(card), "facts"),
        "<h2>Whole prints that the model had not seen</h2>",
        f"<p>{unseen['folds']} folds; a print, or the rest between two prints, is never on both sides. "
        f"The interval is a bootstrap over {unseen['groups']} of them.</p>",
        _table(
            ERRORS,
            [
                _errors("model", unseen["metrics"]),
                _errors("baseline: mean by printer model and state", unseen["baseline"]),
            ],
        ),
        f"<p>Gain {unseen['gain_percent']:.1f} %, "
        f"95 % interval {unseen['gain_95'][0]:.1f} to {unseen['gain_95'][1]:.1f} %.</p>",
        "<h3>By phase</h3>",
        _parts(unseen["by_phase"]),
        "<h3>By printer</h3>",
        _parts(unseen["by_device"]),
        "<h2>The last quarter of the time</h2>"
        "<p>Learnt from the first three quarters, looked at once. Prints on the cut are on neither side.</p>",
        _table(ERRORS, [_errors(kind, values) for kind, values in card["held_out"].items()]),
        "<h2>What was tried</h2><p>Cross-validation over whole prints inside the first three quarters.</p>",
        _table(("", "mean error W"), tried),
        "<h2>What matters</h2><p>By how much the mean error grows when a group of features is mixed up.</p>",
        _table(("", "W", "share"), matters),
        "<h2>Known limits</h2><ul>" + "".join(f"<li>{escape(text)}</li>" for text in card["limits"]) + "</ul>",
        "<h2>Features</h2><p>" + escape(", ".join(card["features"])) + "</p>",
    ]
    return PAGE.format(version=escape(card["version"]), decision=escape(card["decision"]), body="\n".join(body))


def _facts(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    data = card["data"]
    return [
        ("Kind", _candidate(card)),
        ("Trained", f"{_minute(card['trained_at'])} UTC, in {card['seconds']:.0f} s, seed {card['seed']}"),
        ("For", card["device_model"] or "all printers"),
        ("Data", f"{data['source']}, {_minute(data['from'])} to {_minute(data['to'])} UTC"),
        ("Rows", f"{data['rows']}, of which {data['rows_used']} used"),
        ("Prints and rests", f"{data['groups']}, of which {data['prints']} prints"),
        ("Printers", ", ".join(data["devices"])),
        ("Fingerprint of the data", data["fingerprint"][:16]),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in card["libraries"].items())),
    ]


def _minute(iso: str) -> str:
    return iso[:16].replace("T", " ")


def _candidate(item: Mapping[str, Any]) -> str:
    return f"{item['kind'].replace('_', ' ')}: " + ", ".join(
        f"{name} {value:g}" for name, value in item["settings"].items()
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], style: str = "") -> str:
    lines = [_line("th", head)] if any(head) else []
    return f'<table class="{style}">' + "".join([*lines, *(_line("td", row) for row in rows)]) + "</table>"


def _line(tag: str, cells: Iterable[object]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"


def _errors(name: str, values: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        name.replace("_", " "),
        f"{values['mae_w']:.2f}",
        f"{values['rmse_w']:.2f}",
        "" if values["r2"] is None else f"{values['r2']:.3f}",
        values["n"],
    )


def _parts(parts: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (name, f"{v['mean_w']:.1f}", f"{v['mae_w']:.2f}", f"{v['baseline_mae_w']:.2f}", v["n"])
        for name, v in parts.items()
    ]
    return _table(("", "mean power W", "mean error W", "baseline W", "rows"), rows)
