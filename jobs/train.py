"""``t2s train`` as the entry point of a Ray job: the same function, the same exit codes.

``t2s submit train -- -c configs/FILE.yaml key.path=value`` runs it, or by hand
``ray job submit --working-dir . -- python jobs/train.py -c configs/FILE.yaml key.path=value``.
"""

from __future__ import annotations

import sys

from t2s.cli.job_entry import run_job

if __name__ == "__main__":
    sys.exit(run_job("train", sys.argv[1:]))
