"""The power model of the demo fleet, made from its past while everything else already runs."""

import os
import sys
import time
from pathlib import Path

from .settings import Paths

WAIT_SECONDS = 600


def main() -> int:
    """Waits for the demo's past, then trains when there is no model yet.

    Always returns 0: a stack without a model works.
    """
    where = Paths(os.environ["ENMS_RUN_DIR"], os.environ["ENMS_ENV_DIR"])
    if Path(os.environ["ENMS_STATE_DIR"], "models", "best_model.joblib").exists():
        print("there is a model already")
        return 0
    print("waiting for the demo's past", flush=True)
    end = time.monotonic() + WAIT_SECONDS
    while not where.demo_done.exists():
        if time.monotonic() > end:
            print("no model: the demo's past did not come")
            return 0
        time.sleep(0.5)
    os.nice(15)
    from analysis.train_model import main as train

    if train([]):
        print("no model: ./enms train says why")
    return 0


if __name__ == "__main__":
    sys.exit(main())
