"""The registry: every adapter is a version of one registered model in MLflow; ``champion`` is the one served.

A version is a folder of its run's artifacts: the adapter's own directory (MLflow's transformers flavor corrupts PEFT
models on a local base), ``version.json`` which says what it is, and the answers it was judged by. The alias
``challenger`` names the newest version; ``champion`` moves only through :func:`promote` and :func:`roll_back`. Not
covered: who may move it; that is for the MLflow server's access control.
"""

from t2s.registry.promotion import Promotion, RollBack, promote, roll_back
from t2s.registry.store import ADAPTER, CHALLENGER, CHAMPION, Version
from t2s.registry.versions import ResolvedAdapter, find_adapter, register, resolve_adapter

__all__ = [
    "ADAPTER",
    "CHALLENGER",
    "CHAMPION",
    "Promotion",
    "ResolvedAdapter",
    "RollBack",
    "Version",
    "find_adapter",
    "promote",
    "register",
    "resolve_adapter",
    "roll_back",
]
