"""How a DuckDB file is opened, in the child and where its schema is read: nothing outside the file, one thread."""

from __future__ import annotations

SETTINGS: dict[str, str] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_unsigned_extensions": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
    "threads": "1",
}
"""No other files, no network, no extensions, no Python variables as tables, no spilling to disk."""
