"""Two workers of a training on this machine without Ray: ``python two_workers.py RUN_DIR KEY=VALUE...``, once a rank.

``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT`` say who it is, as Ray Train sets them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path


def run_two(run_dir: Path, settings: list[str]) -> None:
    """Train in ``run_dir`` with two processes; raises if one of them fails."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    common = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(run_dir), *settings]
    workers = [
        subprocess.Popen(command, env=common | {"RANK": rank, "LOCAL_RANK": rank}, stderr=subprocess.PIPE)
        for rank in ("0", "1")
    ]
    said = [worker.communicate(timeout=280)[1].decode() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(said)


def _main(run_dir: Path, settings: list[str]) -> None:
    import torch.distributed

    from t2s.config import load
    from t2s.train.harness import RayTrainHarness
    from t2s.train.launch import prepare_texts
    from t2s.train.loop import train_here

    torch.distributed.init_process_group("gloo")
    harness = RayTrainHarness.__new__(RayTrainHarness)  # its exchange, without a Ray to ask who it is
    harness.rank, harness.world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    config = load([], settings)
    texts, about = prepare_texts(config)
    given = {"config": config, "texts": texts, "about": about, "run_dir": run_dir, "name": run_dir.name}
    train_here(given | {"journal": None, "stop_board": None}, harness)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2:])
