"""The last stage: the champion answers on the cluster, and goes on when the pipeline has ended.

On a Ray that ends with the command nothing can go on; what to type instead is the result.
"""

from __future__ import annotations

from typing import Any

from t2s.config import Config
from t2s.pipeline.work import Work


class NotDeployed(Exception):
    """Why there is nothing to deploy, or nowhere; not an error."""

    def __init__(self, reason: str, champion: str | None) -> None:
        super().__init__(reason, champion)
        self.reason, self.champion = reason, champion


def served(config: Config) -> Config:
    """``config`` whose endpoint answers with the champion, whoever that is."""
    return config.model_copy(update={"serve": config.serve.model_copy(update={"adapter": "champion"})})


def check(work: Work) -> None:
    """Refuse tokens, addresses and databases that could not be served, before anything is trained."""
    from t2s.serve.run import check_access, check_databases

    if work.address is not None:
        check_access(work.config)
        check_databases(work.config)


def do_deploy(work: Work) -> dict[str, Any]:
    """Deploy the champion on the cluster; one that is there already is left alone if the gate kept its champion."""
    from t2s.serve.run import base_url, is_deployed, start

    told = work.state["promote"].result
    champion = told["champion"]
    if champion is None:
        raise NotDeployed("there is no champion: the gate refused this adapter, and none was there before", None)
    if work.address is None:
        raise NotDeployed("no cluster here: serve the champion with t2s serve", champion)
    config = served(work.config)
    if not told["is_champion"] and is_deployed():
        work.screen.say(f"the gate kept champion version {champion}: its endpoint stays as it is")
        return {"url": base_url(config), "version": champion, "kept": True}
    work.screen.say(f"deploying champion version {champion} on the Ray at {work.address}")
    return {"url": start(config), "version": champion, "kept": False}


def is_there(url: str) -> bool:
    """Whether an endpoint answers at ``url``."""
    import httpx

    try:
        return httpx.get(f"{url}/healthz", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
