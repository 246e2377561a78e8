"""The documents' pictures that show numbers, drawn again from where the numbers stand; needs playwright and chromium.

    python -m bench.pictures tuned              # a table of docs/results.md → docs/images/base-tuned.svg
    python -m bench.pictures search runs/NAME   # a search → docs/images/search-curves.svg, search-coordinates.svg

docs/images/path.svg shows no number and is written by hand.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from t2s.search.plots import build_figures
from t2s.search.record import Trial, read_trials
from t2s.search.show import setting_text

IMAGES = Path(__file__).parents[1] / "docs" / "images"
RESULTS = Path(__file__).parents[1] / "docs" / "results.md"
HEADING = "## SmolLM2-135M on WikiSQL"
GREY, *NAMED = "#8a94a6", "#2f6fde", "#d9730f", "#2a8a57", "#8a4fc7"
PALE = "#b9c9e4"
COLOURS = {"base": GREY, "tuned": NAMED[0]}
LAYOUT = {
    "template": "plotly_white",
    "title": None,
    "paper_bgcolor": "#ffffff",
    "xaxis": {"title": {"font": {"size": 14}}},
    "yaxis": {"title": {"font": {"size": 14}}},
    "font": {"family": "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif", "size": 14},
}
"""White paper: the text must be legible on a dark page too."""

SEEDED = "() => { let n = 1; Math.random = () => (n = (n * 16807) % 2147483647) / 2147483647 }"
"""Plotly draws the names of a picture's parts: the same numbers are to give the same file."""


class Share(NamedTuple):
    """A row of the table for one side, in percent, and the words it stands there in."""

    row: str
    value: float
    low: float
    high: float
    words: str


def main(words: list[str]) -> None:
    """Draw what the first word names."""
    if words == ["tuned"]:
        save({"base-tuned": (base_beside_tuned(read_table(RESULTS.read_text("utf-8"))), 800, 320)})
    elif len(words) == 2 and words[0] == "search":
        trials = read_trials(Path(words[1]))
        save({"search-curves": (curves(trials), 800, 380), "search-coordinates": (coordinates(trials), 800, 400)})
    else:
        sys.exit(__doc__)


def read_table(document: str) -> dict[str, list[Share]]:
    """Base and tuned EX by category, from the first table under :data:`HEADING`."""
    lines = document.partition(f"\n{HEADING}")[2].splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("| category"))
    table = lines[start : lines.index("", start)]
    names, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table)
    columns = {side: names.index(f"EX {side}") for side in COLOURS}
    return {side: [_share(f"{row[0]} ({row[1]})", row[at]) for row in rows] for side, at in columns.items()}


def _share(row: str, words: str) -> Share:
    return Share(row, *map(float, re.findall(r"[\d.]+", words)), words)


def base_beside_tuned(table: Mapping[str, Sequence[Share]]) -> Any:
    """A point with its interval for each side of each category."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for side, shares in table.items():
        _add_side(figure, side, shares, -0.14 if side == "base" else 0.14)
    rows = [share.row for share in table["base"]]
    figure.update_yaxes(tickvals=[*range(len(rows))], ticktext=rows, zeroline=False, range=[len(rows) - 0.5, -0.5])
    figure.update_xaxes(title="questions answered with the right rows (EX), %", range=[-2, 102], zeroline=False)
    return figure.update_layout(legend={"orientation": "h", "y": 1.15}, margin={"l": 150, "r": 30, "t": 40, "b": 60})


def _add_side(figure: Any, side: str, shares: Sequence[Share], shift: float) -> None:
    figure.add_scatter(
        name=side,
        x=[share.value for share in shares],
        y=[at + shift for at in range(len(shares))],
        error_x={"array": [s.high - s.value for s in shares], "arrayminus": [s.value - s.low for s in shares]},
        mode="markers",
        marker={"color": COLOURS[side], "size": 11},
    )
    for at, share in enumerate(shares):
        figure.add_annotation(x=share.high, y=at + shift, text=share.words, xanchor="left", xshift=8, showarrow=False)


def curves(trials: Sequence[Trial]) -> Any:
    """Validation loss by rung as the search's own report draws it; who came further than one rung is named."""
    import plotly.io

    drawn = build_figures(trials, [], ["eval_loss"], "validation loss")
    figure = plotly.io.from_json(next(each.json for each in drawn if each.title == "Validation loss by rung"))
    went_on = [trial.number for trial in trials if trial.rung > 1]
    colours = {number: NAMED[at % len(NAMED)] for at, number in enumerate(went_on)}
    ended = [trial.number for trial in trials if trial.rung == 1]
    for line in figure.data:
        number = int(line.name.removeprefix("Trial"))
        colour = colours.get(number, GREY)
        line.update(marker={"color": colour, "size": 9}, line={"color": colour, "width": 3}, legendrank=number)
        if number in colours:
            setting = next(trial.setting for trial in trials if trial.number == number)
            line.update(name=f"trial {number}: {setting_text(setting)}")
        else:  # one word for all of them, last
            words = f"{len(ended)} others, stopped after the first rung"
            line.update(name=words, showlegend=number == ended[0], legendrank=2000)
    figure.update_yaxes(type="log", tickvals=[0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 3, 5, 8])
    return figure.update_layout(showlegend=True, legend={"x": 0.98, "xanchor": "right", "y": 0.98, "yanchor": "top"})


def coordinates(trials: Sequence[Trial]) -> Any:
    """Settings and losses at the first rung: there all trials have learned from equally many examples."""
    import optuna

    reached = [trial for trial in trials if trial.rungs]
    study = optuna.create_study()
    kinds = {name: _spread([trial.setting[name] for trial in reached]) for name in reached[0].setting}
    for trial in reached:
        loss = trial.rungs[0].metrics["eval_loss"]
        study.add_trial(optuna.trial.create_trial(params=trial.setting, distributions=kinds, value=loss))
    figure = optuna.visualization.plot_parallel_coordinate(study, target_name="loss at rung 1")
    _shade(figure)
    figure.update_annotations(font_size=13, xshift=-7, bgcolor="#ffffff", borderpad=1)
    return figure.update_layout(margin={"l": 80, "r": 20, "t": 30, "b": 50})


def _spread(values: Sequence[Any]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if len(set(values)) > 4:
        return FloatDistribution(min(values), max(values), log=True)
    return CategoricalDistribution(sorted(set(values)))


def _shade(figure: Any) -> None:
    """Darker is better, as Optuna draws it; but its palest line is white, and most losses lie close together."""
    from plotly.colors import sample_colorscale

    *lines, scale = figure.data
    losses = [math.log(float(line.customdata[0][1])) for line in lines]
    shares = [(loss - min(losses)) / (max(losses) - min(losses)) for loss in losses]
    for line, colour in zip(lines, sample_colorscale([[0, NAMED[0]], [1, PALE]], shares), strict=True):
        line.update(line={"color": colour, "width": 2.5}, opacity=1)
    scale.marker.showscale = False


def save(figures: Mapping[str, tuple[Any, int, int]]) -> None:
    """Write each figure as docs/images/NAME.svg, drawn by Plotly in a browser."""
    from playwright.sync_api import sync_playwright
    from plotly.offline import get_plotlyjs

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.evaluate(SEEDED)
        page.add_script_tag(content=get_plotlyjs())
        for name, (figure, width, height) in figures.items():
            drawn = json.loads(figure.update_layout(LAYOUT).to_json())
            sizes = {"format": "svg", "width": width, "height": height}
            address = page.evaluate("([figure, sizes]) => Plotly.toImage(figure, sizes)", [drawn, sizes])
            (IMAGES / f"{name}.svg").write_text(unquote(address.partition(",")[2]) + "\n", "utf-8")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
