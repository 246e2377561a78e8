"""``t2s evaluate`` as the entry point of a Ray job: the same function, the same exit codes.

``t2s submit evaluate -- -c configs/FILE.yaml key.path=value`` runs it, or by hand
``ray job submit --working-dir . -- python jobs/evaluate.py -c configs/FILE.yaml key.path=value``.
"""

from __future__ import annotations

import sys

from t2s.cli.main import run

if __name__ == "__main__":
    sys.exit(run(["evaluate", *sys.argv[1:]]))
