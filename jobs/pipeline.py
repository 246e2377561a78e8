"""``t2s pipeline`` as the entry point of a Ray job: search, train, evaluate, promote and deploy, resumable as one.

``t2s submit pipeline --id NAME -- -c configs/FILE.yaml key.path=value`` runs it, or by hand
``ray job submit --working-dir . -- python jobs/pipeline.py -c configs/FILE.yaml --name NAME key.path=value``.
"""

from __future__ import annotations

import sys

from t2s.cli.job_entry import run_job

if __name__ == "__main__":
    sys.exit(run_job("pipeline", sys.argv[1:]))
