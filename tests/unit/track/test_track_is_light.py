from __future__ import annotations

import subprocess
import sys


def test_importing_the_room_loads_no_heavy_library() -> None:
    code = "import sys, t2s.track; print([m for m in ('mlflow', 'torch', 'ray', 'wandb') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
