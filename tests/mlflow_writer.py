"""One of several writers at once: runs, batches of metrics and an artifact each; prints how long a batch took.

python mlflow_writer.py URI EXPERIMENT RUNS BATCHES
"""

from __future__ import annotations

import json
import sys
import time

from mlflow import MlflowClient
from mlflow.entities import Metric

METRICS = 50
"""A batch holds as many."""


def main(uri: str, experiment: str, runs: int, batches: int) -> None:
    client = MlflowClient(uri)
    seconds = []
    for _ in range(runs):
        run = client.create_run(experiment).info.run_id
        for step in range(batches):
            metrics = [Metric(f"m{number}", step + number, 1, step) for number in range(METRICS)]
            began = time.monotonic()
            client.log_batch(run, metrics=metrics)
            seconds.append(time.monotonic() - began)
        client.log_text(run, run, "name.txt")
        client.set_terminated(run)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
