"""What the tests do with the page, and what they look at."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

Open = Callable[..., Page]
DROP = """([name, text, kind]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([text], name, { type: "text/csv" }));
  document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""
"""Carries a file over the page: its name, its text, and the event."""


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
