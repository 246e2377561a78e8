"""What the playground asks about besides a database: a file, and a pasted schema."""

from __future__ import annotations

import pytest
from page_rig import DROP, ask, rows
from playwright.sync_api import Page, expect

SALES = "region,amount,code\nnorth,12.5,0042\nsouth,8,0007\neast,31,0100\n"


def test_a_dropped_csv_is_asked_about(page: Page) -> None:
    page.evaluate(DROP, ["sales.csv", SALES, "dragover"])
    expect(page.locator("body")).to_have_class("dragging")
    page.evaluate(DROP, ["sales.csv", SALES, "drop"])
    expect(page.locator("body")).to_have_class("")
    expect(page.locator("#file-name")).to_have_text("sales.csv")
    expect(page.locator("#file-size")).to_have_text("4 lines")
    ask(page, "regions over 10")
    assert rows(page) == [["region", "amount"], ["north", "12.5"], ["east", "31"]]
    expect(page.locator("#file-schema-text")).to_have_text("TABLE: sales ( region (text), amount (real), code (text) )")
    stored = page.evaluate("JSON.stringify(localStorage)")
    assert "sales.csv" in stored and "north" not in stored
    page.get_by_role("button", name="Remove").click()
    page.locator("#history button").first.click()
    expect(page.get_by_role("alert")).to_have_text("Files are not kept: choose sales.csv again.")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "x.csv is empty."),
        (b"a,b\n\x00\n", "x.csv is no text file: save it as CSV."),
        (b"a\n" + b"1\n" * 300_000, "x.csv has 586 KB; at most 512 KB can be sent."),
    ],
)
def test_a_file_that_cannot_be_sent_is_one_line(page: Page, content: bytes, line: str) -> None:
    page.get_by_label("CSV file", exact=True).check()
    page.locator("#file").set_input_files({"name": "x.csv", "mimeType": "text/csv", "buffer": content})
    expect(page.get_by_role("alert")).to_have_text(line)


def test_a_chosen_file_of_an_old_spreadsheet_is_read_and_what_the_server_refuses_is_one_line(page: Page) -> None:
    page.get_by_label("CSV file", exact=True).check()
    old = {"name": "x.csv", "mimeType": "text/csv", "buffer": "prix en €;né\n1\n".encode("cp1252")}
    page.locator("#file").set_input_files(old)
    expect(page.locator("#file-preview")).to_have_text("prix en €;né\n1")
    page.get_by_label("Question", exact=True).fill("x")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_have_text("422: csv, line 2: 1 cells under a header of 2")


def test_a_pasted_schema_is_asked_about_and_not_run(page: Page) -> None:
    page.get_by_label("Schema").first.check()
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("alert")).to_have_text("Write a question first.")
    page.get_by_label("Question", exact=True).fill("dearest?")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("alert")).to_contain_text("Paste a schema first")
    page.locator("#schema").fill("TABLE: products ( name (text), price (real) )")
    ask(page, "dearest?")
    expect(page.locator(".verdict")).to_have_text("Not run")
    expect(page.get_by_role("alert")).to_be_hidden()
