"""The pictures of docs/images: whole, small, and with the numbers that the documents give."""

from __future__ import annotations

from xml.etree import ElementTree

from bench.pictures import IMAGES, RESULTS, read_table


def test_base_beside_tuned_shows_the_numbers_of_the_results() -> None:
    picture = (IMAGES / "base-tuned.svg").read_text("utf-8")
    table = read_table(RESULTS.read_text("utf-8"))
    assert [share.row for share in table["tuned"]][-1] == "overall (200)"
    shown = [words for shares in table.values() for share in shares for words in (share.row, share.words)]
    assert [words for words in shown if f">{words}<" not in picture] == []


def test_every_picture_is_whole_and_small() -> None:
    for picture in IMAGES.iterdir():
        assert picture.stat().st_size < 150_000, picture.name
        if picture.suffix == ".svg":
            assert ElementTree.parse(picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"
