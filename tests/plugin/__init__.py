"""The pytest plugin that every test folder shares: see conftest.py at the root.

`session` makes the run's own directory and variables, `database` migrated databases, `stack` whole stacks,
`report` figures and the slowest tests at the end.
"""
