"""What a device used, in which phase, what drives it, and what it should draw: see README.md."""

import os

# Several workers share few cores with a database: threads must not wait for each other by spinning. Both are read when
# the libraries are first loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
