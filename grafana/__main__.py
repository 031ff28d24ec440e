"""`python -m grafana` writes dashboards/*.json and provisioning/alerting/rules.json, the same bytes each time."""

import json
from pathlib import Path

from . import alerts, boards

HERE = Path(__file__).resolve().parent


def files() -> dict[str, str]:
    """{path below grafana/: text} of everything that is generated."""
    dashboards = [module.make() for module in boards.ALL]
    made = {f"dashboards/{board['uid'].removeprefix('enms-')}.json": board for board in dashboards}
    made["provisioning/alerting/rules.json"] = alerts.make(dashboards)
    return {name: json.dumps(content, indent=1, ensure_ascii=False) + "\n" for name, content in made.items()}


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text)
        print(name)
