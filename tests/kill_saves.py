"""A process that saves checkpoints in a loop, and is killed at random moments."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from t2s.train.checkpoint import checkpoints, newest_valid, read_checkpoint, step_of, sweep

WANTED = {"run": "abc"}
_LOOP = """
import sys
from pathlib import Path
from t2s.train.checkpoint import prune, write_checkpoint
folder, step = Path(sys.argv[1]), int(sys.argv[2])
files = {name: bytes([step % 256]) * size for name, size in (("a", 200_000), ("b", 1), ("c", 400_000))}
while True:
    step += 1
    write_checkpoint(folder, step, files, {"run": "abc"})
    prune(folder)
    print(step, flush=True)
"""


def kill_while_saving(folder: Path, kills: int) -> int:
    """Kill the saving process ``kills`` times; returns how often it was inside a save.

    After each kill the newest checkpoint is whole and at least as new as the last one that was finished, all others
    are whole too, and the next start removes what is left over.
    """
    step = hits = 0
    for _ in range(kills):
        child = subprocess.Popen([sys.executable, "-c", _LOOP, str(folder), str(step)], stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline()
        time.sleep(random.uniform(0, 0.03))
        child.send_signal(signal.SIGKILL)
        finished = [int(line) for line in child.communicate()[0].split()]
        hits += any(folder.glob("*.tmp"))
        warnings: list[str] = []
        found = newest_valid(folder, warnings.append, WANTED)
        assert found is not None and step_of(found) >= max([step + 1, *finished]) and not warnings
        step = step_of(found)
        sweep(folder)
        assert all(read_checkpoint(path) for path in checkpoints(folder)) and not list(folder.glob("*.tmp"))
    return hits
