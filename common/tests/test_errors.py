"""Errors are a sentence with a remedy."""

import os

import pytest

from common.errors import from_os_error


@pytest.mark.parametrize("number, words", [(28, "full"), (30, "read-only"), (13, "permission")])
def test_an_unexpected_os_error_has_a_remedy(number, words):
    error = from_os_error(OSError(number, os.strerror(number), "/somewhere"))
    assert words in str(error).lower() and error.remedy
