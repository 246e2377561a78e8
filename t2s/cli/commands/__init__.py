"""The arguments and options of the commands, a module a family of verbs; what they do stands in the rooms they call.

Each module has a ``family`` without a name, whose commands :mod:`t2s.cli.main` puts directly below ``t2s``. Nothing
heavy is imported before a command runs.
"""
