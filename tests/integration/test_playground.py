"""The playground in a real browser, over the real application. What it shows of others is text, whatever it says.

``T2S_PICTURES=docs/images pytest tests/integration/test_playground.py -k picture`` makes the documentation's picture.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playground_rig import GARDEN, HACK, Shop, shop
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from t2s.registry import ResolvedAdapter

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: the playground is not opened")

TOKEN = "a-token-of-enough-length"
expect.set_options(timeout=60_000)  # a slow moment of a shared machine is no failure
SALES = "region,amount,code\nnorth,12.5,0042\nsouth,8,0007\neast,31,0100\n"
Open = Callable[..., Page]
DROP = """([name, text, kind]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([text], name, { type: "text/csv" }));
  document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""
CONTRAST = """(selectors) => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((each) => each / 255)
    .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (node) => {
    const colour = channels(getComputedStyle(node).backgroundColor);
    return colour.length === 4 && colour[3] === 0 ? behind(node.parentElement) : colour;
  };
  return selectors.map((selector) => {
    const node = document.querySelector(selector);
    const [low, high] = [channels(getComputedStyle(node).color), behind(node)].map(luminance).sort((a, b) => a - b);
    return [selector, (high + 0.05) / (low + 0.05)];
  });
}"""
FOCUSED = """() => {
  const node = document.activeElement;
  const drawn = node.matches("input[type=radio], #file") ? node.nextElementSibling : node;
  const box = drawn.getBoundingClientRect();
  return [node.id || node.value || node.className || node.textContent,
    getComputedStyle(drawn).outlineStyle !== "none" && box.width > 0 && box.height > 0];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Root, as in a container, has no sandbox of Chromium's.
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


class Complaints(list[str]):
    """What a browser complains of: a script that failed, something that the policy refused, a dialog."""

    def hear(self, page: Page) -> Page:
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: self.append(str(error)))
        page.on("console", lambda said: self.append(said.text) if said.type in ("error", "warning") else None)
        page.on("dialog", lambda dialog: self.append(f"dialog {dialog.message}"))
        return page

    def check(self) -> None:
        """None; but what the endpoint refuses (429), the browser logs too."""
        assert [each for each in self if not each.startswith("Failed to load resource")] == []


def begin(page: Page, url: str) -> Page:
    page.goto(url)
    expect(page.locator("#about")).to_contain_text("ready")
    return page


@pytest.fixture
def visit(browser: Browser, served: Shop) -> Iterator[Open]:
    """``visit(url, **context)`` opens the page in a window of its own."""
    complaints, contexts = Complaints(), []

    def opened(url: str = served.url, **given: Any) -> Page:
        contexts.append(browser.new_context(**given))
        return begin(complaints.hear(contexts[-1].new_page()), url)

    yield opened
    for context in contexts:
        context.close()
    complaints.check()


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[tuple[Page, Complaints]]:
    complaints = Complaints()
    page = complaints.hear(browser.new_page())
    yield page, complaints
    page.close()


@pytest.fixture
def page(window: tuple[Page, Complaints], served: Shop) -> Iterator[Page]:
    """The page in the window that these tests share, as if never asked before."""
    shown, complaints = window
    complaints.clear()
    begin(shown, served.url).evaluate("localStorage.clear()")
    yield begin(shown, served.url)
    complaints.check()


def ask(page: Page, question: str) -> None:
    page.get_by_label("Question", exact=True).fill(question)
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#asked")).to_have_text(question)
    expect(page.get_by_role("button", name="Ask")).to_be_enabled()


def rows(page: Page, card: int = 0) -> list[list[str]]:
    found = page.locator(".answer").nth(card).locator("tr")
    return [row.locator("th, td").all_inner_texts() for row in found.all()]


def is_wider_than_its_window(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_an_answer_is_sql_a_verdict_rows_and_how_long_it_took(page: Page) -> None:
    expect(page.locator("#columns li")).to_have_text(["nametext", "categorytext", "pricereal", "stockreal"])
    ask(page, GARDEN)
    card = page.get_by_role("article")
    expect(card.locator("code")).to_have_text(
        "SELECT name, price, stock FROM products WHERE category = 'garden' AND price < 30"
    )
    expect(card.locator(".k")).to_have_text(["SELECT", "FROM", "WHERE", "AND"])
    expect(card.locator(".s")).to_have_text("'garden'")
    expect(card.locator(".n")).to_have_text("30")
    expect(card.locator(".verdict")).to_have_text("Ran")
    assert rows(page) == [
        ["name", "price", "stock"],
        ["Watering can", "18.5", "42"],
        ["Pruning shears", "24.9", "17"],
        ["Seed tray", "6.2", "130"],
    ]
    expect(card.locator("td").nth(1)).to_have_class("right")
    assert re.search(r"Total\s*\d+ ms\s*Model\s*\d+ ms.*7 \(run 4f1c2a\)", card.locator(".facts").inner_text(), re.S)
    assert re.fullmatch(r"Ran in \d+ ms\. 3 rows", page.get_by_role("status").inner_text())


@pytest.mark.parametrize(
    ("question", "verdict", "detail"),
    [("garbage", "Invalid SQL", "expected SELECT"), ("what else?", "Failed to run", "no such column: unheard_of")],
)
def test_a_verdict_says_why(page: Page, question: str, verdict: str, detail: str) -> None:
    ask(page, question)
    expect(page.locator(".verdict")).to_have_text(verdict)
    expect(page.locator(".detail")).to_contain_text(detail)
    expect(page.locator(".rows")).to_be_hidden()


def test_null_is_told_from_the_word_and_other_tables_can_be_chosen(page: Page) -> None:
    page.get_by_label("Table").select_option("customers")
    expect(page.locator("#columns li").last).to_have_text("<b>note</b>text")
    ask(page, "notes")
    expect(page.locator("td.null")).to_have_text("NULL")
    page.get_by_label("Table").select_option("all tables")
    expect(page.locator("#columns h3")).to_have_text(["products", "customers", "orders"])


def test_a_large_number_is_not_rounded(page: Page) -> None:
    ask(page, "big")
    assert rows(page) == [["big", "small"], ["9007199254740993", "-1.5"]]


def test_markup_in_a_cell_a_header_a_question_sql_a_schema_or_a_name_stays_text(
    visit: Open, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with shop(
        tmp_path_factory.mktemp("hostile"), names=[HACK], adapter=ResolvedAdapter(Path("/x"), HACK, HACK)
    ) as made:
        page = visit(made.url)
        expect(page.locator("#database option")).to_have_text(HACK)
        page.get_by_label("Compare with base").check()
        ask(page, f"hostile {HACK}")
        expect(page.locator(".answer")).to_have_count(2)
        assert rows(page) == [[HACK], [HACK]]
        expect(page.locator(".answer code").first).to_contain_text(f"/* {HACK} */")
        expect(page.locator(".facts").first).to_contain_text(HACK)
        page.get_by_label("Table").select_option("customers")
        ask(page, "notes")
        assert rows(page)[-1] == ["Bo", '<img src=x onerror="window.hacked=3">']
        ask(page, f"garbage {HACK}")
        page.evaluate(DROP, [f"{HACK}.csv", f'"{HACK}"\n"{HACK}"\n', "drop"])
        expect(page.locator("#file-preview")).to_contain_text("<script>")
        ask(page, HACK)
        expect(page.locator("#file-schema-text")).to_contain_text("<script>")
        page.reload()  # now it comes out of the history
        expect(page.locator("#history li")).to_have_count(4)
        page.locator("#history button").first.click()
        expect(page.get_by_role("alert")).to_contain_text(HACK)
        assert page.locator("img, svg, iframe, body script[src]").count() == 0
        assert page.locator("script").count() == 1
        assert page.evaluate("window.hacked") is None


def test_the_browser_itself_would_refuse_markup_and_other_hosts(browser: Browser, served: Shop) -> None:
    page = browser.new_page()
    page.goto(served.url)
    refused = page.evaluate("try { document.body.innerHTML = '<b>x</b>'; false } catch (error) { error.name }")
    assert refused == "TypeError"
    assert page.evaluate("fetch('http://127.0.0.1:1/').then(() => '', (error) => error.message)") == "Failed to fetch"
    page.evaluate("""() => new Promise((done) => {
        document.addEventListener("securitypolicyviolation", (event) => {
            window.refused = event.violatedDirective;
            done();
        });
        const style = document.createElement("style");
        style.textContent = "body { display: none }";
        document.head.append(style);
    })""")
    assert page.evaluate("window.refused") == "style-src-elem" and page.locator("h1").is_visible()
    page.close()


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    page.keyboard.press("/")
    expect(page.get_by_label("Question", exact=True)).to_be_focused()
    page.keyboard.type("dearest?")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#asked")).to_have_text("dearest?")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("everything / all")  # a slash is a slash there
    page.keyboard.press("Control+Enter")
    expect(page.locator("#asked")).to_have_text("everything / all")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("half")
    for key, shown in (("ArrowUp", "everything / all"), ("ArrowUp", "dearest?"), ("ArrowUp", "dearest?"),
                       ("ArrowDown", "everything / all"), ("ArrowDown", "half"), ("ArrowDown", "half")):  # fmt: skip
        page.keyboard.press(key)
        expect(page.get_by_label("Question", exact=True)).to_have_value(shown)


def test_every_stop_of_the_tab_key_is_seen(page: Page) -> None:
    page.get_by_label("Compare with base").check()
    ask(page, GARDEN)
    expect(page.locator(".answer")).to_have_count(2)
    page.locator("#history-clear").focus()
    stops = []
    while "skip" not in stops:
        page.keyboard.press("Shift+Tab")
        name, seen = page.evaluate(FOCUSED)
        assert seen, f"the focus on {name} is not seen"
        stops.append(name)
    assert stops[::-1] == [
        "skip", "database", "database", "table", "columns", "question", "compare", "ask",
        "quiet copy", "sql", "rows", "quiet copy", "sql", "rows",
    ]  # fmt: skip
    page.get_by_label("Database").first.focus()
    page.keyboard.press("ArrowRight")  # radio buttons
    expect(page.locator("#of-csv")).to_be_visible()


def test_every_control_has_a_name_and_the_answer_is_announced(page: Page) -> None:
    ask(page, GARDEN)
    nameless = page.evaluate("""() => [...document.querySelectorAll("input, select, textarea, button, [tabindex]")]
        .filter((each) => !((each.labels && each.labels.length) || each.textContent.trim() || each.ariaLabel))
        .map((each) => each.outerHTML)""")
    assert nameless == []
    expect(page.locator("#status")).to_have_attribute("role", "status")
    expect(page.locator("#error")).to_have_attribute("role", "alert")


def test_a_phone_shows_everything_without_scrolling_sideways(visit: Open) -> None:
    page = visit(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert not is_wider_than_its_window(page)
    page.get_by_label("Compare with base").check()
    for question in (GARDEN, f"wide {'w' * 200}", "everything", "dearest"):
        ask(page, question)
        assert not is_wider_than_its_window(page), question
    ask(page, "everything")
    assert page.evaluate(
        "(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)(document.querySelector('.rows'))"
    )
    page.evaluate(DROP, [f"{'long' * 30}.csv", f"{'column' * 30}\n{'cell' * 100}\n", "drop"])
    expect(page.locator("#file-chosen")).to_be_visible()
    assert not is_wider_than_its_window(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(visit: Open, scheme: Any) -> None:
    page = visit(color_scheme=scheme)
    ask(page, GARDEN)
    ratios = dict(page.evaluate(CONTRAST, [
        "body", "h1 span", "#about", "legend", "#columns li span", "#question", "#ask", "#ask kbd", "#asked",
        ".verdict", ".k", ".s", ".n", "th", "td", ".count", ".facts dt", ".facts dd", "#history span", "footer p",
    ]))  # fmt: skip
    assert {selector: ratio for selector, ratio in ratios.items() if ratio < 4.5} == {}
    ask(page, "what else?")
    assert page.evaluate(CONTRAST, [".verdict"])[0][1] >= 4.5
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(14, 17, 22)") == (scheme == "dark")


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


def test_tuned_and_base_stand_side_by_side(page: Page) -> None:
    page.get_by_label("Compare with base").check()
    ask(page, GARDEN)
    expect(page.locator(".answer h3")).to_have_text(["Tuned · adapter 7", "Base"])
    expect(page.get_by_role("status")).to_have_text("Tuned and base found different rows.")
    assert (len(rows(page, 0)), len(rows(page, 1))) == (4, 6)
    tuned, base = (page.locator(".answer").nth(each).bounding_box() for each in (0, 1))
    assert tuned and base and tuned["y"] == base["y"] and base["x"] > tuned["x"] + tuned["width"]
    ask(page, "dearest")
    expect(page.get_by_role("status")).to_have_text("Tuned and base found the same rows.")
    page.get_by_label("Compare with base").uncheck()
    ask(page, GARDEN)
    expect(page.locator(".answer h3")).to_have_text("Answer")


def test_an_endpoint_of_the_bare_base_compares_nothing(visit: Open, tmp_path_factory: pytest.TempPathFactory) -> None:
    with shop(tmp_path_factory.mktemp("bare"), adapter=ResolvedAdapter(None, "none", None)) as made:
        page = visit(made.url)
        expect(page.get_by_label("Compare with base")).to_be_disabled()
        expect(page.locator("#compare-why")).to_have_text("This endpoint serves the base itself.")


def test_a_full_queue_is_asked_again_after_a_countdown(page: Page, served: Shop) -> None:
    served.model.refusals = 1
    page.get_by_label("Question", exact=True).fill("dearest?")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status")).to_contain_text("429: the queue is full. Asking again in 1 s")
    expect(page.get_by_role("article")).to_contain_text("89")
    served.model.refusals = 9
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status")).to_contain_text("Asking again")
    page.keyboard.press("Escape")
    expect(page.get_by_role("status")).to_have_text("Stopped.")
    served.model.refusals = 0


def test_a_question_under_way_can_be_stopped_and_its_time_is_shown(page: Page, served: Shop) -> None:
    served.model.held = True
    page.get_by_label("Question", exact=True).fill("dearest?")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status")).to_have_text(re.compile(r"Asking … 0\.[2-9] s"))
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_have_text("Stopped.")
    served.model.held = False
    ask(page, "dearest?")


def test_a_lost_network_and_a_changed_token_are_one_line(visit: Open, tmp_path_factory: pytest.TempPathFactory) -> None:
    with shop(tmp_path_factory.mktemp("closed"), token=TOKEN) as made:
        page = visit(made.url, http_credentials={"username": "any", "password": TOKEN})
        ask(page, GARDEN)
        stored = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
        assert GARDEN in stored and TOKEN not in stored and TOKEN not in page.content()

        def without_token(route: Route) -> None:
            kept = {name: value for name, value in route.request.headers.items() if name != "authorization"}
            route.fulfill(response=route.fetch(headers=kept | {"authorization": "Bearer another-token-of-length"}))

        page.route("**/v1/sql", without_token)
        page.get_by_role("button", name="Ask").click()
        expect(page.get_by_role("alert")).to_contain_text("401: the token is missing or wrong.")
        page.unroute("**/v1/sql")
        page.context.set_offline(True)
        page.get_by_role("button", name="Ask").click()
        expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
        page.context.set_offline(False)
        ask(page, GARDEN)
        expect(page.get_by_role("alert")).to_be_hidden()


def test_the_history_outlives_the_page_and_can_be_cleared(page: Page) -> None:
    page.get_by_label("Table").select_option("customers")
    ask(page, "notes")
    page.get_by_label("Table").select_option("products")
    ask(page, "dearest?")
    page.reload()
    expect(page.locator("#about")).to_contain_text("ready")
    page.get_by_role("button", name="notes").click()
    expect(page.get_by_label("Table")).to_have_value("customers")
    expect(page.get_by_label("Question", exact=True)).to_have_value("notes")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#history li")).to_have_count(0)
    assert page.evaluate("localStorage.length") == 0


@pytest.mark.parametrize("stored", ["{", "null", '[1, {"question": 5}, null]'])
def test_a_spoilt_history_is_an_empty_one(page: Page, stored: str) -> None:
    page.evaluate("(stored) => localStorage.setItem('t2s.history', stored)", stored)
    page.reload()
    ask(page, "dearest?")
    expect(page.locator("#history li")).to_have_count(1)


def test_the_sql_can_be_copied(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask(page, "dearest?")
    page.get_by_role("button", name="Copy SQL").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "SELECT MAX(price) FROM products"


def test_the_picture_of_the_documentation_shows_a_right_answer(visit: Open, tmp_path: Path) -> None:
    page = visit(viewport={"width": 1180, "height": 820}, color_scheme="light")
    page.get_by_label("Compare with base").check()
    ask(page, "What does the dearest product cost?")
    ask(page, GARDEN)
    expect(page.locator(".verdict")).to_have_text(["Ran", "Ran"])
    page.mouse.move(0, 0)
    picture = Path(os.environ.get("T2S_PICTURES", tmp_path)) / "playground.png"
    page.screenshot(path=picture, full_page=True, animations="disabled")
    assert picture.stat().st_size < 300_000
