"""A reader who types a document's commands as they stand there, in their order.

What the reader brings is all that is exchanged: one file of settings stacked on those of a command (a tiny model, few
examples), and what the documents leave to be filled in (``runs/train-…``, ``FILE``).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml
from documents_rig import ROOT, commands, said_of
from tiny_model import save_tiny_model

PROGRAMS = ("t2s", "curl")
LAYER = {
    "model": {"name": "tiny"},
    "training": {"max_steps": 4, "max_train_samples": 16, "max_val_samples": 4, "use_gpu": False, "num_workers": 1},
    "inference": {"max_new_tokens": 8},
    "search": {"num_trials": 3, "max_train_samples": 16, "max_val_samples": 4, "ex_samples": 4, "final_samples": 8},
    "ray": {"num_cpus": 2},
}
LAYERED = ("train", "search", "evaluate", "promote", "serve", "pipeline", "submit", "infer", "doctor")
SCORE = "t2s score {0}.jsonl --data data.tar.bz2 --split dev --json {1}.jsonl"
BEFORE = {
    "README.md": [
        "t2s train -c configs/quickstart.yaml --name first",
        "t2s promote -c configs/quickstart.yaml runs/first --force quickstart",
        "t2s data fetch --from data.tar.bz2",
        SCORE.format("worse", "other-scores"),
    ],
    "your-data.md": ["rm -r shop"],  # the README made one
    "registry.md": ["t2s evaluate -c FILE --adapter-path runs/train-…/adapter --max-samples 20"],
    "evaluation.md": [SCORE.format("predictions", "a"), SCORE.format("worse", "b")],
    "serving.md": ["t2s serve -c FILE serve.databases.firm=firm.db"],
}
"""What a document supposes was done."""
TYPED = "How many are there?\n.tables\n.quit\n"
ALSO_RIGHT = {"promote": (1, "is not promoted"), "ask": (1, "invalid sql")}
"""What a model that knows nothing ends with, and what is said then."""
INTERRUPTED = 130


@dataclass
class Reader:
    """A folder in which everything happens, and what runs there in the background."""

    folder: Path
    version: str = "1"
    problems: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    served: subprocess.Popen[bytes] | None = None

    def walk(self, document: Path) -> None:
        """Type what ``document`` shows, but for what needs more than a laptop; ``cluster down`` comes last."""
        found = [(each, words) for each, words in commands(document) if words[0] in PROGRAMS and not said_of(each)]
        for line in BEFORE.get(document.name, []):
            self._do(f"before {document.name}: {line}", line.split())
        for each, words in sorted(found, key=lambda pair: pair[1][1:3] == ["cluster", "down"]):
            self._do(f"{each.document.name}:{each.line}: {' '.join(words)}", words)
        self.end()

    def end(self) -> None:
        """End the endpoint and the cluster, if they are there; nothing is exported any more."""
        if self.served and self.served.poll() is None:
            self.served.send_signal(signal.SIGINT)
            self.served.wait(120)
        self.served = None
        if (self.folder / "runs" / "cluster").exists():
            subprocess.run(_program(["t2s", "cluster", "down"]), cwd=self.folder, check=False)
        self.environment.clear()

    def _do(self, title: str, words: list[str]) -> None:
        began = time.monotonic()
        code, said = self._type(self._filled(words))
        print(f"{time.monotonic() - began:6.1f} s  exit {code}  {title}", flush=True)
        self.version = next(iter(re.findall(r"version (\d+) is", said)), self.version)
        expected, because = ALSO_RIGHT.get(words[1], (0, ""))
        if code == expected and because in said:
            if words[1] == "promote" and words[-1].startswith("runs/"):  # what follows needs a champion
                self._do(f"{title} --force", [*words, "--force", "it knows nothing"])
        elif code != 0:
            self.problems.append(f"{title}: exit {code}\n{said[-1500:]}")
            print(self.problems[-1])

    def _type(self, words: list[str]) -> tuple[int, str]:
        if words[:2] == ["t2s", "serve"] and "--stop" not in words:
            return self._serve(words)
        if words[:2] == ["t2s", "ui"]:
            return self._look(words)
        if words[1] == "search" and "--name" in words:
            return self._interrupt(words)
        done = subprocess.run(
            _program(words),
            cwd=self.folder,
            env=self._environment(),
            input=TYPED if "--interactive" in words else "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1200,
        )
        if words[1:3] == ["cluster", "up"]:
            self.environment.update(re.findall(r"export (\w+)=(\S+)", done.stdout))
        return done.returncode, done.stdout

    def _serve(self, words: list[str]) -> tuple[int, str]:
        """Started, and left there once it is ready."""
        self.end()
        self.served, log = self._start(words)
        ready = _answers("http://127.0.0.1:8000/readyz", self.served)
        return 0 if ready else 1, log.read_text("utf-8")

    def _interrupt(self, words: list[str]) -> tuple[int, str]:
        """A search that is to be resumed: Ctrl-C once a trial has finished."""
        search, log = self._start(words)
        end = time.monotonic() + 300
        while "  finished\n" not in log.read_text("utf-8") and search.poll() is None and time.monotonic() < end:
            time.sleep(0.2)
        search.send_signal(signal.SIGINT)
        return (0 if search.wait(120) == INTERRUPTED else 1), log.read_text("utf-8")

    def _look(self, words: list[str]) -> tuple[int, str]:
        """At MLflow's page, until Ctrl-C."""
        page, log = self._start(words)
        ready = _answers("http://127.0.0.1:5000/health", page)
        page.send_signal(signal.SIGINT)
        return (0 if ready and page.wait(60) in (0, INTERRUPTED) else 1), log.read_text("utf-8")

    def _start(self, words: list[str]) -> tuple[subprocess.Popen[bytes], Path]:
        """In the background, and where it writes."""
        log = self.folder / f"{words[1]}.log"
        with log.open("wb") as stream:
            program = _program(words)
            return subprocess.Popen(
                program, cwd=self.folder, env=self._environment(), stdout=stream, stderr=subprocess.STDOUT
            ), log

    def _environment(self) -> dict[str, str]:
        return os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1", **self.environment}

    def _filled(self, words: list[str]) -> list[str]:
        words = [self._fill(word) for word in words]
        if words[0] != "t2s" or words[1] not in LAYERED or "-c" not in words:
            return words
        last = len(words) - words[::-1].index("-c")  # behind the last `-c`
        return [*words[: last + 1], "-c", "walk.yaml", *words[last + 1 :]]

    def _fill(self, word: str) -> str:
        if word == "FILE":
            return "configs/smollm2-135m.yaml"
        if word == "7":
            return self.version
        word = word.replace("runs/NAME", "runs/train-…")
        return re.sub(r"runs/(train|evaluate)-…", lambda kind: self._newest(kind[1]), word)

    def _newest(self, kind: str) -> str:
        found = sorted(self.folder.glob(f"runs/{kind}-*"), key=lambda path: path.stat().st_mtime)
        return str(found[-1].relative_to(self.folder)) if found else f"runs/{kind}-NONE"


def settle(folder: Path, wikisql: Path) -> Reader:
    """The folder as the documents suppose it: a checkout's parts, the archive, a database, some predictions."""
    for part in ("configs", "jobs", "t2s"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "data.tar.bz2").symlink_to(wikisql / "data.tar.bz2")
    save_tiny_model(folder / "tiny")
    (folder / "walk.yaml").write_text(yaml.safe_dump(LAYER), "utf-8")
    (folder / "mine.yaml").write_text(_own_settings(), "utf-8")
    for name, table in (("my.db", "orders"), ("firm.db", "employees")):
        with sqlite3.connect(folder / name) as database:
            database.execute(f"CREATE TABLE {table} (name TEXT, total REAL, salary REAL)")
            database.execute(f"INSERT INTO {table} VALUES ('a', 1, 80), ('b', 2, 40)")
    _predictions(folder)
    return Reader(folder)


def _own_settings() -> str:
    text = (ROOT / "docs" / "your-data.md").read_text("utf-8")
    (block,) = re.findall(r"```yaml\n# mine.yaml\n(.*?)```", text, re.DOTALL)
    return str(block)


def _predictions(folder: Path) -> None:
    """The dev split's own queries, which score 100, and the same with one in ten replaced."""
    with tarfile.open(folder / "data.tar.bz2") as archive:
        member = next(each for each in archive if Path(each.name).name == "dev.jsonl")
        stream = archive.extractfile(member)
        assert stream is not None
        golds = [json.loads(line)["sql"] for line in stream]
    worse = [gold if number % 10 else {**gold, "conds": []} for number, gold in enumerate(golds)]
    for name, queries in (("predictions.jsonl", golds), ("worse.jsonl", worse)):
        (folder / name).write_text("".join(json.dumps({"query": query}) + "\n" for query in queries), "utf-8")


def _program(words: list[str]) -> list[str]:
    return [str(Path(sys.executable).with_name("t2s")), *words[1:]] if words[0] == "t2s" else words


def _answers(url: str, process: subprocess.Popen[bytes], timeout_s: float = 300) -> bool:
    """Whether ``process`` says 200 there before it ends or the time is over."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return True
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    return False
