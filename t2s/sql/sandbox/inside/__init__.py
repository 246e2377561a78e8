"""The program of the child processes: layers 2 to 5 of the sandbox.

It runs as a package of its own (``inside``), without the rest of t2s: with the standard library only for SQLite,
and with the one folder that holds DuckDB for DuckDB. It trusts the requests, which come from our own process,
but not the SQL in them.
"""
