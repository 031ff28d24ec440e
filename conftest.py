"""Fixtures of every test folder come from one plugin, so that `pytest path::test` works from any editor."""

pytest_plugins = [
    "tests.plugin.coverage",
    "tests.plugin.session",
    "tests.plugin.database",
    "tests.plugin.stack",
    "tests.plugin.report",
]
