"""A pipeline in MLflow: a parent run, which the runs of its stages are nested in and linked with by tags."""

from __future__ import annotations

from pathlib import Path

from t2s.config import Config
from t2s.pipeline.state import WITH_PLACE, State
from t2s.track.files import recall_run, remember_run
from t2s.track.runs import Status, Tracker, tracking_uri

PARENT_TAG = "mlflow.parentRunId"


class PipelineTracker:
    """Writes one pipeline; with another ``training.report_to`` than ``mlflow`` its methods do nothing."""

    def __init__(self, config: Config, state: State) -> None:
        self._tracker = Tracker(config)
        self._state = state
        params = config.model_dump(mode="json")
        self.run_id = self._tracker.start_run(state.name, "pipeline", params, key=str(state.run_dir))
        remember_run(state.run_dir, self.run_id, tracking_uri(config))
        self._linked: set[str] = set()

    def link(self) -> None:
        """Nest the runs of the stages that there are by now, also those of stages that were interrupted."""
        for name in WITH_PLACE:
            place = self._state.place(name)
            child = recall_run(place) if place is not None else None
            if self.run_id is not None and child is not None and child not in self._linked:
                self._tracker.set_tags(child, {PARENT_TAG: self.run_id, "t2s.pipeline": self._state.name})
                self._tracker.set_tags(self.run_id, {f"t2s.{name}_run": child})
                self._linked.add(child)

    def finish(self, status: Status, page: Path | None) -> None:
        """Write what came out, the files, and the end."""
        self.link()
        self._tracker.log_metrics(self.run_id, self._numbers())
        self._tracker.set_tags(self.run_id, self._words())
        for file in (self._state.run_dir / "config.yaml", self._state.run_dir / "pipeline.json", page):
            if file is not None and file.is_file():
                self._tracker.log_artifact(self.run_id, file)
        self._tracker.finish(self.run_id, status)

    def _numbers(self) -> dict[str, float]:
        state = self._state
        found = {f"seconds_{stage.name}": stage.seconds for stage in state.stages if stage.seconds is not None}
        loss = state["train"].result.get("metrics", {}).get("eval_loss")
        found |= {"eval_loss": loss} if loss is not None else {}
        return found | state["evaluate"].result.get("scores", {})

    def _words(self) -> dict[str, str]:
        judged, deployed = self._state["promote"].result, self._state["deploy"].result
        told: dict[str, str] = {f"t2s.stage_{stage.name}": stage.state for stage in self._state.stages}
        if judged:
            told |= {"t2s.version": str(judged["version"]), "t2s.promoted": str(judged["is_champion"]).lower()}
            told["t2s.promotion_reason"] = judged["reason"][:5000]
        return told | ({"t2s.url": deployed["url"]} if "url" in deployed else {})
