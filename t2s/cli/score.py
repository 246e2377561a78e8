"""The bodies of ``t2s score`` and ``t2s compare``: read, judge, show; nothing here knows how a score is made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2s.cli.console import meter, next_steps, out, say, table
from t2s.errors import ConfigError, DataError

if TYPE_CHECKING:
    from t2s.evaluate.compare import Marks
    from t2s.evaluate.paired import Paired
    from t2s.evaluate.predictions import ScoredFile

SCORE_METRICS = ("ex", "lf", "repaired_ex")


def score_verb(
    predictions: Path,
    data: Path,
    split: str,
    json_file: Path | None = None,
    html: Path | None = None,
    ordered: bool = False,
    cache_dir: Path = Path("runs/cache"),
) -> None:
    """Score a prediction file by the official and by the repaired rules."""
    from t2s.evaluate.lines import line_of, write_lines
    from t2s.evaluate.predictions import SIDE, json_line, read_golds, read_predictions, score_file
    from t2s.evaluate.results import results_of

    _check_outputs(predictions, [file for file in (json_file, html) if file])
    read = read_predictions(predictions)
    examples = read_golds(_root(data, cache_dir), _split_name(split))
    with meter("scoring") as progress:
        found = score_file(examples, read, ordered=ordered, on_progress=progress.update)
    lines = [line_of(one) for one in found.scored]
    results = results_of(found.scored, lines, [SIDE])
    notes = _notes(found, lines, results, ordered)
    if json_file:
        write_lines(json_file, (json_line(i, lines[i]) for i in range(len(lines))))
    if html:
        _write_page(html, predictions, data, split, results, lines, notes)
    _show_score(f"{len(lines)} questions of {data.name} {split}", results, found.surplus)
    for note in notes:
        say(note)
    _say_faults(results["gold_faults"])
    if json_file:
        next_steps(f"t2s compare {json_file} OTHER.json")


def compare_verb(first: str, second: str, metric: str | None, as_json: bool, seed: int = 0) -> None:
    """Say which of two scored files is better, and whether that can be chance."""
    from t2s.evaluate.compare import compare_files
    from t2s.evaluate.table import METRIC_NAMES

    if metric is not None and metric not in SCORE_METRICS:
        raise ConfigError(f"--metric {metric}: expected one of {', '.join(SCORE_METRICS)}")
    ours, theirs, found = compare_files(first, second, seed)
    chosen = {name: rows for name, rows in found.items() if metric in (None, name)}
    if not chosen:
        raise DataError(f"{first} and {second}: no question has {metric or 'a mark'} in both; try --metric lf")
    if as_json:
        plain = {name: {group: pair.to_dict() for group, pair in rows.items()} for name, rows in chosen.items()}
        out.print(json.dumps({"first": ours.name, "second": theirs.name, "metrics": plain}, indent=2), markup=False)
        return
    for name, rows in chosen.items():
        _show_comparison(METRIC_NAMES[name], ours, theirs, rows)


def _show_comparison(metric: str, ours: Marks, theirs: Marks, rows: dict[str, Paired]) -> None:
    head = ("category", "n", "A", "B", "A - B", "only A/B", "p")
    table(f"{metric} in %: A = {ours.name}, B = {theirs.name}", head, [_pair_row(*row) for row in rows.items()])
    overall = rows["overall"]
    p = overall.p_value
    say(
        f"{metric}: A - B is {100 * overall.difference:+.1f} points ({100 * overall.low:+.1f} to "
        f"{100 * overall.high:+.1f}, paired bootstrap, {overall.resamples} resamples), p = {p:.3g} (McNemar, exact)"
    )


def _pair_row(category: str, pair: Paired) -> list[str]:
    # A line for the value, a line for its interval: the table fits 80 columns.
    shares = [f"{100 * s.accuracy:.1f}\n{100 * s.low:.1f}–{100 * s.high:.1f}" for s in (pair.first, pair.second)]
    change = f"{100 * pair.difference:+.1f}\n{100 * pair.low:+.1f}…{100 * pair.high:+.1f}"
    counts = [f"{pair.only_first}/{pair.only_second}", f"{pair.p_value:.2g}"]
    return [category.replace("_", " "), str(pair.n), *shares, change, *counts]


def _check_outputs(predictions: Path, outputs: Sequence[Path]) -> None:
    """Refuse what would lose work, before it is done."""
    for file in outputs:
        if file.exists() and predictions.exists() and file.samefile(predictions):
            raise ConfigError(f"{file}: is the file of predictions; name another file for the result")
        if file.is_dir() or not file.absolute().parent.is_dir():
            raise ConfigError(f"{file}: name a file in a folder that exists")


def _root(data: Path, cache_dir: Path) -> Path:
    """The directory of the data, unpacked if it is an archive."""
    from t2s.data.archive import unpack

    if data.is_dir():
        return data
    if not data.exists():
        raise DataError(f"--data {data}: no such directory or archive; get WikiSQL with `t2s data fetch`")
    return unpack(data, cache_dir)


def _split_name(split: str) -> str:
    if not split or Path(split).name != split:
        raise ConfigError(f"--split {split!r}: expected a name such as dev or test, of SPLIT.jsonl")
    return split


def _show_score(title: str, results: dict[str, Any], surplus: int) -> None:
    from t2s.evaluate.predictions import SIDE
    from t2s.evaluate.table import cells, header

    rows = [*results["table"]]
    if rows[-1]["ex"][SIDE]:
        rows.append(results["without_empty_golds"])
    shown = [cells(row, True, [SIDE], SCORE_METRICS) for row in rows]
    if surplus:
        shown[len(results["table"]) - 1][-1] = _with_surplus(results["table"][-1]["repaired_ex"][SIDE], surplus)
    table(f"accuracy in % (95% Wilson) on {title}", header([SIDE], SCORE_METRICS), shown)
    counts = results["outcomes"].get(SIDE, {})
    say("outcomes: " + ", ".join(f"{outcome} {count}" for outcome, count in counts.items()))


def _with_surplus(cell: dict[str, float] | None, surplus: int) -> str:
    """The repaired score with the surplus lines counted as wrong."""
    from t2s.evaluate.statistics import wilson
    from t2s.evaluate.table import percent

    if cell is None:
        return percent(None, True)
    n = int(cell["n"]) + surplus
    correct = round(cell["accuracy"] * cell["n"])
    low, high = wilson(correct, n)
    return percent({"accuracy": correct / n, "low": low, "high": high}, True)


def _notes(found: ScoredFile, lines: Sequence[dict[str, Any]], results: dict[str, Any], ordered: bool) -> list[str]:
    """What a reader of the score has to know."""
    from t2s.evaluate.predictions import SIDE

    notes = [f"{count} {_what(lines, metric)}" for metric, count in _exact(lines).items() if count is not None]
    notes = [f"{', '.join(notes)}{' (conditions in order)' if ordered else ''}"]
    measured = results["table"][-1]["ex"][SIDE]
    if measured is None:
        notes.append("EX cannot be measured: this split has no rows (no .db, or tables without rows)")
    elif measured["n"] < len(lines):
        notes.append(
            f"EX is over {measured['n']} of {len(lines)} questions: the others have no rows, or a gold that cannot run"
        )
    if found.missing:
        scored = len(lines) - found.missing
        notes.append(
            f"{found.missing} prediction lines are missing and count as wrong; the official script would stop after "
            f"{scored} questions and give {_official(lines[:scored])}"
        )
    if found.surplus:
        notes.append(
            f"{found.surplus} prediction lines are surplus: they count as wrong in repaired EX (overall), and the "
            "official script would not read them"
        )
    return notes


def _exact(lines: Sequence[dict[str, Any]]) -> dict[str, int | None]:
    """How many are right, by metric; None where nothing was measured."""
    from t2s.evaluate.predictions import SIDE

    marks = {metric: [line[SIDE][metric] for line in lines] for metric in SCORE_METRICS}
    return {
        metric: sum(bool(mark) for mark in found) if any(mark is not None for mark in found) else None
        for metric, found in marks.items()
    }


def _what(lines: Sequence[dict[str, Any]], metric: str) -> str:
    from t2s.evaluate.predictions import SIDE
    from t2s.evaluate.table import METRIC_NAMES

    return f"of {sum(line[SIDE][metric] is not None for line in lines)} {METRIC_NAMES[metric]}"


def _official(lines: Sequence[dict[str, Any]]) -> str:
    right, n = _exact(lines), max(1, len(lines))
    named = {"ex": "EX", "lf": "LF"}
    return ", ".join(f"{named[m]} {right[m] / n:.4f}" for m in named if right[m] is not None)  # type: ignore[operator]


def _say_faults(faults: dict[str, Any]) -> None:
    from t2s.evaluate.text import one_line

    found = {name: count for name, count in faults["counts"].items() if count}
    if found:
        say("faults of the golds: " + ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in found.items()))
    for one in faults["listed"][:20]:
        say(f"  {one_line(one['id'])}: {one_line(one['problem'])}")
    if len(faults["listed"]) > 20:
        say(f"  ... and {len(faults['listed']) - 20} more; --json and --html name them all")


def _write_page(
    html: Path,
    predictions: Path,
    data: Path,
    split: str,
    results: dict[str, Any],
    lines: list[dict[str, Any]],
    notes: Sequence[str],
) -> None:
    from t2s.evaluate.predictions import SIDE
    from t2s.evaluate.report import write_report

    facts = {"predictions": str(predictions), "data": str(data), "split": split, "questions": str(len(lines))}
    write_report(html, f"{predictions.name} on {split}", facts, results, lines, [SIDE], notes)
