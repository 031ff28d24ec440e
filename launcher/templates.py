"""Configuration templates: `${ENMS_NAME}` is replaced, everything else (nginx has its own `$names`) stays.

In the containers nginx/start.sh and mosquitto/start.sh fill in the same names, so there is one template language.
"""

import re
from collections.abc import Mapping

from common.errors import EnmsError

PLACE = re.compile(r"\$\{(ENMS_[A-Z0-9_]+)\}")


def render(text: str, values: Mapping[str, object]) -> str:
    """Returns `text` with every `${ENMS_NAME}` replaced from `values`; raises EnmsError for a name without a value."""
    missing = sorted({name for name in PLACE.findall(text) if values.get(name) is None})
    if missing:
        raise EnmsError(f"A configuration template needs {', '.join(missing)}, which has no value.")
    return PLACE.sub(lambda match: str(values[match[1]]), text)
