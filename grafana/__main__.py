"""`python -m grafana`: writes dashboards/*.json and provisioning/alerting/rules.json again, the same bytes from the same code."""

import json
from pathlib import Path

from . import boards

HERE = Path(__file__).resolve().parent


def files():
    """{path below grafana/: text} of everything that is generated."""
    made = {f"dashboards/{board['uid'].removeprefix('enms-')}.json": board for board in (module.make() for module in boards.ALL)}
    return {name: json.dumps(content, indent=1, ensure_ascii=False) + "\n" for name, content in made.items()}


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text)
        print(name)
