"""What a run did, written down: the journal (JSONL, always), and MLflow or W&B as listeners.

The journal is the truth; :func:`t2s.track.replay.replay` brings MLflow up to it. Importing this package loads
neither MLflow nor W&B.
"""

from t2s.track.files import new_run_dir, recall_run, remember_run, write_run_files
from t2s.track.journal import Journal, read_journal
from t2s.track.replay import replay
from t2s.track.runs import Tracker, tracking_uri
from t2s.track.sinks import MlflowSink, Sink, WandbSink, build_sink

__all__ = [
    "Journal",
    "MlflowSink",
    "Sink",
    "Tracker",
    "WandbSink",
    "build_sink",
    "new_run_dir",
    "read_journal",
    "recall_run",
    "remember_run",
    "replay",
    "tracking_uri",
    "write_run_files",
]
