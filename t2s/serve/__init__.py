"""The Ray Serve application: questions in over HTTP, SQL and rows out, from the best adapter.

Light to import; :mod:`t2s.serve.app` brings Ray Serve in.
"""

from t2s.serve.client import ask
from t2s.serve.run import start, stop

__all__ = ["ask", "start", "stop"]
