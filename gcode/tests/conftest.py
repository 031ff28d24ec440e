"""Shared fixtures."""

import pytest

from gcode import kernel


@pytest.fixture(params=["compiled", "numpy"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs the test with the compiled kernel and without a compiler."""
    if request.param == "numpy":
        monkeypatch.setattr(kernel, "library", lambda: None)
    elif kernel.library() is None:
        pytest.skip("no C compiler: there is only the reader by numpy")
    return request.param
