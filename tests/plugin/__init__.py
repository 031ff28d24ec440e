"""The pytest plugin that every test folder shares: see conftest.py at the root.

`session` gives the run a directory and variables of its own, `database` migrated databases, `stack` whole stacks,
`report` figures and the slowest tests at the end.
"""
