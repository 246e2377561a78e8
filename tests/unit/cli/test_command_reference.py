from pathlib import Path

from typer.main import get_command

from t2s.cli.main import app
from t2s.cli.reference import commands, reference

PAGE = Path(__file__).parents[3] / "docs" / "commands.md"


def test_the_command_page_is_what_the_commands_generate() -> None:
    assert PAGE.read_text("utf-8") == reference(), "run: python -m t2s.cli.reference > docs/commands.md"


def test_every_command_and_each_of_its_options_is_explained() -> None:
    page = reference()
    for words, command in commands(get_command(app)):
        name = " ".join(("t2s", *words))
        assert f"## `{name}`\n" in page and (command.help or "").strip(), name
        section = page.split(f"## `{name}`\n", 1)[1].split("\n## ", 1)[0]
        for param in [] if getattr(command, "commands", None) else command.params:
            for option in [*param.opts, *param.secondary_opts] if param.opts[0].startswith("-") else []:
                rows = [line for line in section.splitlines() if line.startswith("|") and f"`{option}" in line]
                assert rows and rows[0].rstrip("| ").rpartition("|")[2].strip(), f"{name} {option} has no help"


def test_defaults_bounds_and_switches_stand_in_the_page() -> None:
    page = reference()
    assert "| `--data-dir PATH` |" in page
    assert "| `--wheels`, `--no-wheels` | `--wheels` |" in page
    assert "| `-n INTEGER ≥ 1` | `3` |" in page
    assert "| `--data PATH` | required |" in page
