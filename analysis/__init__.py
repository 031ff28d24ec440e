"""What a device used, in which phase, what drives it, and what it should draw: see README.md."""

import os

# Several workers share few cores: threads inside one of them would only wait for each other. Read when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
