"""A browser, the shop that it opens the playground of, and windows of it: what it complains of fails a test.

The browser ends with each file: Playwright runs an event loop in this thread, where other tests run their own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from page_rig import Complaints, Open, begin
from playground_rig import Shop, shop
from playwright.sync_api import Browser, Page, expect, sync_playwright

expect.set_options(timeout=60_000)  # a slow moment of a shared machine is no failure


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium here: the playground is not opened")
    with sync_playwright() as playwright:
        # Root, as in a container, has no sandbox of Chromium's.
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


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
