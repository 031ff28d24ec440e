"""Fixtures of every test folder come from one plugin, so that `pytest path::test` works from any editor."""

pytest_plugins = ["tests.plugin.session", "tests.plugin.database", "tests.plugin.stack", "tests.plugin.report", "tests.plugin.coverage"]
