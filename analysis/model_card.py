"""The model card: best_model.json for programs, best_model.html for people; both say the same."""

import json
import os
from html import escape

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Model card {version}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}}
table{{border-collapse:collapse;margin:.5rem 0 1.5rem}}th,td{{padding:.25rem .75rem;border-bottom:1px solid #ddd;text-align:right}}
th:first-child,td:first-child,.facts td{{text-align:left}}.verdict{{padding:.75rem 1rem;background:#eef5ea;border-left:4px solid #5a8f3c}}
@media (prefers-color-scheme:dark){{body{{background:#181a1b;color:#ddd}}th,td{{border-color:#444}}.verdict{{background:#22301c}}}}</style></head>
<body><h1>Power model {version}</h1>
<p class="verdict">{decision}</p>
{body}
</body></html>
"""


def write(place, card):
    """Writes best_model.html beside the model."""
    _replace(place / "best_model.html", page(card))


def write_json(path, card):
    """Writes a card as JSON."""
    _replace(path, json.dumps(card, indent=1, ensure_ascii=False, sort_keys=True))


def _replace(path, text):
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def empty_page(note):
    """The page where no model can be shown."""
    return PAGE.format(version="", decision=escape(note), body="")


def page(card):
    """The card as a page that needs nothing else."""
    data, unseen = card["data"], card["job_out"]
    facts = [
        ("Kind", _candidate(card)), ("Trained", f"{card['trained_at'][:16].replace('T', ' ')} UTC, in {card['seconds']:.0f} s, seed {card['seed']}"),
        ("For", card["device_model"] or "all printers"),
        ("Data", f"{data['source']}, {data['from'][:16].replace('T', ' ')} to {data['to'][:16].replace('T', ' ')} UTC"),
        ("Rows", f"{data['rows']}, of which {data['rows_used']} used"), ("Prints and rests", f"{data['groups']}, of which {data['prints']} prints"),
        ("Printers", ", ".join(data["devices"])), ("Fingerprint of the data", data["fingerprint"][:16]),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in card["libraries"].items())),
    ]  # fmt: skip
    body = [
        _table(("", ""), facts, "facts"),
        "<h2>Whole prints that the model had not seen</h2>",
        f"<p>{unseen['folds']} folds; a print, or the rest between two prints, is never on both sides. The interval is a bootstrap over {unseen['groups']} of them.</p>",
        _table(("", "mean error W", "RMSE W", "R²", "rows"), [_line("model", unseen["metrics"]), _line("baseline: mean by printer model and state", unseen["baseline"])]),
        f"<p>Gain {unseen['gain_percent']:.1f} %, 95 % interval {unseen['gain_95'][0]:.1f} to {unseen['gain_95'][1]:.1f} %.</p>",
        "<h3>By phase</h3>", _parts(unseen["by_phase"]), "<h3>By printer</h3>", _parts(unseen["by_device"]),
        "<h2>The last quarter of the time</h2><p>Learnt from the first three quarters, looked at once. Prints on the cut are on neither side.</p>",
        _table(("", "mean error W", "RMSE W", "R²", "rows"), [_line(kind, values) for kind, values in card["held_out"].items()]),
        "<h2>What was tried</h2><p>Cross-validation over whole prints inside the first three quarters.</p>",
        _table(("", "mean error W"), [(_candidate(item), f"{item['mae_w']:.2f}") for item in card["search"]]),
        "<h2>What matters</h2><p>By how much the mean error grows when a group of features is mixed up.</p>",
        _table(("", "W", "share"), [(item["feature"], f"{item['importance_w']:.1f}", f"{100 * item['share']:.0f} %") for item in card["feature_importance"]]),
        "<h2>Known limits</h2><ul>" + "".join(f"<li>{escape(text)}</li>" for text in card["limits"]) + "</ul>",
        "<h2>Features</h2><p>" + escape(", ".join(card["features"])) + "</p>",
    ]  # fmt: skip
    return PAGE.format(version=escape(card["version"]), decision=escape(card["decision"]), body="\n".join(body))


def _candidate(item):
    return f"{item['kind'].replace('_', ' ')}: " + ", ".join(
        f"{name} {value:g}" for name, value in item["settings"].items()
    )


def _table(head, rows, style=""):
    cells = lambda tag, row: "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in row) + "</tr>"
    return (
        f'<table class="{style}">'
        + (cells("th", head) if any(head) else "")
        + "".join(cells("td", row) for row in rows)
        + "</table>"
    )


def _line(name, values):
    return (
        name.replace("_", " "),
        f"{values['mae_w']:.2f}",
        f"{values['rmse_w']:.2f}",
        "" if values["r2"] is None else f"{values['r2']:.3f}",
        values["n"],
    )


def _parts(parts):
    rows = [
        (name, f"{v['mean_w']:.1f}", f"{v['mae_w']:.2f}", f"{v['baseline_mae_w']:.2f}", v["n"])
        for name, v in parts.items()
    ]
    return _table(("", "mean power W", "mean error W", "baseline W", "rows"), rows)
