"""Run a pipeline: each stage that is not done, in order, under one lock; or go on with it wherever it was ended."""

from __future__ import annotations

import os
import shlex
from contextlib import ExitStack
from pathlib import Path

from t2s.config import Config
from t2s.errors import SetupError, T2SError
from t2s.masking import mask
from t2s.pipeline import deploy, judge, make
from t2s.pipeline.deploy import NotDeployed
from t2s.pipeline.settings import check_stage, refuse_changes, settings_of
from t2s.pipeline.state import FILE_NAME, NAMES, START_FILES, Flags, State
from t2s.pipeline.summary import sentence, write_summary
from t2s.pipeline.tracking import PipelineTracker
from t2s.pipeline.work import Body, Screen, Work
from t2s.runtime import cluster_address, ray_session
from t2s.track.files import check_name, new_run_dir, write_run_files
from t2s.track.lock import hold

BODIES: dict[str, Body] = {
    "search": make.do_search,
    "train": make.do_train,
    "evaluate": judge.do_evaluate,
    "promote": judge.do_promote,
    "deploy": deploy.do_deploy,
}


def run_pipeline(config: Config, name: str | None, flags: Flags, start_from: str | None, screen: Screen) -> State:
    """Do what is not done of pipeline ``name`` below ``output_dir``, a new one if there is none of that name.

    Paths must be absolute (:func:`t2s.runtime.pin_paths`). ``start_from`` names a stage that is done again, with those
    after it.

    Raises:
        ConfigError: other settings than a stage was begun with, another process works on it, the name is taken or none.
        T2SError: what a stage raises; the same call goes on from there.
        KeyboardInterrupt: after ``screen`` was told how to go on.
    """
    if start_from is not None:
        check_stage(start_from)
    run_dir = _existing(config.output_dir, name)
    if run_dir is None:
        fresh = State.new(config.output_dir / (name or "pipeline"), flags)
        _check(_work(config, fresh, screen), _wanted(fresh, cluster_address(config)))  # before anything is written
        run_dir = new_run_dir(config.output_dir, "pipeline", name)
    with hold(run_dir):
        state = State.read(run_dir) if (run_dir / FILE_NAME).is_file() else State.new(run_dir, flags)
        _settle(state, config, flags, start_from)
        work = _work(config, state, screen)
        wanted = _wanted(state, work.address)
        if wanted:
            _check(work, wanted)
            _run(work, wanted)
        else:
            _tell_done(work)
    return state


def resume_command(run_dir: Path) -> str:
    """What to type to go on."""
    near = os.path.relpath(run_dir)
    return f"t2s pipeline --resume {shlex.quote(near if len(near) < len(str(run_dir)) else str(run_dir))}"


def _existing(output_dir: Path, name: str | None) -> Path | None:
    """The directory of a pipeline that was begun, be it in its first moment."""
    path = output_dir / check_name(name) if name is not None else None
    if path is None or not path.is_dir():
        return None
    left = {entry.name for entry in path.iterdir()}
    return path if FILE_NAME in left or (left and left <= START_FILES) else None


def _work(config: Config, state: State, screen: Screen) -> Work:
    return Work(config, state, screen, cluster_address(config))


def _settle(state: State, config: Config, flags: Flags, start_from: str | None) -> None:
    """Refuse what does not fit to what was done, forget what is done again, and write the record."""
    kept = NAMES.index(start_from) if start_from else len(NAMES)
    refuse_changes(state.name, state.stages[:kept], config, flags)
    if start_from:
        state.redo_from(start_from)
    state.write(flags)


def _wanted(state: State, address: str | None) -> list[str]:
    """The stages that are to be done now."""
    left_out = {name for name, asked in (("search", state.flags.search), ("deploy", state.flags.deploy)) if not asked}
    before = state["deploy"]
    if before.state == "skipped" and "champion" in before.result and not (address and before.result["champion"]):
        left_out.add("deploy")  # still nothing to deploy, or nowhere
    return [stage.name for stage in state.stages if stage.state != "done" and stage.name not in left_out]


def _check(work: Work, wanted: list[str]) -> None:
    """What would only be found out hours later: a base, a space, a registry, a champion, an endpoint's settings."""
    from t2s.model.base import find_base
    from t2s.search.space import check_space

    files = find_base(work.config.model)
    if "search" in wanted:
        check_space(work.config, files)
    if "promote" in wanted:
        judge.champion_to_ask(work.config)
    if "deploy" in wanted:
        deploy.check(work)


def _run(work: Work, wanted: list[str]) -> None:
    """The stages, as one MLflow run that ends as they do."""
    from t2s.train.launch import INTERRUPT_S, within

    state, say = work.state, work.screen.say
    write_run_files(state.run_dir, work.config)
    say(f"pipeline {state.run_dir}")
    tracker = PipelineTracker(work.config, state)
    try:
        _do_all(work, wanted, tracker)
    except KeyboardInterrupt:
        say(f"stopped; the pipeline goes on with: {resume_command(state.run_dir)}")
        within(INTERRUPT_S, lambda: tracker.finish("KILLED", None))
        raise
    except BaseException:
        say(f"the pipeline goes on, once that is cured, with: {resume_command(state.run_dir)}")
        tracker.finish("FAILED", _page(work))
        raise
    tracker.finish("FINISHED", _page(work))
    state.tell()


def _page(work: Work) -> Path | None:
    """The summary; a disk without room for it must not hide why a stage failed."""
    try:
        return write_summary(work.state, work.config)
    except SetupError as error:
        work.screen.say(f"warning: {error}")
        return None


def _do_all(work: Work, wanted: list[str], tracker: PipelineTracker) -> None:
    with ExitStack() as stack:
        has_ray = False
        for number, name in enumerate(NAMES, 1):
            head = f"[{number}/{len(NAMES)}] {name}"
            if name not in wanted:
                _leave(work, name, head)
                continue
            needs_ray = name in ("search", "train", "evaluate") or (name == "deploy" and work.address is not None)
            if needs_ray and not has_ray:
                stack.enter_context(ray_session(work.config))
                has_ray = True
            work.screen.say(f"\n{head}" + (": going on" if work.state[name].is_begun else ""))
            _do(work, name, tracker)
            _page(work)


def _do(work: Work, name: str, tracker: PipelineTracker) -> None:
    """One stage, whose end is on disk before anything else happens."""
    state, settings = work.state, settings_of(name, work.config, work.flags)
    state.begin(name, settings)
    try:
        result = BODIES[name](work)
    except NotDeployed as why:
        state.skip(name, {"reason": why.reason, "champion": why.champion}, settings)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        first = (mask(str(error)).strip().splitlines() or [""])[0]
        state.fail(name, first if isinstance(error, T2SError) else f"{type(error).__name__}: {first}")
        raise
    else:
        state.end(name, result)
    finally:
        tracker.link()
    work.screen.say(f"{name}: {sentence(state[name])}")


def _leave(work: Work, name: str, head: str) -> None:
    """Say why a stage is not done now."""
    stage = work.state[name]
    if stage.state not in ("done", "skipped"):
        work.state.skip(name, {"reason": f"--no-{name}"}, {})
        stage = work.state[name]
    word = "done before" if stage.state == "done" else "left out"
    work.screen.say(f"{head}: {word}: {sentence(stage)}")


def _tell_done(work: Work) -> None:
    """Nothing is left to do: say what was, and whether the endpoint still answers."""
    state = work.state
    for number, name in enumerate(NAMES, 1):
        _leave(work, name, f"[{number}/{len(NAMES)}] {name}")
    url = state["deploy"].result.get("url")
    if url is not None and not deploy.is_there(url):
        work.screen.say(f"{url} does not answer from here; deploy again: {resume_command(state.run_dir)} --from deploy")
    work.screen.say("nothing is left to do")
    page = _page(work)
    if not state.is_told:  # it was killed after its last stage
        PipelineTracker(work.config, state).finish("FINISHED", page)
        state.tell()
