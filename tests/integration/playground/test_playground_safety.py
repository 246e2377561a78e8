"""What the playground shows of others is text, whatever it says; and the browser would refuse anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_rig import DROP, Open, ask, rows
from playground_rig import HACK, Shop, shop
from playwright.sync_api import Browser, expect

from t2s.registry import ResolvedAdapter


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
