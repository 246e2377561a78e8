"""Check a machine against a configuration before hours are spent: each check passes, warns or fails, with its cure.

:func:`run_checks` runs them in the order in which a run would meet their subjects. Nothing is started and nothing that
counts is written; services are asked with short timeouts. No secret is shown: what is found goes through
:func:`t2s.masking.mask`.
"""

from t2s.doctor.check import Check
from t2s.doctor.run import run_checks

__all__ = ["Check", "run_checks"]
