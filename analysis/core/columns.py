"""The form in which rows travel: equally long numpy arrays by name."""

from typing import Any

from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
