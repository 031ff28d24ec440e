"""What several Python parts share: log lines, small files, errors, the version, how to reach PostgreSQL. Nothing here
imports from another folder, and all of it runs on the standard library.
"""
